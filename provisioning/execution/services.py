"""The services that every step of an execution uses: Azure, the time, and a way to report progress."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

from provisioning.azure.client import Azure
from provisioning.clock import Clock, attempts
from provisioning.errors import ConflictError, ProvisioningError
from provisioning.planning.steps import Step

LATE = timedelta(seconds=15)
"""How long single reads may be late. Replicas differ for some seconds."""
SETTLING = timedelta(minutes=3)
"""How long Azure may take to show a change, or to finish an operation that it accepted."""
READS, APART = 6, 3.0
"""Reads of Azure Resource Manager may be seconds late, and differ from replica to replica: two that are some seconds apart
have to agree (terraform-provider-azurerm waits for three)."""

_T = TypeVar("_T")


class OutdatedPlanError(ConflictError):
    """The state that the plan saw has changed. The step that noticed it wrote nothing."""


class Reporter(Protocol):
    """Reports progress to the operator."""

    def done(self, step: Step, seconds: float, note: str) -> None:
        """Report that a step is done."""

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Report that the execution is waiting for something."""


@dataclass(frozen=True)
class Services:
    """The outside world.

    Attributes:
        access_timeout: how long a vault may take to accept the operator.
        side_effects: what writes changed besides what they asked for, in words.
        tags: the tags of vaults in the answers to the latest writes, by the vault's id in lower case.
    """

    azure: Azure
    clock: Clock
    reporter: Reporter
    access_timeout: timedelta
    side_effects: list[str] = field(default_factory=list)
    tags: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def attempts(self, budget: timedelta, what: str) -> Iterator[timedelta]:
        """Yield once for each attempt until the budget is spent, and report `what` the wait is for."""
        return attempts(self.clock, budget, lambda elapsed, budget: self.reporter.waiting(what, elapsed, budget))

    def retry_on(self, error: type[ProvisioningError], call: Callable[[], _T], budget: timedelta, what: str) -> _T:
        """Repeat the call while it raises the error, until the budget is spent. Then raise the last error."""
        refusal: ProvisioningError | None = None
        for _ in self.attempts(budget, what):
            try:
                return call()
            except error as raised:
                refusal = raised
        if refusal is None:
            raise AssertionError("attempts() yields at least once")
        raise refusal
