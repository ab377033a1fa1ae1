"""The requests of a tick and a backfill, counted by the benchmark at small size: an idle tick makes none per job."""

from dataclasses import replace

import pytest

from benchmarks.scale import Figures, measured
from function_app.engine.backlog import BOUND

ACCOUNTS, JOBS, PENDING, RUNNING = 3, 8, 2, 1


@pytest.fixture(scope="module")
def figures() -> Figures:
    """Three accounts of eight jobs; one that still trains is among the two pending."""
    return measured(ACCOUNTS, JOBS, PENDING, running=RUNNING, instances=2)


def test_an_idle_tick_makes_one_request_per_account_and_per_project(figures: Figures) -> None:
    """The budget of the function app: an idle tick must not cost more with more jobs."""
    assert figures.idle.requests == {"FineTuning_List": ACCOUNTS, "Runs": 1, "Queue_GetProperties": 1}
    assert f" jobs={ACCOUNTS * JOBS - RUNNING} pending=0 enqueued=0 " in figures.idle.line
    assert f" azure={ACCOUNTS} wandb=1 storage=1 vault=0" in figures.idle.line


def test_a_backfill_mirrors_every_job_and_takes_running_jobs_first(figures: Figures) -> None:
    backfill = figures.backfill
    assert figures.good
    assert (list(backfill.missing), backfill.poison) == ([], 0)
    assert set(backfill.results) == {"synced"}
    assert backfill.deepest <= BOUND
    assert sorted(backfill.waited) == [0]


def test_jobs_that_always_fail_delay_no_other_job_and_are_not_enqueued_at_every_tick() -> None:
    backfill = measured(2, 4, 4, running=1, instances=1, failing=2).backfill
    assert (list(backfill.missing), backfill.poison) == ([], 0)
    assert backfill.results["failed"] >= 2


def test_the_benchmark_fails_when_a_job_is_missing_or_given_up(figures: Figures) -> None:
    assert not replace(figures, backfill=replace(figures.backfill, missing=["ftjob-1"])).good
    assert not replace(figures, backfill=replace(figures.backfill, poison=1)).good
    assert not replace(figures, idle=replace(figures.idle, requests={"FineTuning_Get": 1})).good
