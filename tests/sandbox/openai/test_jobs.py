"""A job is a pure function of (script, now): everything shown once stays, and phases happen in order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.azure.openai.jobs import Job
from sandbox.azure.openai.script import JobScript

ORIGIN = 1_772_438_400.0
JOB = "ftjob-0123456789abcdef0123456789abcdef"
LATE = ORIGIN + 1e9


def script(**fields: Any) -> JobScript:
    base = {"id": JOB, "model": "gpt-4o-mini-2024-07-18", "training_file": "file-train"}
    return JobScript.model_validate(base | fields)


def job(**fields: Any) -> Job:
    return Job(script(**fields), ORIGIN)


def events(job: Job, now: float) -> list[dict[str, Any]]:
    """Oldest first."""
    return [job.event(i) for i in range(job.event_count(now))]


def messages(job: Job, now: float = LATE) -> list[str]:
    return [event["message"] for event in events(job, now)]


@st.composite
def scripts(draw: st.DrawFn) -> JobScript:
    steps = draw(st.integers(1, 60))
    seconds = st.sampled_from([0.0, 7.5, 60.0])
    timeline = {
        "steps": steps,
        "epochs": draw(st.integers(1, 5)),
        "seconds_per_step": draw(st.sampled_from([0.1, 3.0, 61.3])),
        **{name: draw(seconds) for name in ("queued", "preprocessing", "gpu_wait", "postprocessing", "evaluation")},
        "finished_after": draw(seconds),
    }
    step = st.integers(0, steps)
    outcome = draw(
        st.sampled_from(["succeeded", "pending"])
        | st.builds(
            lambda status, at: {"status": status, "at_step": at}, st.sampled_from(["failed", "cancelled"]), step
        )
        | st.builds(
            lambda status, during: {"status": status, "during": during},
            st.sampled_from(["failed", "cancelled", "on_holiday"]),
            st.sampled_from(["queue", "preprocessing", "postprocessing"]),
        )
    )
    pauses = draw(
        st.lists(
            st.builds(
                lambda at, lasts: {"at_step": at, "lasts": lasts},
                st.integers(1, steps),
                st.sampled_from([None, 0.0, 90.0]),
            ),
            max_size=2,
            unique_by=lambda pause: pause["at_step"],
        )
    )
    return script(
        timeline=timeline,
        outcome=outcome,
        pauses=pauses,
        validation_file=draw(st.sampled_from([None, "file-valid"])),
        validation_every=draw(st.integers(1, 7)),
        events={"every": draw(st.integers(1, 12)), "first_step": draw(st.booleans())},
        results={"cut": draw(st.booleans())},
    )


moments = st.floats(0, 8000, allow_nan=False)


@given(scripts(), moments, moments)
def test_everything_that_was_shown_once_is_shown_later_too(script: JobScript, a: float, b: float) -> None:
    job, earlier, later = Job(script, ORIGIN), ORIGIN + min(a, b), ORIGIN + max(a, b)
    seen = events(job, earlier)
    assert events(job, later)[: len(seen)] == seen
    if job.has_results(earlier):
        assert job.results(later).startswith(job.results(earlier))
    assert all(event["created_at"] <= earlier for event in seen)


@given(scripts(), moments)
def test_rows_events_and_checkpoints_agree_on_steps(script: JobScript, at: float) -> None:
    job, now = Job(script, ORIGIN), ORIGIN + at
    done = job.course.steps(now)
    content = job.results(now).decode()
    table = [line.split(",") for line in content[: content.rfind("\n")].split("\n")]
    assert [row[0] for row in table[1:]] == [str(step) for step in range(1, done + 1)]
    for event in events(job, now):
        if event["type"] == "metrics":
            row = dict(zip(table[0], table[event["data"]["step"]], strict=True))
            assert {name: float(cell) for name, cell in row.items() if cell} == event["data"]
    kept = job.checkpoints(now)
    assert len(kept) <= 3
    assert [c["step_number"] for c in kept] == sorted((c["step_number"] for c in kept), reverse=True)
    assert all(c["step_number"] <= done and c["created_at"] <= now for c in kept)


def test_a_successful_jobs_messages_are_the_recorded_ones_in_order() -> None:
    shown = [m for m in messages(job(validation_file="file-valid", timeline={"steps": 20})) if not m.startswith("Step")]
    results = script().results_file
    assert shown == [
        "Job enqueued. Waiting for jobs ahead to complete.",
        "Preprocessing running for file training file.",
        "Preprocessing completed for file training file.",
        "Preprocessing completed for file validation file.",
        "Job started.",
        "Data Import started.",
        "Finetuning started.",
        "Job queued, waiting for GPUs.",
        "Training started.",
        f"Created results file: {results}",
        "Job succeeded.",
        "Model Evaluation Passed.",
        f"Completed results file: {results}",
        "Training tokens billed: 2740",
    ]
