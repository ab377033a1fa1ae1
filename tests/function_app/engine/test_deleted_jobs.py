"""Runs of deleted jobs are ended, even in projects and accounts without any other job."""

import logging

import pytest

from evidence.processes import Processes
from function_app.models import Result
from sandbox.runtime.faults import Gate
from tests.conftest import Run
from tests.function_app.conftest import (
    ENTITY,
    IDLE,
    JOB,
    LIVE,
    NOT_FOUND,
    PATIENCE,
    PROJECT,
    REFUSED,
    SETTINGS,
    SETTLED,
    THIRD_JOB,
    Bench,
    a_file,
    a_job,
    refuses,
    syncing,
)

from .test_destinations import engine, two_accounts

RULES = "account=aoai-eu -> acme-eu/finetune"


def deleted(bench: Bench, account: int, job: str) -> None:
    """Somebody deletes a job."""
    bench.cloud.world.openai.stores[account].delete_job(job)


def test_the_run_of_a_deleted_job_is_ended_again_if_another_process_reopened_it(bench: Bench) -> None:
    """Two ticks find at once that the job is gone. The second writes after the first has ended the run."""
    bench.world(a_job(**LIVE), files=[a_file()])
    working = bench.engine()
    bench.tick(working)
    deleted(bench, 0, JOB)
    bench.tick(working)
    bench.run().start(bench.cloud.clock.time())
    assert bench.state() == "running"
    assert bench.tick(working)[JOB].final
    assert bench.state() == "failed"
    assert bench.counted(lambda: bench.tick(working)) == IDLE


def test_a_run_that_was_only_created_ends_with_its_job(bench: Bench, processes: Processes) -> None:
    """A process was killed before it could record the job in the run, and then the job was deleted."""
    bench.world(a_job(**LIVE), files=[a_file()])
    gate = bench.cloud.world.gate = Gate("FileStream")
    killed = syncing(bench.cloud, processes)
    assert gate.reached.wait(timeout=PATIENCE)
    killed.kill()
    gate.opened.set()
    deleted(bench, 0, JOB)
    bench.cloud.clock.advance(120)  # its writer may be at work for this long
    assert bench.tick()[JOB].final
    assert bench.state() == "failed"
    assert bench.run().config["job_deleted"] is True


@pytest.mark.parametrize("rules", [RULES, f"{RULES}; suffix=x -> {ENTITY}/{PROJECT}"], ids=["a rule", "the own, twice"])
def test_the_run_of_the_last_job_that_was_routed_to_a_project_ends_with_the_job(bench: Bench, rules: str) -> None:
    """It is ended once, even if a rule names the same project as the settings."""
    two_accounts(bench, a_job(**LIVE), eu=(a_job(id=THIRD_JOB, **LIVE),))
    working = engine(bench, rules)
    bench.tick(working)
    deleted(bench, 0, JOB)
    deleted(bench, 1, THIRD_JOB)
    assert sorted(outcome.job for outcome in working.sync()) == [JOB, THIRD_JOB]
    there = bench.store.run("acme-eu", "finetune", THIRD_JOB)
    assert (bench.state(), str(there.state(bench.cloud.clock.time()))) == ("failed", "failed")


def test_runs_stay_as_they_are_while_an_account_cannot_be_listed(bench: Bench) -> None:
    """Then it is unknown which of its jobs were deleted."""
    two_accounts(bench, a_job(**LIVE), eu=(a_job(id=THIRD_JOB, **LIVE),))
    working = engine(bench, RULES)
    bench.tick(working)
    deleted(bench, 0, JOB)
    bench.fault("FineTuning_List", {"status": 403}, nth=[bench.cloud.counts["FineTuning_List"] + 1])
    assert Result.FAILED in [outcome.result for outcome in working.sync()]
    assert bench.state() == "running"
    bench.tick(working)
    assert bench.state() == "failed"


def test_a_refusal_of_a_project_without_jobs_is_only_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "function_app.engine.discovery")
    fault = {"op": "Runs", "when": {"nth": [2]}, "do": REFUSED}
    two_accounts(bench, a_job(), faults=[fault])
    assert [outcome.result for outcome in engine(bench, RULES).sync()] == [Result.SYNCED]
    [line] = [record.getMessage() for record in caplog.records]
    assert "project=acme-eu/finetune reason=" in line
    assert "may not do this" in line


def test_without_jobs_and_projects_a_tick_makes_one_query_and_succeeds(bench: Bench, run: Run) -> None:
    """A fresh setup: W&B does not have the project yet, and does not get it either."""
    bench.world()
    done = run("function_app", "sync", env=SETTINGS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No fine-tuning jobs found.\n")
    assert not any(project.name == PROJECT for project in bench.store.projects(ENTITY))
    assert bench.cloud.counts["Runs"] == 1
    assert bench.cloud.writes == 0


@pytest.mark.parametrize(("code", "requests"), [("404", [2, 3]), ("notFound", [2])])
def test_a_job_whose_events_are_not_found_was_not_deleted(bench: Bench, code: str, requests: list[int]) -> None:
    missing = {"op": "FineTuning_GetEvents", "when": {"nth": requests}, "do": refuses(404, code)}
    bench.world(a_job(**LIVE), faults=[missing])
    working = bench.engine()
    bench.tick(working)
    outcome = bench.tick(working, after=SETTLED)[JOB]
    assert (outcome.result, outcome.final, bench.state()) == (Result.FAILED, False, "running")
    assert "job_deleted" not in bench.run().config
    assert bench.tick(working, after=SETTLED)[JOB].result is Result.SYNCED


def test_the_run_of_a_job_that_appears_again_continues_and_is_not_called_deleted(bench: Bench) -> None:
    none = {"status": 200, "body": {"object": "list", "data": [], "has_more": False}}
    hidden = [
        {"op": "FineTuning_List", "when": {"nth": [2]}, "do": none},
        {"op": "FineTuning_Get", "when": {"nth": [1]}, "do": NOT_FOUND},
    ]
    bench.world(a_job(**LIVE), faults=hidden)
    working = bench.engine()
    bench.tick(working)
    assert bench.tick(working)[JOB].final
    assert (bench.state(), bench.run().config["job_deleted"]) == ("failed", True)
    bench.tick(working, after=SETTLED)
    assert (bench.state(), bench.run().config["job_deleted"]) == ("running", False)
