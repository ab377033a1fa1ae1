"""The data that the layers exchange: what the operator asked for and what Azure shows. Frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
"""The role for the operator and the account's identity that Microsoft's page about W&B requires."""
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
"""The role that may only read secrets."""
OPENAI_CONTRIBUTOR = "a001fd3d-188f-4b5d-821b-7da978bf7442"
"""The role on an account for those who start fine-tuning jobs: Cognitive Services OpenAI Contributor."""
_ACCOUNT_SUFFIXES = tuple(
    f"{service}.azure.{cloud}"
    for service in ("openai", "cognitiveservices", "services.ai")
    for cloud in ("com", "us", "cn")
)
"""Domains of Azure OpenAI accounts with a custom subdomain, which is unique within a cloud."""
APPLICATION = "Application"
"""The kind of an app registration in the directory, which cannot hold a role; its service principal can."""
CLOUDS = ("AzureCloud", "AzureUSGovernment", "AzureChinaCloud")
"""Clouds by their names in `az cloud list`."""
OPENAI_KINDS = ("openai", "aiservices")
"""Kinds, in lower case, of the Cognitive Services accounts that support fine-tuning."""
CHANGING = ("accepted", "creating", "updating", "moving", "resolvingdns")
"""Provisioning states, in lower case, in which an account refuses changes."""


class Scope(StrEnum):
    """The scope of a grant: the vault or one secret."""

    VAULT = "vault"
    SECRET = "secret"  # noqa: S105 - a place, not a password


def _option(flag: str, *, env: str, metavar: str, help: str) -> Any:  # noqa: A002 - as click names it
    """A text that may be empty, and the option for it of every command that names the vault."""
    return field(default="", metadata={"flag": flag, "env": env, "metavar": metavar, "help": help})


@dataclass(frozen=True)
class Target:
    """The state that the operator asked for.

    Attributes:
        resource_group: the resource group of the account.
        vault_group: the resource group of the vault; empty means the account's.
        vault_subscription: id or name of the vault's subscription; empty means the account's.
        identity_role: GUID of the role for the account's identity; `identity_scope` says where it is assigned.
        with_identity: the account's identity is enabled and may read the secret, which the portal's own integration needs.
        readers: object ids of principals that may read the one secret, such as a function app's identity.
        contributors: object ids of principals that may start fine-tuning jobs in the account.
        by_access_policy: keep the vault on access policies; every grant is an access-policy entry.
        create_vault: create the vault if it is missing, with or without `purge_protection`.
        recover_vault: recover the vault if it is deleted.
        location: Azure region of a vault that is created or recovered; None means the account's region.
        secret_lifetime: how long after its creation a version expires; None means never.
        renew_expiry: `secret_lifetime` was asked for in this command, so it also applies to a version that holds the key.
    """

    resource_group: str
    account: str
    vault: str
    secret: str
    propagation_wait: timedelta = timedelta(minutes=10)
    accept_loss: bool = False
    accept_no_way_back: bool = False
    identity_role: str = SECRETS_OFFICER
    identity_scope: Scope = Scope.VAULT
    with_identity: bool = True
    readers: tuple[str, ...] = ()
    contributors: tuple[str, ...] = ()
    by_access_policy: bool = False
    create_vault: bool = False
    purge_protection: bool = True
    recover_vault: bool = False
    location: str | None = None
    secret_lifetime: timedelta | None = timedelta(days=180)
    renew_expiry: bool = False
    vault_group: str = _option(
        "--key-vault-resource-group",
        env="AZURE_KEY_VAULT_RESOURCE_GROUP",
        metavar="NAME",
        help="Resource group of the vault; by default the account's.",
    )
    vault_subscription: str = _option(
        "--key-vault-subscription",
        env="AZURE_KEY_VAULT_SUBSCRIPTION_ID",
        metavar="ID|NAME",
        help="Subscription of the vault; by default the account's.",
    )

    @property
    def key_vault_group(self) -> str:
        """The resource group of the vault."""
        return self.vault_group or self.resource_group


@dataclass(frozen=True)
class Subscription:
    """An Azure subscription. `state` is Enabled, Warned, PastDue, Disabled or Deleted."""

    id: str
    name: str
    tenant_id: str = ""
    state: str = "Enabled"

    @property
    def writable(self) -> bool:
        """Whether resources in it can be changed."""
        return self.state.lower() in ("enabled", "warned", "pastdue")


@dataclass(frozen=True)
class Caller:
    """The signed-in principal, read from its token for Azure Resource Manager.

    Attributes:
        guest: a user of another tenant, who may see only parts of the directory.
        mfa: whether the sign-in used multi-factor authentication; None for others than users, or if the token does not say.
    """

    object_id: str
    kind: str  # "User" or "ServicePrincipal", as in a role assignment's principalType
    name: str
    tenant_id: str
    via: str
    guest: bool = False
    mfa: bool | None = None


class Network(StrEnum):
    """Which networks can reach a resource's data plane."""

    OPEN = "all networks"
    FIREWALL = "selected networks"
    PRIVATE = "private endpoints"
    PERIMETER = "its network security perimeter"

    @property
    def public(self) -> bool:
        """Whether there is a public endpoint, with or without a firewall."""
        return self in (Network.OPEN, Network.FIREWALL)

    @property
    def firewalled(self) -> bool:
        """Whether firewall rules restrict the public endpoint."""
        return self is Network.FIREWALL


