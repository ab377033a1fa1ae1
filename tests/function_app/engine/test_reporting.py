"""What people are alerted to, and what is reported about an ended job."""

from typing import Any

import pytest

from function_app.engine.reporting import alert_of, condition_of, figures_in_words, is_news
from function_app.models import Event, Job, JobError

NOW = 1_800_000_000.0
DAY = 86_400


def a_job(status: str, **values: Any) -> Job:
    return Job("ftjob-1", "aoai", status, "gpt-4.1", int(NOW - 5 * DAY), "file-1", **values)


def log(ago: float) -> list[Event]:
    started = Event("f", int(NOW - ago - 500), "Training started.")
    return [Event("e", int(NOW - ago), "Step 1: training loss=1"), started]


@pytest.mark.parametrize(
    ("status", "quiet", "condition"),
    [
        ("failed", 5 * DAY, "failed"),
        ("paused", 5, "paused"),
        ("pausing", 5, ""),
        ("running", 3601, "overdue"),
        ("running", 3599, ""),
        ("dreaming", 3601, "overdue"),
        ("succeeded", 3601, ""),
        ("cancelled", 3601, ""),
    ],
)
def test_the_condition_of_a_job_follows_from_its_status_and_its_log(status: str, quiet: float, condition: str) -> None:
    assert condition_of(a_job(status), log(quiet), NOW, 3600) == condition
    assert condition_of(a_job(status), log(quiet), NOW, None) == condition.replace("overdue", "")


@pytest.mark.parametrize(
    ("ago", "before", "news"),
    [(3600, None, True), (2 * DAY, None, False), (2 * DAY, "running", True), (2 * DAY, "failed", False)],
)
def test_a_failure_is_recent_by_its_log_or_if_the_job_was_followed(ago: float, before: str | None, news: bool) -> None:
    """Azure moves `finished_at` by weeks when a file of the job is deleted (recorded)."""
    assert is_news(a_job("failed", finished_at=int(NOW)), log(ago), NOW, before) is news


def test_an_alert_names_the_cause_only_if_the_service_does() -> None:
    error = JobError("400", "File preprocessing <!channel> failed.")
    failed = alert_of(a_job("failed", error=error), "failed", [], NOW).text
    assert "400: File preprocessing" in failed
    assert "<!channel>" not in failed
    assert "no reason given" in alert_of(a_job("failed"), "failed", [], NOW).text
    assert "gives no reason" in alert_of(a_job("paused"), "paused", [], NOW).text
    assert "by itself" in alert_of(a_job("paused", training_type="developerTier"), "paused", [], NOW).text
    assert "no news in its log for 120 minutes" in alert_of(a_job("running"), "overdue", log(7200), NOW).text


def test_an_alert_is_as_short_as_a_chat_shows_it() -> None:
    job = a_job("failed", suffix="s" * 64, error=JobError("400", "@here " * 500))
    alert = alert_of(job, "failed", [], NOW)
    assert (len(alert.title), len(alert.text)) == (63, 1000)
    assert alert.text.startswith(f"{job.id} on {job.account}\n400: @\u2060here")


def test_billing_time_and_cost_are_short_phrases() -> None:
    summary = {"billed_tokens": 46000, "cost": 0.138, "duration_s": 4785, "queue_s": 1415}
    took = "took 1 h 19 min, 23 min 35 s of it in the queue"
    assert figures_in_words(summary) == ["46,000 tokens billed", "cost 0.14", took]
    assert figures_in_words({"billed_hours": 1.5, "estimated_cost": 3}) == ["1.5 hours billed", "cost about 3.00"]
    assert figures_in_words({"cost": 0.004}) == ["cost less than 0.01"]
    assert figures_in_words({}) == []
