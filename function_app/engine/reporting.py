"""Reports about a job besides its curves: alerts when something happens, and its figures in one line. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from function_app.data.jobs.description import name_of
from function_app.data.jobs.prices import Price
from function_app.models import TERMINAL, Event, Job
from function_app.text import duration, money, one_line, without_mentions

FAILED, PAUSED, OVERDUE = "failed", "paused", "overdue"
"""The conditions of a job that cause an alert."""

_TITLE, _TEXT = 63, 1000
"""The maximum lengths of an alert's title and text. W&B documents under 64 characters for titles; a limit for
texts is UNVERIFIED."""

_NEWS_FOR = 24 * 3600.0  # seconds after a condition began, so that a backfill causes no alerts
_FIGURES = (
    *("queue_s", "duration_s", "estimated_finish", "total_steps"),
    *("billed_tokens", "billed_hours", "grader_tokens", "cost", "estimated_cost"),
)


@dataclass(frozen=True)
class Reporting:
    """The settings of reports.

    Attributes:
        prices: the user's price table.
        overdue_after: seconds without news after which a job is overdue; None for never.
    """

    prices: tuple[Price, ...]
    overdue_after: float | None


@dataclass(frozen=True)
class Alert:
    """A notification: its title, its text, and a phrase for the outcome."""

    title: str
    text: str
    action: str


def condition_of(job: Job, events: Sequence[Event], now: float, overdue_after: float | None) -> str:
    """Return the condition of a job that people should know about; empty if there is none."""
    if job.status in (FAILED, PAUSED):
        return job.status
    quiet = now - _last_news(job, events)
    unfinished = job.status not in TERMINAL
    return OVERDUE if unfinished and overdue_after is not None and quiet > overdue_after else ""


def is_news(job: Job, events: Sequence[Event], now: float, before: str | None, *, after: float = 0.0) -> bool:
    """Return whether a condition is new enough for an alert: it began recently, or the last tick saw another status.

    Args:
        job: the job.
        events: its events.
        now: seconds since the epoch.
        before: the status at the last tick; None for a new job.
        after: seconds from the last event to the beginning of the condition.
    """
    recent = now - _last_news(job, events) - after <= _NEWS_FOR
    return recent or (before not in (None, job.status) and before not in TERMINAL)


def alert_of(job: Job, condition: str, events: Sequence[Event], now: float) -> Alert:
    """Return the alert for a job's condition."""
    if condition == FAILED:
        error = job.error
        text = f"{error.code}: {error.message}" if error else "no reason given"
        return _alert(job, "failed", text, "alert")
    if condition == PAUSED:
        return _alert(job, "paused", _why_paused(job), "alert: paused")
    quiet = int(now - _last_news(job, events)) // 60
    text = f"Status {job.status}, and no news in its log for {quiet:,} minutes."
    return _alert(job, "overdue", text, "alert: overdue")


def _alert(job: Job, what: str, text: str, action: str) -> Alert:
    title = without_mentions(f"Fine-tuning {what}: {name_of(job)}")
    whole = without_mentions(f"{job.id} on {job.account}\n{one_line(text)}")
    return Alert(_shortened(title, _TITLE), _shortened(whole, _TEXT), action)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _why_paused(job: Job) -> str:
    """Return a sentence about a pause. No recorded answer of the service contains a reason."""
    if job.developer_tier:
        return "The service gives no reason. It pauses and resumes Developer-tier jobs by itself."
    return "The service gives no reason. The job continues when somebody resumes it."


def _last_news(job: Job, events: Sequence[Event]) -> float:
    return max((event.created_at for event in events), default=job.created_at)


def figures_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a run's summary that goes into the outcome: times, progress, billing and cost, as far as they
    are known.
    """
    return {name: summary[name] for name in _FIGURES if summary.get(name) is not None}


def figures_in_words(summary: Mapping[str, Any]) -> list[str]:
    """Return the billing, time and cost of an ended job, each as a short phrase."""
    phrases = []
    if (tokens := summary.get("billed_tokens")) is not None:
        phrases.append(f"{tokens:,} tokens billed")
    if (hours := summary.get("billed_hours")) is not None:
        phrases.append(f"{hours:g} hours billed")
    if (cost := summary.get("cost")) is not None:
        phrases.append(f"cost {money(cost)}")
    elif (cost := summary.get("estimated_cost")) is not None:
        phrases.append(f"cost {money(cost, about=True)}")
    if (seconds := summary.get("duration_s")) is not None:
        queued = summary.get("queue_s")
        phrases.append(f"took {duration(seconds)}" + (f", {duration(queued)} of it in the queue" if queued else ""))
    return phrases
