"""What a user starts needs nothing that Windows lacks. tests/windows/sitecustomize.py takes it away."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT, Load
from tests.function_app.conftest import SETTINGS
from tests.provisioning.bench import OPERATOR_ENV

PATHS = (str(ROOT / "tests" / "windows"), *filter(None, [os.environ.get("PYTHONPATH")]))
WINDOWS = {"PYTHONPATH": os.pathsep.join(PATHS), "PYTHONIOENCODING": "cp1252"}


def on_windows(*arguments: str, env: Mapping[str, str]) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env={**env, **WINDOWS}, cwd=ROOT, capture_output=True, encoding="cp1252")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_provisioning_and_a_sync_run_without_posix(load: Load, tmp_path: Path) -> None:
    cloud = load({"extends": "demo"})
    assert "10 to change" in on_windows("-m", "provisioning", "plan", env=cloud.environment() | OPERATOR_ENV)
    app = cloud.environment("function-app") | SETTINGS | {"TMPDIR": str(tmp_path)}
    assert "1 job: 1 synced" in on_windows("-m", "function_app", "sync", "--last", "1", env=app)


def test_the_sandbox_runs_without_posix(tmp_path: Path) -> None:
    shown = 'import os, sandbox.cloud as c; print(c.sys.platform, hasattr(c.os, "fork"), os.environ["WANDB_BASE_URL"])'
    command = ("-m", "sandbox", "run", "--as", "function-app", "--", sys.executable, "-c", shown)
    assert on_windows(*command, env=os.environ).startswith("win32 False http://127.0.0.1:")
