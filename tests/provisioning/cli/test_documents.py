"""docs/cli-output.md is a contract. Every command is run and its document compared with the page; no output shows the key."""

import json
import logging
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from provisioning.checks.report import State
from provisioning.cli import doctor, preflight, verify_app
from provisioning.cli.commands import cli
from provisioning.planning.steps import Verb
from sandbox.cloud import Cloud
from tests.conftest import ROOT
from tests.provisioning.conftest import Call
from tests.provisioning.test_errors import made, tree

from .outcomes import KEYS, OUTCOMES, Outcome

PAGE = (ROOT / "docs" / "cli-output.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
SCHEMA: dict[str, Any] = BLOCKS[-1]
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
COMMANDS = sorted(set(cli.commands) - {"init"})  # init prints no document
SHARED = ("actor", "scene", "planned")


def problems(document: object, kind: str) -> list[str]:
    """The schema violations of a document of this kind."""
    validator = Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{kind}"}, format_checker=FormatChecker())
    return [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(document)]


def section(title: str) -> str:
    """The text under a heading of the page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> dict[str, str]:
    """The first two columns of the tables in a text."""
    found = re.findall(r"^\| `?([^|`]+?)`? \| ([^|]+?) \|", text, re.MULTILINE)
    return {
        first: second for first, second in found if second not in ("type", "status", "means") and "---" not in first
    }


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=list(OUTCOMES))
def test_every_document_matches_its_schema_and_nothing_shows_the_key(
    cloud: Cloud, call: Call, caplog: pytest.LogCaptureFixture, outcome: Outcome
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = outcome.of(cloud, call, "-v", "-o", "json")
    assert result.returncode == outcome.status, result.stdout + result.stderr
    document = json.loads(result.stdout)
    error = document.get("error", {"code": "", "message": "", "hint": ""})
    assert error["code"] == outcome.code
    assert [each for each in outcome.words if each not in error["message"] + error["hint"]] == []
    assert document["ok"] is not bool(outcome.code)
    assert bool(cloud.writes) <= bool(document.get("applied")) or outcome.code == "service-error"
    kind = "plan" if "--dry-run" in outcome.argv and outcome.argv[0] == "setup" else outcome.argv[0]
    assert problems(document, kind if document["ok"] else "failure") == []
    assert "Traceback" not in result.stderr
    trace = json.dumps([e.as_json() for e in cloud.world.trace.exchanges], default=str)
    assert not [key for key in KEYS if key in result.stdout + result.stderr + caplog.text + trace]


def test_the_outcomes_cover_every_command_and_every_exit_status_but_interruption() -> None:
    assert {outcome.argv[0] for outcome in OUTCOMES.values()} == set(COMMANDS)
    assert {outcome.status for outcome in OUTCOMES.values()} == {0, 1, 2, 3}


def test_the_schema_is_valid_and_refuses_unknown_fields() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert problems({"ok": False, "error": {"code": "x", "message": "m", "hint": ""}}, "failure")
    assert problems({"ok": False, "error": {"code": "x", "message": "m", "hint": "h"}, "more": 1}, "failure")
    assert problems({"ok": True}, "status")


def test_the_examples_on_the_page_are_documents() -> None:
    assert len(BLOCKS) == 3
    for example in BLOCKS[:-1]:
        assert problems(example, "failure") == []


def test_the_page_lists_exactly_the_error_codes_with_their_exit_statuses() -> None:
    names = {call.func.id for _, call in made() if hasattr(call.func, "id")}
    used = {each.code: str(each.exit_status) for each in tree() if each.__name__ in names}
    assert rows(section("When a command fails")) == used


def test_every_exit_status_is_on_the_page() -> None:
    statuses = {str(each.exit_status) for each in tree()} | {"0"}
    assert set(rows(section("Exit statuses"))) == statuses


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_section_names_exactly_the_fields_that_the_schema_has(command: str) -> None:
    fields = {*DEFINITIONS[command]["properties"]} - {"ok"}
    assert {*rows(section(command))} - {*DEFINITIONS["check"]["properties"]} == fields


def test_the_shared_fields_are_those_of_the_schema() -> None:
    fields = {name for part in SHARED for name in DEFINITIONS[part]["properties"]}
    assert {*rows(section("Fields that all commands share"))} == fields | {"ok"}


def test_the_enumerations_of_the_schema_match_the_code() -> None:
    assert DEFINITIONS["step"]["properties"]["verb"]["enum"] == [each.value for each in Verb]
    check = DEFINITIONS["check"]["properties"]
    assert check["state"]["enum"] == [each.value for each in State]
    of_doctor = [*doctor.CHECKS, *doctor.APP_CHECKS]
    assert check["name"]["enum"] == list(dict.fromkeys([*of_doctor, *preflight.CHECKS]))
    assert [name for name in of_doctor if f"`{name}`" not in section("doctor")] == []
    assert [name for name in preflight.CHECKS if f"`{name}`" not in section("preflight")] == []
    assert [name for name in verify_app.CHECKS if f"`{name}`" not in section("verify-app")] == []
