"""The README's comparison: every row names the test that holds our side, and the source of the others'."""

import ast
import re

import pytest

from benchmarks.rows import ROWS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.split("| | this | WandbLogger.sync", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
NAMED = re.compile(r"<!-- this: (?P<this>.+?) / WandbLogger: (?P<wandblogger>.+?) / portal: (?P<portal>.+?) -->")
COMPARED = {row.name for row in ROWS}


def name(row: str) -> str:
    return row.split("|")[1].strip()


def named(row: str) -> dict[str, list[str]]:
    """Who says what of a row: sources by column."""
    found = NAMED.search(row)
    assert found, f"{name(row)}: no comment with its sources"
    return {who: said.split("; ") for who, said in found.groupdict().items()}


def names_of_tests(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_there_is_something_to_compare() -> None:
    assert len(TABLE) >= 8
    assert all(row.count(" | ") == 3 for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_our_side_is_held_by_a_test_that_is_there(row: str) -> None:
    for each in named(row)["this"]:
        path, _, test = each.partition("::")
        test, _, case = test.removesuffix("]").partition("[")
        assert test in names_of_tests(path), each
        assert not case or case in COMPARED, each


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_the_others_sides_have_a_source(row: str) -> None:
    said = named(row)
    for each in said["wandblogger"]:
        compared = re.fullmatch(r'row "(.+)"', each)
        assert (compared and compared[1] in COMPARED) or each == "wandb 0.31 source", each
    assert said["portal"] == ["Microsoft"]


def test_the_readme_says_how_many_scenarios_are_compared() -> None:
    assert f"runs both on {len(ROWS)} scenarios" in " ".join(README.split())
