"""Existing runs: made by WandbLogger, replaced with --overwrite, or deleted by people."""

from typing import Any

import pytest

from function_app.models import Outcome, Result, Selection
from function_app.tracking.wandb.marks import KEY as KEY_OF_MARKS
from sandbox.wandb.runs import Run
from tests.conftest import Run as Command
from tests.function_app.conftest import ENTITY, JOB, KEY, OTHER_JOB, PROJECT, SETTINGS, SETTLED, Bench, a_job

MODEL = f"gpt-4o-mini-2024-07-18.ft-{'1' * 32}"
NEW = f"{JOB}-2"
IDLE = {"FineTuning_List": 1, "Runs": 1}


def wandblogger_left(**values: Any) -> dict[str, Any]:
    """A run as WandbLogger of wandb 0.31 leaves it when all went well; `values` replace its own."""
    rows = [{"_step": step, "train_loss": 9.0 - step / 10} for step in range(1, 31)]
    return {
        "runs": [
            {
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
                **values,
            }
        ]
    }


def world(bench: Bench, *jobs: Any, **values: Any) -> None:
    """A world with these jobs and WandbLogger's run of the first one."""
    wandb = {
        "users": [{"username": "sync-bot", "default_entity": "acme", "keys": [KEY]}],
        "teams": [{"name": "acme", "members": {"sync-bot": "member"}}],
    }
    bench.world(*(jobs or [a_job()]), wandb=wandb | wandblogger_left(**values))


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
    asked, writes = bench.counted(lambda: bench.tick(engine, after=SETTLED))
    assert (asked, writes) == (IDLE, 0)
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final, outcome.message) == (Result.CURRENT, True, "logged by WandbLogger")
    assert seen(bench.run()) == before


def test_an_incomplete_run_of_wandblogger_is_replaced(bench: Bench) -> None:
    """Nobody can say which of its rows are the job's: they stay in the old run."""
    rows = [{"_step": step, "train_loss": 9.0} for step in range(1, 13)]
    world(bench, state="crashed", history=rows, summary={"_step": 12}, notes="by hand", tags=["keep"])
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final, outcome.steps) == (Result.SYNCED, True, 30)
    assert bench.steps(NEW) == list(range(1, 31))
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
    assert bench.steps() == list(range(1, 31))


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
    bench.world(a_job())
    bench.tick()
    old = bench.run()
    old.set_tags([*old.tags, "keep"])
    old.notes = "looked odd"
    before = seen(old)
    outcome = overwritten(bench)
    assert (outcome.result, outcome.final, outcome.steps) == (Result.SYNCED, True, 30)
    assert f"replaces {JOB}" in outcome.actions
    assert (bench.steps(NEW), bench.state(NEW)) == (list(range(1, 31)), "finished")
    assert bench.run(NEW).config["supersedes"] == JOB
    assert "superseded" not in bench.run(NEW).tags
    assert seen(old) == before | {
        "tags": [*before["tags"], "superseded"],
        "config": before["config"] | {"superseded_by": NEW},
    }
    assert (old.notes, bench.state()) == ("looked odd", "finished")
    assert [
        version.used_by
        for version in bench.cloud.world.wandb.store.artifacts(ENTITY, PROJECT)
        if version.type == "dataset"
    ] == [[old, bench.run(NEW)]]


def test_after_overwrite_the_new_run_counts_and_an_idle_tick_makes_no_additional_request(bench: Bench) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    bench.tick()
    overwritten(bench)
    engine = bench.engine()
    asked, writes = bench.counted(lambda: bench.tick(engine, after=SETTLED))
    assert (asked, writes) == (IDLE, 0)
    outcomes = bench.tick(engine)
    assert {outcome.result for outcome in outcomes.values()} == {Result.CURRENT}
    assert outcomes[JOB].run_url.endswith(f"/{NEW}")
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")
    assert [bench.run(each).config["superseded_by"] for each in (JOB, NEW)] == [NEW, f"{JOB}-3"]


