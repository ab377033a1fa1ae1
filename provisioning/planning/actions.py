"""The actions of a plan's steps, as frozen data.

An action is self-contained. It names the resource that it changes (with the state that the plan saw, to compare
before the write), the account, secret and purpose that it serves, and the rights that it requires.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from provisioning.models import Account, Assignment, Principal, Vault, VaultState
from provisioning.planning.ownership import Owner, Purpose
from provisioning.resource_ids import group_id_of, within

_WRITE_ACCOUNT = "Microsoft.CognitiveServices/accounts/write"
_WRITE_VAULT = "Microsoft.KeyVault/vaults/write"
_WRITE_POLICIES = "Microsoft.KeyVault/vaults/accessPolicies/write"
_ASSIGN = "Microsoft.Authorization/roleAssignments/write"
_UNASSIGN = "Microsoft.Authorization/roleAssignments/delete"


NARROWED = "it exists with a condition, which setup does not remove"
"""The plan's note on a role with AssignRole.narrowed."""


class Right(NamedTuple):
    """An action of Azure's control plane that the operator must be allowed to perform, and its scope."""

    action: str
    scope: str


@dataclass(frozen=True)
class _Action:
    """An action. `takes` names the control-plane actions that it requires at the resource with the id `where`."""

    takes: ClassVar[tuple[str, ...]] = ()

    @property
    def where(self) -> str:
        """The ARM id of the resource to change; empty for an action that only waits."""
        return ""

    @property
    def rights(self) -> tuple[Right, ...]:
        """The control-plane rights that this action requires."""
        return tuple(Right(action, self.where) for action in self.takes)

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """The changes that the operator consents to with this action. A later plan may contain less, but not more."""
        return frozenset({(type(self).__name__, self.where.lower())})


@dataclass(frozen=True)
class _OnVault(_Action):
    """An action at a vault, as the plan saw it."""

    vault: Vault

    @property
    def where(self) -> str:
        """The vault's id, or its resource group's id if there is no vault yet."""
        absent = self.vault.state in (VaultState.MISSING, VaultState.DELETED)
        return self.vault.group_id if absent else self.vault.id


@dataclass(frozen=True)
class _OnAccount(_Action):
    """An action at an Azure OpenAI account, as the plan saw it."""

    account: Account

    @property
    def where(self) -> str:
        """The account's id."""
        return self.account.id


# --- the vault and the account ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CreateVault(_OnVault):
    """Create the vault in its location with the access model of `vault`."""

    takes = (_WRITE_VAULT,)

    purge_protection: bool


@dataclass(frozen=True)
class RecoverVault(_OnVault):
    """Recover the deleted vault. Its role assignments are not recovered."""

    takes = (_WRITE_VAULT,)


@dataclass(frozen=True)
class AwaitVault(_OnVault):
    """Wait until the host name of a new or recovered vault is registered."""


@dataclass(frozen=True)
class EnableIdentity(_OnAccount):
    """Enable the account's system-assigned identity and keep its user-assigned ones."""

    takes = (_WRITE_ACCOUNT,)


@dataclass(frozen=True)
class AwaitAccount(_OnAccount):
    """Wait until a change of the account that is in progress has finished."""


# --- access ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AssignRole(_OnVault):
    """Assign a role at the vault, at one of its secrets, or at the account.

    Attributes:
        principal: who gets the role; None for the account's identity, which an earlier step enables.
        secret: the name of the one secret; empty for the whole vault.
        account_id: the ARM id of the account, for a role at the account.
        new_principal: the principal is so new that parts of the directory may not know it yet.
        required_for_switch: another principal than the operator depends on it when the vault is switched.
        skip_if_unknown: skip the role if the directory does not know the principal.
        narrowed: the id of the same assignment if it exists with a condition, which setup does not remove.
    """

    takes = (_ASSIGN,)

    role_id: str
    role_name: str
    principal: Principal | None
    owner: Owner
    purpose: Purpose
    secret: str = ""
    account_id: str = ""
    new_principal: bool = False
    required_for_switch: bool = False
    skip_if_unknown: bool = False
    narrowed: str = ""

    @property
    def where(self) -> str:
        """The id of the vault or the account."""
        return self.account_id or super().where

    @property
    def at_vault(self) -> bool:
        """Whether the role is for the whole vault."""
        return not self.secret and not self.account_id

    @property
    def scope(self) -> str:
        """The scope of the role assignment."""
        return self.account_id or self.vault.scope(self.secret)

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """The role, its scope and its principal."""
        return frozenset({("role", self.scope.lower(), _who(self), self.role_id)})


@dataclass(frozen=True)
class AllowByPolicy(_OnVault):
    """Add permissions on secrets to a principal's access-policy entry. `principal` as for AssignRole."""

    takes = (_WRITE_POLICIES, _WRITE_VAULT)

    principal: Principal | None
    permissions: tuple[str, ...]
    owner: Owner
    purpose: Purpose

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """Each permission and its principal."""
        return frozenset(("entry", self.vault.id.lower(), _who(self), verb) for verb in self.permissions)


def _who(action: AssignRole | AllowByPolicy) -> str:
    """Name the principal; an identity that does not exist yet is its account's."""
    known = None if action.purpose is Purpose.IDENTITY else action.principal
    return known.object_id.lower() if known else action.owner.account.lower()


