"""What is pending for a job, from what it is and what W&B shows: every case, no I/O."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from function_app.engine.planner import GRACE, RULE, Action, Decision, decide, results_file, settled
from function_app.models import Event, Job, RunState
from function_app.tracking import run_id, run_of

STATUSES = st.sampled_from(["pending", "running", "paused", "succeeded", "failed", "cancelled"]) | st.text(min_size=1)


def a_job(status: str = "succeeded", **said: object) -> Job:
    return Job("ftjob-1", "aoai-ml", status, "gpt-4o", 1_000, "file-1", **said)  # type: ignore[arg-type]


def a_run(**said: object) -> RunState:
    return RunState(**({"id": "ftjob-1", "state": "finished", "status": "succeeded", "rule": RULE} | said))  # type: ignore[arg-type]


def told(*messages: str) -> list[Event]:
    return [Event(str(n), 1_000 + n, message) for n, message in enumerate(messages)]


def test_an_ended_job_with_a_settled_run_is_not_pending() -> None:
    assert decide(a_job(), a_run()).action is Action.NOTHING


@given(STATUSES)
def test_a_job_without_a_run_is_pending_whatever_its_status(status: str) -> None:
    assert decide(a_job(status), None).action is Action.MIRROR


@given(STATUSES, st.sampled_from(["running", "crashed", "finished", "failed"]))
def test_only_an_ended_job_can_be_done(status: str, state: str) -> None:
    job = a_job(status)
    decision = decide(job, a_run(state=state, status=status))
    assert (decision.action is Action.NOTHING) == (job.terminal and state in ("finished", "failed"))


def test_a_run_without_the_mark_or_with_an_older_one_or_of_another_end_is_pending_again() -> None:
    for run in (a_run(rule=None), a_run(rule=RULE - 1), a_run(status="running"), a_run(state="crashed")):
        assert decide(a_job(), run).action is Action.MIRROR


@pytest.mark.parametrize("state", ["running", "pending"])
def test_a_run_that_another_program_is_writing_is_looked_at_again_later(state: str) -> None:
    run = a_run(state=state, foreign=True, rule=None, status=None)
    assert decide(a_job(), run) == Decision(Action.SKIP, "another program is writing its run", later=True)


def test_what_people_read_of_a_decision_is_why() -> None:
    """Each sentence as it stands in logs and reports."""
    deleted = "was deleted in W&B, which never reuses an id"
    by_itself = a_job(integrations=({"type": "other"}, {"type": "wandb"}))
    complete = a_run(foreign=True, rule=None)
    mixed_up = Decision(Action.MIRROR, "the existing run contains another job's data", replace=True)
    assert decide(a_job(), None, deleted=True) == Decision(Action.SKIP, f"its run {deleted}")
    assert decide(a_job(), a_run(superseded_by="ftjob-1-2")) == Decision(Action.SKIP, f"its run ftjob-1-2 {deleted}")
    assert decide(by_itself, None) == Decision(Action.SKIP, "it logs to W&B by itself (the job's own integration)")
    assert decide(a_job(), complete) == Decision(Action.NOTHING, "logged by WandbLogger")
    assert decide(a_job("failed"), complete) == mixed_up


@pytest.mark.parametrize("said", [{"status": "running"}, {"state": "crashed"}, {"status": None, "state": "failed"}])
def test_what_another_tool_began_is_replaced_if_it_has_rows_and_else_brought_up_to_date(
    said: dict[str, object],
) -> None:
    """Rows of another tool are no part of our sequence."""
    left = {"foreign": True, "rule": None} | said
    assert decide(a_job(), a_run(**left, lines=3)).replace
    if "state" not in said or said["state"] == "failed":
        assert decide(a_job(), a_run(**left)) == Decision(Action.MIRROR)


def test_a_run_that_somebody_stopped_is_not_revived() -> None:
    assert decide(a_job("running"), a_run(state="killed", rule=None)).action is Action.SKIP
    assert decide(a_job(), a_run(state="killed")).action is Action.NOTHING


@given(STATUSES, st.booleans(), st.none() | st.builds(a_run, foreign=st.booleans(), status=STATUSES))
def test_overwrite_is_a_new_run_whatever_is_there(status: str, deleted: bool, run: RunState | None) -> None:
    decision = decide(a_job(status), run, deleted=deleted, overwrite=True)
    assert (decision.action, decision.replace) == (Action.MIRROR, True)


def test_overwrite_leaves_a_job_alone_that_logs_by_itself() -> None:
    job = a_job(integrations=({"type": "wandb", "wandb": {"project": "p"}},))
    assert decide(job, None, overwrite=True).action is Action.SKIP


def test_a_previous_run_without_its_mark_makes_the_job_pending() -> None:
    assert decide(a_job(), a_run(id="ftjob-1-2", number=2, unmarked=("ftjob-1",))).action is Action.MIRROR


@given(STATUSES, STATUSES | st.none(), st.sampled_from(["finished", "failed", "crashed", "running"]))
def test_of_another_tools_runs_only_a_complete_one_of_a_job_that_succeeded_is_current(
    status: str, said: str | None, state: str
) -> None:
    job = a_job(status, fine_tuned_model="mine")
    run = a_run(foreign=True, rule=None, status=said, state=state, model="mine")
    complete = (status, said, state) == ("succeeded", "succeeded", "finished")
    assert (decide(job, run).action is Action.NOTHING) == complete


def test_another_tools_run_with_another_jobs_model_is_not_built_upon() -> None:
    run = a_run(foreign=True, rule=None, status="succeeded", model="another")
    assert decide(a_job(fine_tuned_model="mine"), run).replace
    assert decide(a_job("failed"), run).replace
    assert not decide(a_job(fine_tuned_model="another"), run).replace


@given(st.sampled_from(["ftjob-1", "ftjob-12", "ftjob-1-2"]), st.integers(1, 10**6))
@example("ftjob-1", 2)
def test_a_run_id_says_whose_run_it_is_and_which(job_id: str, number: int) -> None:
    assert run_of(run_id(job_id, number), {job_id}) == (job_id, number)


@pytest.mark.parametrize(
    "other", ["ftjob-2", "ftjob-1-eval", "ftjob-1-02", "ftjob-1-1", "ftjob-1-0", "ftjob-1-²", "ftjob-1-"]
)
def test_an_id_that_only_looks_like_it_is_nobodys(other: str) -> None:
    assert run_of(other, {"ftjob-1"}) is None


def test_a_job_whose_own_id_looks_like_anothers_second_run_is_itself() -> None:
    assert run_of("ftjob-1-2", {"ftjob-1", "ftjob-1-2"}) == ("ftjob-1-2", 1)


@given(STATUSES, st.integers(0, 10**9))
def test_a_job_that_goes_on_is_never_settled(status: str, now: int) -> None:
    if not a_job(status).terminal:
        assert not settled(a_job(status), told("Completed results file: file-9"), now)


def test_settled_is_ended_with_the_last_event_in_or_the_grace_period_over() -> None:
    job = a_job(finished_at=2_000)
    assert settled(job, told("Job succeeded.", "Completed results file: file-9"), 2_001)
    assert not settled(job, told("Job succeeded."), 2_000 + GRACE - 1)
    assert settled(job, told("Job succeeded."), 2_000 + GRACE)


def test_without_a_finishing_time_the_grace_period_begins_at_the_last_event_or_the_creation() -> None:
    assert not settled(a_job("cancelled"), told("a", "b"), 1_001 + GRACE - 1)
    assert settled(a_job("cancelled"), told("a", "b"), 1_001 + GRACE)
    assert settled(a_job("cancelled"), [], 1_000 + GRACE)


def test_the_results_file_is_known_from_the_job_or_its_events_or_the_run() -> None:
    created = told("Training started.", "Created results file: file-7")
    assert results_file(a_job(result_files=("file-6",)), created, None) == "file-6"
    assert results_file(a_job(), created, a_run(results_file="file-5")) == "file-7"
    assert results_file(a_job(), [], a_run(results_file="file-5")) == "file-5"
    assert results_file(a_job(), [], None) is None
