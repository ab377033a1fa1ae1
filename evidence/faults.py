"""The fault matrix: at every operation, first and last time, everything that may go wrong with a request.

The command then ends right, or stops with a clear error and the next run, which nothing disturbs, makes it good: what is
there must be what an undisturbed run leaves (`end` in commands/). A clear error is a JSON document with a documented code
and its exit status, a message and a hint, and no traceback.

An operation is tried in the first case of its command that uses it.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import click

from sandbox.runtime.faults import Faults
from sandbox.runtime.trace import Exchange

from . import matrix
from .commands.case import Case, differences
from .matrix import FAILED, Failed, Stages, Telling, examined, told_once
from .processes import ROOT, Ended
from .refusals import Trouble, troubles
from .stage import Stage, Undisturbed

RIGHT, HEALED = "right", "healed"
COLUMNS = ("429 s", "429 ms", "500", "503", "reset", "lost", "cut", "not JSON", "401", "403", "stall")
_SHOWN = 12  # differences of one point
_UNAUTHORIZED = 401


@dataclass(frozen=True)
class Point:
    """What goes wrong, with the n-th request of an operation (as sandbox/runtime/faults.py counts them)."""

    operation: str
    nth: int
    trouble: Trouble

    def __str__(self) -> str:
        return f"{self.operation}#{self.nth}: {self.trouble.name}"

    @property
    def fault(self) -> dict[str, Any]:
        """As a scenario says it."""
        return {"op": self.operation, "when": {"nth": [self.nth]}, "do": self.trouble.do}


@dataclass(frozen=True)
class Tried:
    """What became of a case: each point and what it came to."""

    case: Case
    points: Sequence[tuple[Point, str]]

    @property
    def good(self) -> int:
        """How many points ended right or healed."""
        return sum(said in (RIGHT, HEALED) for _, said in self.points)

    @property
    def line(self) -> str:
        """See Told."""
        return f"{self.case.name}: {self.good} of {len(self.points)}\n{table(self.points)}"

    @property
    def failures(self) -> list[str]:
        """See Told."""
        return told_once((str(at), said, self._again(at)) for at, said in self.points if said not in (RIGHT, HEALED))

    @property
    def document(self) -> dict[str, Any]:
        """See Told."""
        points = [
            {"operation": at.operation, "nth": at.nth, "fault": at.trouble.name, "came to": said}
            for at, said in self.points
        ]
        return {"command": self.case.command, "kind": self.case.kind, "good": self.good, "points": points}

    def _again(self, at: Point) -> str:
        case = f'--command {self.case.command} --kind "{self.case.kind}"'
        return f'python -m evidence.faults {case} --operation {at.operation} --fault "{at.trouble.name}"'


def table(points: Iterable[tuple[Point, str]]) -> str:
    """Operation by fault: the worst that it came to, first and last time together."""
    cells: dict[str, dict[str, str]] = {}
    order = (FAILED, HEALED, RIGHT)
    for at, said in points:
        row = cells.setdefault(at.operation, {})
        word = said.partition(":")[0]
        row[at.trouble.column] = min(row.get(at.trouble.column, RIGHT), word, key=order.index)
    header = f"  {'':<34}" + "".join(f"{column:>9}" for column in COLUMNS)
    rows = (f"  {op:<34}" + "".join(f"{row.get(column, '·'):>9}" for column in COLUMNS) for op, row in cells.items())
    return "\n".join([header, *rows])


def try_it(stage: Stage, case: Case, whole: Undisturbed, at: Point) -> str:
    """Run the case's command into a fault, and again where it stopped.

    Raises:
        Failed: the end is another one, the error is not clear, or the second run fails.
        Hangs: a run does not end.
    """
    stage.set(case, [at.fault])
    ended = stage.start(case).ended()
    if stage.world.faults.unmet:
        raise Failed("the request did not come again")
    stage.world.faults = Faults()
    if not ended.status:
        differ = differences(whole.end, case.end(stage.world))
        if not differ:
            return RIGHT
        _go_on(stage, case, whole)
        raise Failed("\n    ".join(["all well, it said, and left (the next run made it good):", *differ[:_SHOWN]]))
    if why := unclear(case, ended):
        raise Failed(f"{why}\n{ended.out}{ended.err}")
    _go_on(stage, case, whole)
    return HEALED


def _go_on(stage: Stage, case: Case, whole: Undisturbed) -> None:
    """The next run, which nothing disturbs."""
    ended = stage.start(case).ended()
    if ended.status:
        raise Failed(f"the next run ended with {ended.status}\n{ended.out}{ended.err}")
    if differ := differences(whole.end, case.end(stage.world)):
        raise Failed("\n    ".join(["after the next run the end is another one:", *differ[:_SHOWN]]))


def unclear(case: Case, ended: Ended) -> str:
    """What is wrong with how a command told its failure; nothing when it told it well."""
    if "Traceback" in ended.out + ended.err:
        return f"a traceback, and status {ended.status}"
    try:
        document = json.loads(ended.out)
    except ValueError:
        return f"no JSON document, and status {ended.status}"
    if document.get("ok") is not False:
        return f"status {ended.status}, and the document does not say that it failed"
    if error := document.get("error"):
        return _unclear_error(error, ended.status) if case.command != "sync" else _unclear_words(error)
    failed = [job for job in document.get("jobs", ()) if job["result"] == "failed"]
    return next(filter(None, (_unclear_words({"message": job["message"], "hint": job["hint"]}) for job in failed)), "")


def _unclear_error(error: Mapping[str, str], status: int) -> str:
    documented = _documented().get(error["code"])
    if documented != status:
        return f"{error['code']} with status {status}, documented is {documented}"
    return _unclear_words(error)


def _unclear_words(error: Mapping[str, str]) -> str:
    if not error["message"] or error["message"].lower().startswith("unexpected"):
        return f"the message does not say what happened: {error['message']!r}"
    return "" if error["hint"] else f"no hint: {error['message']!r}"


@cache
def _documented() -> dict[str, int]:
    """Code → exit status, from the contract's table."""
    page = (ROOT / "docs" / "cli-output.md").read_text(encoding="utf-8")
    return {code: int(status) for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page, re.MULTILINE)}


