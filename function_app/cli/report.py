"""Show the outcomes of a sync: a table that grows line by line for people, or one JSON document for programs."""

import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import NoReturn, Protocol

from function_app.cli.console import USUAL_WIDTH, Progress, echo, echo_error, echo_json
from function_app.errors import SyncError
from function_app.models import Outcome, Result
from function_app.text import duration

_COLUMNS = ("RESULT", "JOB", "STATUS", "STEP", "WHAT")
_WIDTHS = (7, 38, 9, 6)  # widths of all columns but the last; a job id has 38 characters
_GAP = "  "
_WHAT_AT = sum(_WIDTHS) + len(_GAP) * len(_WIDTHS)
_INDENT = " " * (_WIDTHS[0] + len(_GAP))
_TABLE_FROM = 90  # columns of the terminal; on a narrower one a job takes several short lines
_UNEVENTFUL = (Result.CURRENT, Result.SKIPPED)
_COLOURS = {Result.SYNCED: "green", Result.FAILED: "red", Result.SKIPPED: "yellow", Result.PENDING: "cyan"}


INTERRUPTED = 130
"""The exit status after Ctrl-C."""


class InterruptedError(SyncError):  # noqa: A001 (its name is the code in documents, as in provisioning)
    """Ctrl-C ended a command."""


class Report(Protocol):
    """Receives the progress of a sync and its result."""

    def begins(self, jobs: int) -> None:
        """Called with the number of jobs to mirror."""

    def outcome(self, outcome: Outcome) -> None:
        """Called when a job is done for now."""

    def waits(self, jobs: int, seconds: float) -> None:
        """Called with the number of jobs that continue, and the seconds until the next check."""

    def stops(self) -> None:
        """Called after Ctrl-C; the jobs in progress stop soon."""

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """Called when all jobs are done or the sync was interrupted. `note` is a sentence to add."""

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Called if the sync could not start."""


class Table:
    """Prints a few lines for each job, then a summary; on a terminal also the progress."""

    def __init__(self, *, everything: bool, width: int | None = None) -> None:
        """Create a table on stdout of `everything`, or of changes only. `width` is in columns; the default is the terminal's."""
        self._everything = everything
        self._width = width or shutil.get_terminal_size((USUAL_WIDTH, 24)).columns
        self._told: dict[tuple[str, str], Outcome] = {}
        self._links: set[str] = set()
        self._reasons: set[str] = set()
        self._stopped = False
        self._headed = False
        self._progress = Progress(self._width)
        self._jobs = self._done = 0

    def begins(self, jobs: int) -> None:
        """Start to show the progress."""
        self._jobs, self._done = jobs, 0
        self._show_progress()

    def outcome(self, outcome: Outcome) -> None:
        """Show a job's outcome if something changed."""
        key = (outcome.account, outcome.job)
        before, self._told[key] = self._told.get(key), outcome
        self._done += outcome.result in (Result.SYNCED, Result.FAILED)
        if _has_news(before, outcome) and self._belongs(outcome):
            self._progress.clear()
            self._show(outcome)
        self._show_progress()

    def waits(self, jobs: int, seconds: float) -> None:
        """Show what the sync is waiting for."""
        self._progress.show(f"{_jobs(jobs)} in progress; next check in {duration(seconds)}, Ctrl-C to stop")

    def stops(self) -> None:
        """Confirm that the sync is stopping."""
        self._stopped = True
        self._progress.clear()
        echo("Stopping. This takes a moment; runs in progress keep what they have …", err=True)

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """Print a summary, and the next step for each failure."""
        self._progress.clear()
        echo(_summary(outcomes, everything=self._everything), err=True)
        for outcome in outcomes:
            for warning in outcome.warnings:
                echo(f"{outcome.job}: {warning}", fg="yellow", err=True)
        for result in (Result.SKIPPED, Result.FAILED):  # print repeated messages once
            counts = Counter((each.message, each.hint) for each in outcomes if each.result is result)
            for (why, hint), times in counts.items():
                echo(f"{times} {result}: {_sentence(why)} {hint}".rstrip(), err=True)
        if note:
            echo(note, err=True)
        if interrupted:
            echo_error("Interrupted. What was written remains.", "Run the same command again: it continues from there.")

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Print the error and the next step."""
        self._progress.clear()
        echo_error(error.message, error.hint)
        sys.exit(status)

    def _belongs(self, outcome: Outcome) -> bool:
        """Return whether to show a job, because something happened to it."""
        if self._everything:
            return True
        if outcome.result is Result.PENDING and self._stopped:
            return bool(outcome.actions or outcome.steps)
        return outcome.result not in _UNEVENTFUL

    def _show(self, outcome: Outcome) -> None:
        if self._width >= _TABLE_FROM and not self._headed:
            echo(_row(_COLUMNS), bold=True)
            self._headed = True
        again = outcome.result is Result.FAILED and outcome.message in self._reasons
        self._reasons.add(outcome.message)
        for line in _lines(replace(outcome, message="the same") if again else outcome, self._width):
            echo(line, fg=_COLOURS.get(outcome.result))
        if outcome.run_url and outcome.run_url not in self._links:  # never wrapped, so that the link can be clicked
            self._links.add(outcome.run_url)
            echo(f"{_INDENT}{outcome.run_url}", fg=_COLOURS.get(outcome.result))

    def _show_progress(self) -> None:
        if self._done < self._jobs:
            self._progress.show(f"{self._done} of {_jobs(self._jobs)} done …")


class Document:
    """Prints one JSON document at the end, also after a failure."""

    def begins(self, jobs: int) -> None:
        """Do nothing: the document is printed at the end."""

    def outcome(self, outcome: Outcome) -> None:
        """Do nothing: the document is printed at the end."""

    def waits(self, jobs: int, seconds: float) -> None:
        """Do nothing: the document is printed at the end."""

    def stops(self) -> None:
        """Do nothing: the document is printed at the end."""

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """Print the document."""
        ok = not interrupted and all(outcome.result is not Result.FAILED for outcome in outcomes)
        jobs = [asdict(outcome) for outcome in outcomes]
        echo_json({"ok": ok, "interrupted": interrupted, "note": note, "jobs": jobs})

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Print a document with the error."""
        details = {"code": _code(error), "message": error.message, "hint": error.hint}
        echo_json({"ok": False, "error": details})
        sys.exit(status)


