"""A settled job's run shows how the job ended, and which of its files were missing. Missing files do not block anything."""

from typing import Any

import pytest

from function_app.data.jobs.prices import Price
from function_app.models import Result, Selection
from sandbox.azure.openai.store import Store
from tests.function_app.conftest import (
    ENTITY,
    FILE,
    IDLE,
    JOB,
    LIVE,
    OTHER_JOB,
    PROJECT,
    SETTLED,
    Bench,
    a_file,
    a_job,
)

NO_METRICS = {"every": 1000, "first_step": False}


def store(bench: Bench) -> Store:
    return bench.cloud.world.openai.stores[0]


def shown(bench: Bench, job: str = JOB) -> dict[str, Any]:
    """What a person reads of a run's summary, in the columns of the runs table."""
    return {name: bench.run(job).summary.get(name) for name in ("status", "error", "duration_s", "fine_tuned_model")}


def test_the_summary_of_a_succeeded_job(bench: Bench) -> None:
    bench.mirrored(a_job(suffix="tickets"))
    run = bench.run()
    read = {name: value for name, value in run.summary.items() if name[0] != "_" and value is not None}
    assert read == {
        "status": "succeeded",
        "fine_tuned_model": run.config["fine_tuned_model"],
        "trained_tokens": run.config["trained_tokens"],
        "billed_tokens": run.config["trained_tokens"],  # in the sandbox they are one
        "queue_s": run.summary["queue_s"],
        "duration_s": run.summary["duration_s"],
        "best": run.summary["best"],
        "train_data": run.summary["train_data"],  # the table of its training file
        "train_loss": run.history[-1]["train_loss"],
        "train_mean_token_accuracy": run.history[-1]["train_mean_token_accuracy"],
    }
    assert run.summary["duration_s"] > run.summary["queue_s"] + 30 * 6
    losses = {row["train_loss"]: row["_step"] for row in run.history}
    assert run.summary["best"]["train_loss"] == {"value": min(losses), "step": losses[min(losses)]}
    counts = {"examples": 8, "malformed_lines": 0, "rows_in_table": 8, "bytes": run.used[0].metadata["bytes"]}
    assert run.config["training_data"] == counts | {"format": "chat"}
    assert run.config["training_file_name"] == "train.jsonl"
    assert run.config["curve"] == "every step"


def test_prices_and_the_name_of_the_model_artifact_are_settings(bench: Bench) -> None:
    bench.world(a_job())
    prices = (Price("gpt-4o-mini*", per_million_tokens=1_000_000.0),)
    artifact: dict[str, Any] = {"wandb_model_artifact_name": "model-metadata", "wandb_model_artifact_type": "m"}
    engine = bench.engine(fine_tuning_prices=prices, **artifact)
    outcome = bench.tick(engine)[JOB]
    assert bench.run().summary["cost"] == bench.run().summary["billed_tokens"]
    assert "cost 4,110.00" in outcome.actions
    assert (outcome.figures["cost"], outcome.figures["billed_tokens"]) == (4110.0, 4110)
    assert bench.aliases("model-metadata") == {"v0": [JOB, f"{JOB}-step-30", "latest"]}
    assert bench.store.collection(ENTITY, PROJECT, "model-metadata").type == "m"


def test_a_tick_without_news_changes_neither_step_nor_runtime(bench: Bench) -> None:
    """A job that is paused after step 10: W&B's guide promises that another sync changes nothing."""
    pause = [{"at_step": 10}]
    bench.world(a_job(created="-10m", timeline={"steps": 30}, pauses=pause))
    bench.tick()  # attaches the files; the ticks after it only look
    seen = []
    for _ in range(3):
        bench.tick(after=700)  # later than W&B's reads
        seen.append({name: bench.run().summary.get(name) for name in ("_step", "_runtime", "train_loss")})
    assert seen[0]["_step"] == 10
    assert seen == [seen[0]] * 3


def test_a_failed_jobs_run_has_the_code_the_message_and_the_training_file(bench: Bench) -> None:
    error = {"code": "outOfMemory", "message": "The batch does not fit."}
    bench.mirrored(a_job(outcome={"status": "failed", "during": "training", "at_step": 12, "error": error}))
    assert bench.state() == "failed"
    assert bench.steps() == list(range(1, 13))
    assert (shown(bench)["status"], shown(bench)["error"]) == ("failed", error)
    assert [dataset.sequence.name for dataset in bench.run().used] == [FILE]
    assert bench.run().config["training_data"]["examples"] == 8


