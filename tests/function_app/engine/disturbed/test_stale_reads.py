"""Rows, marks and alerts stay correct while W&B serves summary, tail, count and listing late, each with another delay."""

from typing import Literal

import pytest

from function_app.errors import WandbBusyError
from function_app.models import Result
from function_app.tracking.wandb.versioned.latest import Latest
from sandbox.wandb.runs import Nullable
from tests.function_app.conftest import JOB, LIVE, NOT_FOUND, OTHER_JOB, SETTLED, STEPS, THIRD_JOB, Bench, a_job

FAILING = {"status": "failed", "during": "training", "at_step": 40, "error": {"code": "oom", "message": "too big"}}
LATE = {"summary": 600.0, "tail": 600.0, "line_count": 10.0, "listing": 30.0}
COUNT_LATER = {"line_count": 130.0, "listing": 600.0}


def late(bench: Bench, delays: dict[str, float], *, merge: bool = False) -> None:
    """Have W&B read late from now on, and take what our clients write in the other way that is known."""
    bench.reads(**delays)
    options = bench.store.options
    options.offsets = "rebased"
    options.config = "merge" if merge else "replace"


@pytest.mark.parametrize(
    ("source", "delays"),
    [("file", LATE), ("file", COUNT_LATER), ("events", COUNT_LATER), ("events, then file", LATE)],
)
def test_every_row_is_stored_once_with_any_late_reads(bench: Bench, source: str, delays: dict[str, float]) -> None:
    """Ticks follow at once or after minutes. In between, a post is refused, and the answer to another is lost."""
    times = {"events": {}, "events, then file": {"when": {"nth": [1, 2, 3]}}}.get(source)
    unreadable = [] if times is None else [{"op": "Files_GetContent", "do": NOT_FOUND, **times}]
    bench.world(a_job(**LIVE), faults=unreadable)
    late(bench, delays, merge=source == "file")
    earlier: list[int] = []
    for number, wait in enumerate((0, 5, 120, 1, 120, 120, 3600, 700, 700)):
        if fault := {2: {"status": 403}, 4: {"lost_response": True} if source == "file" else None}.get(number):
            bench.fault("FileStream", fault, nth=[bench.cloud.counts["FileStream"] + 1])
        outcome = bench.tick()[JOB]
        steps = bench.steps()
        assert steps == sorted(set(steps))
        assert steps[: len(earlier)] == earlier, "rows that were there stay"
        earlier = steps
        bench.cloud.clock.advance(wait)
    assert outcome.final
    assert bench.state() == "finished"
    whole = list(range(1, 61))
    sampled = [step for step in whole if step in (1, 10, 20, 30, 40, 50, 60)]
    if source == "file":
        assert earlier == whole
    elif source == "events":
        assert earlier == sampled
    else:
        assert earlier[-20:] == whole[-20:]
        assert bench.run().config["curve"] == "sampled"


def test_marks_alerts_and_the_link_between_runs_do_not_depend_on_the_summary(bench: Bench) -> None:
    bench.world(a_job(**LIVE, outcome=FAILING), a_job(id=OTHER_JOB))
    late(bench, {"summary": 3600.0, "tail": 3600.0, "line_count": 4.0})
    for wait in (60, 900, 60, 60):
        bench.tick()
        bench.cloud.clock.advance(wait)
    assert [alert.run_id for alert in bench.store.alerts] == [JOB]
    assert {outcome.result for outcome in bench.tick().values()} == {Result.CURRENT}
    bench.engine().sync(overwrite=True)
    assert {outcome.result for outcome in bench.tick(after=60).values()} == {Result.CURRENT}
    assert bench.run().config["superseded_by"] == f"{JOB}-2"


def test_a_run_that_the_listing_does_not_show_yet_is_continued(bench: Bench) -> None:
    """It is asked for by its id before one is made: what people have changed in it stays."""
    bench.world(a_job(**LIVE))
    late(bench, {"listing": 600.0})
    bench.tick()
    bench.run().name = "our best one"
    assert bench.tick(after=120)[JOB].result is Result.SYNCED
    assert bench.run().name == "our best one"
    assert bench.steps() == list(range(1, len(bench.steps()) + 1))


def test_a_run_that_wandb_does_not_show_right_after_its_first_session_does_not_count_as_deleted(bench: Bench) -> None:
    unknown = {"status": 200, "body": {"data": {"project": {"run": None}}}}
    bench.world(a_job(), faults=[{"op": "Run", "when": {"nth": [2]}, "do": unknown}])
    bench.reads(listing=600.0)
    engine = bench.engine()
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final) == (Result.FAILED, False)
    assert bench.tick(engine, after=SETTLED)[JOB].final
    assert bench.steps() == STEPS


