"""Existing runs: made by WandbLogger, replaced with --overwrite, or deleted by people."""

from typing import Any

import pytest

from function_app.models import Outcome, Result, Selection
from function_app.tracking.wandb.marks import KEY as KEY_OF_MARKS
from sandbox.wandb.runs import Run
from tests.conftest import Run as Command
from tests.function_app.conftest import (
    ENTITY,
    IDLE,
    JOB,
    ONE_TEAM,
    OTHER_JOB,
    PROJECT,
    SETTINGS,
    SETTLED,
    STEPS,
    Bench,
    a_job,
)

MODEL = f"gpt-4o-mini-2024-07-18.ft-{'1' * 32}"
NEW = f"{JOB}-2"


def world(bench: Bench, job: Any = None, **values: Any) -> None:
    """A world with a job and its run as WandbLogger of wandb 0.31 leaves it when all went well; `values` replace its own."""
    rows = [{"_step": step, "train_loss": 9.0 - step / 10} for step in STEPS]
    left = {
        "entity": ENTITY,
        "project": PROJECT,
        "id": JOB,
        "user": "sync-bot",
        "name": JOB,
        "job_type": "fine-tune",
        "age": 900.0,
        "config": {"id": JOB, "created_at": "2026-03-01 01:55:00", "method": "Method(type='supervised')"},
        "history": [*rows, {"_step": 31, "train_data": {"_type": "table-file"}}],
        "summary": {"_step": 31, "fine_tuned_model": MODEL, "status": "succeeded"},
    }
    bench.world(job or a_job(), wandb=ONE_TEAM | {"runs": [left | values]})


def overwritten(bench: Bench, job: str = JOB) -> Outcome:
    """The outcome of a sync with overwrite, in a separate process."""
    [outcome] = bench.engine().sync(Selection(frozenset({job})), overwrite=True)
    return outcome


def seen(run: Run) -> dict[str, Any]:
    """What people see in a run."""
    return {"config": run.config, "summary": run.summary, "history": run.history, "name": run.name, "tags": run.tags}


# --- WandbLogger's runs -------------------------------------------------------------------------------------------------


def test_a_run_that_wandblogger_completed_is_current_and_not_changed(bench: Bench) -> None:
    world(bench)
    engine = bench.engine()
    before = seen(bench.run())
    assert bench.counted(lambda: bench.tick(engine, after=SETTLED)) == IDLE
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final, outcome.message) == (Result.CURRENT, True, "logged by WandbLogger")
    assert seen(bench.run()) == before


def test_an_incomplete_run_of_wandblogger_is_replaced(bench: Bench) -> None:
    """Nobody can say which of its rows are the job's: they stay in the old run."""
    rows = [{"_step": step, "train_loss": 9.0} for step in range(1, 13)]
    world(bench, state="crashed", history=rows, summary={"_step": 12}, notes="by hand", tags=["keep"])
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final, outcome.steps) == (Result.SYNCED, True, 30)
    assert bench.steps(NEW) == STEPS
    old = bench.run()
    assert (old.notes, old.tags, len(old.history)) == ("by hand", ["keep", "superseded"], 12)
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_failed_job_that_wandblogger_shows_as_an_empty_finished_run_is_shown_as_failed(bench: Bench) -> None:
    error = {"code": "invalidPayload", "message": "Line 3 has no assistant message."}
    job = a_job(outcome={"status": "failed", "during": "preprocessing", "error": error})
    world(bench, job, history=[], summary={}, config={})
    assert bench.tick()[JOB].final
    run = bench.run()
    assert (bench.state(), run.config["error"], run.config["status"]) == ("failed", error, "failed")


def test_a_run_that_wandblogger_is_writing_is_deferred_until_it_has_finished(bench: Bench) -> None:
    world(bench, state="running", history=[], summary={})
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, False)
    assert outcome.message == "another program is writing its run"
    assert bench.cloud.writes == 0
    bench.cloud.clock.advance(3600)  # it has stopped without an error
    assert bench.tick()[JOB].final
    assert bench.steps() == STEPS


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_run_that_holds_another_jobs_data_is_replaced(bench: Bench, status: str) -> None:
    """After a job that did not succeed WandbLogger writes the next one into that job's run."""
    job = a_job() if status == "succeeded" else a_job(outcome={"status": "failed", "at_step": 10})
    world(bench, job, summary={"_step": 31, "fine_tuned_model": "another-model", "status": "succeeded"})
    mixed_up = bench.run().history
    assert bench.tick()[JOB].run_url.endswith(f"/{NEW}")
    assert bench.state(NEW) == ("finished" if status == "succeeded" else "failed")
    assert bench.run(NEW).config["status"] == status
    old = bench.run()
    assert (old.history, old.tags, old.config["superseded_by"]) == (mixed_up, ["superseded"], NEW)
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


# --- overwrite ----------------------------------------------------------------------------------------------------------


