"""A job's lease and the engine: without it a worker skips the job, and a worker that loses it stops writing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from function_app.azure.leases import Failures, Lease
from function_app.errors import StorageError, SyncError, TakenError
from function_app.tracking.wandb.client import ROWS_TIMEOUT
from tests.function_app.conftest import JOB, OTHER_JOB, STEPS, Bench, a_job

ACCOUNT = "aoai-ml"


def refused(error: SyncError) -> AbstractContextManager[Lease]:
    @contextmanager
    def lease() -> Iterator[Lease]:
        raise error
        yield

    return lease()


def lost_after(asked: int) -> Callable[[], bool]:
    """A lease that is lost from its n-th check on."""
    left = [asked]

    def lost() -> bool:
        left[0] -= 1
        return left[0] < 0

    return lost


@pytest.mark.parametrize(
    ("error", "result"),
    [(TakenError("another worker holds the lease"), "skipped"), (StorageError("storage is down"), "failed")],
)
def test_without_the_lease_nothing_is_read_or_written(bench: Bench, error: SyncError, result: str) -> None:
    bench.world(a_job())
    engine = bench.engine()
    engine.leases = lambda job: refused(error)
    before = bench.cloud.counts
    outcome = engine.sync_job(ACCOUNT, JOB)
    assert (outcome.result, outcome.message, outcome.final) == (result, error.message, False)
    assert bench.cloud.counts == before


def test_the_jobs_lease_is_held_while_its_run_is_written(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    moments: list[str] = []

    @contextmanager
    def lease(job: str) -> Iterator[Lease]:
        moments.append(f"{job} taken, runs written {bench.cloud.counts.get('UpsertBucket', 0) > 0}")
        yield Lease()
        moments.append(f"{job} given back, settled {'rule' in bench.marks()}")

    engine.leases = lease
    assert engine.sync_job(ACCOUNT, JOB).result == "synced"
    assert moments == [f"{JOB} taken, runs written False", f"{JOB} given back, settled True"]


@pytest.mark.parametrize(("asked", "rows"), [(0, 0), (1, 30)], ids=["before the rows", "after the rows"])
def test_a_worker_that_loses_the_lease_stops_and_does_not_end_the_run(bench: Bench, asked: int, rows: int) -> None:
    bench.world(a_job())
    engine = bench.engine()
    engine.leases = lambda job: nullcontext(Lease(lost_after(asked)))
    outcome = engine.sync_job(ACCOUNT, JOB)
    assert (outcome.result, outcome.steps, outcome.final) == ("skipped", rows, False)
    assert "lease was lost" in outcome.message
    assert bench.cloud.counts.get("CreateArtifact", 0) <= 1  # no model
    assert bench.tick()[JOB].final
    assert bench.steps() == STEPS


def test_no_rows_are_sent_when_the_lease_ends_too_soon_for_them(bench: Bench) -> None:
    """A post that arrives after another worker's would write over its rows."""
    bench.world(a_job())
    engine = bench.engine()
    engine.leases = lambda job: nullcontext(Lease(left=lambda: ROWS_TIMEOUT - 1))
    assert engine.sync_job(ACCOUNT, JOB).result == "skipped"
    assert bench.steps() == []
    assert bench.tick()[JOB].final
    assert bench.steps() == STEPS


@pytest.mark.parametrize(("asked", "rows"), [(0, 0), (1, 30)])
def test_a_job_whose_time_is_up_is_left_for_the_next_tick(bench: Bench, asked: int, rows: int) -> None:
    """This is not a failure: nothing is wrong with the job, and what was written remains."""
    bench.world(a_job())
    outcome = bench.engine().sync_job(ACCOUNT, JOB, stop=lost_after(asked))
    assert (outcome.result, outcome.steps, outcome.final) == ("pending", rows, False)
    assert bench.tick()[JOB].final
    assert bench.steps() == STEPS


def test_an_answer_about_another_job_is_not_written_under_the_lease_of_this_one(bench: Bench) -> None:
    """As from a cache in front of the account."""
    other = {"id": OTHER_JOB, "status": "running", "model": "gpt-4o-mini-2024-07-18", "created_at": 1_700_000_000}
    bench.world(a_job(), a_job(id=OTHER_JOB), faults=[{"op": "FineTuning_Get", "do": {"status": 200, "body": other}}])
    assert bench.engine().sync_job(ACCOUNT, JOB).result == "failed"
    assert bench.cloud.writes == 0


def test_a_failed_job_makes_no_requests_until_its_next_attempt(bench: Bench) -> None:
    bench.world(a_job(), faults=[{"op": "FineTuning_Get", "do": {"status": 400}}])
    engine, lease = bench.engine(), Lease()
    engine.leases = lambda job: nullcontext(lease)
    assert engine.sync_job(ACCOUNT, JOB).result == "failed"
    assert lease.failures.count == 1
    before = bench.cloud.counts
    waiting = engine.sync_job(ACCOUNT, JOB)
    assert (waiting.result, waiting.final) == ("skipped", False)
    assert "failed 1 times" in waiting.message
    assert bench.cloud.counts == before
    bench.cloud.world.faults.faults.clear()
    lease.failures = Failures(1, time.time() - 1)
    assert engine.sync_job(ACCOUNT, JOB).final
    assert lease.failures.count == 0


def test_a_worker_that_loses_the_lease_while_it_uploads_alerts_nobody_and_writes_no_marks(bench: Bench) -> None:
    """The new holder may have written others meanwhile."""
    failing = {"status": "failed", "during": "preprocessing", "error": {"code": "oom", "message": "too big"}}
    bench.world(a_job(created="-20m", outcome=failing))
    engine = bench.engine()
    uploading = {"CreateArtifact"}
    engine.leases = lambda job: nullcontext(Lease(left=lambda: 0.0 if uploading & bench.cloud.counts.keys() else 60.0))
    assert engine.sync_job(ACCOUNT, JOB).result == "skipped"
    assert (bench.store.alerts, "datasets" in bench.marks()) == ([], False)
    assert bench.tick()[JOB].final
    assert len(bench.store.alerts) == 1
