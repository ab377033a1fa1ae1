"""azure-cli in a separate venv, which is created once and reused. If it cannot be installed, the tests are skipped."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .witness import Witness

VERSION = "2.91.0"
VENV = ROOT / ".venv-azcli"


def _installed() -> bool:
    """Return the installed version from Python's own records: az itself would first check on the internet for a newer one."""
    python = VENV / "bin" / "python"
    ask = "from importlib.metadata import version; print(version('azure-cli'))"
    if not python.is_file():
        return False
    return subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip() == VERSION


def _install() -> str:
    """Create the venv. Return what went wrong; empty if nothing did."""
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", f"azure-cli=={VERSION}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return ""


@pytest.fixture(scope="session")
def az() -> Path:
    """The real az. Other test processes wait while one installs it (730 MB, a minute or two)."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed() and (why := _install()):
            pytest.skip(f"azure-cli {VERSION} cannot be installed in {VENV.name}: {why}")
    finally:
        os.close(lock)
    return VENV / "bin" / "az"


@pytest.fixture(scope="module", params=["operator", "pipeline", "ops-vm"])
def witness(request: pytest.FixtureRequest, az: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    """az in a fresh world, signed in as a person, an application and a managed identity in turn."""
    with Witness(az, tmp_path_factory.mktemp(request.param), request.param) as witness:
        yield witness
