"""The crash matrix: a command is killed before and after every HTTP request that it makes, and run again.

For each request of an undisturbed run: the sandbox holds it (once before the service acts, once after it acted and before
it answers), the whole process is killed with SIGKILL, and the same command runs again to its end. What is there then must
be what the undisturbed run has left (what is compared: `end` in commands/). Requests are addressed by operation and number,
as threads may change their order.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import click

from sandbox.runtime.faults import Gate

from . import matrix
from .commands.case import Case, differences
from .matrix import Failed, Stages, Telling, examined, told_once
from .stage import Request, Stage, Undisturbed

_SHOWN = 12  # differences of one point
GOOD = "as undisturbed"


@dataclass(frozen=True)
class Point:
    """Where a command is killed: at this request, before the service acts or after it acted."""

    request: Request
    acted: bool

    def __str__(self) -> str:
        return f"{'after' if self.acted else 'before'} {self.request}"


@dataclass(frozen=True)
class Killed:
    """What became of a case: each point and what it came to."""

    case: Case
    requests: int
    points: Sequence[tuple[Point, str]]

    @property
    def good(self) -> int:
        """How many points ended as the undisturbed run."""
        return sum(said == GOOD for _, said in self.points)

    @property
    def line(self) -> str:
        """See Told."""
        return f"{self.case.name}: {self.good} of {len(self.points)} ({self.requests} requests)"

    @property
    def failures(self) -> list[str]:
        """See Told."""
        return told_once((f"killed {at}", said, self._again(at)) for at, said in self.points if said != GOOD)

    @property
    def document(self) -> dict[str, Any]:
        """See Told."""
        failed = [
            {"request": str(at.request), "acted": at.acted, "why": said, "repeat": self._again(at)}
            for at, said in self.points
            if said != GOOD
        ]
        told = {"command": self.case.command, "kind": self.case.kind, "requests": self.requests}
        return told | {"points": len(self.points), "good": self.good, "failed": failed}

    def _again(self, at: Point) -> str:
        when = "after" if at.acted else "before"
        case = f'--command {self.case.command} --kind "{self.case.kind}"'
        return f"python -m evidence.crash {case} --at {at.request} --when {when}"


def kill_and_finish(stage: Stage, case: Case, whole: Undisturbed, at: Point) -> str:
    """Kill the case's command at a point, run it again, and compare.

    Raises:
        Failed: the end is another one, or the second run fails.
        Hangs: a run does not end.
    """
    stage.set(case)
    gate = stage.world.gate = Gate(at.request.operation, at.request.nth, at.acted)
    try:
        running = stage.start(case)
        if running.ends_before(gate.reached.is_set):
            raise Failed(f"it did not come to {at.request}, and ended with {running.ended().status}")
        running.kill()
    finally:
        gate.opened.set()
    stage.world.gate = Gate()
    again = stage.start(case).ended()
    if again.status:
        raise Failed(f"the second run ended with {again.status}\n{again.out}{again.err}")
    if differ := differences(whole.end, case.end(stage.world)):
        raise Failed("\n    ".join(["the end is another one:", *differ[:_SHOWN]]))
    return GOOD


def points_of(whole: Undisturbed, every: int = 1) -> list[Point]:
    """Every request of a run, before and after; or every so many of these."""
    return [Point(request, acted) for request, acted in product(whole.requests, (False, True))][::every]


def examine(stages: Stages, case: Case, whole: Undisturbed, points: Sequence[Point]) -> Killed:
    """Kill and finish at each of these points."""
    return Killed(case, len(whole.requests), examined(stages, kill_and_finish, case, whole, points))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@matrix.options
@click.option("--at", metavar="OPERATION#N", help="Only at this request.")
@click.option("--when", type=click.Choice(["before", "after"]), help="Only before, or only after the service acts.")
def main(
    command: str | None,
    kind: str | None,
    every: int,
    jobs: int,
    *,
    as_json: bool,
    fork: bool,
    at: str | None,
    when: str | None,
) -> None:
    """Kill commands at every request, run them again, and compare the end with that of an undisturbed run.

    Exit status: 0 every end is the same, 1 some is not.
    """
    telling = Telling(as_json)
    with Stages(jobs, fork) as stages:
        cases = matrix.selected(command, kind)
        for case, whole in zip(cases, stages.each(matrix.undisturbed, cases), strict=True):
            chosen = [
                point
                for point in points_of(whole, every)
                if at in (None, str(point.request)) and (when is None or point.acted == (when == "after"))
            ]
            telling.case(examine(stages, case, whole, chosen))
    sys.exit(telling.end("killed and run again: the same end"))


if __name__ == "__main__":
    main()
