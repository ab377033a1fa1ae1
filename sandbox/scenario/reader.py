"""A scenario: what the tenant looks like at the start, how its services behave, which faults happen. YAML or a dict."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from sandbox.azure.openai.service import OpenAIAccount
from sandbox.azure.rbac import ROLE_IDS, Assignment, Rbac, assignment_name
from sandbox.azure.tenant import (
    CLOUDS,
    AccessPolicy,
    Account,
    CloudNames,
    FunctionApp,
    Principal,
    Secret,
    SecretVersion,
    Tenant,
    Transitions,
    Vault,
)
from sandbox.runtime.clock import Clock
from sandbox.runtime.faults import Fault
from sandbox.scenario.tenant import (
    AccountScript,
    AssignmentScript,
    FunctionAppScript,
    PrincipalScript,
    Script,
    SecretScript,
    SubscriptionScript,
    VaultScript,
)
from sandbox.scenario.wandb import WandbScript


class ClockScript(Script):
    """When virtual time starts, and how many virtual seconds pass in a real one (0: only when advanced).

    It starts now unless said: programs compare the service's times with the clock of the machine they run on.
    """

    start: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    rate: float = 0.0


class Scenario(Script):
    """Everything a world starts from."""

    title: str = ""
    clock: ClockScript = Field(default_factory=ClockScript)
    cloud: Literal["public", "us government", "china"] = "public"
    tenant_id: str = "72f988bf-0000-4000-8000-0000000000bb"
    subscription: SubscriptionScript = SubscriptionScript()
    groups: list[str] = Field(default_factory=lambda: ["rg-ml"])
    principals: list[PrincipalScript] = Field(default_factory=list)
    assignments: list[AssignmentScript] = Field(default_factory=list)
    vaults: list[VaultScript] = Field(default_factory=list)
    accounts: list[AccountScript] = Field(default_factory=list)
    function_apps: list[FunctionAppScript] = Field(default_factory=list)
    wandb: WandbScript = Field(default_factory=WandbScript)
    transitions: Transitions = Field(default_factory=Transitions)
    faults: list[Fault] = Field(default_factory=list)
    latency: Annotated[float, Field(ge=0)] = 0.0
    """Real seconds that a request is on its way, whichever service it is for."""

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
        return CLOUDS[self.cloud]

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
        for app in self.function_apps:
            shown = self._function_app(app, tenant)
            tenant.function_apps[shown.id.lower()] = shown
        ids |= {p.alias: p.object_id for p in tenant.principals.values()}  # identities of accounts and apps among them
        for vault in self.vaults:
            tenant.vaults[vault.name.lower()] = self._vault(vault, ids, tenant)
        for entry in self.assignments:
            tenant.rbac.add(self._assignment(entry, ids, tenant))
        for gone in [v for v in tenant.vaults.values() if v.deleted is not None]:
            tenant.rbac.forget(gone.id)
        for taken in [v.name.lower() for v in self.vaults if v.elsewhere]:
            tenant.foreign_vaults.add(taken)
            del tenant.vaults[taken]
        return tenant

    def _function_app(self, script: FunctionAppScript, tenant: Tenant) -> FunctionApp:
        app = FunctionApp(
            id=self._id(script.group, f"Microsoft.Web/sites/{script.name}"),
            name=script.name,
            location=script.location,
            state=script.state,
            functions=list(script.functions),
            settings=dict(script.settings),
        )
        for name in [script.identity] if isinstance(script.identity, str) else script.identity:
            if name == "system":
                own = _identity_of(app.id, script.name)
                tenant.principals[own.object_id] = own
                app.system_identity = own.object_id
            else:
                known = self._id(script.group, f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
                app.identities[known] = tenant.named(name)
        return app

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
            endpoint=f"https://{script.host if script.endpoint else f'{script.name}.{tenant.names.openai_suffix}'}/",
            custom_subdomain=script.custom_subdomain,
            local_auth=script.local_auth,
            firewall=script.firewall,
            public_network=script.public_network,
        )
        if script.system_identity:
            principal = _identity_of(account.id, script.name)
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
            retention_days=script.retention_days,
            ip_rules=[str(rule) for rule in script.ip_rules],
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
        kind = next((_kind(p) for p in self.principals if p.name == script.principal), "ServicePrincipal")
        return Assignment(
            name=script.name or assignment_name(scope, who, script.role),
            scope=scope,
            role_id=ROLE_IDS[script.role],
            principal_id=who,
            principal_type=kind,  # as it was said; that of a deleted principal stays
            created=0.0,
            effective=0.0,
            condition=script.condition,
            condition_version="2.0" if script.condition else None,
            condition_met=script.condition_met,
            description=script.description,
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
    here = resources.files("sandbox") / "scenarios"
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
    kind = _kind(script)
    return Principal(
        object_id,
        script.display_name or script.name,
        kind,
        app_id=_guid(f"application {script.name}") if kind == "ServicePrincipal" else "",
        client_secret=script.client_secret,
        managed_identity=script.kind == "managed identity",
        alias=script.name,
    )


def _kind(script: PrincipalScript) -> str:
    """What role assignments call the principal's type."""
    return {"user": "User", "group": "Group"}.get(script.kind, "ServicePrincipal")


def _identity_of(resource_id: str, name: str) -> Principal:
    """The system-assigned identity of a resource; it has the resource's name."""
    known = _guid(f"{resource_id} identity")
    return Principal(known, name, "ServicePrincipal", _guid(resource_id), managed_identity=True, alias=name)


def _secret(script: SecretScript, start: int) -> Secret:
    secret = Secret(script.name, deleted=start if script.deleted else None)
    for number, version in enumerate(script.history()):
        created = start - int(version.created_days_ago * 86400)
        days = version.expires_in_days
        secret.versions.append(
            SecretVersion(
                uuid.uuid5(uuid.NAMESPACE_URL, f"version {number} of {script.name}").hex,
                version.value,
                created,
                created,
                enabled=version.enabled,
                expires=None if days is None else start + int(days * 86400),
                content_type=version.content_type,
                tags=version.tags,
            )
        )
    return secret


def _guid(of: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, of))
