"""What the engine leaves in W&B, job by job: the real SDKs against the sandbox."""

import os
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from function_app.models import DatasetPolicy, Result
from tests.function_app.conftest import (
    CLOSED_ENDPOINT,
    ENDPOINT,
    FILE,
    JOB,
    OTHER_JOB,
    STARTED,
    VALIDATION_FILE,
    Bench,
    a_file,
    a_job,
)


def test_a_training_jobs_run_grows_tick_by_tick_with_every_step_once(bench: Bench) -> None:
    bench.world(a_job(**STARTED))
    seen = []
    for _ in range(4):
        outcome = bench.tick()[JOB]
        assert outcome.result is Result.SYNCED
        assert bench.state() == "running"
        seen.append(len(bench.steps()))
        assert outcome.last_step == bench.steps()[-1]
        assert outcome.steps == seen[-1] - sum(seen[-2:-1])
        bench.cloud.clock.advance(120)
    assert seen == sorted(set(seen))  # more at every tick
    assert bench.steps() == list(range(1, seen[-1] + 1))


def test_a_run_is_final_only_when_the_late_events_are_in(bench: Bench) -> None:
    bench.world(a_job(created="-10m", timeline={"steps": 10, "evaluation": 120, "postprocessing": 550}))
    bench.tick()
    while bench.tick()[JOB].status != "succeeded":
        bench.cloud.clock.advance(20)
    assert bench.state() == "running"
    assert "rule" not in bench.marks()
    bench.cloud.clock.advance(120)
    outcome = bench.tick()[JOB]
    assert (outcome.final, bench.state(), bench.marks()["rule"]) == (True, "finished", 1)
    assert bench.tick()[JOB].result is Result.CURRENT


def test_a_failure_without_late_events_is_final_after_the_grace_period(bench: Bench) -> None:
    failing = {"status": "failed", "during": "training", "at_step": 5, "error": {"code": "oom", "message": "too big"}}
    bench.world(a_job(created="-5m", outcome=failing))
    assert bench.tick()[JOB].status == "failed"
    assert bench.state() == "running"
    bench.cloud.clock.advance(601)
    assert bench.tick()[JOB].final
    assert bench.state() == "failed"


def test_a_step_is_logged_at_the_time_it_happened(bench: Bench) -> None:
    bench.world(a_job(timeline={"steps": 30, "seconds_per_step": 7}))
    bench.tick()
    times = [row["_timestamp"] for row in bench.run().history]
    gaps = [round(later - earlier) for earlier, later in pairwise(times)]
    assert set(gaps) == {7}
    created = datetime.fromisoformat(bench.run().config["created_at"]).timestamp()
    finished = datetime.fromisoformat(bench.run().config["finished_at"]).timestamp()
    assert created < times[0] < times[-1] < finished


def test_the_values_are_those_of_the_results_file(bench: Bench) -> None:
    points = {1: 3.5, 30: 0.25}
    bench.world(a_job(metrics={"train_loss": {"points": points}}))
    bench.tick()
    losses = {row["_step"]: row["train_loss"] for row in bench.run().history}
    assert {step: losses[step] for step in points} == points
    assert bench.run().summary["best"]["train_loss"] == {"value": 0.25, "step": 30}


def test_a_failed_job_is_a_failed_run_with_its_reason(bench: Bench) -> None:
    error = {"code": "invalidPayload", "message": "Line 17 has no assistant message."}
    bench.world(a_job(outcome={"status": "failed", "during": "preprocessing", "error": error}))
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final) == (Result.SYNCED, True)
    assert bench.state() == "failed"
    assert bench.run().config["error"] == bench.run().summary["error"] == error
    assert [artifact.sequence.name for artifact in bench.run().used] == [FILE]


def test_a_cancelled_job_is_a_failed_run_with_the_steps_it_made(bench: Bench) -> None:
    bench.world(a_job(timeline={"steps": 40}, outcome={"status": "cancelled", "at_step": 25}))
    bench.tick()
    assert bench.state() == "failed"
    assert bench.run().config["status"] == "cancelled"
    assert bench.steps() == list(range(1, 26))


