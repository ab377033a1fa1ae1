"""The README's comparison: docs/moving-over.md names a test or a source for every row."""

import ast
import re

import pytest

from benchmarks.rows import ROWS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "moving-over.md").read_text(encoding="utf-8")
COMPARED = {row.name for row in ROWS}


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table with this heading: first cell to the other cells."""
    lines = page.split(heading, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {first: rest for first, *rest in cells}


EVIDENCE = rows(PAGE, "| row | our test |")


def names_of_tests(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_of_the_comparison_has_its_evidence() -> None:
    assert list(rows(README, "| | this | WandbLogger.sync")) == list(EVIDENCE)
    assert f"runs both on {len(ROWS)} scenarios" in " ".join(PAGE.split())


@pytest.mark.parametrize("row", EVIDENCE)
def test_the_evidence_of_a_row_exists(row: str) -> None:
    tests, wandblogger = EVIDENCE[row]
    for path, test, case in re.findall(r"`(.+?)::(\w+)(?:\[(.+?)\])?`", tests):
        assert test in names_of_tests(path)
        assert not case or case in COMPARED
    scenarios = re.findall(r'"(.+?)"', wandblogger)
    assert set(scenarios) <= COMPARED
    assert scenarios or wandblogger == "wandb 0.31 source"
