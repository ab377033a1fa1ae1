"""What is wanted, what is there, and what has to happen: frozen data, no behaviour beyond small views of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
"""The role that W&B's page in Microsoft's documentation asks for, for the operator and for the account's identity."""
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
"""The role that reads secrets and changes none."""
CHANGING = ("accepted", "creating", "updating", "moving", "resolvingdns")
"""Provisioning states, in lower case, in which an account takes no further change."""


class Scope(StrEnum):
    """How far a grant reaches."""

    VAULT = "vault"
    SECRET = "secret"  # noqa: S105 - a place, not a password


@dataclass(frozen=True)
class Target:
    """What the operator named.

    Attributes:
        identity_role: GUID of the role that the account's identity gets, `identity_scope` where.
        readers: object ids of those who may read the one secret, such as a function app's identity.
        by_access_policy: the vault stays on access policies, and every grant is an entry there.
        create_vault: make the vault where it is missing, with or without `purge_protection`.
        recover_vault: bring the vault back where it is deleted.
        location: where to make it, or where it was, as Azure names regions; None: where the account is.
    """

    resource_group: str
    account: str
    vault: str
    secret: str
    propagation_wait: timedelta = timedelta(minutes=10)
    accept_loss: bool = False
    identity_role: str = SECRETS_OFFICER
    identity_scope: Scope = Scope.VAULT
    readers: tuple[str, ...] = ()
    by_access_policy: bool = False
    create_vault: bool = False
    purge_protection: bool = True
    recover_vault: bool = False
    location: str | None = None
    secret_lifetime: timedelta | None = timedelta(days=180)  # None: what is written does not expire


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


class Network(StrEnum):
    """Which networks a resource's data plane answers, as its properties say."""

    OPEN = "all networks"
    FIREWALL = "selected networks"
    PRIVATE = "private endpoints"
    PERIMETER = "its network security perimeter"

    @property
    def public(self) -> bool:
        """Whether anybody on the internet may get in: all, or whom the firewall names."""
        return self in (Network.OPEN, Network.FIREWALL)

    @property
    def firewalled(self) -> bool:
        """Whether the firewall's rules name who gets in."""
        return self is Network.FIREWALL


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
    location: str = ""
    network: Network = Network.OPEN

    @property
    def group(self) -> str:
        """The name of its resource group."""
        return self.id.partition("/providers/")[0].rpartition("/")[2]


@dataclass(frozen=True)
class AccessPolicy:
    """One entry of a vault's access policies. `permissions` maps keys, secrets, certificates, storage to verbs."""

    object_id: str
    permissions: Mapping[str, tuple[str, ...]]
    application_id: str | None = None  # set: a compound identity, this principal through that application only


class VaultState(StrEnum):
    """How much of a vault there is."""

    READY = "ready"
    REGISTERING = "registering its host name"  # new or just recovered: its data plane is not there yet
    MISSING = "missing"
    DELETED = "deleted, recoverable"


@dataclass(frozen=True)
class Vault:
    """A Key Vault's control plane. `uri` ends in a slash.

    Of a vault that is missing, `rbac` is how it would be made; of a deleted one, only id, name and location are known.
    """

    id: str
    name: str
    uri: str
    rbac: bool
    policies: tuple[AccessPolicy, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    state: VaultState = VaultState.READY
    network: Network = Network.OPEN

    @property
    def group_id(self) -> str:
        """The ARM id of its resource group."""
        return self.id.partition("/providers/")[0]

    @property
    def group(self) -> str:
        """The name of its resource group."""
        return self.group_id.rpartition("/")[2]

    def scope(self, secret: str = "") -> str:
        """Where a role reaches the whole vault, or only the one secret (Microsoft, Azure RBAC for Key Vault)."""
        return f"{self.id}/secrets/{secret}" if secret else self.id


@dataclass(frozen=True)
class DeletedVault:
    """A vault in the deleted state: `id` is the one that it had."""

    id: str
    location: str
    deleted: datetime | None
    purged: datetime | None  # when Azure does away with it


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
    description: str | None = None
    derived: bool = False  # its name is the one that setup, or a template with guid(), would give it


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
    """The secret as it was read: the rest only where reading was allowed."""

    state: SecretState
    value: SecretStr | None = None
    version: str = ""
    expires: datetime | None = None  # only informs: an expired version can still be read (Microsoft, about secrets)
    tags: Mapping[str, str] = field(default_factory=dict)
    purge: datetime | None = None  # until when a deleted one can be recovered


@dataclass(frozen=True)
class SecretVersion:
    """One version of the secret, as a list of them shows it."""

    version: str
    enabled: bool
    created: datetime | None
    expires: datetime | None
    tags: Mapping[str, str] = field(default_factory=dict)


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
