"""The part of the package that runs in Azure needs nothing of what only a terminal uses."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

TERMINAL_ONLY = ("authoring", "cli", "__main__.py")
"""What .funcignore keeps out of the package (docs/architecture.md)."""

IMPORT_ALL = """
import importlib, pathlib, sys

for path in sorted(pathlib.Path("function_app").rglob("*.py")):
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
print(*sorted(name for name in sys.modules if name.startswith("function_app.")))
"""


def test_every_deployed_module_imports_without_the_command_line_and_authoring(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", *TERMINAL_ONLY)
    shutil.copytree(ROOT / "function_app", tmp_path / "function_app", ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "function_app.functions" in imported
    assert "function_app.wandb_logger" in imported
    assert not [name for name in imported if name.startswith(("function_app.cli", "function_app.authoring"))]