@dataclass(frozen=True)
class AwaitRoles(_Action):
    """Wait until roles have taken effect. `newest` is the time of the latest existing assignment that matters, if any."""

    wait: timedelta
    newest: datetime | None


@dataclass(frozen=True)
class SwitchToRbac(_OnVault):
    """Switch the vault from access policies to Azure RBAC. The operator must then be able to read the owner's secret.

    Attributes:
        shared: others may depend on the vault, so a read of it counts only if a second one agrees.
    """

    takes = (_WRITE_VAULT, _ASSIGN)

    owner: Owner
    shared: bool = False


@dataclass(frozen=True)
class RestoreAccessPolicies(_OnVault):
    """Switch the vault from Azure RBAC to its stored access policies."""

    takes = (_WRITE_VAULT, _ASSIGN)


@dataclass(frozen=True)
class Rescue(_OnVault):
    """Switch the vault from Azure RBAC to its stored access policies, no matter who switched it. Change nothing else."""

    takes = (_WRITE_VAULT, _ASSIGN)


@dataclass(frozen=True)
class ForgetSwitch(_OnVault):
    """Remove the vault's tag that records the switch; nothing else of the vault changes."""

    takes = (_WRITE_VAULT,)


@dataclass(frozen=True)
class _OnRole(_OnVault):
    """An action on a role assignment at the vault, below it, or at the account."""

    assignment: Assignment

    @property
    def where(self) -> str:
        """The id of the vault or the account; for a former place of the vault its resource group."""
        scope = self.assignment.scope
        if within(scope, self.vault.id):
            return super().where
        return group_id_of(scope) if "/vaults/" in scope.lower() else scope


@dataclass(frozen=True)
class RemoveRole(_OnRole):
    """Remove a role assignment. With `by_policy`, only as long as the vault's access policies are effective in its place."""

    takes = (_UNASSIGN,)

    by_policy: bool = False

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """The assignment."""
        return frozenset({("no role", self.assignment.id.lower())})


@dataclass(frozen=True)
class HandOverRole(_OnRole):
    """Record that a role assignment of setup now serves another secret. The role itself stays as it is."""

    takes = (_ASSIGN,)

    description: str

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """The assignment and its new record."""
        return frozenset({("record", self.assignment.id.lower(), self.description)})


@dataclass(frozen=True)
class RemoveEntries(_OnVault):
    """Take permissions away from access-policy entries, in this order, and then their records from the vault's tags.

    Attributes:
        entries: object ids with the permissions on secrets to take away, spelled as Azure shows them.
        forget: object ids whose records go.
        hand_over: object ids whose records go to another owner; their entries stay.
    """

    takes = (_WRITE_POLICIES, _WRITE_VAULT)

    entries: tuple[tuple[str, tuple[str, ...]], ...]
    forget: tuple[str, ...] = ()
    hand_over: tuple[tuple[str, Owner], ...] = ()

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """Each permission and its principal."""
        vault = self.vault.id.lower()
        taken = {("no entry", vault, who.lower(), verb.lower()) for who, verbs in self.entries for verb in verbs}
        records = {("no record", vault, who.lower()) for who in self.forget}
        return frozenset[tuple[str, ...]](
            taken | records | {("record", vault, w.lower(), o.record) for w, o in self.hand_over}
        )


# --- the secret ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _OnSecret(_OnVault):
    """An action on the secret that `owner` names."""

    owner: Owner


@dataclass(frozen=True)
class StoreSecret(_OnSecret):
    """Store the W&B key, unless the vault already contains it. The new version expires after `lifetime`, or never.

    With `renew`, the lifetime also applies to an existing version with the same key. With `new`, the plan saw that there is no
    secret, so another value found there is somebody else's and is not replaced.
    """

    lifetime: timedelta | None = field(kw_only=True)
    renew: bool = field(kw_only=True, default=False)
    new: bool = field(kw_only=True, default=False)

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """See _Action. A plan for a new secret may become one that finds the key, but not one that replaces another value."""
        written = super().extent
        return written if self.new else written | {("replace", self.where.lower(), self.owner.secret.lower())}


@dataclass(frozen=True)
class RotateSecret(StoreSecret):
    """Store the new W&B key and read it back before any older version is disabled."""


@dataclass(frozen=True)
class ChangeExpiry(_OnSecret):
    """Change when the version that holds the key expires: `lifetime` from now, or never, which requires a new version."""

    version: str
    lifetime: timedelta | None


@dataclass(frozen=True)
class DisableVersion(_OnSecret):
    """Disable one version of the secret, so that nobody can read it."""

    version: str

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """See _Action. Another version needs another consent."""
        return super().extent | {("version", self.version)}


@dataclass(frozen=True)
class RemoveSecret(_OnSecret):
    """Delete the secret if setup wrote every version of it; otherwise disable the versions that setup wrote.

    Unless `permanent`, a secret that cannot be recovered is not deleted.
    """

    permanent: bool = False

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """See _Action."""
        return super().extent | ({("permanent", self.where.lower())} if self.permanent else set())


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
    | RestoreAccessPolicies
    | Rescue
    | ForgetSwitch
    | RemoveRole
    | HandOverRole
    | RemoveEntries
    | StoreSecret
    | RotateSecret
    | ChangeExpiry
    | DisableVersion
    | RemoveSecret
)
