"""The package as Azure receives it, unpacked into an empty folder and run by Microsoft's worker.

As source, with only requirements.txt installed, and complete, on a bare Python of Azure's version.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from function_app.shared_rules import PYTHON
from infra.package import SITE
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load
from tests.worker.test_worker import LIBRARY, WORLD, Answer, asked_for, azure, delivered, logged, tick, worker

OUTSIDE = dict(os.environ)  # before a test points it to the sandbox, which has no package index
WORKERS_OWN = ("grpcio", "azurefunctions-extensions-base")  # what the library imports and Azure's worker brings along
LARGEST = 45e6  # bytes

needs_uv = pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed: `make package` installs it")
pytestmark = [pytest.mark.slow, worker, needs_uv]


def outside(*argv: str) -> None:
    """Run a program that may use the network."""
    done = subprocess.run(argv, env=OUTSIDE, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def uv(*argv: str) -> None:
    outside(sys.executable, "-m", "uv", *argv, "--quiet", "--no-python-downloads")


def interpreter(version: str) -> str:
    """A Python of this version, on the PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = (shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}.*/bin/python")))
    for each in filter(None, found):
        shown = subprocess.run([each, "--version"], env=OUTSIDE, capture_output=True, text=True)
        if shown.stdout.startswith(f"Python {version}."):
            return each
    pytest.skip(f"there is no Python {version} here")


def pinned(name: str) -> str:
    """The version of constraints.txt."""
    found = re.search(rf"^{name}==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[0]


def library(python: str, place: Path) -> Path:
    """Microsoft's worker library for that Python, with what Azure's worker brings along for itself."""
    shutil.copytree(LIBRARY, place)
    own = [pinned(name) for name in WORKERS_OWN]
    uv("pip", "install", "--no-deps", "--python", python, "--target", str(place), *own)
    return place


def unpacked(place: Path, *options: str) -> Path:
    """The package that `python -m infra.package` builds, unpacked as Azure does: with the modes that it says."""
    output = place / "package.zip"
    outside(sys.executable, "-m", "infra.package", "--output", str(output), *options)
    assert output.stat().st_size <= LARGEST
    with ZipFile(output) as package:
        for each in package.infolist():
            Path(package.extract(each, place / "app")).chmod(each.external_attr >> 16)
    return place / "app"


def serve(python: str, library: Path, app: Path, *invocations: Mapping[str, Any], env: Mapping[str, str]) -> Answer:
    """Start the worker of that Python on the app and invoke."""
    orders, answers = app.parent / "orders.json", app.parent / "answers.json"
    orders.write_text(json.dumps({"invocations": invocations}))
    host = Path(__file__).parent / "host.py"
    argv = [python, *map(str, (host, library, app, orders, answers))]
    child = subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr
    answer: Answer = json.loads(answers.read_text())
    assert answer["start"]["ok"], answer["start"]
    return answer


def check(answering: Callable[..., Answer], cloud: Cloud, app: Path, version: str) -> None:
    """Three functions; a tick enqueues what is pending; the messages are mirrored, data, model and all; then nothing is left."""
    first = answering(tick())
    assert first["python"].startswith(f"{version}.")
    assert first["package"] == str(app / "function_app" / "__init__.py")
    assert sorted(first["functions"]) == ["find_jobs", "report_poison", "sync_job"]
    (found,) = first["invocations"]
    assert found["ok"], found
    assert asked_for(found) == ["ftjob-running", "ftjob-done"]
    second = answering(*map(delivered, json.loads(found["outputs"]["requests"])), tick())
    running, done, again = second["invocations"]
    assert (running["ok"], done["ok"], again["ok"]) == (True, True, True), second
    assert any("result=synced job=ftjob-done" in line for line in logged(done))
    assert asked_for(again) == ["ftjob-running"]
    project = cloud.world.wandb.store.project("acme", "tuning")
    assert project is not None
    assert [row["_step"] for row in project.runs["ftjob-done"].history] == list(range(1, 21))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("complete", [False, True], ids=["the source, requirements.txt", "complete, bare Python"])
def test_the_package_runs_and_is_small_enough(load: Load, tmp_path: Path, complete: bool) -> None:
    """So that nothing is missing in requirements.txt, and the files that infra.package omits are not needed."""
    if complete and sys.platform != "linux":
        pytest.skip("the packages in it are for Linux")
    app = unpacked(tmp_path, *["--with-dependencies"] * complete)
    uv("venv", "--python", interpreter(PYTHON), str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    if not complete:
        uv("pip", "install", "--python", python, "-r", str(app / "requirements.txt"))
    own = library(python, tmp_path / "worker")
    cloud = load(WORLD)
    env = azure(cloud) | ({"PYTHONPATH": str(app / SITE)} if complete else {})

    def answering(*invocations: Mapping[str, Any]) -> Answer:
        return serve(python, own, app, *invocations, env=env)

    check(answering, cloud, app, PYTHON)
