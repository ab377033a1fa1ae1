"""What the engine leaves in W&B, job by job: the real SDKs against the sandbox."""

import os
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from function_app.models import DatasetPolicy, Result
from tests.function_app.conftest import (
    CLOSED_ENDPOINT,
    ENDPOINT,
    FILE,
    IDLE,
    JOB,
    OTHER_JOB,
    SETTLED,
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
    bench.mirrored(a_job(created="-10m", timeline={"steps": 10, "evaluation": 120, "postprocessing": 550}))
    while bench.tick()[JOB].status != "succeeded":
        bench.cloud.clock.advance(20)
    assert bench.state() == "running"
    assert "rule" not in bench.marks()
    outcome = bench.tick(after=120)[JOB]
    assert (outcome.final, bench.state(), bench.marks()["rule"]) == (True, "finished", 1)
    assert bench.tick()[JOB].result is Result.CURRENT


def test_a_failure_without_late_events_is_final_after_the_grace_period(bench: Bench) -> None:
    failing = {"status": "failed", "during": "training", "at_step": 5, "error": {"code": "oom", "message": "too big"}}
    assert bench.mirrored(a_job(created="-5m", outcome=failing))[JOB].status == "failed"
    assert bench.state() == "running"
    assert bench.tick(after=601)[JOB].final
    assert bench.state() == "failed"


def test_a_step_is_logged_at_the_time_it_happened(bench: Bench) -> None:
    bench.mirrored(a_job(timeline={"steps": 30, "seconds_per_step": 7}))
    times = [row["_timestamp"] for row in bench.run().history]
    gaps = [round(later - earlier) for earlier, later in pairwise(times)]
    assert set(gaps) == {7}
    created = datetime.fromisoformat(bench.run().config["created_at"]).timestamp()
    finished = datetime.fromisoformat(bench.run().config["finished_at"]).timestamp()
    assert created < times[0] < times[-1] < finished


def test_a_cancelled_job_is_a_failed_run_with_the_steps_it_made(bench: Bench) -> None:
    bench.mirrored(a_job(timeline={"steps": 40}, outcome={"status": "cancelled", "at_step": 25}))
    assert bench.state() == "failed"
    assert bench.run().config["status"] == "cancelled"
    assert bench.steps() == list(range(1, 26))


def test_a_state_that_is_not_terminal_is_shown_and_not_waited_for(bench: Bench) -> None:
    states = {f"ftjob-{state}": state for state in ("pending", "paused", "dreaming")}
    jobs = [a_job(id=job, outcome={"status": state, "during": "queue"}) for job, state in states.items()]
    outcomes = bench.mirrored(*jobs, a_job())
    for job, state in states.items():
        assert outcomes[job].status == bench.run(job).config["status"] == state
        assert bench.state(job) == "running"
    assert outcomes[JOB].final


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


def test_a_second_sync_writes_nothing_and_makes_two_requests(bench: Bench) -> None:
    bench.mirrored(a_job(), a_job(id=OTHER_JOB, validation_file=FILE))
    engine = bench.engine()
    assert bench.counted(lambda: bench.tick(engine, after=SETTLED)) == IDLE


def test_one_job_stays_within_its_requests(bench: Bench) -> None:
    """A supervised job with a new training and a new validation file, both with tables, and one model."""
    files = [a_file(), a_file(id=VALIDATION_FILE, filename="valid.jsonl", count=3)]
    bench.world(a_job(validation_file=VALIDATION_FILE), files=files)
    asked, _ = bench.counted(bench.tick)
    wandb_asked = {name: n for name, n in asked.items() if not name.startswith(("FineTuning_", "Files_", "Models_"))}
    assert wandb_asked.pop("UpsertBucket") <= 3  # two, and one more when it takes more than five seconds
    assert wandb_asked.pop("UploadFile") <= 10  # nine if one dataset was there first: they share a file
    assert sum(wandb_asked.values()) == 25, wandb_asked  # two of them listings, before and after


def test_a_run_deleted_in_wandb_is_reported_once_and_not_requested_again(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    bench.tick(engine)
    bench.store.delete_run(bench.run())
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, True)
    assert "moved or deleted" in outcome.message
    assert bench.counted(lambda: bench.tick(engine)) == IDLE


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
    failing = {"op": "FineTuning_GetEvents", "when": {"path": OTHER_JOB}, "do": {"status": 500}}
    bench.world(a_job(), a_job(id=OTHER_JOB), faults=[failing])
    outcomes = bench.tick(bench.engine(azure_openai_endpoints=(CLOSED_ENDPOINT, ENDPOINT)))
    assert outcomes[JOB].final
    assert outcomes[OTHER_JOB].result is Result.FAILED
    assert outcomes[OTHER_JOB].hint == "The next tick tries again."
    assert (outcomes[""].result, outcomes[""].account) == (Result.FAILED, "aoai-closed")
    assert "Cognitive Services OpenAI User" in outcomes[""].hint


def test_a_stale_queue_message_makes_one_read_and_no_write(bench: Bench) -> None:
    bench.world(a_job())
    engine = bench.engine()
    bench.tick(engine)
    bench.cloud.clock.advance(SETTLED)
    assert bench.counted(lambda: engine.sync_job("aoai-ml", JOB)) == ({"FineTuning_Get": 1, "Runs": 1}, 0)
    assert engine.sync_job("aoai-ml", "ftjob-gone").result is Result.SKIPPED
    assert engine.sync_job("elsewhere", JOB).result is Result.FAILED


def test_a_job_with_its_own_integration_is_mirrored_when_the_operator_asks_for_it(bench: Bench) -> None:
    bench.world(a_job(integrations=[{"type": "wandb", "wandb": {"project": "theirs"}}]))
    engine = bench.engine(azure_openai_api_version="v1")
    assert bench.tick(engine)[JOB].result is Result.SKIPPED
    [outcome] = engine.sync(include_integrated=True)
    assert outcome.result is Result.SYNCED
    assert "the job's own integration logs to W&B, too" in outcome.actions


def test_rows_of_a_job_without_a_time_of_creation_are_not_dated_1970(bench: Bench) -> None:
    bench.mirrored(a_job(extra={"created_at": -1}, timeline={"steps": 5}))
    rows = bench.run().history
    assert len(rows) == 5
    assert all(row.get("_timestamp", 1e9) >= 1e9 and row.get("_runtime", 0) == 0 for row in rows)
