"""Writes that W&B refused are reported, not marked as done, and sent again. The SDK itself does not report them."""

import json
from typing import Any

import pytest

from evidence.commands.case import differences
from evidence.commands.sync import end
from function_app.models import Result
from tests.function_app.conftest import JOB, LIVE, VALIDATION_FILE, Bench, a_file, a_job

FILES = [a_file(), a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3)]
REFUSED = {"status": 403, "body": {"errors": [{"message": "permission denied"}]}}
REFUSED_WITH_200 = {"status": 200, "body": {"errors": [{"message": "permission denied"}], "data": None}}


def lost(operation: str, nth: int, do: dict[str, Any] = REFUSED) -> dict[str, Any]:
    """The n-th request of an operation is refused."""
    return {"op": operation, "when": {"nth": [nth]}, "do": do}


def left_in_peace(bench: Bench, values: dict[str, Any]) -> Any:
    """What an undisturbed tick leaves."""
    bench.world(a_job(validation_file=VALIDATION_FILE, **values), files=FILES)
    bench.tick()
    return end(bench.cloud.world)


@pytest.mark.parametrize(
    ("values", "do"), [({}, REFUSED_WITH_200), (LIVE, REFUSED)], ids=["finished, 200 with errors", "live, 403"]
)
def test_a_lost_config_write_of_the_sdk_has_no_effect(bench: Bench, values: dict[str, Any], do: dict[str, Any]) -> None:
    """The SDK's second write of a run's config fails without a word: the engine has written it itself by then."""
    expected = left_in_peace(bench, values)
    bench.world(a_job(validation_file=VALIDATION_FILE, **values), files=FILES, faults=[lost("UpsertBucket", 2, do)])
    assert bench.tick()[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []


@pytest.mark.parametrize(
    ("values", "do"), [({}, REFUSED_WITH_200), (LIVE, REFUSED)], ids=["finished, 200 with errors", "live, 403"]
)
def test_refused_inputs_and_config_are_reported_and_written_by_the_next_tick(
    bench: Bench, values: dict[str, Any], do: dict[str, Any]
) -> None:
    expected = left_in_peace(bench, values)
    bench.world(a_job(validation_file=VALIDATION_FILE, **values), files=FILES, faults=[lost("UseArtifact", 1, do)])
    engine = bench.engine()
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, bool(outcome.message), bool(outcome.hint)) == (Result.FAILED, True, True)
    assert bench.state() == "running"
    assert "rule" not in bench.marks()
    assert "datasets" not in bench.marks()
    assert bench.tick(engine)[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []


@pytest.mark.parametrize(
    ("values", "nth"), [({}, 1), ({}, 3), (LIVE, 1)], ids=["rows of a finished job", "its end", "rows of a live one"]
)
def test_refused_rows_and_ends_are_reported_and_sent_by_the_next_tick(
    bench: Bench, values: dict[str, Any], nth: int
) -> None:
    """The second post is the SDK's own: nothing depends on it."""
    expected = left_in_peace(bench, values)
    bench.world(a_job(validation_file=VALIDATION_FILE, **values), files=FILES, faults=[lost("FileStream", nth)])
    engine = bench.engine()
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, bool(outcome.hint)) == (Result.FAILED, True)
    assert bench.state() == "running"
    assert bench.tick(engine)[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []


def test_the_next_tick_ends_the_run_of_a_deleted_job_if_that_was_refused_before(bench: Bench) -> None:
    bench.world(a_job(**LIVE), a_job(id="ftjob-" + "2" * 32), files=FILES)
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
    bench.world(a_job(), files=FILES)
    bench.tick()
    sent = [each.request["body"] for each in bench.cloud.world.trace.exchanges if each.operation == "UpsertBucket"]
    programs = {body["variables"].get("program") for body in sent}
    assert programs <= {"azure-openai-wandb", None}
    assert "pytest" not in json.dumps(sent)
