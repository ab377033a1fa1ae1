"""docs/sync-output.md is a contract: documents of complete, partial, failed, dry and interrupted syncs conform to it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from function_app.models import Outcome, Result
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load, Run
from tests.function_app.conftest import CLOSED_ENDPOINT, ENDPOINT, JOB, OTHER_JOB, SETTINGS, TEN_MINUTES, a_file, a_job

PAGE = (ROOT / "docs" / "sync-output.md").read_text(encoding="utf-8")
*EXAMPLES, SCHEMA = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
FAILED = {"status": "failed", "during": "preprocessing"}
GOES_ON = TEN_MINUTES | {"steps": 600}
REFUSED = {"op": "FineTuning_GetEvents", "when": {"path": OTHER_JOB}, "do": {"status": 403}}
BOTH = {"AZURE_OPENAI_ENDPOINTS": f"{ENDPOINT},{CLOSED_ENDPOINT}"}


@dataclass(frozen=True)
class Case:
    """A sync: how it is called, and what its document comes to: exit status, results of jobs, or the error's code."""

    status: int
    results: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    before: tuple[str, ...] = ()  # a sync of these jobs runs first
    faults: tuple[Mapping[str, Any], ...] = ()


DOCUMENTS = {
    "all well": Case(0, ("current", "synced", "synced"), before=("--job", JOB)),
    "dry run": Case(0, ("pending", "pending", "pending"), ("--dry-run",)),
    "no jobs": Case(0, (), ("--since", "2999-01-01")),
    "an account refuses": Case(1, ("failed", "pending"), ("--dry-run", "--last", "1"), BOTH),
    "a job fails": Case(1, ("failed", "synced"), ("--last", "2"), faults=(REFUSED,)),
    "a job that is not there": Case(1, ("failed",), ("--job", "ftjob-typo")),
    "followed to the end": Case(0, ("synced",), ("--follow", "--job", JOB)),
    "a command line that cannot be used": Case(2, flags=("--last", "0"), code="usage"),
    "a dry run for an entity that is not there": Case(
        1, ("failed", "failed", "failed"), ("--dry-run",), {"WANDB_ENTITY": "acmee"}
    ),
    "a setting that is none": Case(2, code="settings", environment={"SYNC_SCHEDULE": "often"}),
    "no vault": Case(1, code="vault", environment={"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}),
    "a key that nobody knows": Case(1, code="key-refused", environment={"WANDB_API_KEY": "9" * 40}),
    "W&B is away": Case(1, code="wandb-busy", environment={"WANDB_BASE_URL": "http://127.0.0.1:9"}),
    "W&B refuses": Case(1, code="wandb", faults=({"op": "Runs", "do": {"status": 403}},)),
}


def problems(document: object) -> list[str]:
    """What is wrong with a document."""
    found = Draft202012Validator(SCHEMA).iter_errors(document)
    return [f"{'/'.join(map(str, each.path))}: {each.message}" for each in found]


def section(title: str) -> str:
    """The page under a heading, up to the next one."""
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str, header: str) -> list[str]:
    """The first column of the table with this header, without backticks."""
    table = text.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `?([\w-]+)`? \|", table, re.MULTILINE)


@pytest.fixture
def world(load: Load) -> Callable[..., Cloud]:
    """Two accounts, one of them closed to the operator; a job that succeeded, one that failed, one that goes on."""
    jobs = [
        a_job(created="-3d"),
        a_job(id=OTHER_JOB, outcome=FAILED),
        a_job(id="ftjob-" + "3" * 32, created="-9m", timeline=GOES_ON),
    ]
    scope = "rg-ml/Microsoft.CognitiveServices/accounts/aoai-ml"
    role = {"principal": "operator", "role": "Cognitive Services OpenAI User", "scope": scope}

    def world(*faults: Mapping[str, Any]) -> Cloud:
        held = {"name": "aoai-ml", "group": "rg-ml", "jobs": jobs, "files": [a_file(created="-9d")]}
        accounts = [held, {"name": "aoai-closed", "group": "rg-ml"}]
        scenario = {"extends": "contoso", "accounts": accounts, "assignments": [role], "faults": list(faults)}
        return load(scenario)

    return world


@pytest.mark.parametrize("sync", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_every_document_matches_the_page(world: Callable[..., Cloud], run: Run, sync: Case) -> None:
    world(*sync.faults)
    if sync.before:
        assert run("function_app", "sync", *sync.before, env=SETTINGS).returncode == 0
    done = run("function_app", "sync", "-o", "json", *sync.flags, env=SETTINGS | dict(sync.environment))
    assert done.returncode == sync.status, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert problems(document) == []
    assert document["ok"] is (sync.status == 0)
    assert document.get("error", {}).get("code", "") == sync.code
    assert tuple(sorted(job["result"] for job in document.get("jobs", []))) == sync.results


def test_the_schema_refuses_unknown_fields() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    good = EXAMPLES[0]
    assert problems(good | {"more": 1})
    assert problems(good | {"ok": True}), "a failed job"
    assert problems(good | {"jobs": [good["jobs"][1] | {"result": "done"}]})
    assert problems(good | {"jobs": [{"job": JOB}]})
    assert problems({"ok": False, "error": {"code": "nobody", "message": "m", "hint": "h"}})


def test_the_examples_are_valid_documents() -> None:
    assert len(EXAMPLES) == 2
    assert [problems(example) for example in EXAMPLES] == [[], []]


def test_the_tables_have_exactly_the_values_of_schema_and_code() -> None:
    definitions = SCHEMA["$defs"]
    done, failed = section("Outcomes"), section("When nothing could be done")
    outcome = done.split("An **outcome**", 1)[1]
    assert first_cells(done, "field") == ["field", *definitions["done"]["properties"]][1:]
    assert first_cells(outcome, "field") == list(definitions["outcome"]["properties"])
    assert first_cells(outcome, "field") == [each.name for each in fields(Outcome)]
    assert (
        set(first_cells(done, "result")) == set(definitions["outcome"]["properties"]["result"]["enum"]) == set(Result)
    )
    codes = definitions["failure"]["properties"]["error"]["properties"]["code"]["enum"]
    assert first_cells(failed, "code") == codes
    assert set(codes) == {sync.code for sync in DOCUMENTS.values()} - {""} | {"interrupted"}
    statuses = {str(sync.status) for sync in DOCUMENTS.values()} | {"130"}
    assert set(first_cells(section("Exit statuses"), "status")) == statuses
