"""What is wanted, what is there, and what has to happen: frozen data, no behaviour beyond small views of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
"""The role that W&B's page in Microsoft's documentation asks for, for the operator and for the account's identity."""
CHANGING = ("accepted", "creating", "updating", "moving", "resolvingdns")
"""Provisioning states, in lower case, in which an account takes no further change."""


@dataclass(frozen=True)
class Target:
    """What the operator named."""

    resource_group: str
    account: str
    vault: str
    secret: str
    propagation_wait: timedelta
    accept_loss: bool = False


@dataclass(frozen=True)
class Subscription:
    """The Azure subscription everything happens in."""

    id: str
    name: str


@dataclass(frozen=True)
class Caller:
    """Who is signed in, as the token for Azure Resource Manager says."""

    object_id: str
    kind: str  # "User" or "ServicePrincipal", as in a role assignment's principalType
    name: str
    tenant_id: str
    via: str


@dataclass(frozen=True)
class Account:
    """An Azure OpenAI account (or AI Services: the same with more in it)."""

    id: str
    name: str
    kind: str
    state: str  # provisioningState
    endpoint: str
    custom_subdomain: str | None
    principal_id: str | None  # of the system-assigned identity
    user_identities: tuple[str, ...] = ()  # ARM ids


@dataclass(frozen=True)
class AccessPolicy:
    """One entry of a vault's access policies. `permissions` maps keys, secrets, certificates, storage to verbs."""

    object_id: str
    permissions: Mapping[str, tuple[str, ...]]
    application_id: str | None = None  # set: a compound identity, this principal through that application only


@dataclass(frozen=True)
class Vault:
    """A Key Vault's control plane. `uri` ends in a slash."""

    id: str
    name: str
    uri: str
    rbac: bool
    policies: tuple[AccessPolicy, ...] = ()


@dataclass(frozen=True)
class RoleDefinition:
    """A role: what it permits on the data plane. Patterns may hold `*`."""

    id: str  # the GUID
    name: str
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Permissions:
    """One of the caller's effective permission sets on the control plane."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """A role assignment as ARM shows it."""

    id: str
    scope: str
    role_id: str  # the GUID
    principal_id: str
    created: datetime | None = None
    conditional: bool = False  # a condition may take away what the role gives


@dataclass(frozen=True)
class Principal:
    """A user, group or service principal. Without the right to read the directory, name and kind are unknown."""

    object_id: str
    name: str | None = None
    kind: str | None = None  # "User" | "Group" | "ServicePrincipal"
    missing: bool = False  # the directory answered and does not know it

    @property
    def label(self) -> str:
        """The name people know it by, else its object id."""
        return self.name or self.object_id


class SecretState(StrEnum):
    """What could be seen of the secret without changing anything."""

    MISSING = "missing"
    PRESENT = "present"
    DISABLED = "disabled"
    DELETED = "deleted, recoverable"
    UNKNOWN = "not visible to you yet"


@dataclass(frozen=True)
class Secret:
    """The secret as it was read; the value only where reading was allowed."""

    state: SecretState
    value: SecretStr | None = None


@dataclass(frozen=True)
class Observed:
    """Azure as it was found. `assignments` are those at or above the vault, of everybody."""

    caller: Caller
    subscription: Subscription
    account: Account
    vault: Vault
    secret: Secret
    at: datetime
    assignments: tuple[Assignment, ...] = ()
    roles: Mapping[str, RoleDefinition] = field(default_factory=dict)  # by GUID
    principals: Mapping[str, Principal] = field(default_factory=dict)  # by object id


class KeyState(StrEnum):
    """How the W&B key at hand compares with the secret in the vault."""

    NONE = "no key at hand"
    SAME = "the secret holds this key"
    OTHER = "the secret holds another value, or none, or cannot be read yet"


@dataclass(frozen=True)
class WandbAccount:
    """Whom a W&B key belongs to. `may_write` is None where W&B does not say."""

    username: str
    entity: str
    teams: tuple[str, ...]
    may_write: bool | None
