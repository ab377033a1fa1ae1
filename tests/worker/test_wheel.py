"""The wheel, installed into an empty environment: console commands, missing extras, and the tree that `init` writes."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra import package
from tests.conftest import ROOT
from tests.worker.test_package_installed import OUTSIDE, needs_uv, uv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), needs_uv]


def program(*argv: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=OUTSIDE | env, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel and no extra."""
    place = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", str(place))
    uv("venv", "--python", sys.executable, str(place / "venv"))
    (wheel,) = place.glob("*.whl")
    uv("pip", "install", "-c", "constraints.txt", "--python", str(place / "venv"), str(wheel))
    return place / "venv" / "bin"


def test_the_sync_command_works_without_extras_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"messages": []}\n')
    command = str(installed / "aoai-wandb")
    version = program(command, "--version", cwd=tmp_path)
    assert version.stdout.startswith("aoai-wandb "), version.stderr
    checked = program(command, "check", "train.jsonl", cwd=tmp_path)
    assert checked.returncode == 1
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize(
    ("argv", "extra"),
    [
        (("aoai-wandb-provision", "setup"), "provisioning"),
        (("python", "-m", "provisioning", "setup"), "provisioning"),
        (("python", "-m", "sandbox", "demo"), "sandbox"),
        (("aoai-wandb", "dashboard"), "dashboard"),
    ],
)
def test_a_command_names_its_missing_extra(installed: Path, tmp_path: Path, argv: tuple[str, ...], extra: str) -> None:
    settings = {"WANDB_API_KEY": "1" * 40, "WANDB_ENTITY": "acme"}
    done = program(str(installed / argv[0]), *argv[1:], cwd=tmp_path, **settings)
    assert done.returncode == 1
    assert extra in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_tree_that_deploys_the_same_package(installed: Path, tmp_path: Path) -> None:
    there = ("--python", str(installed.parent), "--find-links", str(installed.parent.parent))
    uv("pip", "install", "-c", "constraints.txt", "azure-openai-wandb[provisioning]", *there)
    done = program(str(installed / "aoai-wandb-provision"), "init", "app", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    app = tmp_path / "app"
    assert {entry.name for entry in package.sources(app)} == {entry.name for entry in package.sources(ROOT)}
    written = {path.relative_to(app).as_posix() for path in app.rglob("*")}
    assert {"azure.yaml", "infra/main.bicep", "infra/main.parameters.json", "infra/modules/app.bicep"} <= written
    usage = program(sys.executable, "-m", "infra.from_setup", "--help", cwd=app)
    assert "azd" in usage.stdout
    again = program(str(installed / "aoai-wandb-provision"), "init", "app", cwd=tmp_path)
    assert (again.returncode, "not empty" in again.stderr) == (2, True)
    nowhere = program(str(installed / "aoai-wandb-provision"), "init", "app/azure.yaml/app", cwd=tmp_path)
    assert nowhere.stderr == "Error: app/azure.yaml/app cannot be written: Not a directory.\n"
    assert nowhere.returncode == 1
