"""docs/service-behaviour.md has a row for each known behaviour of a service, its tests run, and its gaps are limits."""

import ast
import re
from functools import cache

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "service-behaviour.md").read_text(encoding="utf-8")
LIMITS = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
NUMBERED = {
    "azure-": 20,
    "signin-": 16,
    "wandb-F": 23,
    "pages-": 16,
    "sdk-": 18,
    "jobs-": 9,
    "check-": 20,
    "foundry-": 23,
}
"""How many behaviours are known of each service. Rows v1-… and functions-…, and some of check-…, have names."""
CELLS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line[:3] != "| |"]
ROWS = {cells[0]: cells[1:] for cells in CELLS if re.fullmatch(r"[a-z0-9]+-[\w-]+", cells[0])}
GAPS = {row for row, cells in ROWS.items() if "not handled yet" in cells[3]}


NOT_IN_MAKE_TEST = re.compile(r"pytest\.mark\.(skip\(|xfail|slow|long|azcli|contract|skipif\(not (PRESENT|RECORDINGS))")
"""Marks of tests that `make test` leaves out, or skips in a fresh clone. It installs what other tests need."""


@cache
def running_tests(path: str) -> set[str]:
    """Return the tests of a file that every `make test` runs."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
    return {
        test.name
        for test in tests
        if not any(NOT_IN_MAKE_TEST.match(ast.unparse(mark)) for mark in test.decorator_list)
    }


def test_each_known_behaviour_has_one_row() -> None:
    rows = [cells[0] for cells in CELLS if cells[0] in ROWS]
    assert len(rows) == len(set(rows))
    numbered = {f"{service}{number}" for service, last in NUMBERED.items() for number in range(1, last + 1)}
    assert numbered <= ROWS.keys()
    assert all(row.startswith(("v1-", "functions-", "check-")) for row in ROWS.keys() - numbered)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_complete_and_its_tests_run(row: str) -> None:
    *described, held = ROWS[row]
    assert len(described) == 4
    assert all(described)
    tests = re.findall(r"`([\w/]+\.py)::(\w+)`", held)
    assert held == (", ".join(f"`{path}::{name}`" for path, name in tests) or "-")
    for path, name in tests:
        assert name in running_tests(path)


def test_the_gaps_are_listed_as_limits() -> None:
    section = LIMITS.split("\n## Known gaps\n", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`([\w-]+)`:", section)) == GAPS
    assert (f"{len(GAPS)} behaviours" if GAPS else "None of them") in section