@dataclass(frozen=True)
class Account:
    """An Azure OpenAI or AI Services account."""

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
    endpoints: tuple[str, ...] = ()  # all that ARM shows
    local_auth: bool = True  # API keys are accepted
    rules: frozenset[str] = frozenset()  # every network rule in words, to be compared
    tags: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)  # its own limits, by Azure's names such as MaxFineTuneCount

    @property
    def group(self) -> str:
        """The name of its resource group."""
        return self.id.partition("/providers/")[0].rpartition("/")[2]

    @property
    def hosts(self) -> frozenset[str]:
        """All host names of the data plane. An AI Services account has several."""
        shown = {(urlsplit(each).hostname or "").lower() for each in (self.endpoint, *self.endpoints)}
        sub = (self.custom_subdomain or "").lower()
        return frozenset(shown | ({f"{sub}.{suffix}" for suffix in _ACCOUNT_SUFFIXES} if sub else set())) - {""}


@dataclass(frozen=True)
class AccessPolicy:
    """One entry of a vault's access policies. `permissions` maps keys, secrets, certificates, storage to verbs."""

    object_id: str
    permissions: Mapping[str, tuple[str, ...]]
    application_id: str | None = None  # of a compound identity: the principal has access only through it
    foreign_tenant: str = ""  # the principal's tenant, if it is not that of the vault's subscription


class VaultState(StrEnum):
    """The state of a vault's life cycle."""

    READY = "ready"
    REGISTERING = "registering its host name"  # new or just recovered: the data plane does not answer yet
    MISSING = "missing"
    DELETED = "deleted, recoverable"


