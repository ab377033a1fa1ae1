"""What a plan is made of: actions as data, the steps that carry them, and the plan. Frozen, no behaviour beyond small views."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .model import Account, Principal


class Verb(StrEnum):
    """What a line of the plan means."""

    ALREADY = "ok"
    ADD = "add"
    CHANGE = "change"
    WAIT = "wait"


@dataclass(frozen=True)
class EnableIdentity:
    """Give the account a system-assigned identity; the user-assigned ones stay."""

    account: Account


@dataclass(frozen=True)
class AwaitAccount:
    """Let a change of the account that is under way finish."""


@dataclass(frozen=True)
class AssignRole:
    """Assign a role at the vault. `principal` None is the account's identity, which does not exist yet."""

    role_id: str
    role_name: str
    principal: Principal | None
    fresh: bool = False  # the principal may be so new that the directory does not know it everywhere
    guards: bool = False  # somebody other than the operator depends on it when the vault is switched


@dataclass(frozen=True)
class AwaitRoles:
    """Let roles take effect before the switch. `newest` is the age of those that exist already, if any counts."""

    wait: timedelta
    newest: datetime | None


@dataclass(frozen=True)
class SwitchToRbac:
    """Make role assignments count and access policies not."""


@dataclass(frozen=True)
class StoreSecret:
    """Write the W&B key, unless the vault turns out to hold it."""


Action = EnableIdentity | AwaitAccount | AssignRole | AwaitRoles | SwitchToRbac | StoreSecret


@dataclass(frozen=True)
class Step:
    """One line of the plan. A line without an action is already so."""

    verb: Verb
    resource: str
    detail: str
    why: str = ""
    before: str = ""
    after: str = ""
    danger: str = ""
    action: Action | None = None


@dataclass(frozen=True)
class Loss:
    """Access that Azure RBAC cannot give back after the switch."""

    principal: str
    object_id: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that is wanted, in the order it has to happen."""

    about: str  # account → vault
    steps: tuple[Step, ...]
    losses: tuple[Loss, ...] = ()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that write."""
        return tuple(s for s in self.steps if s.verb in (Verb.ADD, Verb.CHANGE))

    @property
    def work(self) -> tuple[Step, ...]:
        """The steps that write or wait."""
        return tuple(s for s in self.steps if s.action is not None)

    @property
    def already(self) -> tuple[Step, ...]:
        """What needs nothing."""
        return tuple(s for s in self.steps if s.verb is Verb.ALREADY)