@pytest.mark.parametrize(
    ("values", "curve"),
    [
        ({"results": {"purged": True}}, "sampled"),
        ({"results": {"purged": True}, "events": NO_METRICS}, "none: neither results file nor metrics events"),
        ({"results": {"listed": "never"}}, "every step"),
    ],
    ids=["file deleted", "file deleted, no metrics events", "file named in an event only"],
)
def test_a_succeeded_job_is_final_without_its_results_file(bench: Bench, values: dict[str, Any], curve: str) -> None:
    outcomes = bench.mirrored(a_job(**values), a_job(id=OTHER_JOB))
    assert outcomes[JOB].final
    assert outcomes[OTHER_JOB].final
    assert bench.state() == "finished"
    assert bench.run().config["curve"] == curve
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_deleted_training_file_is_reported_as_missing(bench: Bench) -> None:
    assert bench.mirrored(a_job(), files=[a_file(deleted=True)])[JOB].final
    assert bench.run().config["training_data"] == {"missing": True}
    assert bench.run().used == []


def test_a_training_file_deleted_after_one_job_is_still_the_input_of_the_next(bench: Bench) -> None:
    """W&B has the file, so its deletion from the account does not affect other jobs that trained on it."""
    bench.world(a_job(), a_job(id=OTHER_JOB))
    engine = bench.engine()
    assert engine.sync_job("aoai-ml", JOB).final
    store(bench).delete_file(FILE, bench.cloud.clock.time())
    assert engine.sync_job("aoai-ml", OTHER_JOB).final
    assert bench.run(OTHER_JOB).used == bench.run().used
    assert bench.run(OTHER_JOB).config["training_data"] == bench.run().config["training_data"]


@pytest.mark.parametrize("how", ["timer", "queue", "between listing and reading"])
def test_a_job_that_is_deleted_while_its_run_is_open_is_recorded_as_deleted(bench: Bench, how: str) -> None:
    bench.world(a_job(**LIVE), a_job(id=OTHER_JOB, created="-3d"))
    engine = bench.engine()
    bench.tick(engine)
    steps = bench.steps()
    bench.cloud.clock.advance(100)
    [candidate] = [each for each in engine.discover()[0] if each.job.id == JOB]
    store(bench).delete_job(JOB)
    match how:
        case "timer":
            outcome = bench.tick(engine)[JOB]
        case "queue":
            outcome = engine.sync_job("aoai-ml", JOB)
        case _:
            outcome = engine.mirror(candidate)
    assert (outcome.result, outcome.final) == (Result.SYNCED, True)
    assert "deleted" in "; ".join(outcome.actions)
    run = bench.run()
    assert (bench.state(), bench.steps()) == ("failed", steps)
    assert (run.config["status"], run.config["job_deleted"], run.summary["status"]) == ("deleted", True, "deleted")
    assert bench.counted(lambda: bench.tick(engine)) == IDLE


def test_a_job_deleted_between_its_end_and_its_last_events_is_a_finished_run(bench: Bench) -> None:
    bench.world(a_job(created="-16m", timeline={"steps": 10, "evaluation": 3600}), a_job(id=OTHER_JOB, created="-3d"))
    bench.tick()
    assert bench.marks()["status"] == "succeeded"
    assert bench.state() == "running"
    store(bench).delete_job(JOB)
    assert bench.tick()[JOB].final
    assert (bench.state(), bench.run().config["status"]) == ("finished", "succeeded")
    assert bench.run().config["job_deleted"] is True


def test_a_listing_that_leaves_a_job_out_by_mistake_does_not_end_its_run(bench: Bench) -> None:
    """Only the job's own 404 counts."""
    bench.world(a_job(**LIVE), a_job(id=OTHER_JOB, created="-3d"))
    engine = bench.engine()
    bench.tick(engine)
    now = bench.cloud.clock.time()
    data = [job.body(now) for job in store(bench).jobs(now) if job.id != JOB]
    partial = {"object": "list", "has_more": False, "data": data}
    before = len(bench.run().history)
    bench.fault("FineTuning_List", {"status": 200, "body": partial}, times=1)
    outcome = bench.tick(engine)[JOB]
    assert not outcome.final
    assert (bench.state(), len(bench.run().history)) == ("running", before)


def test_a_sync_of_some_jobs_does_not_treat_the_others_as_deleted(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE), a_job(id=OTHER_JOB, created="-3d"))
    outcomes = bench.tick(selection=Selection(frozenset({OTHER_JOB})))
    assert list(outcomes) == [OTHER_JOB]


def test_a_paused_job_is_shown_as_paused_and_continues_when_it_is_resumed(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE, pauses=[{"at_step": 10, "lasts": 3600}]))
    assert bench.run().config["status"] == shown(bench)["status"] == "paused"
    assert bench.steps() == list(range(1, 11))
    assert bench.tick(after=6000)[JOB].final
    assert bench.steps() == list(range(1, 61))
    assert bench.run().config["status"] == shown(bench)["status"] == "succeeded"
