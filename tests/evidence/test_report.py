"""The evidence page shows what the commands of the claims printed, and the commands exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from evidence.report import CLAIMS, ROOT, render, run


@pytest.mark.parametrize(
    ("program", "shows", "figure", "holds"),
    [
        ("import sys; print('=== 7 of 7 ===', flush=True); print('bye', file=sys.stderr)", "", "7 of 7", True),
        ("print('6 of 7'); raise SystemExit(1)", "", "6 of 7", False),
        ("print('5 skipped in 0.1s')", "passed", "5 skipped in 0.1s", False),
    ],
    ids=["the last line on stdout is the figure", "exit status", "a run that shows nothing"],
)
def test_a_claim_needs_success_and_a_result(tmp_path: Path, program: str, shows: str, figure: str, holds: bool) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "evidence.md").write_text("# Evidence\n")
    run("speed", {"command": f"python -c {shlex.quote(program)}", "shows": shows}, tmp_path)
    page = render(tmp_path)
    assert f"| {'holds' if holds else '**does not hold**'} | {figure} |" in page
    assert ("## Missed" in page) is not holds


def test_the_page_of_this_repository_is_the_one_that_the_records_give() -> None:
    """Run `make evidence WITH=--render` after a change of the claims."""
    assert (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8") == render(ROOT)


@pytest.mark.parametrize("name", CLAIMS)
def test_the_command_of_a_claim_exists(name: str) -> None:
    program, *arguments = shlex.split(CLAIMS[name]["command"])
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif arguments[1] == "pytest":
        assert all((ROOT / path).exists() for path in arguments[2:] if path.startswith("tests/"))
    else:
        module = ROOT.joinpath(*arguments[1].split("."))
        assert (module / "__main__.py").exists() or module.with_suffix(".py").exists()


def test_the_tests_that_mutation_runs_and_the_modules_that_it_explains_exist() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert all((ROOT / name).exists() for name in configuration["pytest_add_cli_args_test_selection"])
    assert all(any(ROOT.glob(name)) for name in configuration["only_mutate"])
    explained = tomllib.loads((ROOT / "evidence" / "survivors.toml").read_text())
    assert all((ROOT / f"{name.replace('.', '/')}.py").exists() for name in explained)
