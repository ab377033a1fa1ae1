"""What is deployed to Azure: which files, what the complete package omits, and a host.json whose every value has a reason."""

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from function_app.settings import Settings
from infra import package
from tests.conftest import ROOT
from tests.functions import declared
from tests.worker import matchers

NOT_DEPLOYED = ("function_app/authoring/", "function_app/cli/")  # a person's commands
DECOYS = """
.azure/dev/.env .coverage .DS_Store .env .git-credentials .python-version .python_packages/lib/site-packages/x.py
.venv/lib/site.py .venv-3.13/pyvenv.cfg build/x.py core credentials data/train.jsonl data/function_app.py dump.sql id_rsa key
key.pem kv.pfx local.settings.json Makefile node_modules/x/index.js nohup.out notes.sh notes/x.py old.zip secret.txt
setup.env setup.env.bak setup.env~ setup.json Setup.JSON setup.parameters.json train.jsonl wandb/run-1/files/config.yaml
wandb-key wandb-key.txt WANDB_KEY.TXT x.log.1 README.md LICENSE pyproject.toml docs/x.md infra/main.bicep tests/host.json
__blobstorage__/x _host.json host.jsonl my_function_app.py приватно/train.jsonl
function_app/.env function_app/.ipynb_checkpoints/settings.py function_app/__pycache__/functions.cpython-313.pyc
function_app/cli/commands.py function_app/cli/x/y.py function_app/authoring/checking/check.py function_app/data/train.jsonl
function_app/engine/.key function_app/engine/old/engine.py function_app/key.txt function_app/local.settings.json
function_app/settings.pyc function_app/settings.pyi function_app/tracking/wandb/run-1/x.py function_app/tracking/other/x.py
src/function_app/settings.py
""".split()  # noqa: SIM905 (a list of 60 lines says no more)
CONTINUED = """
function_app.py.orig function_app/engine/engine.py.rej function_app/settings.py~ function_app/x.py.d/data.txt host.json.bak
requirements.txt.d/x
""".split()  # noqa: SIM905 (as above)
"""Names that begin with a deployed file's name, which the Core Tools pack as well: see docs/deploy.md."""


def files_below(root: Path) -> set[str]:
    return {entry.name for entry in package.sources(root)}


def deployed_code() -> set[str]:
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "function_app").rglob("*.py")}
    return {name for name in code if not name.startswith(NOT_DEPLOYED)}


def test_the_package_is_the_app_without_its_command_line_and_nothing_else() -> None:
    """A new sub-package of function_app needs its lines in .funcignore."""
    assert files_below(ROOT) == {"function_app.py", "host.json", "requirements.txt"} | deployed_code()


def test_deployed_modules_only_import_deployed_modules() -> None:
    for name in deployed_code() - {"function_app/__main__.py"}:  # the command line's entry
        imported = [node for node in ast.walk(ast.parse((ROOT / name).read_text())) if isinstance(node, ast.ImportFrom)]
        modules = {f"{node.module}/".replace(".", "/") for node in imported}
        assert not [each for each in modules if each.startswith(NOT_DEPLOYED)], name


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """The project's deployable files among everything that may lie in somebody's clone."""
    for name in [*files_below(ROOT), ".funcignore"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    for name in (*DECOYS, *CONTINUED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("SECRET")
    return tmp_path


@pytest.mark.parametrize("packed", [files_below, matchers.git, matchers.azd, matchers.core_tools])
def test_a_package_of_a_littered_clone_holds_the_same_files(packed: Callable[[Path], set[str]], littered: Path) -> None:
    continued = set(CONTINUED) if packed is matchers.core_tools else set()
    assert packed(littered) - continued == files_below(ROOT)


def test_azds_star_matches_slashes_in_a_pattern_without_one(tmp_path: Path) -> None:
    """The trap that .funcignore avoids. An emulation that missed it would prove nothing."""
    (tmp_path / "function_app" / "engine").mkdir(parents=True)
    (tmp_path / "function_app" / "engine" / "mirror.py").touch()
    (tmp_path / ".funcignore").write_text("/*/\n!/function_app/\n")
    assert (matchers.git(tmp_path), matchers.azd(tmp_path)) == ({".funcignore", "function_app/engine/mirror.py"}, set())


def test_the_zip_does_not_depend_on_the_order_and_times_of_the_files(tmp_path: Path) -> None:
    names = ["host.json", "function_app/b.py", "function_app/a.py"]
    made = []
    for number, order in enumerate((names, names[::-1])):
        project = tmp_path / str(number)
        (project / "function_app").mkdir(parents=True)
        shutil.copyfile(ROOT / ".funcignore", project / ".funcignore")
        for age, name in enumerate(order):
            (project / name).write_text(f"of {name}")
            os.utime(project / name, (1e9 + age, 1e9 + age))
        package.build(project, tmp_path / "it.zip", with_dependencies=False)
        made.append((tmp_path / "it.zip").read_bytes())
    assert made[0] == made[1]
    with ZipFile(tmp_path / "it.zip") as zipped:
        assert zipped.namelist() == ["function_app/a.py", "function_app/b.py", "host.json"]


def test_a_program_in_the_package_stays_executable(tmp_path: Path) -> None:
    """W&B's SDK starts one. A zip without modes would leave it a text file in Azure."""
    for name, mode in (("program", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    package.write([package.Entry(tmp_path / name, name) for name in ("program", "data")], tmp_path / "it.zip")
    with ZipFile(tmp_path / "it.zip") as zipped:
        executable = {each.filename: each.external_attr >> 16 & 0o111 != 0 for each in zipped.infolist()}
    assert executable == {"program": True, "data": False}


def test_requirements_txt_holds_only_what_the_app_needs() -> None:
    """It must not contain the worker itself, whose packages it would replace (Microsoft, Python developer guide)."""
    asked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert {"azure-functions", "wandb", "openai", "protobuf"} <= asked
    assert asked.isdisjoint({"pandas", "numpy", "azure-functions-worker", "grpcio", "pytest", "rich", "starlette"})


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def test_every_value_of_host_json_has_its_reason() -> None:
    rows = re.findall(r"^\| `(.+?)` (.+?) \| (.+) \|$", (ROOT / "docs" / "host-json.md").read_text(), re.MULTILINE)
    for path, value in leaves(json.loads((ROOT / "host.json").read_text())):
        shown = "on" if value is True else str(value)
        assert [name for name, values, _ in rows if name in path and shown in values], f"no reason for {path} = {shown}"


def test_the_timers_schedule_is_one_of_the_settings() -> None:
    """The host does not start a function whose %NAME% is not an app setting."""
    bindings = [json.loads(raw) for raw in declared()["find_jobs"].get_raw_bindings()]
    schedule = next(binding["schedule"] for binding in bindings if binding["type"] == "timerTrigger")
    assert schedule == "%SYNC_SCHEDULE%"
    assert schedule.strip("%").lower() in Settings.model_fields