@dataclass(frozen=True)
class Vault:
    """A Key Vault's control plane. `uri` ends in a slash.

    For a missing vault, `rbac` is the model it will be created with. For a deleted one, only id, name and location are
    known.
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
    rules: frozenset[str] = frozenset()  # every network rule in words, to be compared
    foreign_tenant: str = ""  # the vault's tenant, if it is not that of its subscription
    soft_delete: bool = True  # vaults from before 2020 may lack it
    by_application: bool = False  # changed last by an application, such as a pipeline
    name_checked: bool = True  # of a missing one: Azure has confirmed that its name is free

    @property
    def group_id(self) -> str:
        """The ARM id of its resource group."""
        return self.id.partition("/providers/")[0]

    @property
    def group(self) -> str:
        """The name of its resource group."""
        return self.group_id.rpartition("/")[2]

    def scope(self, secret: str = "") -> str:
        """The scope of a role for the whole vault or for one secret (Microsoft, Azure RBAC for Key Vault)."""
        return f"{self.id}/secrets/{secret}" if secret else self.id


@dataclass(frozen=True)
class DeletedVault:
    """A vault in the deleted state, with the id that it had."""

    id: str
    location: str
    deleted: datetime | None
    purged: datetime | None  # when Azure will purge it


@dataclass(frozen=True)
class RoleDefinition:
    """A role with its actions and data actions, which may contain `*`."""

    id: str  # the GUID
    name: str
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()


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
    conditional: bool = False  # a condition may narrow what the role permits
    description: str | None = None
    derived: bool = False  # its name is the one that setup, or a template with guid(), derives
    ends: datetime | None = None  # of an activation (PIM) or another time-bound assignment; None also if not read


@dataclass(frozen=True)
class Principal:
    """A user, group or service principal. Name and kind are None if the directory cannot be read."""

    object_id: str
    name: str | None = None
    kind: str | None = None  # "User" | "Group" | "ServicePrincipal" | APPLICATION
    missing: bool = False  # the directory answered, without this id
    app_id: str = ""  # of a service principal

    @property
    def label(self) -> str:
        """The display name, else the object id."""
        return self.name or self.object_id


class SecretState(StrEnum):
    """The state of the secret, from reading it."""

    MISSING = "missing"
    PRESENT = "present"
    DISABLED = "disabled"
    DELETED = "deleted, recoverable"
    UNKNOWN = "not visible to you yet"


@dataclass(frozen=True)
class Secret:
    """The secret as it was read. Only `state` is known without the right to read it."""

    state: SecretState
    value: SecretStr | None = None
    version: str = ""
    expires: datetime | None = None  # only informs: an expired version can still be read (Microsoft, about secrets)
    tags: Mapping[str, str] = field(default_factory=dict)
    purge: datetime | None = None  # until when a deleted one can be recovered
    content_type: str = ""


@dataclass(frozen=True)
class SecretVersion:
    """One version of the secret, from the list of versions."""

    version: str
    enabled: bool
    created: datetime | None
    expires: datetime | None
    tags: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    recoverable: bool = True  # after its deletion; a vault without soft delete deletes permanently


@dataclass(frozen=True)
class Observed:
    """A snapshot of Azure.

    Attributes:
        assignments: those at or above the vault, of all principals.
        other_secrets: whether the vault holds secrets besides the target's; read only if somebody is to get a role on the
            whole vault, and None if this identity may not list secrets.
        own_secrets: secrets of the vault that setup wrote, each with the account that it was written for; read only for
            teardown, and None if this identity may not list secrets.
        on_account: assignments at the account and above it: of the contributors, or for teardown of all principals.
        sharing: ARM ids of other accounts that may use the secret, each with the evidence in words; read only for teardown.
        left_behind: assignments at the former ids of a vault that was moved; read only for teardown.
        contributing: roles at or above the account by contributor's object id in lower case, including those of
            groups, but no conditional or ending ones.
        ending: when roles of contributors end, in words, by object id in lower case.
        effective: roles at or above the vault by object id in lower case, including those of groups, but no conditional ones;
            read only for a principal that lacks the exact role.
    """

    caller: Caller
    subscription: Subscription
    account: Account
    vault: Vault
    secret: Secret
    at: datetime
    assignments: tuple[Assignment, ...] = ()
    roles: Mapping[str, RoleDefinition] = field(default_factory=dict)  # by GUID
    principals: Mapping[str, Principal] = field(default_factory=dict)  # by object id
    effective: Mapping[str, tuple[RoleDefinition, ...]] = field(default_factory=dict)
    on_account: tuple[Assignment, ...] = ()
    left_behind: tuple[Assignment, ...] = ()
    contributing: Mapping[str, tuple[RoleDefinition, ...]] = field(default_factory=dict)
    ending: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_secrets: Mapping[str, str] | None = None
    other_secrets: bool | None = None
    sharing: Mapping[str, str] = field(default_factory=dict)

    @property
    def vaults(self) -> tuple[Vault, ...]:
        """The vaults on which setup may have assigned roles."""
        return (self.vault,)

    @property
    def all_assignments(self) -> tuple[Assignment, ...]:
        """The assignments among which teardown finds those of setup."""
        return (*self.assignments, *self.on_account)


class KeyState(StrEnum):
    """How the given W&B key compares with the secret in the vault."""

    NONE = "no key given"
    SAME = "the secret holds this key"
    OTHER = "the secret holds another value, or none, or cannot be read yet"
