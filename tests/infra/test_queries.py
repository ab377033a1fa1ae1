"""The queries of alerts and workbook read lines and fields that the app logs, as its format strings say."""

import ast
import json
import re
from collections.abc import Iterator, Mapping

import pytest

from function_app.models import Result
from tests.conftest import ROOT

EVENT = re.compile(r"Message startswith [\"'](.+?)[\"']")
FIELD = re.compile(r"extract\([\"'] ?(\w+)=\(")
STATE = re.compile(r"Message has \"(\w+)=(\w+)\"")


def written() -> dict[str, set[str]]:
    """Every line that the app logs: its first words, and the fields that follow in any of its variants."""
    lines: dict[str, set[str]] = {}
    for path in (ROOT / "function_app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\w=%", node.value):
                start = re.match(r"(.*?)(\w+)=", node.value)
                assert start
                lines.setdefault(start[1].strip(), set()).update(re.findall(r"(\w+)=", node.value))
    return lines


def literals() -> set[str]:
    """Every string in the app's code."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "function_app").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def queries() -> Iterator[tuple[str, str]]:
    """Where a query stands, and its text; a workbook's tiles are several in one."""
    for item in json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))["items"]:
        for number, part in enumerate(item["content"].get("query", "").split(",\n(")):
            if part:
                yield f"{item['name']} {number}", part
    alerts = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    for name, query in re.findall(r"name: '([\w-]+)'\n.*?\n.*?\n    query: '(.*)'\n", alerts):
        yield f"alert {name}", query


QUERIES = dict(queries())
WRITTEN = written()


def line_of(event: str, lines: Mapping[str, set[str]]) -> tuple[str, set[str]]:
    """The line that a query means by its beginning, and its fields."""
    for words in sorted(lines, key=len, reverse=True):
        if event.startswith(f"{words} "):
            return words, lines[words]
    raise AssertionError(f"no line of the app begins with {event!r}: {sorted(lines)}")


@pytest.mark.parametrize("where", QUERIES)
def test_a_query_only_uses_lines_and_fields_that_this_app_logs(where: str) -> None:
    query = QUERIES[where]
    events = EVENT.findall(query)
    fields = set(FIELD.findall(query))
    assert events or not fields
    for event in events:
        words, known = line_of(event, WRITTEN)
        assert fields <= known, f"{words!r} has no {fields - known}"
        for name, value in re.findall(r"(\w+)=(\w+)", event):
            assert name in known
            assert value in {each.value for each in Result}
        for name, value in STATE.findall(query):
            assert name in known
            assert value in literals() or any(f"{name}={value}" in text for text in literals())

    whole = query.replace("${requests}", "AppRequests | where AppRoleName =~ '{app}'").replace(
        "${traces}", "AppTraces | where AppRoleName =~ '{app}'"
    )
    tables = re.findall(r"\b(App\w+) \| where (.{11})", whole)
    assert {name for name, _ in tables} <= {"AppRequests", "AppTraces", "AppExceptions"}
    assert {clause for _, clause in tables} == {"AppRoleName"}, "only this app's rows"


def test_an_alert_names_the_page_of_the_runbook_that_helps() -> None:
    alerts = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    descriptions = re.findall(r"^    description: '(.*)'$", alerts, re.MULTILINE)
    assert len(descriptions) == len([name for name in QUERIES if name.startswith("alert ")]) > 4
    for description in descriptions:
        (section,) = re.findall(r'See docs/runbook\.md, "(.+?)"', description)
        assert f"\n## {section}\n" in runbook
