"""The wheel, installed into an empty environment: console commands, missing extras, and the tree that `init` writes."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra import package
from tests.conftest import ROOT

OUTSIDE = dict(os.environ)  # before a test points it to the sandbox, which has no package index
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed: `make package` installs it"),
]


def program(*argv: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=OUTSIDE | env, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel and no extra."""
    place = tmp_path_factory.mktemp("wheel")
    uv = (sys.executable, "-m", "uv", "--quiet", "--no-python-downloads")
    for argv in (
        (*uv, "build", "--wheel", "--out-dir", str(place)),
        (*uv, "venv", "--python", sys.executable, str(place / "venv")),
    ):
        done = program(*argv)
        assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    constraints = ("-c", str(ROOT / "constraints.txt"), "--python", str(place / "venv"))
    done = program(*uv, "pip", "install", *constraints, str(wheel))
    assert done.returncode == 0, done.stderr
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
def test_a_command_without_its_extra_names_it(
    installed: Path, tmp_path: Path, argv: tuple[str, ...], extra: str
) -> None:
    settings = {"WANDB_API_KEY": "1" * 40, "WANDB_ENTITY": "acme"}
    done = program(str(installed / argv[0]), *argv[1:], cwd=tmp_path, **settings)
    assert done.returncode == 1
    assert extra in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_tree_that_deploys_the_same_package(installed: Path, tmp_path: Path) -> None:
    uv = (sys.executable, "-m", "uv", "--quiet", "pip", "install", "--python", str(installed.parent))
    extra = program(
        *uv, "-c", "constraints.txt", "azure-openai-wandb[provisioning]", "--find-links", str(installed.parent.parent)
    )
    assert extra.returncode == 0, extra.stderr
    done = program(str(installed / "aoai-wandb-provision"), "init", "app", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    app = tmp_path / "app"
    assert {entry.name for entry in package.sources(app)} == {entry.name for entry in package.sources(ROOT)}
    assert {"azure.yaml", "infra/main.bicep", "infra/main.parameters.json", "infra/modules/app.bicep"} <= {
        path.relative_to(app).as_posix() for path in app.rglob("*")
    }
    usage = program(sys.executable, "-m", "infra.from_setup", "--help", cwd=app)
    assert "azd" in usage.stdout
    again = program(str(installed / "aoai-wandb-provision"), "init", "app", cwd=tmp_path)
    assert (again.returncode, "not empty" in again.stderr) == (2, True)
    nowhere = program(str(installed / "aoai-wandb-provision"), "init", "app/azure.yaml/app", cwd=tmp_path)
    assert (nowhere.returncode, nowhere.stderr) == (
        1,
        "Error: app/azure.yaml/app cannot be written: Not a directory.\n",
    )