@pytest.mark.parametrize("operation", ["Run", "UpsertBucket"])
def test_a_mark_that_could_not_be_written_is_written_by_the_next_tick(bench: Bench, operation: str) -> None:
    """The new run exists already, so it counts. Reading the old run fails, or writing to it."""
    bench.world(a_job())
    bench.tick()
    bench.fault(operation, {"status": 403}, nth=[5])  # after those that make the two runs
    assert overwritten(bench).result is Result.FAILED
    assert bench.cloud.world.faults.unmet == []
    assert (bench.steps(NEW), "superseded_by" in bench.run().config) == (list(range(1, 31)), False)
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.steps, bench.run().config["superseded_by"]) == (Result.SYNCED, 0, NEW)
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_deleted_run_stays_skipped_and_with_overwrite_gets_a_new_one(bench: Bench) -> None:
    bench.world(a_job())
    bench.tick()
    bench.cloud.world.wandb.store.delete_run(bench.run())
    engine = bench.engine()
    assert engine.sync()[0].result is Result.SKIPPED
    assert engine.sync(overwrite=True)[0].run_url.endswith(f"/{NEW}")
    assert bench.steps(NEW) == list(range(1, 31))
    assert bench.tick(engine, after=SETTLED)[JOB].result is Result.CURRENT


def test_a_deleted_new_run_does_not_bring_back_the_one_it_replaced(bench: Bench) -> None:
    bench.world(a_job())
    bench.tick()
    overwritten(bench)
    bench.cloud.world.wandb.store.delete_run(bench.run(NEW))
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, True)
    assert f"{NEW} was deleted in W&B" in outcome.message
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")


def test_a_run_that_a_person_made_about_a_job_is_not_the_jobs_run(bench: Bench) -> None:
    """An evaluation may well carry the job's id in its config."""
    bench.world(a_job())
    bench.tick()
    store = bench.cloud.world.wandb.store
    evaluation = store.add_run(store.add_project(ENTITY, PROJECT), f"{JOB}-eval", store.users["sync-bot"])
    evaluation.set_config("job_id", JOB)
    evaluation.set_config("supersedes", JOB)
    before = seen(evaluation)
    assert bench.tick()[JOB].run_url.endswith(f"/{JOB}")
    assert seen(evaluation) == before


def test_overwrite_on_the_command_line_replaces_the_runs_of_the_named_jobs(bench: Bench, run: Command) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    bench.tick()
    done = run("function_app", "sync", "--overwrite", "--job", JOB, "--follow", env=SETTINGS)
    assert done.returncode == 0, done.stderr
    runs = bench.cloud.world.wandb.store.runs(ENTITY, PROJECT)
    assert sorted(each.id for each in runs) == [JOB, NEW, OTHER_JOB]


# --- runs of other members ------------------------------------------------------------------------------------------------


def of_vera(bench: Bench, run_id: str, **config: Any) -> Run:
    """A run that another member of the project made."""
    store = bench.cloud.world.wandb.store
    run = store.add_run(store.add_project(ENTITY, PROJECT), run_id, store.users["vera"])
    run.raw_config["_wandb"] = {"value": {}}
    for name, value in config.items():
        run.set_config(name, value)
    return run


@pytest.mark.parametrize("marked", [False, True])
def test_a_run_of_another_member_that_looks_like_a_replacement_is_not_the_jobs_run(bench: Bench, marked: bool) -> None:
    bench.world(a_job())
    bench.tick()
    marks = {KEY_OF_MARKS: bench.run().config[KEY_OF_MARKS]} if marked else {}
    theirs = of_vera(bench, NEW, supersedes=JOB, **marks)
    before = seen(theirs)
    assert bench.tick()[JOB].run_url.endswith(f"/{JOB}")
    assert overwritten(bench).run_url.endswith(f"/{JOB}-3")
    assert bench.steps(f"{JOB}-3") == list(range(1, 31))
    assert seen(theirs) == before


def test_a_finished_run_of_another_member_is_named_as_such(bench: Bench) -> None:
    """With the marks of a finished run it counts, because people may sync by hand with their own keys."""
    bench.world(a_job())
    bench.tick()
    bench.run().user = bench.cloud.world.wandb.store.users["vera"]
    outcome = bench.tick(after=SETTLED)[JOB]
    assert (outcome.result, outcome.message) == (Result.CURRENT, "its run was made by the W&B user vera")
