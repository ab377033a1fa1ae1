"""Where the matrices play: one sandbox, and processes that live in it, one after the other."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sandbox.azure.tenant import Tenant
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.scenario.reader import Scenario
from sandbox.world import World

from .commands.case import Case
from .processes import Ended, Processes, Running


class NotThere(Exception):  # noqa: N818 - the undisturbed run is what cannot be had
    """A command failed that nothing disturbed, so that there is nothing to compare with."""


@dataclass(frozen=True)
class Request:
    """One of the requests that a command makes: the n-th of an operation."""

    operation: str
    nth: int

    def __str__(self) -> str:
        return f"{self.operation}#{self.nth}"


@dataclass(frozen=True)
class Undisturbed:
    """What a command does when nothing happens: its requests in order, and what is there in the end."""

    requests: tuple[Request, ...]
    end: Any


class Stage:
    """A sandbox with room for one command at a time."""

    def __init__(self, *, fork: bool = True) -> None:
        self._fork = fork
        self._stack = ExitStack()
        self._prepared: dict[str, Tenant] = {}

    def __enter__(self) -> Self:
        """Start the sandbox and what commands are forked from."""
        self._cloud = self._stack.enter_context(Cloud(Scenario.load("contoso")))
        self._processes = self._stack.enter_context(
            Processes(self._cloud.directory, self._cloud.environment(None), fork=self._fork)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self._stack.close()

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self._cloud.world

    def set(self, case: Case, faults: Sequence[Mapping[str, Any]] = ()) -> None:
        """The case's world, up to where its command is to run.

        Raises:
            NotThere: what comes before it failed.
        """
        self._cloud.load(Scenario.parse(dict(case.world)))
        if case.before and case.name not in self._prepared:
            for argv in case.before:
                self.run(case, argv)
            self._prepared[case.name] = deepcopy(self.world.tenant)
            self._cloud.load(Scenario.parse(dict(case.world)))
        if case.before:
            self._put(self._prepared[case.name])
        self.world.faults.faults = [Fault.model_validate(each) for each in faults]

    def _put(self, prepared: Tenant) -> None:
        """The tenant as `before` has left it, on this world's clock."""
        tenant = self.world.tenant
        for name, value in vars(deepcopy(prepared)).items():
            setattr(tenant, name, value)
        tenant.clock = self.world.clock

    def start(self, case: Case, argv: Sequence[str] | None = None) -> Running:
        """The case's command."""
        return self._processes.start(argv or case.argv, {**self._cloud.environment(case.principal), **case.env})

    def run(self, case: Case, argv: Sequence[str] | None = None) -> Ended:
        """The case's command, to an end that must be a good one.

        Raises:
            NotThere: it failed.
        """
        ended = self.start(case, argv).ended()
        if ended.status:
            raise NotThere(f"{' '.join(argv or case.argv)}: exit status {ended.status}\n{ended.out}{ended.err}")
        return ended

    def undisturbed(self, case: Case) -> Undisturbed:
        """The command as it goes when nothing happens.

        Raises:
            NotThere: it fails even then, or asks for what the sandbox does not model.
        """
        self.set(case)
        self.run(case)
        if strange := [*self.world.unmodelled, *self.world.wandb.unsupported]:
            raise NotThere(f"{case.name}: the sandbox does not know {strange}")
        seen: dict[str, int] = {}
        requests = []
        for operation in self.world.gate.seen:
            seen[operation] = seen.get(operation, 0) + 1
            requests.append(Request(operation, seen[operation]))
        return Undisturbed(tuple(requests), case.end(self.world))
