"""Jobs of several accounts in several W&B projects: the engine with rules, against the sandbox."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from function_app.data.routes import parse_routes
from function_app.engine.engine import Engine
from function_app.errors import WandbError
from function_app.models import DatasetPolicy, Outcome, Result
from function_app.tracking import FixedKey
from tests.function_app.conftest import (
    ENDPOINT,
    ENTITY,
    FILE,
    JOB,
    ONE_TEAM,
    OTHER_JOB,
    PROJECT,
    REFUSED,
    TABLE,
    THIRD_JOB,
    UNKNOWN_VERSION,
    Bench,
    a_file,
    a_job,
)

EU_ENDPOINT = "https://aoai-eu.openai.azure.com/"
ROLES = {"acme": "member", "acme-eu": "member", "acme-hq": "view-only"}
WANDB = ONE_TEAM | {"teams": [{"name": name, "members": {"sync-bot": role}} for name, role in ROLES.items()]}


def two_accounts(bench: Bench, *jobs: dict[str, Any], eu: tuple[dict[str, Any], ...] = (), **values: Any) -> None:
    """A world with jobs in aoai-ml and in aoai-eu, and with three W&B teams, one of them read-only."""
    accounts = [
        {"name": "aoai-ml", "group": "rg-ml", "jobs": list(jobs), "files": [a_file()]},
        {"name": "aoai-eu", "group": "rg-ml", "location": "westeurope", "jobs": list(eu), "files": [a_file()]},
    ]
    roles = [
        {"principal": "operator", "role": name, "scope": "rg-ml"}
        for name in ("Owner", "Cognitive Services OpenAI User")
    ]
    bench.load({"extends": "contoso", "accounts": accounts, "assignments": roles, "wandb": WANDB, **values})


def engine(bench: Bench, rules: str, **values: Any) -> Engine:
    endpoints = {"azure_openai_endpoints": (ENDPOINT, EU_ENDPOINT)}
    return bench.engine(wandb_routes=parse_routes(rules), **(endpoints | values))


def places(bench: Bench) -> dict[str, str]:
    """Run id → entity/project, of every run in W&B."""
    return {
        run.id: f"{entity}/{project.name}"
        for entity in bench.store.entities
        for project in bench.store.projects(entity)
        for run in bench.store.runs(entity, project.name)
    }


def test_each_job_goes_where_its_rule_sends_it_with_the_files_that_the_rule_allows(bench: Bench) -> None:
    two_accounts(bench, a_job(), a_job(id=OTHER_JOB, suffix="scratch-1"), eu=(a_job(id=THIRD_JOB),))
    rules = "account=aoai-eu -> acme-eu/finetune datasets=reference; suffix=scratch* -> off"
    syncing = engine(bench, rules)
    pending = {outcome.job: outcome.message for outcome in syncing.sync(dry_run=True)}
    assert pending[THIRD_JOB] == "no run in acme-eu/finetune yet"
    outcomes = bench.tick(syncing)
    home = f"{ENTITY}/{PROJECT}"  # nobody hides a job by its suffix
    assert places(bench) == {JOB: home, OTHER_JOB: home, THIRD_JOB: "acme-eu/finetune"}
    here, there = bench.store.run(ENTITY, PROJECT, JOB), bench.store.run("acme-eu", "finetune", THIRD_JOB)
    assert [sorted(file.entries) for file in here.used] == [[*TABLE, f"{FILE}.jsonl"]]
    assert [sorted(file.entries) for file in there.used] == [["reference.json"]]
    assert (there.config["account"], there.config["region"]) == ("aoai-eu", "westeurope")
    assert outcomes[THIRD_JOB].run_url.endswith(f"/acme-eu/finetune/runs/{THIRD_JOB}")


def test_a_queue_message_contains_only_ids_and_the_worker_applies_the_routes_again(bench: Bench) -> None:
    two_accounts(bench, a_job(suffix="scratch-1"), eu=(a_job(id=THIRD_JOB),))
    worker = engine(bench, "account=aoai-eu -> acme-eu/finetune; account=aoai-ml -> off")
    assert worker.sync_job("aoai-eu", THIRD_JOB).final
    left_out = worker.sync_job("aoai-ml", JOB)
    assert (left_out.result, "rule 2 of WANDB_ROUTES" in left_out.message) == (Result.SKIPPED, True)
    assert places(bench) == {THIRD_JOB: "acme-eu/finetune"}


def test_a_project_that_refuses_writes_only_fails_its_own_jobs(bench: Bench) -> None:
    two_accounts(bench, a_job(), eu=(a_job(id=THIRD_JOB),))
    outcomes = bench.tick(engine(bench, "account=aoai-eu -> acme-hq/finetune"))
    assert outcomes[JOB].final
    refused = outcomes[THIRD_JOB]
    assert refused.result is Result.FAILED
    assert refused.message.startswith("acme-hq/finetune: The W&B API key may not do this")


def look_twice(bench: Bench, times: int) -> tuple[Engine, dict[str, Outcome]]:
    """An engine with two projects, of which W&B refuses to list the runs so many times."""
    fault = {"op": "Runs", "when": {"times": times}, "do": REFUSED}
    two_accounts(bench, a_job(), eu=(a_job(id=THIRD_JOB),), faults=[fault])
    syncing = engine(bench, "account=aoai-eu -> acme-eu/finetune")
    return syncing, {outcome.job: outcome for outcome in syncing.sync()}


def test_a_project_that_cannot_be_listed_does_not_block_others(bench: Bench) -> None:
    syncing, outcomes = look_twice(bench, times=1)
    assert {job: outcome.result for job, outcome in outcomes.items()} == {JOB: Result.FAILED, THIRD_JOB: Result.SYNCED}
    assert outcomes[JOB].status == "succeeded"
    assert {outcome.result for outcome in syncing.sync()} == {Result.SYNCED, Result.CURRENT}


def test_the_tick_fails_if_no_project_can_be_listed(bench: Bench) -> None:
    with pytest.raises(WandbError, match="may not do this"):
        look_twice(bench, times=2)


def test_a_file_is_uploaded_once_for_each_project(bench: Bench) -> None:
    two_accounts(bench, a_job(), a_job(id=OTHER_JOB), a_job(id=THIRD_JOB, suffix="other"))
    bench.tick(engine(bench, "suffix=other -> other datasets=full", sync_datasets=DatasetPolicy.FULL))
    assert [len(bench.store.collection(ENTITY, project, FILE).versions) for project in (PROJECT, "other")] == [1, 1]


def test_rules_on_metadata_work_with_the_default_settings(bench: Bench) -> None:
    """Azure shows a job's metadata on the v1 surface only, so that one is asked."""
    two_accounts(bench, a_job(metadata={"team": "search"}), a_job(id=OTHER_JOB))
    bench.tick(engine(bench, "metadata.team=search -> search"))
    assert places(bench) == {JOB: f"{ENTITY}/search", OTHER_JOB: f"{ENTITY}/{PROJECT}"}


