"""The log lines are an interface: alerts, the workbook and docs/observability.md read them."""

import ast
import json
import logging
import re
from collections import Counter
from functools import cache

import pytest

from function_app.engine.outcomes import log_outcome
from function_app.functions import STOP_AFTER
from function_app.models import Outcome, Result
from function_app.tracking.wandb.client import LIMITS
from function_app.traffic import AZURE, SERVICES, count_request, counted
from tests.conftest import ROOT
from tests.worker.test_worker import host

__all__ = ["host"]  # a fixture

PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
LINE = re.compile(r"((?:\S+ )*?)(state=\w+ )?(?=\w+=%)")


@cache
def formats() -> list[str]:
    """The format string of every line that is logged, except those of level debug."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "function_app").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    debug = {id(each.args[0]) for each in calls if isinstance(each.func, ast.Attribute) and each.func.attr == "debug"}
    texts = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    lines = [text.value for text in texts if isinstance(text.value, str) and id(text) not in debug]
    return [line for line in lines if re.search(r"\w=%", line)]


def written() -> Counter[tuple[str, tuple[str, ...]]]:
    """Each line as what it begins with, and its fields."""
    lines: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for text in formats():
        start = LINE.match(text)
        assert start, text
        lines[start[0].strip(), tuple(re.findall(r"(\w+)=%", text))] += 1
    return lines


def documented() -> Counter[tuple[str, tuple[str, ...]]]:
    """The same as the page has it."""
    rows = re.findall(r"^\| `([^|]+)` \| [^|]* \| [^|]* \| (`.*`) \|$", PAGE, re.MULTILINE)
    return Counter((line, tuple(re.findall(r"`(\w+)`", fields))) for line, fields in rows)


def test_the_page_has_every_line_with_its_fields_in_their_order_and_no_other() -> None:
    assert len(written()) > 12
    assert documented() == written()


def test_the_page_says_what_every_field_means() -> None:
    meanings = PAGE.partition("| field | means |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.*?`) \|", meanings, re.MULTILINE)
    explained = {name for cell in cells for name in re.findall(r"\w+", cell)}
    assert explained == {field for _, fields in written() for field in fields}


def test_the_pages_tick_is_one_that_the_app_could_write() -> None:
    [fields] = [fields for line, fields in written() if line == "tick"]
    [example] = re.findall(r"^tick .*$", PAGE, re.MULTILINE)
    assert re.findall(r"(\w+)=", example) == [*fields]


def test_the_fields_of_a_log_line_are_attributes_of_its_record(caplog: pytest.LogCaptureFixture) -> None:
    """OpenTelemetry makes dimensions of them; a name that logging itself uses would make the call fail."""
    caplog.set_level(logging.INFO, "function_app")
    with counted() as traffic:
        count_request(AZURE)
    log_outcome(Outcome("ftjob-1", "aoai-ml", Result.SYNCED, "succeeded", run_url="https://w/1"), 1.5, traffic)
    [record] = caplog.records
    kept = {name: getattr(record, name) for name in ("job", "account", "result", "run", "seconds", *SERVICES)}
    outcome = {"job": "ftjob-1", "account": "aoai-ml", "result": "synced", "run": "https://w/1", "seconds": 1.5}
    assert kept == outcome | dict.fromkeys(SERVICES, 0) | {"azure": 1}


def test_a_job_is_left_before_the_host_would_restart_the_process() -> None:
    """This leaves W&B twice the time that it needs for requests in flight."""
    limit = json.loads((ROOT / "host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = map(int, limit.split(":"))
    assert hours * 3600 + minutes * 60 + seconds >= STOP_AFTER + 2 * LIMITS.closing
