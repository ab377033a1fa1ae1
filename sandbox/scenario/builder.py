"""Turns the parts of a scenario into the tenant's state: at the start, and for the events that come later."""

import uuid
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import BaseModel

from sandbox.azure.governance import ROOT, Lock, Subscription
from sandbox.azure.policy import BUILT_IN, Definition, PolicyAssignment, rule
from sandbox.azure.rbac import EVERYBODY, Assignment, DenyAssignment, assignment_name
from sandbox.azure.roles import Delegation, Role
from sandbox.azure.tenant import AccessPolicy, Account, FunctionApp, Principal, Secret, SecretVersion, Tenant, Vault
from sandbox.scenario import governance
from sandbox.scenario import tenant as scripts

_State = TypeVar("_State")


class Builder:
    """Resolves the scenario's names of principals, roles and scopes, and adds to the tenant what a scenario describes."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._ids: dict[str, str] = {}  # the scenario's name of a principal -> object id; deleted ones stay
        self._kinds: dict[str, str] = {}  # object id -> the type that role assignments name
        self._management_groups: dict[str, str | None] = {}  # name -> that of its parent

    # --- words ------------------------------------------------------------------------------------------------------

    def principal_id(self, name: str) -> str:
        """The object id of a principal of the scenario; any other text is an object id."""
        known = {p.alias: p.object_id for p in self.tenant.principals.values()}
        return known.get(name) or self._ids.get(name, name)

    def scope(self, text: str) -> str:
        """The ARM scope for `subscription`, a name, `GROUP/PROVIDER/TYPE/NAME…`, or an ARM id.

        A name is that of a management group, a subscription, or else a resource group.
        """
        if text.startswith("/"):
            return text
        if text == "subscription":
            return f"/subscriptions/{self.tenant.subscription_id}"
        if text in self._management_groups:
            return ROOT + text
        for subscription in self.tenant.subscriptions.values():
            if text == subscription.name:
                return subscription.scope
        group, _, rest = text.partition("/")
        return self.id(group, rest) if rest else self.id(group, "").removesuffix("/providers/")

    def role_id(self, role: str) -> str:
        """The GUID of a role by its name."""
        return next(r.id for r in self.tenant.rbac.roles.values() if r.name == role)

    def id(self, group: str, rest: str) -> str:
        """The ARM id of a resource in a group."""
        return self.tenant.resource_id(group, rest, "").removesuffix("/")

    def vault(self, name: str) -> Vault | None:
        """A vault that is there; None when it was deleted."""
        found = self.tenant.vaults.get(name.lower())
        return found if found and found.deleted is None else None

    def account(self, name: str) -> Account | None:
        """An account by name."""
        return next((a for a in self.tenant.accounts.values() if a.name.lower() == name.lower()), None)

    # --- principals -------------------------------------------------------------------------------------------------

    def add_principal(self, script: scripts.PrincipalScript) -> None:
        """Add a principal. For a deleted principal, only its object id is known under its name."""
        object_id = (script.id or _guid(f"principal {script.name}")).lower()
        kinds = {"user": "User", "group": "Group", "app registration": "Application"}
        kind = kinds.get(script.kind, "ServicePrincipal")
        self._ids[script.name] = object_id
        self._kinds[object_id] = kind
        if not script.deleted:
            self.tenant.principals[object_id] = Principal(
                object_id,
                script.display_name or script.name,
                kind,
                app_id=(script.app_id or _guid(f"application {script.name}")) if kind == "ServicePrincipal" else "",
                client_secret=script.client_secret,
                managed_identity=script.kind == "managed identity",
                alias=script.name,
            )

    def set_members(self, group: str, members: Iterable[str], *, belong: bool = True) -> None:
        """Add principals to a group, or remove them."""
        rbac, of = self.tenant.rbac, frozenset({self.principal_id(group)})
        changed = dict(rbac.groups)
        for member in map(self.principal_id, members):
            had = changed.get(member, frozenset())
            changed[member] = had | of if belong else had - of
        rbac.groups = changed

    # --- resources --------------------------------------------------------------------------------------------------

    def add_account(self, script: scripts.AccountScript) -> None:
        """An Azure OpenAI account, its control plane."""
        tenant = self.tenant
        host = script.host if script.endpoint else f"{script.name}.{tenant.names.openai_suffix}"
        account = _made(
            Account,
            script,
            id=self.account_id(script),
            endpoint=f"https://{host}/",
            system_identity=None,
            user_identities={},
        )
        tenant.accounts[account.id.lower()] = account
        if script.system_identity:
            self.set_system_identity(account, there=True)
        for name in script.user_identities:
            self.attach(account, name)

    def account_id(self, script: scripts.AccountScript) -> str:
        """The account's ARM id."""
        return self.id(script.group, f"Microsoft.CognitiveServices/accounts/{script.name}")

    def set_system_identity(self, resource: Account | FunctionApp, *, there: bool) -> None:
        """Give a resource its own identity, or delete that identity from the directory."""
        ids = _guid(f"{resource.id} identity"), _guid(resource.id)
        self.tenant.set_system_identity(resource, ids if there else None)

    def attach(self, account: Account, identity: str, *, there: bool = True) -> None:
        """Attach a user-assigned identity to an account, or detach it."""
        group = account.id.split("/")[4]
        known = self.id(group, f"Microsoft.ManagedIdentity/userAssignedIdentities/{identity}")
        if there:
            account.user_identities[known] = {"principalId": _guid(known), "clientId": _guid(known + " client")}
        else:
            account.user_identities.pop(known, None)

    def add_function_app(self, script: scripts.FunctionAppScript) -> None:
        """A function app with its identities."""
        app = _made(FunctionApp, script, id=self.id(script.group, f"Microsoft.Web/sites/{script.name}"))
        self.tenant.function_apps[app.id.lower()] = app
        for name in [script.identity] if isinstance(script.identity, str) else script.identity:
            if name == "system":
                self.set_system_identity(app, there=True)
            else:
                known = self.id(script.group, f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
                app.identities[known] = self.tenant.named(name)

    def add_vault(self, script: scripts.VaultScript) -> None:
        """A vault with its secrets and access policies; a name that another tenant holds is only reserved."""
        tenant, now = self.tenant, self.tenant.clock.time()
        if script.elsewhere:
            tenant.foreign_vaults.add(script.name.lower())
            return
        tenant.vaults[script.name.lower()] = _made(
            Vault,
            script,
            id=self.id(script.group, f"Microsoft.KeyVault/vaults/{script.name}"),
            uri=f"https://{script.name}.{tenant.names.vault_suffix}/",
            policies=[self.access_policy(p) for p in script.policies],
            secrets={s.name.lower(): self._secret(s) for s in script.secrets},
            purge_protection=script.purge_protection or None,
            ip_rules=[str(rule) for rule in script.ip_rules],
            deleted=now if script.deleted else None,
        )

    def _secret(self, script: scripts.SecretScript) -> Secret:
        secret = Secret(script.name)
        for version in script.history():
            self.add_version(secret, version)
        secret.deleted = int(self.tenant.clock.time()) if script.deleted else None
        return secret

    def add_version(self, secret: Secret, script: scripts.VersionScript) -> None:
        """A new version of a secret."""
        now, days = int(self.tenant.clock.time()), script.expires_in_days
        created = now - int(script.created_days_ago * 86400)
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"version {len(secret.versions)} of {secret.name}").hex
        expires = None if days is None else now + int(days * 86400)
        secret.versions.append(
            _made(SecretVersion, script, version=name, created=created, updated=created, expires=expires)
        )

    # --- access -----------------------------------------------------------------------------------------------------

    def access_policy(self, script: scripts.PolicyScript) -> AccessPolicy:
        """An entry of a vault's access policies."""
        permissions = {kind: list(getattr(script, kind)) for kind in ("keys", "secrets", "certificates", "storage")}
        return AccessPolicy(self.principal_id(script.principal), permissions, script.application_id, script.tenant_id)

    def assignment(
        self, script: scripts.AssignmentScript, *, created: float = 0.0, effective: float = 0.0
    ) -> Assignment:
        """A role assignment; times are virtual epoch seconds."""
        scope, who = self.scope(script.scope), self.principal_id(script.principal)
        known, tenant = self.tenant.principals.get(who), self.tenant
        delegation = self._delegation(script) if script.may_assign else None
        condition = script.condition or (delegation.condition if delegation else None)
        late = tenant.transitions.inherited_propagation if effective > created and scope.startswith(ROOT) else 0.0
        return _made(
            Assignment,
            script,
            name=script.name or assignment_name(scope, who, script.role),
            scope=scope,
            role_id=self.role_id(script.role),
            principal_id=who,
            principal_type=known.kind if known else self._kinds.get(who, "ServicePrincipal"),
            created=created,
            effective=effective,
            condition=condition,
            condition_version="2.0" if condition else None,
            delegation=delegation,
            expires=None if script.expires_in is None else tenant.clock.time() + script.expires_in,
            data_delay=late,
        )

    def _delegation(self, script: scripts.AssignmentScript) -> Delegation:
        wanted = script.may_assign
        roles = None if wanted is None or wanted.roles is None else frozenset(map(self.role_id, wanted.roles))
        kinds = (
            None if wanted is None or wanted.principal_types is None else frozenset(map(str, wanted.principal_types))
        )
        return Delegation(roles, kinds)

    def add_role(self, script: scripts.RoleScript) -> None:
        """A custom role."""
        made = _made(
            Role,
            script,
            id=_guid(f"role {script.name}"),
            assignable=[self.scope(each) for each in script.assignable],
        )
        self.tenant.rbac.roles = {**self.tenant.rbac.roles, made.id: made}

    # --- from above -------------------------------------------------------------------------------------------------

    def add_subscription(self, script: Subscription) -> None:
        """A subscription, below its management group."""
        tenant = self.tenant
        made = script.model_copy(update={"id": script.id.lower(), "tenant_id": script.tenant_id or tenant.tenant_id})
        tenant.subscriptions[made.id] = made
        tenant.rbac.above[made.scope.lower()] = self._above(script.management_group)

    def add_management_group(self, script: governance.ManagementGroupScript) -> None:
        """A management group, below its parent, which has to be there."""
        self._management_groups[script.name] = script.parent
        self.tenant.rbac.above[(ROOT + script.name).lower()] = self._above(script.parent)

    def _above(self, name: str | None) -> tuple[str, ...]:
        """The scopes of a management group and of those above it."""
        if name is None:
            return ()
        if name not in self._management_groups:
            raise ValueError(f"this scenario has no management group {name!r}")
        return ((ROOT + name).lower(), *self._above(self._management_groups[name]))

    def add_group(self, script: str | governance.GroupScript) -> None:
        """A resource group."""
        if isinstance(script, str):
            self.tenant.groups[script.lower()] = script
            return
        for subscription in self.tenant.subscriptions.values():
            if script.subscription in (subscription.name, subscription.id):
                self.tenant.groups[script.name.lower()] = script.name
                self.tenant.subscription_of[script.name.lower()] = subscription.id
                return
        raise ValueError(f"this scenario has no subscription {script.subscription!r}")

    def add_lock(self, script: Lock) -> None:
        """A lock."""
        self.tenant.locks.append(script.model_copy(update={"scope": self.scope(script.scope)}))

    def assign_policy(self, script: governance.PolicyAssignmentScript) -> None:
        """An assigned policy; one of the same name is replaced."""
        if script.definition:
            definition = BUILT_IN[script.definition]
        else:
            changes = tuple(script.changes.items())
            definition = Definition(script.name, script.name, script.type, rule(script.condition), changes)
        excluded = tuple(map(self.scope, script.exclude))
        made = _made(PolicyAssignment, script, scope=self.scope(script.scope), definition=definition, excluded=excluded)
        self.tenant.policies = [p for p in self.tenant.policies if p.name != made.name] + [made]

    def add_deny_assignment(self, script: governance.DenyAssignmentScript) -> None:
        """A deny assignment."""
        everybody = script.principals == "everybody"
        ids = [EVERYBODY] if everybody else map(self.principal_id, script.principals)
        denied = _made(Role, script, id="")
        excluded = frozenset(map(self.principal_id, script.exclude))
        self.tenant.rbac.denies.append(
            DenyAssignment(
                _guid(f"deny {script.name}"), script.name, self.scope(script.scope), denied, frozenset(ids), excluded
            )
        )


def _made(kind: type[_State], script: BaseModel, **other: Any) -> _State:
    """Return a part of the tenant with the fields of its script that have the same names, and others."""
    names = {each.name for each in fields(kind)} & type(script).model_fields.keys() - other.keys()  # type: ignore[arg-type] # a dataclass
    return kind(**{name: deepcopy(getattr(script, name)) for name in names}, **other)


def _guid(of: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, of))
