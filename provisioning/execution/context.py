"""One run of a plan: what its steps share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from pydantic import SecretStr

from provisioning.azure.client import Azure
from provisioning.clock import Clock, Progress, attempts
from provisioning.errors import ProvisioningError
from provisioning.models import Observed, Principal, Target
from provisioning.planning.steps import Plan, Step

SETTLING = timedelta(minutes=3)
"""How long Azure may take to show what it was just told, or to finish what it accepted."""

_T = TypeVar("_T")


class Narrator(Protocol):
    """Who tells the operator what happens."""

    def plan(self, plan: Plan) -> None:
        """The steps to come."""

    def done(self, step: Step, seconds: float, note: str) -> None:
        """A step is done."""

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Still waiting."""


@dataclass
class Context:
    """What the steps of one run need, and what earlier ones leave for later ones.

    Attributes:
        entity: the W&B entity that the key was checked for.
        deleted: whether the secret was deleted in this run.
        identity: the account's identity, once there is one.
        granted: (principal, role) of each assignment made at the vault: read back before anything depends on it.
        guarded_at: when the last role was assigned that somebody else depends on.
        named_at: when this run saw the vault's host name come into being.
    """

    azure: Azure
    target: Target
    observed: Observed
    key: SecretStr | None
    clock: Clock
    narrator: Narrator
    access_timeout: timedelta
    entity: str | None = None
    deleted: bool = False
    identity: Principal | None = None
    granted: list[tuple[str, str]] = field(default_factory=list)
    guarded_at: datetime | None = None
    named_at: datetime | None = None

    def insist(self, call: Callable[[], _T], on: type[ProvisioningError], budget: timedelta, progress: Progress) -> _T:
        """Call again while it raises `on`, until the budget is spent."""
        refusal: ProvisioningError | None = None
        for _ in attempts(self.clock, budget, progress):
            try:
                return call()
            except on as error:
                refusal = error
        if refusal is None:
            raise AssertionError("attempts() makes at least one")
        raise refusal

    def telling(self, what: str) -> Progress:
        """Tells the operator, now and then, what is waited for."""
        return lambda elapsed, budget: self.narrator.waiting(what, elapsed, budget)
