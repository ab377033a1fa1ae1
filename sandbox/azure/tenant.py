"""The state of the tenant: principals, subscriptions, accounts, vaults and their contents. No protocol here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from pydantic import BaseModel, ConfigDict

from sandbox.azure.governance import Lock, Subscription
from sandbox.azure.policy import PolicyAssignment
from sandbox.azure.rbac import Rbac, within
from sandbox.runtime.clock import Clock, Duration


@dataclass(frozen=True)
class CloudNames:
    """The host names and audiences of one Azure cloud (azure-core, `AzureClouds`; Microsoft, national clouds)."""

    login: str
    arm: str
    arm_core: str  # the older audience
    graph: str
    vault_suffix: str
    openai_suffix: str
    models: str
    foundry: str
    web_suffix: str
    logs: str

    @property
    def hosts(self) -> list[str]:
        """Every host that is served, with `*` for the names of resources."""
        models = [self.openai_suffix.replace("openai", each) for each in ("openai", "cognitiveservices", "services.ai")]
        return [self.login, self.arm, self.graph, self.logs, *(f"*.{each}" for each in (self.vault_suffix, *models))]

    @property
    def arm_audiences(self) -> list[str]:
        """The audiences of tokens for Resource Manager."""
        return [f"https://{self.arm}", f"https://{self.arm_core}"]

    @property
    def openai_audiences(self) -> list[str]:
        """The audiences of tokens for Azure OpenAI."""
        return [f"https://{each}" for each in (self.models, self.foundry) if each != "-"]


# Azure OpenAI in Azure China is UNVERIFIED: its names are formed after those of other services there.
_NAMES = """
login         login.microsoftonline.com    login.microsoftonline.us          login.chinacloudapi.cn
arm           management.azure.com         management.usgovcloudapi.net      management.chinacloudapi.cn
arm_core      management.core.windows.net  management.core.usgovcloudapi.net management.core.chinacloudapi.cn
graph         graph.microsoft.com          graph.microsoft.us                microsoftgraph.chinacloudapi.cn
vault_suffix  vault.azure.net              vault.usgovcloudapi.net           vault.azure.cn
openai_suffix openai.azure.com             openai.azure.us                   openai.azure.cn
models        cognitiveservices.azure.com  cognitiveservices.azure.us        cognitiveservices.azure.cn
foundry       ai.azure.com                 -                                 -
web_suffix    azurewebsites.net            azurewebsites.us                  chinacloudsites.cn
logs          api.loganalytics.io          api.loganalytics.us               api.loganalytics.azure.cn
"""
_FIELDS, *_COLUMNS = zip(*(line.split() for line in _NAMES.strip().splitlines()), strict=True)
PUBLIC, US_GOVERNMENT, CHINA = (CloudNames(**dict(zip(_FIELDS, names, strict=True))) for names in _COLUMNS)
CLOUDS = {"public": PUBLIC, "us government": US_GOVERNMENT, "china": CHINA}
"""The clouds by the name that a scenario gives them."""


@dataclass(frozen=True)
class Principal:
    """A user, group, application or managed identity of the tenant."""

    object_id: str
    name: str  # user principal name or display name
    kind: str  # "User" | "Group" | "ServicePrincipal", or "Application": an app registration, which can hold no role
    app_id: str = ""
    client_secret: str | None = None
    managed_identity: bool = False
    alias: str = ""  # its name in the scenario


@dataclass
class AccessPolicy:
    """One entry of a vault's access policies."""

    object_id: str
    permissions: dict[str, list[str]]
    application_id: str | None = None
    tenant_id: str | None = None  # of another tenant than the vault's

    def as_arm(self, tenant_id: str) -> dict[str, Any]:
        """Return the resource as ARM shows it."""
        entry: dict[str, Any] = {"tenantId": self.tenant_id or tenant_id, "objectId": self.object_id}
        if self.application_id:
            entry["applicationId"] = self.application_id
        return {**entry, "permissions": self.permissions}


@dataclass
class SecretVersion:
    """One version of a secret; times are epoch seconds."""

    version: str
    value: str
    created: int
    updated: int
    enabled: bool = True
    expires: int | None = None
    not_before: int | None = None
    content_type: str | None = None
    tags: dict[str, str] | None = None


@dataclass
class Secret:
    """A secret: versions oldest first. `hidden`: how many reads do not find it yet after a recovery (or a deletion)."""

    name: str
    versions: list[SecretVersion] = field(default_factory=list)
    deleted: int | None = None
    hidden: int = 0


