"""What is pending for a job, from what it is and what W&B shows: every case, no I/O."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from function_app.engine.planner import GRACE, RULE, Action, Decision, decide, results_file, settled
from function_app.models import Event, Job, RunState
from function_app.tracking import run_id, run_of

STATUSES = st.sampled_from(["pending", "running", "paused", "succeeded", "failed", "cancelled"]) | st.text(min_size=1)


def a_job(status: str = "succeeded", **values: object) -> Job:
    return Job("ftjob-1", "aoai-ml", status, "gpt-4o", 1_000, "file-1", **values)  # type: ignore[arg-type]


def a_run(**values: object) -> RunState:
    return RunState(**({"id": "ftjob-1", "state": "finished", "status": "succeeded", "rule": RULE} | values))  # type: ignore[arg-type]


def log(*messages: str) -> list[Event]:
    return [Event(str(n), 1_000 + n, message) for n, message in enumerate(messages)]


@given(STATUSES)
def test_a_job_without_a_run_is_pending_in_any_status(status: str) -> None:
    assert decide(a_job(status), None).action is Action.MIRROR


@given(STATUSES, st.sampled_from(["running", "crashed", "finished", "failed"]))
def test_only_an_ended_job_needs_no_action(status: str, state: str) -> None:
    job = a_job(status)
    decision = decide(job, a_run(state=state, status=status))
    assert (decision.action is Action.NOTHING) == (job.terminal and state in ("finished", "failed"))


@pytest.mark.parametrize(
    "values",
    [
        *({"rule": None}, {"rule": RULE - 1}, {"status": "running"}, {"state": "crashed"}),
        {"surplus": -1},  # it has other rows than were written
        {"id": "ftjob-1-2", "number": 2, "unmarked": ("ftjob-1",)},  # the previous run has no mark
    ],
)
def test_a_complete_run_with_other_marks_or_rows_is_pending_again(values: dict[str, object]) -> None:
    assert decide(a_job(), a_run(**values)).action is Action.MIRROR


@pytest.mark.parametrize("state", ["running", "pending"])
def test_a_run_that_another_program_is_writing_is_deferred(state: str) -> None:
    run = a_run(state=state, foreign=True, rule=None, status=None)
    assert decide(a_job(), run) == Decision(Action.SKIP, "another program is writing its run", later=True)


def test_each_decision_has_its_reason_as_a_sentence() -> None:
    """Each sentence as it stands in logs and reports."""
    deleted = "was deleted in W&B, which never reuses an id"
    by_itself = a_job(integrations=({"type": "other"}, {"type": "wandb"}))
    complete = a_run(foreign=True, rule=None)
    mixed_up = Decision(Action.MIRROR, "the existing run contains another job's data", replace=True)
    assert decide(a_job(), None, deleted=True) == Decision(Action.SKIP, f"its run {deleted}")
    assert decide(a_job(), a_run(superseded_by="ftjob-1-2")) == Decision(Action.SKIP, f"its run ftjob-1-2 {deleted}")
    assert decide(by_itself, None) == Decision(Action.SKIP, "it logs to W&B by itself (the job's own integration)")
    assert decide(by_itself, None, overwrite=True).action is Action.SKIP
    assert decide(by_itself, None, include_integrated=True).action is Action.MIRROR
    assert decide(a_job(), complete) == Decision(Action.NOTHING, "logged by WandbLogger")
    assert decide(a_job("failed"), complete) == mixed_up


@pytest.mark.parametrize("values", [{"status": "running"}, {"state": "crashed"}, {"status": None, "state": "failed"}])
def test_another_tools_run_is_replaced_if_it_has_rows_and_otherwise_updated(values: dict[str, object]) -> None:
    """Rows of another tool are not part of our sequence."""
    left = {"foreign": True, "rule": None} | values
    assert decide(a_job(), a_run(**left, lines=3)).replace
    if "state" not in values or values["state"] == "failed":
        assert decide(a_job(), a_run(**left)) == Decision(Action.MIRROR)


def test_a_complete_run_that_wandb_does_not_list_is_not_made_again() -> None:
    assert decide(a_job(), None, complete=True).action is Action.SKIP
    assert decide(a_job(), a_run(rule=None), complete=True).action is Action.MIRROR
    assert decide(a_job(), None, complete=True, overwrite=True).action is Action.MIRROR


def test_a_run_that_somebody_stopped_is_not_revived() -> None:
    assert decide(a_job("running"), a_run(state="killed", rule=None)).action is Action.SKIP
    assert decide(a_job(), a_run(state="killed")).action is Action.NOTHING


@given(STATUSES, st.booleans(), st.none() | st.builds(a_run, foreign=st.booleans(), status=STATUSES))
def test_overwrite_always_makes_a_new_run(status: str, deleted: bool, run: RunState | None) -> None:
    decision = decide(a_job(status), run, deleted=deleted, overwrite=True)
    assert (decision.action, decision.replace) == (Action.MIRROR, True)


@given(STATUSES, STATUSES | st.none(), st.sampled_from(["finished", "failed", "crashed", "running"]))
def test_another_tools_run_is_only_current_for_a_job_that_succeeded(status: str, shown: str | None, state: str) -> None:
    job = a_job(status, fine_tuned_model="mine")
    run = a_run(foreign=True, rule=None, status=shown, state=state, model="mine")
    complete = (status, shown, state) == ("succeeded", "succeeded", "finished")
    assert (decide(job, run).action is Action.NOTHING) == complete


def test_another_tools_run_with_another_jobs_model_is_replaced() -> None:
    run = a_run(foreign=True, rule=None, model="another")
    jobs = (a_job(fine_tuned_model="mine"), a_job("failed"), a_job(fine_tuned_model="another"))
    assert [decide(job, run).replace for job in jobs] == [True, True, False]


@given(st.sampled_from(["ftjob-1", "ftjob-12", "ftjob-1-2"]), st.integers(1, 10**6))
@example("ftjob-1", 2)
def test_a_run_id_contains_its_job_and_its_number(job_id: str, number: int) -> None:
    assert run_of(run_id(job_id, number), {job_id}) == (job_id, number)


@pytest.mark.parametrize(
    "other", ["ftjob-2", "ftjob-1-eval", "ftjob-1-02", "ftjob-1-1", "ftjob-1-0", "ftjob-1-²", "ftjob-1-"]
)
def test_an_id_that_only_resembles_a_run_id_belongs_to_no_job(other: str) -> None:
    assert run_of(other, {"ftjob-1"}) is None


def test_a_job_id_that_resembles_another_jobs_second_run_is_its_own_run_id() -> None:
    assert run_of("ftjob-1-2", {"ftjob-1", "ftjob-1-2"}) == ("ftjob-1-2", 1)


@given(STATUSES, st.integers(0, 10**9))
def test_a_job_that_has_not_ended_is_never_settled(status: str, now: int) -> None:
    if not a_job(status).terminal:
        assert not settled(a_job(status), log("Completed results file: file-9"), now)


def test_an_ended_job_is_settled_after_its_last_event_or_the_grace_period() -> None:
    job = a_job(finished_at=2_000)
    assert settled(job, log("Job succeeded.", "Completed results file: file-9"), 2_001)
    assert not settled(job, log("Job succeeded."), 2_000 + GRACE - 1)
    assert settled(job, log("Job succeeded."), 2_000 + GRACE)


def test_without_finished_at_the_grace_period_begins_at_the_last_event_or_the_creation() -> None:
    assert not settled(a_job("cancelled"), log("a", "b"), 1_001 + GRACE - 1)
    assert settled(a_job("cancelled"), log("a", "b"), 1_001 + GRACE)
    assert settled(a_job("cancelled"), [], 1_000 + GRACE)


def test_the_results_files_id_is_read_from_the_job_its_events_or_the_run() -> None:
    created = log("Training started.", "Created results file: file-7")
    assert results_file(a_job(result_files=("file-6",)), created, None) == "file-6"
    assert results_file(a_job(), created, a_run(results_file="file-5")) == "file-7"
    assert results_file(a_job(), [], a_run(results_file="file-5")) == "file-5"
    assert results_file(a_job(), [], None) is None