def fail(error: SyncError, output: str, status: int = 1) -> NoReturn:
    """Report an error that ends the command, as a document if `output` is "json", and exit."""
    report: Report = Document() if output == "json" else Table(everything=False)
    report.failed(error, status)


def fail_interrupted(output: str, message: str = "Interrupted.", hint: str = "Run the same command again.") -> NoReturn:
    """Report Ctrl-C like an error, and exit."""
    fail(InterruptedError(message, hint), output, INTERRUPTED)


def added_up(before: Iterable[Outcome], after: Iterable[Outcome]) -> list[Outcome]:
    """Merge the outcomes of two consecutive ticks."""
    earlier = {(outcome.account, outcome.job): outcome for outcome in before}
    return [_added(earlier.get((outcome.account, outcome.job)), outcome) for outcome in after]


def _added(before: Outcome | None, after: Outcome) -> Outcome:
    if before is None or before.result is not Result.SYNCED:
        return after
    return replace(
        after,
        result=Result.SYNCED if after.result is Result.CURRENT else after.result,
        steps=before.steps + after.steps,
        actions=tuple(dict.fromkeys((*before.actions, *after.actions))),
        warnings=tuple(dict.fromkeys((*before.warnings, *after.warnings))),
    )


def _has_news(before: Outcome | None, now: Outcome) -> bool:
    if before is None or now.actions or now.steps:
        return True
    return (before.result, before.status, before.message) != (now.result, now.status, now.message)


def _lines(outcome: Outcome, width: int) -> list[str]:
    """Format one outcome as a row of the table, or as short lines on a narrow terminal."""
    job, what = outcome.job or f"({outcome.account})", outcome.summary
    if width >= _TABLE_FROM:
        step = "" if outcome.last_step is None else str(outcome.last_step)
        first, *more = textwrap.wrap(what, width - _WHAT_AT) or [""]
        return [_row((outcome.result, job, outcome.status, step, first)), *(" " * _WHAT_AT + line for line in more)]
    at = "" if outcome.last_step is None else f", step {outcome.last_step}"
    text = f"{outcome.status}{at}: {what}" if outcome.status else what
    wrapped = textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [f"{outcome.result:{_WIDTHS[0]}}{_GAP}{job}", *wrapped]


def _row(cells: Sequence[str]) -> str:
    return _GAP.join([*(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)), cells[-1]]).rstrip()


def _summary(outcomes: Sequence[Outcome], *, everything: bool) -> str:
    if not outcomes:
        return "No fine-tuning jobs found."
    counts = Counter(outcome.result for outcome in outcomes if outcome.job)
    results = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    parts = [f"{_jobs(counts.total())}: {results}" if results else _jobs(0)]
    if accounts := len(outcomes) - counts.total():
        parts.append(f"{accounts} unreachable account{'s' * (accounts > 1)}")
    hidden = [result for result in _UNEVENTFUL if counts[result]]
    if hidden and not everything:
        parts.append(f"-v lists those that are {' or '.join(hidden)}")
    return "; ".join(parts)


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _code(error: SyncError) -> str:
    """Return the error's code for programs: the name of its class in kebab-case, as in provisioning."""
    words = re.findall("[A-Z][a-z]*", type(error).__name__.removesuffix("Error"))
    return "-".join(words).lower()
