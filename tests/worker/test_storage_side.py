"""The app in Microsoft's worker library and its storage account: how many messages a tick sends, and who gets a job."""

from typing import Any

import pytest

from function_app.azure.storage import LEASES
from function_app.engine.backlog import BOUND
from function_app.functions import QUEUE
from sandbox.azure.storage import Blob
from tests.conftest import Load
from tests.worker.test_worker import JOB, WORLD, Host, asked_for, azure, delivered, host, logged, message, tick

__all__ = ["host"]  # a fixture

OLD = [{"id": f"ftjob-{number:03}", "created": f"-{number}d", **JOB} for number in range(3, 203)]
ACCOUNT = WORLD["accounts"][0]
BACKLOG: dict[str, Any] = {**WORLD, "accounts": [{**ACCOUNT, "jobs": [*OLD, *ACCOUNT["jobs"]]}]}


def test_a_tick_fills_the_queue_up_to_its_bound_with_running_jobs_first(host: Host, load: Load) -> None:
    cloud = load(BACKLOG)
    cloud.world.storage.queues[QUEUE] = BOUND - 8
    (some,) = host(tick(), env=azure(cloud))["invocations"]
    first, *newest, in_turn = asked_for(some)  # whose turn it is depends on the clock
    assert first == "ftjob-running"
    skipped = BOUND - 8 - 1  # with ftjob-done, which is newer than these
    left = [each["id"] for each in OLD[skipped:] if each["id"] != in_turn]
    assert newest == left[:6], "the queue probably holds the newer ones"
    assert any(f"pending=202 enqueued=8 queued={BOUND - 8} " in line for line in logged(some))


@pytest.mark.parametrize(
    ("operation", "what"),
    [("Queue_GetProperties", "queue finetune-jobs"), ("Container_ListBlobFlatSegment", "the blobs deleted-runs/")],
)
def test_a_tick_that_cannot_read_storage_sends_nothing(host: Host, load: Load, operation: str, what: str) -> None:
    """Otherwise the queue would grow with every tick, or jobs would wait without an error."""
    cloud = load({**WORLD, "faults": [{"op": operation, "when": {"times": 1}, "do": {"status": 403}}]})
    (only,) = host(tick(), env=azure(cloud))["invocations"]
    assert f"Storage refuses {what}" in only["error"]
    assert (only["ok"], only["outputs"]) == (False, {})


def test_a_job_whose_lease_another_worker_holds_is_skipped(host: Host, load: Load) -> None:
    cloud = load(WORLD)
    leases = cloud.world.storage.containers[LEASES]
    leases["ftjob-done.lease"] = Blob("another's", cloud.clock.time() + 60)
    (only,) = host(delivered(message("ftjob-done")), env=azure(cloud))["invocations"]
    assert only["ok"], only["error"]
    [line] = [line for line in logged(only) if "result=skipped job=ftjob-done" in line]
    assert "another worker holds the lease" in line
    assert cloud.world.wandb.store.project("acme", "tuning") is None

    cloud.clock.advance(61)  # that worker was killed
    (again,) = host(delivered(message("ftjob-done")), env=azure(cloud))["invocations"]
    assert any("result=synced job=ftjob-done" in line for line in logged(again))
    assert [*leases] == ["finished-runs/api.wandb.ai/acme/tuning/ftjob-done"], "the lease is given back"


def test_a_run_deleted_in_wandb_is_not_requested_again_by_a_tick_in_another_process(host: Host, load: Load) -> None:
    """In Azure the timer and the queue run on separate instances, and each message would repeat its retries."""
    cloud = load(WORLD)
    host(delivered(message("ftjob-done")), env=azure(cloud))
    cloud.world.storage.containers[LEASES].clear()  # of a complete run nothing is asked at all, see below
    store = cloud.world.wandb.store
    store.delete_run(store.run("acme", "tuning", "ftjob-done"))
    before, skipped = host(tick(), delivered(message("ftjob-done")), env=azure(cloud))["invocations"]
    assert "ftjob-done" in asked_for(before), "unknown until W&B answers so"
    assert any("result=skipped job=ftjob-done" in line and "deleted in W&B" in line for line in logged(skipped))
    (after,) = host(tick(), env=azure(cloud))["invocations"]
    assert asked_for(after) == ["ftjob-running"]

    (elsewhere,) = host(tick(), env=azure(cloud, WANDB_PROJECT="tuning-2"))["invocations"]
    assert "ftjob-done" in asked_for(elsewhere), "there its id is free"


def test_a_complete_run_that_wandb_does_not_list_is_not_requested_by_another_process(host: Host, load: Load) -> None:
    cloud = load(WORLD)
    host(delivered(message("ftjob-done")), env=azure(cloud))
    store = cloud.world.wandb.store
    store.move_run(store.run("acme", "tuning", "ftjob-done"), "archive")
    (after,) = host(tick(), env=azure(cloud))["invocations"]
    assert asked_for(after) == ["ftjob-running"]