def test_people_are_alerted_once_and_only_to_news(bench: Bench) -> None:
    error = {"code": "oom", "message": "too big"}
    failing = {"status": "failed", "during": "preprocessing", "error": error}
    bench.world(a_job(created="-5m", outcome=failing), a_job(id=OTHER_JOB, created="-5d", outcome=failing))
    bench.tick()
    bench.cloud.clock.advance(900)
    bench.tick()
    alerts = bench.cloud.world.wandb.store.alerts
    assert [(alert.run_id, alert.severity) for alert in alerts] == [(JOB, "ERROR")]
    assert "oom: too big" in alerts[0].text


@pytest.mark.parametrize("status", ["pending", "paused", "dreaming"])
def test_a_state_that_is_not_terminal_is_shown_and_not_waited_for(bench: Bench, status: str) -> None:
    bench.world(a_job(outcome={"status": status, "during": "queue"}), a_job(id=OTHER_JOB))
    outcomes = bench.tick()
    assert outcomes[JOB].status == bench.run().config["status"] == status
    assert bench.state() == "running"
    assert outcomes[OTHER_JOB].final


def test_a_tick_leaves_no_file_behind(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker lives for days and has little disk: a file stays only in the SDK's own directory, and there empty ones."""
    bench.world(a_job())
    engine = bench.engine()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert bench.tick(engine)[JOB].final
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    sdk = Path(os.environ["WANDB_DATA_DIR"])
    left = [path for path in (sdk / "artifacts").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) == 0, left


def test_thousands_of_steps_all_arrive(bench: Bench) -> None:
    bench.world(a_job(timeline={"steps": 3000, "seconds_per_step": 2}, method="dpo"), files=[a_file(format="dpo")])
    bench.tick()
    assert bench.steps() == list(range(1, 3001))
    assert bench.run().config["method"] == "dpo"


def test_a_second_sync_writes_nothing_and_makes_two_requests(bench: Bench) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB, validation_file=FILE))
    bench.tick()
    engine = bench.engine()
    asked, writes = bench.counted(lambda: bench.tick(engine))
    assert asked == {"FineTuning_List": 1, "Runs": 1}
    assert writes == 0


def test_one_job_stays_within_its_requests(bench: Bench) -> None:
    """A supervised job with a new training and a new validation file, both with tables, and one model."""
    bench.world(
        a_job(validation_file=VALIDATION_FILE),
        files=[a_file(), a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3)],
    )
    asked, _ = bench.counted(bench.tick)
    wandb_asked = {name: n for name, n in asked.items() if not name.startswith(("FineTuning_", "Files_", "Models_"))}
    assert wandb_asked.pop("UpsertBucket") <= 3  # two, and one more when it takes more than five seconds
    assert sum(wandb_asked.values()) == 33, wandb_asked  # two of them listings, before and after


def test_what_people_change_in_wandb_stays(bench: Bench) -> None:
    bench.world(a_job(**STARTED))
    bench.tick()
    run = bench.run()
    run.name, run.notes, run.group = "our best one", "looks good", "spring"
    run.set_tags(["keep"])
    run.raw_config["reviewed_by"] = {"value": "dana"}
    run.raw_config["seed"] = {"value": 99}
    bench.cloud.clock.advance(3600)
    assert bench.tick()[JOB].final
    assert (run.name, run.notes, run.group, run.tags) == ("our best one", "looks good", "spring", ["keep"])
    assert (run.config["reviewed_by"], run.config["seed"]) == ("dana", 99)
    assert run.config["status"] == "succeeded"


def test_a_run_deleted_in_wandb_is_reported_once_and_not_requested_again(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    bench.tick(engine)
    bench.cloud.world.wandb.store.delete_run(bench.run())
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, True)
    assert "moved or deleted" in outcome.message
    asked, writes = bench.counted(lambda: bench.tick(engine))
    assert (asked, writes) == ({"FineTuning_List": 1, "Runs": 1}, 0)