@dataclass
class Vault:
    """A Key Vault, its control-plane properties and its secrets.

    `registering`: while the vault is new or just recovered, how many reads still find its DNS name being registered.
    """

    id: str
    name: str
    location: str
    uri: str
    rbac: bool | None = None  # None: never set, which means access policies for old vaults
    policies: list[AccessPolicy] = field(default_factory=list)
    secrets: dict[str, Secret] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    purge_protection: bool | None = None
    soft_delete: bool = True
    retention_days: int = 90
    public_network: bool = True
    firewall: bool = False  # only clients in the rules are allowed
    bypass: str = "AzureServices"
    ip_rules: list[str] = field(default_factory=list)  # addresses and CIDR ranges
    subnets: list[str] = field(default_factory=list)  # ARM ids
    sku: str = "standard"
    flags: dict[str, bool] = field(default_factory=dict)  # enabledForDeployment and similar, as they were set
    registering: int = 0
    changed_by: str = "User"  # lastModifiedByType
    deployment: str = ""  # of the template that has it
    deleted: float | None = None
    tenant_id: str | None = None  # of another tenant than the subscription's

    def policy_of(self, object_id: str, application_id: str | None) -> AccessPolicy | None:
        """The access policy of a principal, or of a compound identity."""
        whose = (object_id.lower(), application_id)
        return next((p for p in self.policies if (p.object_id.lower(), p.application_id) == whose), None)

    def merge(self, given: AccessPolicy, verb: str) -> None:
        """One entry of an access-policy request: `add` joins permissions (recorded), `remove` takes the named ones away.

        The exact result of `replace` and `remove` is UNVERIFIED; an entry without permissions is removed.
        """
        known = self.policy_of(given.object_id, given.application_id)
        if known is None:
            if verb != "remove":
                self.policies.append(given)
            return
        if verb == "replace":
            known.permissions = given.permissions
            return
        for kind, named in given.permissions.items():
            had = known.permissions.get(kind) or []
            mentioned, present = {p.lower() for p in named or []}, {p.lower() for p in had}
            if verb == "add":
                known.permissions[kind] = [*had, *(p for p in named or [] if p.lower() not in present)]
            else:
                known.permissions[kind] = [p for p in had if p.lower() not in mentioned]
        if not any(known.permissions.values()):
            self.policies.remove(known)

    @property
    def live(self) -> bool:
        """Whether it exists and its host name resolves."""
        return self.deleted is None and not self.registering

    def admits(self, address: str) -> bool:
        """Whether the network rules let this client in on the data plane."""
        if not self.public_network:
            return False
        client = ip_address(address)
        return not self.firewall or any(client in ip_network(rule, strict=False) for rule in self.ip_rules)


@dataclass
class FunctionApp:
    """A function app as App Service shows it. `identities`: ARM id of a user-assigned identity -> its principal."""

    id: str
    name: str
    location: str
    state: str = "Running"
    system_identity: str | None = None  # the principal's object id
    identities: dict[str, Principal] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    python: str = "3.13"
    package_version: str = ""
    alerts: list[str] = field(default_factory=lambda: ["no-tick", "poison"])
    alert_emails: list[str] | None = field(default_factory=lambda: ["oncall@contoso.example"])  # None: no action group
    import_errors: list[str] = field(default_factory=list)  # of the last hour, in its log


@dataclass
class Account:
    """An Azure OpenAI account's control plane."""

    id: str
    name: str
    location: str
    kind: str
    endpoint: str
    projects: Sequence[str] = ()
    custom_subdomain: bool = True
    system_identity: str | None = None  # the principal's object id
    user_identities: dict[str, dict[str, str]] = field(default_factory=dict)  # ARM id -> principalId, clientId
    state: str = "Succeeded"
    local_auth: bool = True
    firewall: bool = False
    public_network: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)  # as `capabilities` show them: MaxFineTuneCount and others
    models: dict[str, dict[str, str]] = field(default_factory=dict)  # "name version" of base models: capabilities

    @property
    def endpoints(self) -> dict[str, str]:
        """The `endpoints` that ARM shows (an answer of 2026-03); the first is its `endpoint`."""
        if self.kind != "AIServices" or not self.custom_subdomain or ".openai." not in self.endpoint:
            return {"OpenAI Language Model Instance API": self.endpoint}
        return {
            "Content Safety": self.endpoint.replace(".openai.", ".cognitiveservices."),
            "Text Translation": "https://api.cognitive.microsofttranslator.com/",
            "AI Foundry API": self.endpoint.replace(".openai.", ".services.ai."),
            "OpenAI Language Model Instance API": self.endpoint,
        }


class Transitions(BaseModel):
    """How long the service takes. Times in virtual seconds; `polls` and `reads` count requests."""

    model_config = ConfigDict(extra="forbid")

    rbac_propagation: float = 90.0
    inherited_propagation: float = (
        14_400.0  # data actions of a role at a management group: hours (azure-docs issue 89150)
    )
    identity_polls: int = 1
    vault_polls: int = 1  # reads of a new or recovered vault that still say RegisteringDns; also polls of a purge
    recover_reads: int = 2
    replication_refusals: int = 0  # PrincipalNotFound answers for a new identity when principalType is not sent