def test_an_account_whose_version_hides_metadata_fails_rather_than_sending_its_jobs_elsewhere(bench: Bench) -> None:
    refused = {"op": "FineTuning_List", "when": {"path": "/openai/v1/"}, "do": UNKNOWN_VERSION}
    two_accounts(bench, a_job(metadata={"team": "search"}), faults=[refused])
    outcomes = engine(bench, "metadata.team=search -> search", azure_openai_endpoints=(ENDPOINT,)).sync()
    assert [(outcome.job, outcome.result) for outcome in outcomes] == [("", Result.FAILED)]
    assert places(bench) == {}


def test_a_project_alone_is_of_the_same_entity_even_if_that_is_the_keys_default(bench: Bench) -> None:
    two_accounts(bench, a_job(), eu=(a_job(id=THIRD_JOB),))
    bench.tick(engine(bench, "account=aoai-eu -> europe", wandb_entity=None))
    assert places(bench) == {JOB: f"{ENTITY}/{PROJECT}", THIRD_JOB: f"{ENTITY}/europe"}


@pytest.mark.parametrize("rotated", [False, True])
def test_without_an_entity_runs_go_to_the_default_entity_of_the_present_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, rotated: bool
) -> None:
    """A process may live for weeks. The entity of a key that was replaced may refuse its successor."""
    two_accounts(bench, a_job(), eu=(a_job(id=THIRD_JOB),))
    if not rotated:
        monkeypatch.setattr("function_app.tracking.wandb.api.DEFAULT_FOR", -1.0)
    one = engine(bench, "account=aoai-eu -> europe", wandb_entity=None)
    started = one.sync_job("aoai-ml", JOB)
    user = replace(bench.store.users["sync-bot"], default_entity="acme-eu")
    if rotated:
        bench.store.add_user(replace(user, username="new-bot"), ["9" * 40])
        bench.store.entities["acme-eu"].members["new-bot"] = bench.store.entities["acme-eu"].members["sync-bot"]
        monkeypatch.setattr(one.tracker.api, "keys", FixedKey(SecretStr("9" * 40)))  # type: ignore[attr-defined]
    else:
        bench.store.users["sync-bot"] = user
    assert [started.result, one.sync_job("aoai-eu", THIRD_JOB).result] == [Result.SYNCED, Result.SYNCED]
    assert places(bench) == {JOB: f"{ENTITY}/{PROJECT}", THIRD_JOB: "acme-eu/europe"}