def test_without_a_results_file_the_rows_come_from_events(bench: Bench) -> None:
    fault = {"op": "Files_GetContent", "when": {"path": "/files/file-"}, "do": {"status": 404}}
    bench.world(a_job(timeline={"steps": 40}), faults=[fault])
    outcome = bench.tick()[JOB]
    assert outcome.final
    assert bench.steps() == [1, 10, 20, 30, 40] or bench.steps() == [10, 20, 30, 40]
    assert bench.run().config["curve"] == "sampled"
    assert bench.run().config["training_data"] == {"missing": True}


def test_a_job_that_logs_to_wandb_by_itself_is_skipped(bench: Bench) -> None:
    bench.world(a_job(integrations=[{"type": "wandb", "wandb": {"project": "theirs"}}]))
    outcome = bench.engine().sync()[0]
    assert outcome.result is Result.SKIPPED
    assert bench.cloud.writes == 0


def test_a_looser_policy_uploads_what_a_stricter_one_held_back_and_a_stricter_one_uploads_nothing(bench: Bench) -> None:
    bench.world(*(a_job(id=f"ftjob-{n:032x}", created=f"-{9 - n}d") for n in range(1, 4)))
    for number, policy in enumerate((DatasetPolicy.REFERENCE, DatasetPolicy.FULL, DatasetPolicy.SAMPLE), start=1):
        assert bench.engine(sync_datasets=policy).sync_job("aoai-ml", f"ftjob-{number:032x}").final
    assert list(bench.aliases(FILE)) == ["v0", "v1"]
    assert [bench.run(f"ftjob-{n:032x}").used[0].index for n in (1, 2, 3)] == [0, 1, 1]


def test_a_sample_without_examples_is_the_reference_and_not_read_again(bench: Bench) -> None:
    """W&B has one version for equal content, with the metadata that was sent first."""
    bench.world(a_job(), a_job(id=OTHER_JOB, created="-1d"), files=[a_file(lines=["words", "{}"])])
    assert bench.engine(sync_datasets=DatasetPolicy.REFERENCE).sync_job("aoai-ml", JOB).final
    engine = bench.engine(sync_datasets=DatasetPolicy.SAMPLE)
    before = bench.cloud.counts["Files_GetContent"]
    assert engine.sync_job("aoai-ml", OTHER_JOB).final
    assert bench.cloud.counts["Files_GetContent"] - before == 1, "its results file"
    assert [used.name for used in bench.run(OTHER_JOB).used] == [f"{FILE}:v0"]


def test_a_failing_account_or_job_does_not_affect_others(bench: Bench) -> None:
    bench.world(
        a_job(),
        a_job(id=OTHER_JOB),
        faults=[{"op": "FineTuning_GetEvents", "when": {"path": OTHER_JOB}, "do": {"status": 500}}],
    )
    outcomes = bench.tick(bench.engine(azure_openai_endpoints=(CLOSED_ENDPOINT, ENDPOINT)))
    assert outcomes[JOB].final
    assert outcomes[OTHER_JOB].result is Result.FAILED
    assert outcomes[OTHER_JOB].hint == "The next tick tries again."
    assert (outcomes[""].result, outcomes[""].account) == (Result.FAILED, "aoai-closed")
    assert "Cognitive Services OpenAI User" in outcomes[""].hint


def test_a_tool_call_file_becomes_a_table_with_its_malformed_lines_counted(bench: Bench) -> None:
    bench.world(a_job(), files=[a_file(format="tools", count=6, malformed=1)])
    bench.tick()
    [dataset] = bench.run().used
    assert dataset.metadata["examples"] == 5
    assert dataset.metadata["malformed_lines"] == 1
    assert dataset.metadata["tool_calls"] == 5
    assert sorted(dataset.entries) == ["examples.table.json", "malformed.table.json", "train.jsonl"]


