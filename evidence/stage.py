"""A sandbox and the processes that run in it, one after the other."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

from evidence.commands.case import Case, differences
from evidence.processes import ExitedCommand, Processes, Running
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.scenario.reader import Scenario
from sandbox.world import World

ATTEMPTS = 3
"""How often to try to meet a request: whether a run sends a last upload or heartbeat depends on wandb-core and the clock."""
UNSENT = "never sent again"
_UNAUTHORIZED = 401
_SHOWN = 12  # differences of one point
_OF_THE_WORLD = ("clock", "account_added", "account_removed")  # what a tenant has from its world, and keeps


class Failed(Exception):  # noqa: N818 - a finding, not an error of this program
    """A point of a matrix does not hold, or the undisturbed run failed. The text says why, for people."""


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run of a command.

    Attributes:
        operations: what it requests, in order.
        uses: the service of each requested operation, and how often it was requested with good credentials.
        end: the state that it leaves.
        later: the state after the case's pause and another run.
    """

    operations: tuple[str, ...]
    uses: Mapping[str, tuple[str, int]]
    end: Any
    later: Any


@dataclass(frozen=True)
class Point:
    """One disturbance.

    Attributes:
        where: the options that select it, by name.
        run: causes it, and returns a word for the result; raises Failed where it does not hold.
        once: points with the same text are tried in the first starting state of a command only.
    """

    where: Mapping[str, str]
    run: "Callable[[Stage], str]"
    once: str = ""


class Stage:
    """A sandbox with room for one command at a time."""

    def __init__(self, *, fork: bool = True) -> None:
        self._fork = fork
        self._stack = ExitStack()
        self._prepared: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        """Start the sandbox, and the process that commands are forked from."""
        self.cloud = self._stack.enter_context(Cloud(Scenario.load("contoso")))
        processes = Processes(self.cloud.directory, self.cloud.environment(None), fork=self._fork)
        self.processes = self._stack.enter_context(processes)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self._stack.close()

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.cloud.world

    def set(self, case: Case, faults: Sequence[Mapping[str, Any]] = ()) -> None:
        """Load the case's world and run the commands before the case's own.

        Raises:
            Failed: one of them failed.
        """
        self.cloud.load(Scenario.parse(dict(case.world)))
        if case.before and case.name not in self._prepared:
            for argv in case.before:
                self.finish(case, argv)
            prepared = {name: value for name, value in vars(self.world.tenant).items() if name not in _OF_THE_WORLD}
            self._prepared[case.name] = deepcopy(prepared)
            self.cloud.load(Scenario.parse(dict(case.world)))
        if case.before:
            vars(self.world.tenant).update(deepcopy(self._prepared[case.name]))
        self.world.faults.faults = [Fault.model_validate(each) for each in faults]

    def start(self, case: Case, argv: Sequence[str] | None = None) -> Running:
        """Start the case's command."""
        return self.processes.start(argv or case.argv, {**self.cloud.environment(case.principal), **case.environment})

    def finish(self, case: Case, argv: Sequence[str] | None = None) -> ExitedCommand:
        """Run the case's command, which must succeed.

        Raises:
            Failed: it did not.
        """
        ended = self.start(case, argv).ended()
        if ended.status:
            raise Failed(f"{' '.join(argv or case.argv)}: exit status {ended.status}\n{ended.out}{ended.err}")
        return ended

    def repeat(self, case: Case) -> None:
        """Run the case's command again, after the case's pause.

        Raises:
            Failed: it failed.
        """
        self.cloud.clock.advance(case.pause)
        self.finish(case)

    def compare(self, case: Case, expected: Any, what: str) -> None:
        """Compare the state with the state after an undisturbed run.

        Raises:
            Failed: they differ; the text begins with `what`.
        """
        if found := differences(expected, case.end(self.world)):
            raise Failed("\n    ".join([what, *found[:_SHOWN]]))

    def undisturbed(self, case: Case) -> Undisturbed:
        """Run the command without a disturbance.

        Raises:
            Failed: it fails, or requests something that the sandbox does not model.
        """
        self.set(case)
        self.finish(case)
        if unknown := [*self.world.unmodelled, *self.world.wandb.unsupported]:
            raise Failed(f"{case.name}: the sandbox does not know {unknown}")
        operations, uses, end = tuple(self.world.gate.seen), self._uses(), case.end(self.world)
        if case.pause:
            self.repeat(case)
        return Undisturbed(operations, uses, end, case.end(self.world))

    def _uses(self) -> Mapping[str, tuple[str, int]]:
        service: dict[str, str] = {}
        times: Counter[str] = Counter()
        for each in self.world.trace.exchanges:
            for one in (each.as_json(), *each.polls):
                if one["response"]["statusCode"] != _UNAUTHORIZED:  # refused for a missing token, so no fault applies
                    service[one["operation"]] = one["service"]
                    times[one["operation"]] += 1
        return {operation: (service[operation], n) for operation, n in times.items()}