class SignIn(BaseModel):
    """How people are signed in through `az`.

    `token_life`, and `federated_for` of an external sign-in, after which no token is renewed, are in virtual time. `mfa`: tokens
    say that the person used multi-factor authentication. `guest`: the person is of another tenant, and sees nobody else here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_life: Duration | None = None
    federated_for: Duration | None = None
    mfa: bool = True
    guest: bool = False


@dataclass
class Tenant:
    """One Entra tenant with its subscriptions, of which the first is where most things are."""

    tenant_id: str
    subscription_id: str
    clock: Clock
    names: CloudNames = PUBLIC
    subscriptions: dict[str, Subscription] = field(default_factory=dict)  # by id, lower case
    groups: dict[str, str] = field(default_factory=dict)  # resource group, lower case -> its name as created
    subscription_of: dict[str, str] = field(default_factory=dict)  # resource group -> id, where it is not the first one
    group_tags: dict[str, dict[str, str]] = field(default_factory=dict)  # of groups that were created later
    locks: list[Lock] = field(default_factory=list)
    policies: list[PolicyAssignment] = field(default_factory=list)
    has_pim: bool = True  # Privileged Identity Management takes a licence
    principals: dict[str, Principal] = field(default_factory=dict)  # by object id, lower case
    accounts: dict[str, Account] = field(default_factory=dict)  # by ARM id, lower case
    deleted_accounts: dict[str, Account] = field(default_factory=dict)  # by ARM id, lower case, until they are purged
    account_added: Callable[[Account], None] = lambda account: None
    account_removed: Callable[[Account], None] = lambda account: None
    vaults: dict[str, Vault] = field(default_factory=dict)  # by name, lower case: names are global
    foreign_vaults: set[str] = field(default_factory=set)  # names, lower case, that somebody in another tenant holds
    function_apps: dict[str, FunctionApp] = field(default_factory=dict)  # by ARM id, lower case
    rbac: Rbac = field(default_factory=Rbac)
    transitions: Transitions = field(default_factory=Transitions)
    sign_in: SignIn = field(default_factory=SignIn)

    @property
    def tenants(self) -> set[str]:
        """The ids of this tenant, and of others that subscriptions or vaults belong to."""
        others = {v.tenant_id for v in self.vaults.values() if v.tenant_id}
        return {self.tenant_id} | {s.tenant_id for s in self.subscriptions.values()} | others

    def named(self, name: str) -> Principal:
        """The principal of this name, as a scenario names it.

        Raises:
            KeyError: no principal has this name.
        """
        for principal in self.principals.values():
            if name in (principal.alias, principal.name, principal.object_id):
                return principal
        raise KeyError(f"no principal is called {name!r}")

    def set_system_identity(self, resource: Account | FunctionApp, ids: tuple[str, str] | None) -> None:
        """Give a resource an identity with this object id and application id, unless it has one; None deletes its identity."""
        if ids and resource.system_identity is None:
            name, (object_id, app_id) = resource.name, ids
            own = Principal(object_id, name, "ServicePrincipal", app_id, managed_identity=True, alias=name)
            self.principals[object_id] = own
            resource.system_identity = object_id
        elif ids is None and resource.system_identity is not None:
            self.principals.pop(resource.system_identity, None)
            resource.system_identity = None

    def resource_id(self, group: str, provider: str, name: str) -> str:
        """An ARM id such as /subscriptions/…/providers/Microsoft.KeyVault/vaults/kv-ml."""
        subscription = self.subscription_of.get(group.lower(), self.subscription_id)
        return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}/{name}"

    def has_group(self, subscription: str, group: str) -> bool:
        """Whether the subscription has this resource group."""
        known = self.subscription_of.get(group.lower(), self.subscription_id)
        return group.lower() in self.groups and subscription.lower() == known

    def delete_group(self, name: str) -> None:
        """Delete a resource group: its vaults and accounts can be recovered, its function apps and roles cannot."""
        inside = f"/resourcegroups/{name}/"
        for vault in self.vaults.values():
            if inside in vault.id.lower() and vault.deleted is None:
                vault.deleted = self.clock.time()
                self.rbac.forget(vault.id)
        for known in [each for each in self.accounts if inside in each]:
            account = self.deleted_accounts[known] = self.accounts.pop(known)
            self.rbac.forget(account.id)
            self.account_removed(account)
        self.function_apps = {known: app for known, app in self.function_apps.items() if inside not in known}
        self.rbac.forget(f"/subscriptions/{self.subscription_of.get(name, self.subscription_id)}/resourceGroups/{name}")
        del self.groups[name]

    def may(self, principal_id: str, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether RBAC lets the principal do this, as of now. Azure Lighthouse delegates no role with data actions."""
        if data and any(each.delegated and within(scope, each.scope) for each in self.subscriptions.values()):
            return False
        return self.rbac.allows(principal_id, action, scope, data=data, now=self.clock.time())
