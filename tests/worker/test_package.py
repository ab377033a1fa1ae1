"""What goes to Azure beside the code: which files, and a host.json whose every value has its reason."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pathspec
import pytest

from function_app.settings import Settings
from tests.functions import declared

ROOT = Path(__file__).parent.parent.parent


def test_the_package_is_the_app_and_nothing_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nobody says which files belong to the project")
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    deployed = {name for name in listed.stdout.splitlines() if not ignored.match_file(name)}
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "function_app").rglob("*.py")}
    assert deployed == {"LICENSE", "function_app.py", "host.json", "requirements.txt"} | code


@pytest.mark.parametrize(
    "name",
    [
        ".venv/lib/site.py",
        ".venv-3.13/pyvenv.cfg",
        "function_app/__pycache__/triggers.cpython-311.pyc",
        "azure_openai_wandb.egg-info/PKG-INFO",
        "local.settings.json",
        ".azure/dev/.env",
        "wandb/run-1/files/config.yaml",
    ],
)
def test_what_lies_about_on_a_laptop_stays_there(name: str) -> None:
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    assert ignored.match_file(name)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def test_every_value_of_host_json_has_its_reason() -> None:
    rows = re.findall(r"^\| `(.+?)` (.+?) \| (.+) \|$", (ROOT / "docs" / "host-json.md").read_text(), re.MULTILINE)
    for path, value in leaves(json.loads((ROOT / "host.json").read_text())):
        said = "on" if value is True else str(value)
        assert [name for name, values, _ in rows if name in path and said in values], f"nothing on {path} = {said}"


def test_the_timers_schedule_is_one_of_the_settings() -> None:
    """A %NAME% that no app setting has keeps the host from starting the function."""
    bindings = [json.loads(raw) for raw in declared()["find_jobs"].get_raw_bindings()]
    schedule = next(binding["schedule"] for binding in bindings if binding["type"] == "timerTrigger")
    assert schedule == "%SYNC_SCHEDULE%"
    assert schedule.strip("%").lower() in Settings.model_fields
