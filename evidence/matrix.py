"""What both matrices share: which cases, several stages at once, and how it is told."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import click

from .commands import CASES
from .commands.case import Case
from .pool import Pool
from .processes import Hangs
from .stage import NotThere, Stage, Undisturbed

_Point = TypeVar("_Point")
_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Failed(Exception):  # noqa: N818 - a finding, not a fault of this program
    """A point of a matrix does not hold; the text says why, for people."""


class Stages(Pool[Stage]):
    """So many sandboxes, each for one command at a time."""

    def __init__(self, jobs: int, fork: bool = True) -> None:  # noqa: FBT001, FBT002 (as --fork)
        super().__init__(lambda: Stage(fork=fork), jobs)

    def each(self, do: Callable[[Stage, _Point], _Result], items: Sequence[_Point]) -> Iterator[_Result]:
        """What `do` gives for every point, in order; on a terminal one sees how far it has come."""
        live = sys.stderr.isatty()
        for number, result in enumerate(super().each(do, items), 1):
            if live:
                sys.stderr.write(f"\r{number} of {len(items)}\x1b[K" if number < len(items) else "\r\x1b[K")
                sys.stderr.flush()
            yield result


def undisturbed(stage: Stage, case: Case) -> Undisturbed:
    """What a case comes to by itself."""
    return stage.undisturbed(case)


def examined(
    stages: Stages,
    do: Callable[[Stage, Case, Undisturbed, _Point], str],
    case: Case,
    whole: Undisturbed,
    points: Sequence[_Point],
) -> list[tuple[_Point, str]]:
    """Each of a case's points, with the word for what it came to, or why it does not hold after `FAILED: `."""

    def at(stage: Stage, point: _Point) -> str:
        try:
            return do(stage, case, whole, point)
        except (Failed, Hangs, NotThere) as why:
            return f"{FAILED}: {why}"

    return list(zip(points, stages.each(at, points), strict=True))


FAILED = "FAILED"


def told_once(failures: Iterable[tuple[str, str, str]]) -> list[str]:
    """Failures as (where, why, how to repeat it): those with the same reason together, and how to repeat the first of them."""
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for where, why, again in failures:
        by_reason.setdefault(why, []).append((where, again))
    return [
        f"  {'; '.join(where for where, _ in found)}\n    {why}\n    repeat it: {found[0][1]}"
        for why, found in by_reason.items()
    ]


def selected(command: str | None, kind: str | None) -> list[Case]:
    """The cases of a command and kind; all of them where none is named.

    Raises:
        click.UsageError: there is no such case.
    """
    found = [c for c in CASES if command in (None, c.command) and (kind is None or kind in c.kind)]
    if not found:
        known = "; ".join(c.name for c in CASES)
        raise click.UsageError(f"no such case. There are: {known}")
    return found


def options(command: _Command) -> _Command:
    """The options of both."""
    for option in reversed(
        (
            click.option("--command", type=click.Choice(sorted({c.command for c in CASES})), help="Only this command."),
            click.option("--kind", metavar="TEXT", help="Only cases whose kind has this in it."),
            click.option(
                "--every",
                type=click.IntRange(min=1),
                default=1,
                metavar="N",
                help="Only every N-th point of each case, always the same ones.",
            ),
            click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="At once."),
            click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
            click.option(
                "--fork/--no-fork",
                default=True,
                show_default=True,
                help="Fork the commands from a process that has the SDKs imported, or start each anew.",
            ),
        )
    ):
        command = option(command)
    return command


class Told(Protocol):
    """What a case came to."""

    @property
    def points(self) -> Sequence[object]:
        """All that was tried."""

    @property
    def good(self) -> int:
        """How many of these hold."""

    @property
    def line(self) -> str:
        """For people."""

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""

    @property
    def failures(self) -> Sequence[str]:
        """What does not hold, each with how to repeat it."""


@dataclass
class Telling:
    """Tells case by case, and sums up in the end."""

    as_json: bool
    told: list[Told] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def case(self, told: Told) -> None:
        """One case is done."""
        self.told.append(told)
        where = sys.stderr if self.as_json else sys.stdout
        where.write(told.line + "\n" + "".join(f"{failure}\n" for failure in told.failures))
        where.flush()

    def end(self, words: str) -> int:
        """Sum up; gives the exit status."""
        points, good = sum(len(each.points) for each in self.told), sum(each.good for each in self.told)
        seconds = time.monotonic() - self._began
        if self.as_json:
            cases = [each.document for each in self.told]
            document = {"ok": points == good, "points": points, "good": good, "seconds": round(seconds), "cases": cases}
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
        else:
            sys.stdout.write(f"{good} of {points} {words}, in {seconds / 60:.1f} minutes\n")
        return int(points != good)
