"""A scenario: what the tenant looks like at the start, how its services behave, which faults happen. YAML or a dict."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .clock import Clock
from .faults import Fault
from .openai import OpenAIAccount
from .rbac import ROLE_IDS, Assignment, Rbac, assignment_name
from .tenant import (
    PUBLIC,
    US_GOVERNMENT,
    AccessPolicy,
    Account,
    CloudNames,
    Principal,
    Secret,
    SecretVersion,
    Tenant,
    Transitions,
    Vault,
)
from .wandb import WandbScript


class _Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockScript(_Script):
    """When virtual time starts, and how many virtual seconds pass in a real one (0: only when advanced).

    It starts now unless said: programs compare the service's times with the clock of the machine they run on.
    """

    start: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    rate: float = 0.0


class PrincipalScript(_Script):
    """Someone in the tenant. `name` is the word for it in the rest of the scenario."""

    name: str
    kind: Literal["user", "group", "application", "managed identity"]
    id: str = ""
    display_name: str = ""  # of a user: the user principal name
    client_secret: str | None = None
    members: list[str] = []
    deleted: bool = False  # gone from the directory, still named in policies and assignments


class AssignmentScript(_Script):
    """A role that somebody holds from the start, effective already. `scope`: subscription, a group, or an ARM id."""

    principal: str
    role: str
    scope: str = "subscription"
    condition: str | None = None
    name: str | None = None


class PolicyScript(_Script):
    """An entry of a vault's access policies."""

    principal: str
    secrets: list[str] = []
    keys: list[str] = []
    certificates: list[str] = []
    storage: list[str] = []
    application_id: str | None = None


class SecretScript(_Script):
    """A secret that is there from the start."""

    name: str
    value: str
    enabled: bool = True
    expires_in_days: float | None = None
    tags: dict[str, str] | None = None
    deleted: bool = False


class VaultScript(_Script):
    """A Key Vault."""

    name: str
    group: str
    location: str = "swedencentral"
    rbac: bool | None = None
    policies: list[PolicyScript] = []
    secrets: list[SecretScript] = []
    tags: dict[str, str] = {}
    purge_protection: bool = False
    firewall: bool = False
    public_network: bool = True
    deleted: bool = False


class AccountScript(OpenAIAccount):
    """An Azure OpenAI account: its control plane here, its jobs and files as OpenAIAccount says."""

    group: str
    kind: Literal["OpenAI", "AIServices", "FormRecognizer"] = "OpenAI"
    system_identity: bool = False
    user_identities: list[str] = Field(default_factory=list)


class SubscriptionScript(_Script):
    """The tenant's one subscription."""

    id: str = "5b1f6d1c-0000-4000-8000-0000000000aa"
    name: str = "contoso-ml"


