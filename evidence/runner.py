"""Runs a matrix: disturbs commands in their starting states at one point after the other, in several sandboxes at once."""

import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import click

from evidence import canary, crash, faults
from evidence.commands import CASES, KILLED
from evidence.commands.canary import CASES as CANARY
from evidence.commands.case import Case
from evidence.processes import HungError
from evidence.report import report
from evidence.stage import UNSENT, Failed, Point, Stage

FAILED = "FAILED: "
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Each = Callable[[Callable[[Stage, _Item], _Result], Sequence[_Item]], Iterator[_Result]]


@dataclass(frozen=True)
class CaseResult:
    """The points of a case, each with its result."""

    matrix: str
    case: Case
    results: Sequence[tuple[Point, str]]

    @property
    def failed(self) -> list[tuple[Point, str]]:
        """The points that do not hold."""
        return [(point, result) for point, result in self.results if result.startswith(FAILED)]

    @property
    def tried(self) -> int:
        """The number of points, without those whose request was never sent again."""
        return sum(result != UNSENT for _, result in self.results)

    def lines(self) -> Iterator[str]:
        """Yield a summary, then the failures grouped by reason, each group with a command that repeats one."""
        words = Counter(result.partition(":")[0] for _, result in self.results)
        yield f"{self.case.name}: " + ", ".join(f"{count} {word}" for word, count in words.items())
        by_reason: dict[str, list[Point]] = {}
        for point, result in self.failed:
            by_reason.setdefault(result, []).append(point)
        for reason, points in by_reason.items():
            yield "  " + "; ".join(" ".join(point.where.values()) for point in points)
            yield f"    {reason}"
            yield f"    repeat it: {self.repeat(points[0])}"

    def repeat(self, point: Point) -> str:
        """Return the command that runs one point."""
        selected = {"command": self.case.command, "kind": self.case.kind, **point.where}
        options = [part for name, value in selected.items() for part in (f"--{name}", value)]
        return shlex.join(["python", "-m", "evidence", self.matrix, *options])


@contextmanager
def stages(jobs: int) -> Iterator[_Each[Any, Any]]:
    """Start `jobs` sandboxes. Yield a function like `map`, which runs each item in one of them and keeps the order."""
    own, stack = threading.local(), ExitStack()

    def start() -> None:
        own.stage = stack.enter_context(Stage())

    with stack, ThreadPoolExecutor(jobs, thread_name_prefix="evidence", initializer=start) as pool:

        def each(do: Callable[[Stage, _Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
            for number, result in enumerate(pool.map(lambda item: do(own.stage, item), items), 1):
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{number} of {len(items)}\x1b[K" if number < len(items) else "\r\x1b[K")
                yield result

        try:
            yield each
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def attempt(stage: Stage, point: Point) -> str:
    """Run a point. Return its result, with the reason if it does not hold."""
    try:
        return point.run(stage)
    except (Failed, HungError) as why:
        return f"{FAILED}{why}"


@dataclass(frozen=True)
class Matrix:
    """A command of this program.

    Attributes:
        name: the command's name.
        points: returns the points of a case, after an undisturbed run of it.
        cases: every case.
        does: what the command does.
        good: what holds, after "N of N".
        where: the options that select points, with their help.
    """

    name: str
    points: Callable[[Stage, Case], Sequence[Point]]
    cases: Sequence[Case]
    does: str
    good: str
    where: Mapping[str, str]

    def selected(self, command: str | None, kind: str | None) -> list[Case]:
        """Return the cases of a command and kind; all of them where none is named.

        Raises:
            click.UsageError: there is no such case.
        """
        found = [c for c in self.cases if command in (None, c.command) and (kind is None or kind in c.kind)]
        if not found:
            raise click.UsageError(f"no such case. There are: {'; '.join(case.name for case in self.cases)}")
        return found

    def examine(
        self, cases: Sequence[Case], where: Mapping[str, str], *, every: int, jobs: int
    ) -> Iterator[CaseResult]:
        """Run the points of each case that the options select."""
        tried: set[tuple[str, str]] = set()
        with stages(jobs) as each:
            for case, found in zip(cases, each(self.points, cases), strict=True):
                fresh = [point for point in found if (case.command, point.once) not in tried]
                tried |= {(case.command, point.once) for point in fresh if point.once}
                chosen = [p for p in fresh[::every] if all(fnmatchcase(p.where[k], v) for k, v in where.items())]
                if chosen:
                    yield CaseResult(self.name, case, list(zip(chosen, each(attempt, chosen), strict=True)))

    def run(self, command: str | None, kind: str | None, every: int, jobs: int, **where: str | None) -> None:
        """Run it with its options, and exit."""
        began, done = time.monotonic(), []
        patterns = {name: pattern for name, pattern in where.items() if pattern is not None}
        for each in self.examine(self.selected(command, kind), patterns, every=every, jobs=jobs):
            done.append(each)
            click.echo("\n".join(each.lines()))
        points, failed = sum(each.tried for each in done), sum(len(each.failed) for each in done)
        minutes = (time.monotonic() - began) / 60
        click.echo(f"{points - failed} of {points} {self.good}, in {minutes:.1f} minutes")
        sys.exit(int(failed > 0 or not points))

    def command(self) -> click.Command:
        """Return it as a command with its options."""
        patterns = [
            click.Option([f"--{name}"], metavar="PATTERN", help=f"{text} (* matches anything).")
            for name, text in self.where.items()
        ]
        options: list[click.Parameter] = [
            click.Option(["--command"], help="Only this command."),
            click.Option(["--kind"], metavar="TEXT", help="Only starting states that have this in their name."),
            *patterns,
            click.Option(["--every"], type=_COUNT, default=1, metavar="N", help="Only every N-th point of a case."),
            click.Option(["--jobs"], type=_COUNT, default=2, show_default=True, help="Sandboxes at once."),
        ]
        exits = "Exit status: 0 every point holds, 1 one does not, or none was run."
        return click.Command(self.name, callback=self.run, params=options, help=f"{self.does}\n\n{exits}")


_COUNT = click.IntRange(min=1)
MATRICES = (
    Matrix(
        "crash",
        crash.points,
        KILLED,
        "Kill commands before and after every request, and run them again.",
        "killed and run again: the same end",
        {"at": "Only at this request, OPERATION#N", "when": "Only before, or after, the service acts"},
    ),
    Matrix(
        "faults",
        faults.points,
        CASES,
        "Let requests fail in every way, operation by operation.",
        "faults: the command ended right, or reported why and healed",
        {"operation": "Only this operation", "fault": "Only this fault", "nth": "Only the N-th request"},
    ),
    Matrix(
        "canary",
        canary.points,
        CANARY,
        "Run every command in every kind of trouble, and search everything that it leaves for secrets.",
        "runs leak no secret",
        {"trouble": "Only this trouble"},
    ),
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, commands=[report, *(each.command() for each in MATRICES)]
)
def main() -> None:
    """Check the claims of this project."""
