"""What a plan is made of: actions as data, the steps that carry them, and the plan. Frozen, no behaviour beyond small views."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from provisioning.models import Account, Assignment, Principal
from provisioning.planning.ownership import Purpose


class Verb(StrEnum):
    """What a line of the plan means."""

    ALREADY = "ok"
    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    WAIT = "wait"
    NOTE = "note"


@dataclass(frozen=True)
class CreateVault:
    """Make the vault, on Azure RBAC unless access policies were asked for. `location` as Azure names regions."""

    location: str
    purge_protection: bool
    rbac: bool


@dataclass(frozen=True)
class RecoverVault:
    """Bring the deleted vault back as it was, but without its role assignments."""

    location: str


@dataclass(frozen=True)
class AwaitVault:
    """Let the vault's host name come into being: the vault is new, or was just recovered."""


@dataclass(frozen=True)
class EnableIdentity:
    """Give the account a system-assigned identity; the user-assigned ones stay."""

    account: Account


@dataclass(frozen=True)
class AwaitAccount:
    """Let a change of the account that is under way finish."""


@dataclass(frozen=True)
class AssignRole:
    """Assign a role at the vault, or at one secret. `principal` None is the account's identity, which does not exist yet."""

    role_id: str
    role_name: str
    principal: Principal | None
    secret: str = ""  # its name; empty: the whole vault
    fresh: bool = False  # the principal may be so new that the directory does not know it everywhere
    guards: bool = False  # somebody other than the operator depends on it when the vault is switched
    purpose: Purpose = field(kw_only=True)  # as its description will say


@dataclass(frozen=True)
class AllowByPolicy:
    """Add permissions on secrets to a principal's access policy. `principal` as for a role."""

    principal: Principal | None
    permissions: tuple[str, ...]
    new: bool  # there is no entry yet


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


@dataclass(frozen=True)
class RotateSecret:
    """Write the new W&B key as a version of its own and see it read back, before anything else is disabled."""


@dataclass(frozen=True)
class DisableVersion:
    """Let nobody read this version of the secret any more."""

    version: str


@dataclass(frozen=True)
class RemoveSecret:
    """Delete the secret if every version of it was written here; otherwise disable those that were."""


@dataclass(frozen=True)
class RemoveRole:
    """Take a role assignment away."""

    assignment: Assignment


@dataclass(frozen=True)
class RestoreAccessPolicies:
    """Make the vault's stored access policies count again, and role assignments not."""


@dataclass(frozen=True)
class ForgetSwitch:
    """Take away the vault's mark that it was put on Azure RBAC; nothing else of it changes."""


@dataclass(frozen=True)
class RemoveEntries:
    """Take away these principals' access-policy entries in this order, and then the mark that says they were added."""

    object_ids: tuple[str, ...]


Action = (
    CreateVault
    | RecoverVault
    | AwaitVault
    | EnableIdentity
    | AwaitAccount
    | AssignRole
    | AllowByPolicy
    | AwaitRoles
    | SwitchToRbac
    | StoreSecret
    | RotateSecret
    | DisableVersion
    | RemoveSecret
    | RemoveRole
    | RestoreAccessPolicies
    | ForgetSwitch
    | RemoveEntries
)


@dataclass(frozen=True)
class Step:
    """One line of the plan. A line without an action is already so, or is left to people, who may run `command`."""

    verb: Verb
    resource: str
    detail: str
    why: str = ""
    before: str = ""
    after: str = ""
    danger: str = ""
    command: str = ""
    action: Action | None = None


@dataclass(frozen=True)
class Loss:
    """Access that Azure RBAC cannot give back after the switch."""

    principal: str
    object_id: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that is wanted, in the order it has to happen.

    A `partial` plan is the first of two: what else there is to do shows only when it is done.
    """

    about: str  # account → vault
    steps: tuple[Step, ...]
    losses: tuple[Loss, ...] = ()
    partial: bool = False

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that write."""
        return tuple(s for s in self.steps if s.verb in (Verb.ADD, Verb.CHANGE, Verb.REMOVE))

    @property
    def work(self) -> tuple[Step, ...]:
        """The steps that write or wait."""
        return tuple(s for s in self.steps if s.action is not None)

    @property
    def left(self) -> str:
        """The work in words, for who has to be told that it is not done; empty without any."""
        return "; ".join(f"{s.resource} {s.detail}" for s in self.work)

    @property
    def already(self) -> tuple[Step, ...]:
        """What needs nothing."""
        return tuple(s for s in self.steps if s.verb is Verb.ALREADY)