class Scenario(_Script):
    """Everything a world starts from."""

    title: str = ""
    clock: ClockScript = Field(default_factory=ClockScript)
    cloud: Literal["public", "us government"] = "public"
    tenant_id: str = "72f988bf-0000-4000-8000-0000000000bb"
    subscription: SubscriptionScript = SubscriptionScript()
    groups: list[str] = ["rg-ml"]
    principals: list[PrincipalScript] = []
    assignments: list[AssignmentScript] = []
    vaults: list[VaultScript] = []
    accounts: list[AccountScript] = []
    wandb: WandbScript = Field(default_factory=WandbScript)
    transitions: Transitions = Field(default_factory=Transitions)
    faults: list[Fault] = []

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Scenario":
        """From data as a YAML file holds it; `extends: NAME` starts from another and replaces its top-level keys.

        Raises:
            ValueError: with one line for each thing that is wrong.
        """
        try:
            return cls.model_validate(_extended(data))
        except ValidationError as error:
            lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise ValueError("this scenario cannot be read:\n" + "\n".join(lines)) from None

    @classmethod
    def load(cls, name: str) -> "Scenario":
        """By the name of one that comes with the sandbox, or by a file's path.

        Raises:
            ValueError: no such scenario, or it cannot be read.
        """
        return cls.parse(_file(name))

    def openai_accounts(self) -> list[OpenAIAccount]:
        """The accounts as the data plane wants them, with their ARM ids."""
        suffix = self._names().openai_suffix
        return [
            a.model_copy(
                update={
                    "resource_id": self._account_id(a),
                    "endpoint": a.endpoint or (None if a.platform else f"{a.name}.{suffix}"),
                }
            )
            for a in self.accounts
        ]

    def _names(self) -> CloudNames:
        return PUBLIC if self.cloud == "public" else US_GOVERNMENT

    def _account_id(self, account: AccountScript) -> str:
        return self._id(account.group, f"Microsoft.CognitiveServices/accounts/{account.name}")

    def _id(self, group: str, rest: str) -> str:
        return f"/subscriptions/{self.subscription.id}/resourceGroups/{group}/providers/{rest}"

    # --- the tenant it starts as -------------------------------------------------------------------------------------

    def tenant(self, clock: Clock) -> Tenant:
        """A tenant in the state that this scenario starts from."""
        tenant = Tenant(self.tenant_id, self.subscription.id, self.subscription.name, clock, self._names())
        tenant.transitions = self.transitions.model_copy()
        tenant.groups = {g.lower(): g for g in self.groups}
        ids = {p.name: _object_id(p) for p in self.principals}
        tenant.principals = {ids[p.name]: _principal(p, ids[p.name]) for p in self.principals if not p.deleted}
        tenant.rbac = Rbac(groups=self._memberships(ids))
        for account in self.accounts:
            known = self._account(account, tenant)
            tenant.accounts[known.id.lower()] = known
        for vault in self.vaults:
            tenant.vaults[vault.name.lower()] = self._vault(vault, ids, tenant)
        for entry in self.assignments:
            tenant.rbac.add(self._assignment(entry, ids, tenant))
        return tenant

    def _memberships(self, ids: Mapping[str, str]) -> dict[str, frozenset[str]]:
        out: dict[str, frozenset[str]] = {}
        for group in self.principals:
            for member in group.members:
                out[ids[member]] = out.get(ids[member], frozenset()) | {ids[group.name]}
        return out

    def _account(self, script: AccountScript, tenant: Tenant) -> Account:
        account = Account(
            id=self._account_id(script),
            name=script.name,
            location=script.location,
            kind=script.kind,
            endpoint=f"https://{script.name}.{tenant.names.openai_suffix}/",
            custom_subdomain=script.custom_subdomain,
        )
        if script.system_identity:
            principal = Principal(
                _guid(f"{account.id} identity"),
                script.name,
                "ServicePrincipal",
                _guid(account.id),
                managed_identity=True,
            )
            tenant.principals[principal.object_id] = principal
            account.system_identity = principal.object_id
        for name in script.user_identities:
            known = self._id(script.group, f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
            account.user_identities[known] = {"principalId": _guid(known), "clientId": _guid(known + " client")}
        return account

    def _vault(self, script: VaultScript, ids: Mapping[str, str], tenant: Tenant) -> Vault:
        start = self.clock.start.replace(tzinfo=self.clock.start.tzinfo or UTC).timestamp()
        policies = [
            AccessPolicy(
                ids.get(p.principal, p.principal),
                {"keys": p.keys, "secrets": p.secrets, "certificates": p.certificates, "storage": p.storage},
                p.application_id,
            )
            for p in script.policies
        ]
        return Vault(
            id=self._id(script.group, f"Microsoft.KeyVault/vaults/{script.name}"),
            name=script.name,
            location=script.location,
            uri=f"https://{script.name}.{tenant.names.vault_suffix}/",
            rbac=script.rbac,
            policies=policies,
            secrets={s.name.lower(): _secret(s, int(start)) for s in script.secrets},
            tags=dict(script.tags),
            purge_protection=script.purge_protection or None,
            public_network=script.public_network,
            firewall=script.firewall,
            deleted=start if script.deleted else None,
        )

    def _assignment(self, script: AssignmentScript, ids: Mapping[str, str], tenant: Tenant) -> Assignment:
        scope = script.scope
        if scope == "subscription":
            scope = f"/subscriptions/{self.subscription.id}"
        elif scope.lower() in tenant.groups:
            scope = f"/subscriptions/{self.subscription.id}/resourceGroups/{scope}"
        elif not scope.startswith("/"):
            group, _, rest = scope.partition("/")
            scope = self._id(group, rest)
        who = ids.get(script.principal, script.principal)
        principal = tenant.principals.get(who)
        return Assignment(
            name=script.name or assignment_name(scope, who, script.role),
            scope=scope,
            role_id=ROLE_IDS[script.role],
            principal_id=who,
            principal_type=principal.kind if principal else "ServicePrincipal",
            created=0.0,
            effective=0.0,
            condition=script.condition,
        )


def read(name: str) -> dict[str, Any]:
    """The whole data of a scenario, by name or path, with what it extends.

    Raises:
        ValueError: there is none of this name, or it is not YAML.
    """
    return _extended(_file(name))


def _extended(data: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in data.items() if key != "extends"}
    return {**read(data["extends"]), **own} if "extends" in data else own


def _file(name: str) -> dict[str, Any]:
    here = resources.files(__package__) / "scenarios"
    known = sorted(f.name.removesuffix(".yaml") for f in here.iterdir() if f.name.endswith(".yaml"))
    if name in known:
        text = (here / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise ValueError(f"no scenario {name!r}: name a YAML file or one of {', '.join(known)}")
    try:
        data: dict[str, Any] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not YAML: {error}") from None
    return data


def _object_id(script: PrincipalScript) -> str:
    return (script.id or _guid(f"principal {script.name}")).lower()


def _principal(script: PrincipalScript, object_id: str) -> Principal:
    kind = {"user": "User", "group": "Group"}.get(script.kind, "ServicePrincipal")
    return Principal(
        object_id,
        script.display_name or script.name,
        kind,
        app_id=_guid(f"application {script.name}") if kind == "ServicePrincipal" else "",
        client_secret=script.client_secret,
        managed_identity=script.kind == "managed identity",
        alias=script.name,
    )


def _secret(script: SecretScript, start: int) -> Secret:
    expires = None if script.expires_in_days is None else start + int(script.expires_in_days * 86400)
    version = SecretVersion(
        _guid(f"version {script.name}").replace("-", ""),
        script.value,
        start,
        start,
        enabled=script.enabled,
        expires=expires,
        tags=script.tags,
    )
    return Secret(script.name, [version], deleted=start if script.deleted else None)


def _guid(of: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, of))
