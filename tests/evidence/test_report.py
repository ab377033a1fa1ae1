"""The evidence page says what the commands showed, and nothing else."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from evidence.report import CLAIMS, ROOT, Claim, load, render, run, selected


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty repository with a page."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "evidence.md").write_text("# Evidence\n")
    return tmp_path


def claim(program: str, shows: str = "") -> Claim:
    return Claim("speed", "It is so.", f"python -c {shlex.quote(program)}", shows)


@pytest.mark.parametrize(
    ("program", "shows", "figure", "holds"),
    [
        ("import sys; print('=== 7 of 7 ===', flush=True); print('bye', file=sys.stderr)", "", "7 of 7", True),
        ("print('6 of 7'); raise SystemExit(1)", "", "6 of 7", False),
        ("print('5 skipped in 0.1s')", "passed", "5 skipped in 0.1s", False),
        ("pass", "", "", False),
    ],
    ids=["the last line on stdout is the figure", "exit status", "a run that shows nothing", "no output"],
)
def test_a_claim_holds_when_its_command_succeeds_and_shows_something(
    root: Path, program: str, shows: str, figure: str, holds: bool
) -> None:
    record = run(claim(program, shows), root)
    assert (record["figure"], record["holds"]) == (figure, holds)
    assert load(root)["speed"] == record
    page = render(root)
    assert f"| {'holds' if holds else '**does not hold**'} | {figure} |" in page
    assert ("## Missed" in page) is not holds


def test_the_page_of_this_repository_is_the_one_that_the_records_give() -> None:
    """Run `make evidence WITH=--render` after a change of the claims."""
    assert (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8") == render(ROOT)
    assert set(load(ROOT)) <= {each.id for each in CLAIMS}


@pytest.mark.parametrize("each", CLAIMS, ids=lambda each: each.id)
def test_the_command_of_a_claim_exists(each: Claim) -> None:
    program, *arguments = shlex.split(each.command)
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif arguments[1] == "pytest":
        assert all((ROOT / name).exists() for name in arguments[2:] if name.startswith("tests/"))
    else:
        module = ROOT.joinpath(*arguments[1].split("."))
        assert (module / "__main__.py").exists() or module.with_suffix(".py").exists()


def test_only_selects_claims_by_the_beginning_of_their_ids() -> None:
    assert [each.id for each in selected(["speed", "crash"])][:2] == ["crash-setup", "crash-rotate-key"]
    assert len(selected(["speed"])) == 1


def test_the_tests_that_mutation_runs_and_the_modules_that_it_explains_exist() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert all((ROOT / name).exists() for name in configuration["pytest_add_cli_args_test_selection"])
    assert all(any(ROOT.glob(name)) for name in configuration["only_mutate"])
    explained = tomllib.loads((ROOT / "evidence" / "survivors.toml").read_text())
    assert all((ROOT / f"{name.replace('.', '/')}.py").exists() for name in explained)