@pytest.mark.parametrize(
    ("policy", "files"),
    [
        (DatasetPolicy.FULL, ["examples.table.json", "train.jsonl"]),
        (DatasetPolicy.SAMPLE, ["examples.table.json", "file"]),
        (DatasetPolicy.REFERENCE, ["file"]),
        (DatasetPolicy.OFF, None),
    ],
)
def test_the_policy_decides_how_much_of_a_file_leaves(
    bench: Bench, policy: DatasetPolicy, files: list[str] | None
) -> None:
    bench.world(a_job())
    assert bench.tick(bench.engine(sync_datasets=policy))[JOB].final
    assert [sorted(dataset.entries) for dataset in bench.run().used] == ([] if files is None else [files])


def test_a_file_that_two_jobs_trained_on_is_uploaded_once(bench: Bench) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    bench.tick()
    assert bench.aliases(FILE) == {"v0": ["latest"]}
    assert [run.used for run in (bench.run(), bench.run(OTHER_JOB))] == [bench.run().used] * 2


def test_checkpoints_and_the_final_model_are_versions_and_latest_belongs_to_the_newest_job(bench: Bench) -> None:
    family = {"suffix": "tickets", "hyperparameters": {"n_epochs": 2}}
    bench.world(a_job(created="-4d", **family), a_job(id=OTHER_JOB, created="-2d", **family))
    collection = "gpt-4o-mini-2024-07-18-tickets"
    for job in (OTHER_JOB, JOB):  # the older one is mirrored later
        assert bench.engine().sync_job("aoai-ml", job).final
    assert bench.aliases(collection) == {
        "v0": [f"{OTHER_JOB}-step-15"],
        "v1": sorted([OTHER_JOB, f"{OTHER_JOB}-step-30", "latest"]),
        "v2": [f"{JOB}-step-15"],
        "v3": [JOB, f"{JOB}-step-30"],
    }


def test_a_stale_queue_message_makes_one_read_and_no_write(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    bench.tick(engine)
    asked, writes = bench.counted(lambda: engine.sync_job("aoai-ml", JOB))
    assert (asked, writes) == ({"FineTuning_Get": 1, "Runs": 1}, 0)
    assert engine.sync_job("aoai-ml", "ftjob-gone").result is Result.SKIPPED
    assert engine.sync_job("elsewhere", JOB).result is Result.FAILED


def test_times_are_utc_wherever_the_engine_runs(bench: Bench) -> None:
    bench.world(a_job())
    bench.tick()
    created = datetime.fromisoformat(bench.run().config["created_at"])
    assert created.tzinfo == UTC
    assert round(bench.cloud.clock.time() - created.timestamp()) in range(2 * 86400 - 5, 2 * 86400 + 120)


def test_what_the_data_policy_forbids_is_nowhere_in_wandb(bench: Bench) -> None:
    error = {"code": "oom", "message": "line 17 says confidential"}
    failed = {"status": "failed", "during": "training", "at_step": 10, "error": error}
    bench.world(a_job(outcome=failed, metadata={"team": "confidential"}))
    assert bench.tick(bench.engine(sync_datasets=DatasetPolicy.OFF))[JOB].final
    run = bench.run()
    assert run.config["job_id"] == JOB
    assert "confidential" not in repr((run.config, run.summary, run.tags, run.name, run.notes))


def test_a_job_with_its_own_integration_is_mirrored_when_the_operator_asks_for_it(bench: Bench) -> None:
    bench.world(a_job(integrations=[{"type": "wandb", "wandb": {"project": "theirs"}}]))
    engine = bench.engine(azure_openai_api_version="v1")
    assert bench.tick(engine)[JOB].result is Result.SKIPPED
    [outcome] = engine.sync(include_integrated=True)
    assert outcome.result is Result.SYNCED
    assert "the job's own integration logs to W&B, too" in outcome.actions
