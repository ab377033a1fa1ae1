"""What is owed for a job, from what it is and what W&B shows: every case, no I/O."""

from hypothesis import given
from hypothesis import strategies as st

from function_app.decide import GRACE, RULE, Owed, decide, results_file, settled
from function_app.model import Event, Job, RunState

STATUSES = st.sampled_from(["pending", "running", "paused", "succeeded", "failed", "cancelled"]) | st.text(min_size=1)


def a_job(status: str = "succeeded", **said: object) -> Job:
    return Job("ftjob-1", "aoai-ml", status, "gpt-4o", 1_000, "file-1", **said)  # type: ignore[arg-type]


def a_run(**said: object) -> RunState:
    return RunState(**({"id": "ftjob-1", "state": "finished", "status": "succeeded", "rule": RULE} | said))  # type: ignore[arg-type]


def told(*messages: str) -> list[Event]:
    return [Event(str(n), 1_000 + n, message) for n, message in enumerate(messages)]


def test_a_settled_run_of_an_ended_job_is_owed_nothing() -> None:
    assert decide(a_job(), a_run()).owed is Owed.NOTHING


@given(STATUSES)
def test_a_job_without_a_run_is_owed_one_whatever_its_status(status: str) -> None:
    assert decide(a_job(status), None).owed is Owed.MIRROR


@given(STATUSES, st.sampled_from(["running", "crashed", "finished", "failed"]))
def test_only_an_ended_job_can_be_owed_nothing(status: str, state: str) -> None:
    job = a_job(status)
    decision = decide(job, a_run(state=state, status=status))
    assert (decision.owed is Owed.NOTHING) == (job.terminal and state in ("finished", "failed"))


def test_a_run_without_the_mark_or_with_an_older_one_or_of_another_end_is_owed_again() -> None:
    for run in (a_run(rule=None), a_run(rule=RULE - 1), a_run(status="running"), a_run(state="crashed")):
        assert decide(a_job(), run).owed is Owed.MIRROR


def test_a_deleted_run_a_foreign_run_and_a_job_that_logs_by_itself_are_left_alone_and_it_is_said_why() -> None:
    for decision in (
        decide(a_job(), None, deleted=True),
        decide(a_job(), a_run(foreign=True, rule=None, status=None)),
        decide(a_job(integrations=({"type": "wandb", "wandb": {"project": "p"}},)), None),
    ):
        assert decision.owed is Owed.SKIP
        assert decision.why


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