@dataclass(frozen=True)
class Use:
    """How a case uses an operation: which service's it is, and how often it is asked with good credentials."""

    operation: str
    service: str
    times: int


def uses(exchanges: Iterable[Exchange]) -> list[Use]:
    """The operations of a run, in order. What was refused for want of a token no fault would have met."""
    service: dict[str, str] = {}
    times: Counter[str] = Counter()
    for each in exchanges:
        for one in (each.as_json(), *each.polls):
            if one["response"]["statusCode"] != _UNAUTHORIZED:
                service[one["operation"]] = one["service"]
                times[one["operation"]] += 1
    return [Use(operation, service[operation], n) for operation, n in times.items()]


def points_of(case_uses: Sequence[Use], every: int = 1) -> list[Point]:
    """Everything that may go wrong, at the first and the last request of each operation; or every so many of these."""
    return list(_points(case_uses))[::every]


def _points(case_uses: Sequence[Use]) -> Iterator[Point]:
    for use in case_uses:
        for trouble in troubles(use.service, use.operation):
            for nth in sorted({1, use.times}) if trouble.column != "stall" else [1]:
                yield Point(use.operation, nth, trouble)


def examine(stages: Stages, case: Case, whole: Undisturbed, points: Sequence[Point]) -> Tried:
    """Try these points."""
    return Tried(case, examined(stages, try_it, case, whole, points))


def looked_at(stage: Stage, case: Case) -> tuple[Undisturbed, list[Use]]:
    """What a case comes to by itself, and which operations it uses."""
    whole = stage.undisturbed(case)
    return whole, uses(stage.world.trace.exchanges)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@matrix.options
@click.option("--operation", help="Only this operation.")
@click.option("--fault", metavar="TEXT", help="Only faults that have this in their name.")
def main(
    command: str | None,
    kind: str | None,
    every: int,
    jobs: int,
    *,
    as_json: bool,
    fork: bool,
    operation: str | None,
    fault: str | None,
) -> None:
    """Let requests fail in every way, operation by operation, and see that commands end right or heal.

    Exit status: 0 all do, 1 some does not.
    """
    telling = Telling(as_json)
    seen: set[tuple[str, str]] = set()
    with Stages(jobs, fork) as stages:
        cases = matrix.selected(command, kind)
        for case, (whole, used) in zip(cases, stages.each(looked_at, cases), strict=True):
            fresh = [use for use in used if (case.command, use.operation) not in seen]
            seen |= {(case.command, use.operation) for use in fresh}
            chosen = [
                point
                for point in points_of(fresh, every)
                if operation in (None, point.operation) and (fault is None or fault in point.trouble.name)
            ]
            if chosen:
                telling.case(examine(stages, case, whole, chosen))
    sys.exit(telling.end("faults: the command ended right, or told why and healed"))


if __name__ == "__main__":
    main()