def test_overwrite_makes_a_clean_run_and_marks_the_old_one(bench: Bench) -> None:
    bench.mirrored(a_job())
    old = bench.run()
    old.set_tags([*old.tags, "keep"])
    old.notes = "looked odd"
    before = seen(old)
    outcome = overwritten(bench)
    assert (outcome.result, outcome.final, outcome.steps) == (Result.SYNCED, True, 30)
    assert f"replaces {JOB}" in outcome.actions
    assert (bench.steps(NEW), bench.state(NEW)) == (STEPS, "finished")
    assert bench.run(NEW).config["supersedes"] == JOB
    assert "superseded" not in bench.run(NEW).tags
    marked = {"tags": [*before["tags"], "superseded"], "config": before["config"] | {"superseded_by": NEW}}
    assert seen(old) == before | marked
    assert (old.notes, bench.state()) == ("looked odd", "finished")
    [dataset] = [version for version in bench.store.artifacts(ENTITY, PROJECT) if version.type == "dataset"]
    assert dataset.used_by == [old, bench.run(NEW)]


def test_after_overwrite_the_new_run_counts_and_an_idle_tick_makes_no_additional_request(bench: Bench) -> None:
    bench.mirrored(a_job(), a_job(id=OTHER_JOB))
    overwritten(bench)
    engine = bench.engine()
    assert bench.counted(lambda: bench.tick(engine, after=SETTLED)) == IDLE
    outcomes = bench.tick(engine)
    assert {outcome.result for outcome in outcomes.values()} == {Result.CURRENT}
    assert outcomes[JOB].run_url.endswith(f"/{NEW}")
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")
    assert [bench.run(each).config["superseded_by"] for each in (JOB, NEW)] == [NEW, f"{JOB}-3"]


@pytest.mark.parametrize("operation", ["Run", "UpsertBucket"])
def test_a_mark_that_could_not_be_written_is_written_by_the_next_tick(bench: Bench, operation: str) -> None:
    """The new run exists already, so it counts. Reading the old run fails, or writing to it."""
    bench.mirrored(a_job())
    bench.fault(operation, {"status": 403}, nth=[5])  # after those that make the two runs
    assert overwritten(bench).result is Result.FAILED
    assert bench.cloud.world.faults.unmet == []
    assert (bench.steps(NEW), "superseded_by" in bench.run().config) == (STEPS, False)
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.steps, bench.run().config["superseded_by"]) == (Result.SYNCED, 0, NEW)
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_deleted_run_stays_skipped_and_with_overwrite_gets_a_new_one(bench: Bench) -> None:
    bench.mirrored(a_job())
    bench.store.delete_run(bench.run())
    engine = bench.engine()
    assert engine.sync()[0].result is Result.SKIPPED
    assert engine.sync(overwrite=True)[0].run_url.endswith(f"/{NEW}")
    assert bench.steps(NEW) == STEPS
    assert bench.tick(engine, after=SETTLED)[JOB].result is Result.CURRENT


def test_a_deleted_new_run_does_not_bring_back_the_one_it_replaced(bench: Bench) -> None:
    bench.mirrored(a_job())
    overwritten(bench)
    bench.store.delete_run(bench.run(NEW))
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, True)
    assert f"{NEW} was deleted in W&B" in outcome.message
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")


def test_a_run_that_a_person_made_about_a_job_is_not_the_jobs_run(bench: Bench) -> None:
    """An evaluation may well carry the job's id in its config."""
    bench.mirrored(a_job())
    evaluation = bench.made_by("sync-bot", f"{JOB}-eval")
    evaluation.set_config("job_id", JOB)
    evaluation.set_config("supersedes", JOB)
    before = seen(evaluation)
    assert bench.tick()[JOB].run_url.endswith(f"/{JOB}")
    assert seen(evaluation) == before


def test_overwrite_on_the_command_line_replaces_the_runs_of_the_named_jobs(bench: Bench, run: Command) -> None:
    bench.mirrored(a_job(), a_job(id=OTHER_JOB))
    done = run("function_app", "sync", "--overwrite", "--job", JOB, "--follow", env=SETTINGS)
    assert done.returncode == 0, done.stderr
    runs = bench.store.runs(ENTITY, PROJECT)
    assert sorted(each.id for each in runs) == [JOB, NEW, OTHER_JOB]


# --- runs of other members ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", [False, True])
def test_a_run_of_another_member_that_looks_like_a_replacement_is_not_the_jobs_run(bench: Bench, marked: bool) -> None:
    bench.mirrored(a_job())
    theirs = bench.made_by("vera", NEW)
    theirs.raw_config["_wandb"] = {"value": {}}
    theirs.set_config("supersedes", JOB)
    if marked:
        theirs.set_config(KEY_OF_MARKS, bench.run().config[KEY_OF_MARKS])
    before = seen(theirs)
    assert bench.tick()[JOB].run_url.endswith(f"/{JOB}")
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")
    assert bench.steps(f"{JOB}-3") == STEPS
    assert seen(theirs) == before


def test_a_finished_run_of_another_member_is_named_as_such(bench: Bench) -> None:
    """With the marks of a finished run it counts, because people may sync by hand with their own keys."""
    bench.mirrored(a_job())
    bench.run().user = bench.store.users["vera"]
    outcome = bench.tick(after=SETTLED)[JOB]
    assert (outcome.result, outcome.message) == (Result.CURRENT, "its run was made by the W&B user vera")
