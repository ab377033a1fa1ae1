"""Writes that W&B refused are reported, not marked as done, and sent again. The SDK itself does not report them."""

import json
from typing import Any

import pytest

from evidence.commands.case import differences
from evidence.commands.sync import end
from function_app.models import Result
from tests.function_app.conftest import JOB, LIVE, OTHER_JOB, REFUSED, VALIDATION_FILE, Bench, a_file, a_job

FILES = [a_file(), a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3)]
REFUSED_WITH_200 = REFUSED | {"status": 200}


def refused(bench: Bench, values: dict[str, Any], operation: str, nth: int, do: dict[str, Any]) -> Any:
    """A world in which W&B refuses the n-th request of an operation, and what a tick leaves without that."""
    job = a_job(validation_file=VALIDATION_FILE, **values)
    bench.mirrored(job, files=FILES)
    expected = end(bench.cloud.world)
    bench.world(job, files=FILES, faults=[{"op": operation, "when": {"nth": [nth]}, "do": do}])
    return expected


@pytest.mark.parametrize(
    ("values", "do"), [({}, REFUSED_WITH_200), (LIVE, REFUSED)], ids=["finished, 200 with errors", "live, 403"]
)
def test_a_lost_config_write_of_the_sdk_has_no_effect(bench: Bench, values: dict[str, Any], do: dict[str, Any]) -> None:
    """The SDK's second write of a run's config fails without a word: the engine has written it itself by then."""
    expected = refused(bench, values, "UpsertBucket", 2, do)
    assert bench.tick()[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []


@pytest.mark.parametrize(
    ("values", "operation", "nth", "do"),
    [
        ({}, "UseArtifact", 1, REFUSED_WITH_200),
        (LIVE, "UseArtifact", 1, REFUSED),
        ({}, "FileStream", 1, REFUSED),
        ({}, "FileStream", 3, REFUSED),  # the second post is the SDK's own: nothing depends on it
        (LIVE, "FileStream", 1, REFUSED),
    ],
    ids=["inputs, 200", "inputs of a live job", "rows of a finished job", "its end", "rows of a live one"],
)
def test_refused_writes_are_reported_and_sent_by_the_next_tick(
    bench: Bench, values: dict[str, Any], operation: str, nth: int, do: dict[str, Any]
) -> None:
    expected = refused(bench, values, operation, nth, do)
    engine = bench.engine()
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, bool(outcome.message), bool(outcome.hint)) == (Result.FAILED, True, True)
    assert bench.state() == "running"
    assert ("rule" in bench.marks()) == (nth == 3), "marked as complete only when just its end is missing"
    assert bench.tick(engine)[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []


def test_the_next_tick_ends_the_run_of_a_deleted_job_if_that_was_refused_before(bench: Bench) -> None:
    bench.world(a_job(**LIVE), a_job(id=OTHER_JOB), files=FILES)
    engine = bench.engine()
    bench.tick(engine)
    bench.cloud.world.openai.stores[0].delete_job(JOB)
    bench.fault("UpsertBucket", REFUSED, nth=[bench.cloud.counts["UpsertBucket"] + 1])
    assert bench.tick(engine)[JOB].result is Result.FAILED
    assert bench.state() == "running"
    assert "rule" not in bench.marks()
    assert bench.tick(engine)[JOB].final
    assert bench.run().config["job_deleted"] is True


def test_no_data_about_the_machine_is_sent_to_wandb(bench: Bench) -> None:
    """Not what was started, nor where, nor by whom."""
    bench.mirrored(a_job(), files=FILES)
    sent = [each.request["body"] for each in bench.cloud.world.trace.exchanges if each.operation == "UpsertBucket"]
    programs = {body["variables"].get("program") for body in sent}
    assert programs <= {"azure-openai-wandb", None}
    assert "pytest" not in json.dumps(sent)
