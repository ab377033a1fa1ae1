"""What goes to Azure beside the code: which files, and a host.json whose every value has its reason."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pathspec
import pytest

from function_app.settings import Settings
from infra import package
from tests.functions import declared

ROOT = Path(__file__).parent.parent.parent


def test_the_package_is_the_app_and_nothing_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nobody says which files belong to the project")
    deployed = {entry.name for entry in package.sources(ROOT)} & set(listed.stdout.splitlines())
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "function_app").rglob("*.py")}
    assert deployed == {"LICENSE", "function_app.py", "host.json", "requirements.txt"} | code


@pytest.mark.parametrize(
    "name",
    [
        ".venv/lib/site.py",
        ".venv-3.13/pyvenv.cfg",
        ".env",
        ".python-version",
        "setup.env",
        "setup.json",
        "setup.parameters.json",
        "wandb-key.txt",
        "key.pem",
        "old.zip",
        "node_modules/x/index.js",
        "notes/x.py",
        ".python_packages/lib/site-packages/x.py",
        ".coverage",
        ".DS_Store",
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


def as_core_tools_read(patterns: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What is out, and what is in all the same. `func` is no git: a pattern is a beginning of the path from the root,
    wherever its slashes are, and one with `!` wins whatever the order (Azure/azure-functions-core-tools, GitIgnoreParser).
    """
    lines = [line for line in patterns.splitlines() if line and not line.startswith("#")]

    def beginnings(chosen: list[str]) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(line.lstrip("!/")).replace(r"\*", "[^/]+") for line in chosen))

    kept = [line for line in lines if line.startswith("!")]
    return beginnings([line for line in lines if line not in kept]), beginnings(kept)


def test_the_core_tools_pack_the_same_files_as_azd() -> None:
    """But for __pycache__, which they take along inside function_app/: it does no harm there."""
    out, kept = as_core_tools_read((ROOT / ".funcignore").read_text())
    everything = [str(path.relative_to(ROOT)) for path in ROOT.glob("[!.]*/**/*.*") if path.is_file()]
    everything += [path.name for path in ROOT.iterdir() if path.is_file()] + [".git/config", ".venv/pyvenv.cfg"]
    packed = {name for name in everything if kept.match(name) or not out.match(name)}
    assert {name for name in packed if "__pycache__" not in name} == {each.name for each in package.sources(ROOT)}


def project(place: Path, names: list[str]) -> Path:
    """A small project, its files made in this order."""
    for age, name in enumerate(names):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name}")
        os.utime(path, (1e9 + age, 1e9 + age))
    (place / ".funcignore").write_text(".funcignore\n/docs/\n")
    return place


def test_the_same_files_make_the_same_zip_in_whatever_order_and_whenever_they_were_written(tmp_path: Path) -> None:
    names = ["host.json", "function_app/b.py", "function_app/a.py", "docs/not.md"]
    made = []
    for number, order in enumerate((names, names[::-1])):
        output = tmp_path / f"{number}.zip"
        package.build(project(tmp_path / str(number), order), output, with_dependencies=False)
        made.append(output.read_bytes())
    assert made[0] == made[1]
    with ZipFile(tmp_path / "0.zip") as zipped:
        assert zipped.namelist() == ["function_app/a.py", "function_app/b.py", "host.json"]


def test_a_program_in_the_package_stays_executable(tmp_path: Path) -> None:
    """W&B's SDK starts one; a zip without modes would leave it a text file in Azure."""
    for name, mode in (("program", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    package.write([package.Entry(tmp_path / name, name) for name in ("program", "data")], tmp_path / "it.zip")
    with ZipFile(tmp_path / "it.zip") as zipped:
        assert {each.filename: each.external_attr >> 16 & 0o111 != 0 for each in zipped.infolist()} == {
            "program": True,
            "data": False,
        }


def test_the_report_counts_every_byte_of_the_package(tmp_path: Path) -> None:
    names = [f"{package.SITE}/wandb/{number}.py" for number in range(20)]
    names += [f"{package.SITE}/package{number}/x.py" for number in range(20)] + ["host.json", "function_app/a.py"]
    package.write([package.Entry(ROOT / "LICENSE", name) for name in names], tmp_path / "it.zip")
    *parts, whole, digest, place = package.report(tmp_path / "it.zip")
    size = (ROOT / "LICENSE").stat().st_size / 1e6
    assert re.search(rf"{20 * size:.2f} MB  wandb$", parts[1])
    assert f"{len(names) * size:.2f} MB  in all, {len(names)} files" in whole
    assert re.fullmatch(r"sha256 [0-9a-f]{64}", digest)
    assert place == str(tmp_path / "it.zip")


def test_azure_is_asked_to_install_only_what_the_app_needs() -> None:
    """And never the worker itself, whose own packages these would replace (Microsoft, Python developer guide)."""
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
        said = "on" if value is True else str(value)
        assert [name for name, values, _ in rows if name in path and said in values], f"nothing on {path} = {said}"


def test_the_timers_schedule_is_one_of_the_settings() -> None:
    """A %NAME% that no app setting has keeps the host from starting the function."""
    bindings = [json.loads(raw) for raw in declared()["find_jobs"].get_raw_bindings()]
    schedule = next(binding["schedule"] for binding in bindings if binding["type"] == "timerTrigger")
    assert schedule == "%SYNC_SCHEDULE%"
    assert schedule.strip("%").lower() in Settings.model_fields
