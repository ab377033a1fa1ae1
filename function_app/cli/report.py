"""How the outcomes of a sync reach people, or programs: a table that grows line by line, or one JSON document."""

import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import NoReturn, Protocol

from function_app.cli.console import USUAL_WIDTH, Progress, echo, echo_json, echo_lines
from function_app.errors import SyncError
from function_app.models import Outcome, Result

_COLUMNS = ("RESULT", "JOB", "STATUS", "STEP", "WHAT")
_WIDTHS = (7, 38, 9, 6)  # of all columns but the last; a job id has 38 characters
_GAP = "  "
_WHAT_AT = sum(_WIDTHS) + len(_GAP) * len(_WIDTHS)
_INDENT = " " * (_WIDTHS[0] + len(_GAP))
_TABLE_FROM = 90  # columns; on a narrower terminal a job takes several short lines
_UNEVENTFUL = (Result.CURRENT, Result.SKIPPED)
_COLOURS = {Result.SYNCED: "green", Result.FAILED: "red", Result.SKIPPED: "yellow", Result.PENDING: "cyan"}


INTERRUPTED = 130
"""The exit status after Ctrl-C."""


class Report(Protocol):
    """What a sync tells while it runs, and at its end."""

    def begins(self, jobs: int) -> None:
        """So many jobs are going to be mirrored now."""

    def outcome(self, outcome: Outcome) -> None:
        """One job is done, for now."""

    def waits(self, jobs: int, seconds: float) -> None:
        """So many jobs go on; the next look is in so many seconds."""

    def stops(self) -> None:
        """Somebody pressed Ctrl-C; the jobs at work are going to be left soon."""

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """All is done, or was interrupted; `note` is one sentence to add."""

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Nothing could be done at all."""


class Table:
    """A few lines for each job as it is done, and one that sums up; on a terminal also how far it has come."""

    def __init__(self, *, everything: bool, width: int | None = None) -> None:
        """A table on stdout: of `everything`, or of what is news; `width` in columns, the terminal's unless said."""
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
        """Show how far it has come, from here on."""
        self._jobs, self._done = jobs, 0
        self._show_progress()

    def outcome(self, outcome: Outcome) -> None:
        """Show a job's outcome, if there is news in it."""
        key = (outcome.account, outcome.job)
        before, self._told[key] = self._told.get(key), outcome
        self._done += outcome.result in (Result.SYNCED, Result.FAILED)
        if _has_news(before, outcome) and self._belongs(outcome):
            self._progress.clear()
            self._show(outcome)
        self._show_progress()

    def waits(self, jobs: int, seconds: float) -> None:
        """Show what is waited for."""
        self._progress.show(f"{_jobs(jobs)} going on; next look in {seconds:g} s, Ctrl-C ends this")

    def stops(self) -> None:
        """Say that it was heard."""
        self._stopped = True
        self._progress.clear()
        echo("Stopping. Runs at work are left as they stand, which takes a moment …", err=True)

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """Sum up, and say what to do about what failed."""
        self._progress.clear()
        echo(_summary(outcomes, everything=self._everything), err=True)
        for outcome in outcomes:
            for warning in outcome.warnings:
                echo(f"{outcome.job}: {warning}", fg="yellow", err=True)
        for result in (Result.SKIPPED, Result.FAILED):  # what happened many times is said once
            told = Counter((each.message, each.hint) for each in outcomes if each.result is result)
            for (why, hint), times in told.items():
                echo(f"{times} {result}: {_sentence(why)} {hint}".rstrip(), err=True)
        if note:
            echo(note, err=True)
        if interrupted:
            echo("Interrupted. What is shown stands; run the same command again to go on.", err=True)

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Say what happened and what to do."""
        self._progress.clear()
        echo_lines(f"Error: {error.message}", fg="red", err=True)
        if error.hint:
            echo(error.hint, err=True)
        sys.exit(status)

    def _belongs(self, outcome: Outcome) -> bool:
        """Whether a job is one that people want to see, as something happened to it."""
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
        if (
            outcome.run_url and outcome.run_url not in self._links
        ):  # in one piece, however long, so that it can be clicked
            self._links.add(outcome.run_url)
            echo(f"{_INDENT}{outcome.run_url}", fg=_COLOURS.get(outcome.result))

    def _show_progress(self) -> None:
        if self._done < self._jobs:
            self._progress.show(f"{self._done} of {_jobs(self._jobs)} done …")


class Document:
    """One JSON document at the end, also of a failure."""

    def begins(self, jobs: int) -> None:
        """Nothing: the document comes when all is done."""

    def outcome(self, outcome: Outcome) -> None:
        """Nothing: the document comes when all is done."""

    def waits(self, jobs: int, seconds: float) -> None:
        """Nothing: the document comes when all is done."""

    def stops(self) -> None:
        """Nothing: the document comes when all is done."""

    def done(self, outcomes: Sequence[Outcome], *, note: str = "", interrupted: bool = False) -> None:
        """Print it."""
        ok = not interrupted and all(outcome.result is not Result.FAILED for outcome in outcomes)
        jobs = [asdict(outcome) for outcome in outcomes]
        echo_json({"ok": ok, "interrupted": interrupted, "note": note, "jobs": jobs})

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Print that instead."""
        said = {"code": _code(error), "message": error.message, "hint": error.hint}
        echo_json({"ok": False, "error": said})
        sys.exit(status)


def fail(error: SyncError, output: str, status: int = 1) -> NoReturn:
    """Report an error that ends the command, as one document where `output` is "json", and exit."""
    report: Report = Document() if output == "json" else Table(everything=False)
    report.failed(error, status)


def added_up(before: Iterable[Outcome], after: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes of two ticks, one after the other, as if they had been one."""
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
    """One outcome: as a row of the table, or narrow."""
    job, what = outcome.job or f"({outcome.account})", outcome.summary
    if width >= _TABLE_FROM:
        step = "" if outcome.last_step is None else str(outcome.last_step)
        first, *more = textwrap.wrap(what, width - _WHAT_AT) or [""]
        return [_row((outcome.result, job, outcome.status, step, first)), *(" " * _WHAT_AT + line for line in more)]
    at = "" if outcome.last_step is None else f", step {outcome.last_step}"
    said = f"{outcome.status}{at}: {what}" if outcome.status else what
    wrapped = textwrap.wrap(said, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [f"{outcome.result:{_WIDTHS[0]}}{_GAP}{job}", *wrapped]


def _row(cells: Sequence[str]) -> str:
    return _GAP.join([*(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)), cells[-1]]).rstrip()


def _summary(outcomes: Sequence[Outcome], *, everything: bool) -> str:
    if not outcomes:
        return "No fine-tuning jobs found."
    counts = Counter(outcome.result for outcome in outcomes if outcome.job)
    said = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    parts = [f"{_jobs(counts.total())}: {said}" if said else _jobs(0)]
    if accounts := len(outcomes) - counts.total():
        parts.append(f"{accounts} account{'s' * (accounts > 1)} could not be asked")
    hidden = [result for result in _UNEVENTFUL if counts[result]]
    if hidden and not everything:
        parts.append(f"-v lists those that are {' or '.join(hidden)}")
    return "; ".join(parts)


def _jobs(count: int) -> str:
    return f"{count} job{'s' * (count != 1)}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _code(error: SyncError) -> str:
    """What programs know an error by: its class's name, as provisioning's codes are written."""
    words = re.findall("[A-Z][a-z]*", type(error).__name__.removesuffix("Error"))
    return "-".join(words).lower()