def test_rows_of_others_stay_and_no_more_of_ours_are_written(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.run().add_rows([{"_step": 500, "accuracy": 1.0}])
    before = bench.run().history
    outcome = bench.tick(after=3600)[JOB]
    assert (outcome.result, outcome.final) == (Result.SYNCED, True)
    assert "Other programs logged rows" in outcome.warnings[0]
    assert bench.run().history == before
    assert [each.sequence.name for each in bench.run().logged if each.type == "results"]
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


@pytest.mark.parametrize(("waited", "repaired"), [(60, True), (7200, False)])
def test_rows_missing_in_a_complete_run_are_repaired_for_an_hour(bench: Bench, waited: float, repaired: bool) -> None:
    assert bench.mirrored(a_job())[JOB].final
    del bench.run().history_lines[10:]
    bench.tick(after=waited)
    assert bench.steps() == list(range(1, 31 if repaired else 11))
    assert bench.state() == "finished"
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


@pytest.mark.parametrize("delay", [0.0, 60.0])
def test_a_sync_after_which_a_run_has_more_rows_than_were_written_says_so(bench: Bench, delay: float) -> None:
    bench.world(a_job())
    late(bench, {"line_count": delay})
    outcomes = bench.engine().sync(report=lambda _: bench.run().add_rows([{"_step": 500, "accuracy": 1.0}]))
    assert [(each.final, bool(each.warnings)) for each in outcomes] == [(True, not delay)]
    assert "Other programs" in bench.tick(after=60)[JOB].warnings[0]
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_run_that_somebody_is_writing_is_deferred_until_they_stop(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.cloud.clock.advance(300)
    bench.run().heartbeat_at = bench.cloud.clock.time() - 40
    outcome = bench.tick()[JOB]
    assert (outcome.result, outcome.final) == (Result.PENDING, False)
    assert "Another program wrote into the run" in outcome.message
    assert bench.tick(after=90)[JOB].result is Result.SYNCED


def test_a_run_that_somebody_moved_is_reported_and_not_written(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.store.move_run(bench.run(), "archive")
    bench.cloud.clock.advance(200)
    before = bench.cloud.writes
    outcome = bench.tick()[JOB]
    assert outcome.result is Result.FAILED
    assert "moved to acme/archive" in outcome.message
    assert bench.cloud.writes == before


def test_a_run_whose_rows_were_lost_is_replaced_once(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.mark(position=bench.marks()["position"] | {"first_line": 20, "first_step": 21})
    del bench.run().history_lines[10:]
    outcome = bench.tick(after=3600)[JOB]
    assert (outcome.final, outcome.run_url.endswith(f"{JOB}-2")) == (True, True)
    assert any("A new run replaces it." in warning for warning in outcome.warnings)
    assert bench.steps(f"{JOB}-2") == list(range(1, 61))
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


@pytest.mark.parametrize("value", ["{", '{"position": {"end": -5}}'])
def test_marks_that_people_edited_are_repaired(bench: Bench, value: object) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.run().set_config("azure_openai_wandb", value)
    assert bench.tick(after=3600)[JOB].final
    assert bench.steps() == list(range(1, 61))
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_run_of_version_0_1_continues_after_its_last_step(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    run = bench.run()
    before = bench.steps()
    del run.raw_config["azure_openai_wandb"]
    run.summary = {"sync": {"status": "running", "account": "aoai-ml", "last_step": before[-1], "source": "file"}}
    assert bench.tick(after=3600)[JOB].final
    assert bench.steps() == list(range(1, 61))


@pytest.mark.parametrize("field", ["summaryMetrics", "logLineCount"])
def test_a_run_that_the_sdk_cannot_open_is_replaced_when_files_must_be_attached(bench: Bench, field: Nullable) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.run().null_fields.add(field)
    outcome = bench.tick(after=3600)[JOB]
    assert (outcome.final, outcome.run_url.endswith(f"{JOB}-2")) == (True, True)
    assert "cannot open it" in outcome.warnings[0]
    assert bench.tick(after=SETTLED)[JOB].result is Result.CURRENT


def test_a_config_entry_of_a_script_does_not_keep_the_sdk_from_opening_the_run(bench: Bench) -> None:
    bench.mirrored(a_job(**LIVE))
    bench.run().raw_config["wandb_version"] = 1
    assert bench.tick(after=3600)[JOB].final
    assert bench.run().config["wandb_version"] == 1


@pytest.mark.parametrize("listings", ["repeating", "endless"])
def test_a_listing_without_an_end_is_a_temporary_error(bench: Bench, listings: Literal["repeating", "endless"]) -> None:
    bench.mirrored(a_job(), a_job(id=OTHER_JOB))
    api = bench.api()
    bench.store.options.listings = listings
    with pytest.raises(WandbBusyError, match="repeats pages"):
        api.states([JOB])
    with pytest.raises(WandbBusyError, match="again and again"):
        Latest(api, "model", "gpt-4o-mini-2024-07-18").look()


def test_a_run_that_a_listing_shows_twice_is_one_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("function_app.tracking.wandb.api.RUNS_PER_PAGE", 2)
    bench.mirrored(a_job(), a_job(id=OTHER_JOB), a_job(id=THIRD_JOB))
    bench.store.options.listings = "shifting"
    outcomes = bench.tick()
    assert outcomes.keys() == {JOB, OTHER_JOB, THIRD_JOB}
    assert not [each for each in outcomes.values() if each.result is Result.FAILED]
    assert [len(bench.steps(job)) for job in outcomes] == [30, 30, 30]
