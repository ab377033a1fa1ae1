"""What other people do to the tenant while a program runs: the `do` of an event."""

from typing import Any, Self

from pydantic import Field, model_validator

from sandbox.azure.tenant import AccessPolicy, Account, Secret, Vault
from sandbox.runtime.clock import Duration
from sandbox.runtime.events import Trigger
from sandbox.scenario.builder import Builder
from sandbox.scenario.tenant import (
    AssignmentScript,
    PolicyScript,
    PrincipalScript,
    Script,
    VaultScript,
    VersionScript,
)


class Action(Script):
    """Something that a person or a pipeline does. On a resource that is gone it does nothing."""

    def apply(self, builder: Builder) -> None:
        """Change the tenant now."""
        raise NotImplementedError


# --- access ---------------------------------------------------------------------------------------------------------


class AddAccessPolicy(PolicyScript, Action):
    """Add permissions to a principal's entry in a vault's access policies, or add the entry."""

    vault: str

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            given = builder.access_policy(self)
            known = _entry(vault, given.object_id, given.application_id)
            if known is None:
                vault.policies.append(given)
                return
            for kind, verbs in given.permissions.items():
                had = known.permissions.get(kind) or []
                known.permissions[kind] = [*had, *(v for v in verbs if v.lower() not in {h.lower() for h in had})]


class RemoveAccessPolicy(Action):
    """Remove a principal's entry from a vault's access policies."""

    vault: str
    principal: str
    application_id: str | None = None

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            known = _entry(vault, builder.principal_id(self.principal), self.application_id)
            vault.policies = [p for p in vault.policies if p is not known]


class AssignRole(AssignmentScript, Action):
    """Assign a role. It works after `transitions.rbac_propagation` virtual seconds, unless `effective` says at once."""

    effective: bool = False

    def apply(self, builder: Builder) -> None:
        """See Action."""
        now, later = builder.tenant.clock.time(), builder.tenant.transitions.rbac_propagation
        effective = now if self.effective else now + later
        builder.tenant.rbac.add(builder.assignment(self, created=now, effective=effective))


class RemoveRole(Action):
    """Remove a principal's assignments of a role at a scope; without `role` all at that scope."""

    principal: str
    role: str | None = None
    scope: str = "subscription"

    def apply(self, builder: Builder) -> None:
        """See Action."""
        rbac = builder.tenant.rbac
        rbac.assignments = {k: a for k, a in rbac.assignments.items() if not self._means(builder, a)}

    def _means(self, builder: Builder, assignment: Any) -> bool:
        return (
            assignment.principal_id == builder.principal_id(self.principal)
            and assignment.scope.lower() == builder.scope(self.scope).lower()
            and (self.role is None or assignment.role_id == builder.role_id(self.role))
        )


class ChangeRole(RemoveRole):
    """Change the condition or the description of a principal's assignments at a scope."""

    condition: str | None = None
    condition_met: bool = True
    description: str | None = None

    def apply(self, builder: Builder) -> None:
        """See Action."""
        for assignment in builder.tenant.rbac.assignments.values():
            if self._means(builder, assignment):
                if "condition" in self.model_fields_set:
                    assignment.condition = self.condition
                    assignment.condition_version = "2.0" if self.condition else None
                    assignment.condition_met = self.condition_met
                if "description" in self.model_fields_set:
                    assignment.description = self.description


# --- vaults and secrets -----------------------------------------------------------------------------------------------


class VaultAction(Action):
    """An action on a vault by name."""

    vault: str


class ChangeVault(VaultAction):
    """Change what is given: the access model (`rbac`), network rules, tags. A tag with the value null is removed."""

    rbac: bool | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    firewall: bool | None = None
    ip_rules: list[str] | None = None
    public_network: bool | None = None
    purge_protection: bool | None = None

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            for name in self.model_fields_set - {"vault", "tags"}:
                setattr(vault, name, getattr(self, name))
            vault.tags = _merged(vault.tags, self.tags)


class DeleteVault(VaultAction):
    """Delete a vault: it is recoverable, its role assignments are gone."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            vault.deleted = builder.tenant.clock.time()
            builder.tenant.rbac.forget(vault.id)


class RecoverVault(VaultAction):
    """Recover a deleted vault."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.tenant.vaults.get(self.vault.lower()):
            vault.deleted = None


class PurgeVault(VaultAction):
    """Remove a vault for good; its name is free."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.tenant.vaults.pop(self.vault.lower(), None):
            builder.tenant.rbac.forget(vault.id)


class AddVault(VaultScript, Action):
    """Create a vault, as in the scenario's `vaults`."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        builder.add_vault(self)


class WriteSecret(VersionScript, Action):
    """Write a new version of a secret; a deleted secret stays as it is."""

    vault: str
    name: str

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            secret = vault.secrets.setdefault(self.name.lower(), Secret(self.name))
            if secret.deleted is None:
                builder.add_version(secret, self)


class SecretAction(Action):
    """An action on a secret by name."""

    vault: str
    name: str

    def _found(self, builder: Builder) -> Secret | None:
        vault = builder.vault(self.vault)
        return vault.secrets.get(self.name.lower()) if vault else None


class ChangeSecret(SecretAction):
    """Change attributes of the newest version of a secret, or of every version (`all_versions`)."""

    enabled: bool | None = None
    expires_in_days: float | None = None
    content_type: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    all_versions: bool = False

    def apply(self, builder: Builder) -> None:
        """See Action."""
        secret, now = self._found(builder), int(builder.tenant.clock.time())
        for version in secret.versions[slice(0 if self.all_versions else -1, None)] if secret else []:
            if self.enabled is not None:
                version.enabled = self.enabled
            if self.expires_in_days is not None:
                version.expires = now + int(self.expires_in_days * 86400)
            if "content_type" in self.model_fields_set:
                version.content_type = self.content_type
            version.tags = _merged(version.tags or {}, self.tags) or None
            version.updated = now


class DeleteSecret(SecretAction):
    """Delete a secret: it is recoverable."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if secret := self._found(builder):
            secret.deleted = int(builder.tenant.clock.time())


class RecoverSecret(SecretAction):
    """Recover a deleted secret."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if secret := self._found(builder):
            secret.deleted = None


class PurgeSecret(SecretAction):
    """Remove a secret for good."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        if vault := builder.vault(self.vault):
            vault.secrets.pop(self.name.lower(), None)


# --- accounts, function apps, directory -------------------------------------------------------------------------------


class ChangeAccount(Action):
    """Change what is given: identities, keys (`local_auth`), network rules, provisioning state, tags."""

    account: str
    system_identity: bool | None = None
    attach: list[str] = Field(default_factory=list)  # user-assigned identities
    detach: list[str] = Field(default_factory=list)
    local_auth: bool | None = None
    firewall: bool | None = None
    public_network: bool | None = None
    state: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)

    def apply(self, builder: Builder) -> None:
        """See Action."""
        account = builder.account(self.account)
        if account is None:
            return
        if self.system_identity is not None:
            builder.set_system_identity(account, there=self.system_identity)
        for name in self.attach:
            builder.attach(account, name)
        for name in self.detach:
            builder.attach(account, name, there=False)
        for name in self.model_fields_set & {"local_auth", "firewall", "public_network", "state"}:
            setattr(account, name, getattr(self, name))
        account.tags = _merged(account.tags, self.tags)


class DeleteAccount(Action):
    """Delete an account, with its identity."""

    account: str

    def apply(self, builder: Builder) -> None:
        """See Action."""
        account: Account | None = builder.account(self.account)
        if account is not None:
            builder.set_system_identity(account, there=False)
            builder.tenant.rbac.forget(account.id)
            del builder.tenant.accounts[account.id.lower()]


class ChangeFunctionApp(Action):
    """Change what is given: app settings (null removes one), state, indexed functions."""

    name: str
    settings: dict[str, str | None] = Field(default_factory=dict)
    state: str | None = None
    functions: list[str] | None = None

    def apply(self, builder: Builder) -> None:
        """See Action."""
        for app in builder.tenant.function_apps.values():
            if app.name == self.name:
                app.settings = _merged(app.settings, self.settings)
                app.state = self.state or app.state
                app.functions = app.functions if self.functions is None else list(self.functions)


class AddPrincipal(PrincipalScript, Action):
    """Add a principal to the directory, as in the scenario's `principals`."""

    def apply(self, builder: Builder) -> None:
        """See Action."""
        builder.add_principal(self)
        builder.set_members(self.name, self.members)


class DeletePrincipal(Action):
    """Delete a principal from the directory; policies and assignments that name it stay."""

    principal: str

    def apply(self, builder: Builder) -> None:
        """See Action."""
        builder.tenant.principals.pop(builder.principal_id(self.principal), None)


class ChangeMembers(Action):
    """Add principals to a group, or remove them."""

    group: str
    add: list[str] = Field(default_factory=list)
    remove: list[str] = Field(default_factory=list)

    def apply(self, builder: Builder) -> None:
        """See Action."""
        builder.set_members(self.group, self.add)
        builder.set_members(self.group, self.remove, belong=False)


class Advance(Action):
    """Move the virtual clock forward."""

    seconds: Duration

    def apply(self, builder: Builder) -> None:
        """See Action."""
        builder.tenant.clock.advance(self.seconds)


# --- the event --------------------------------------------------------------------------------------------------------


class Do(Script):
    """One action: a mapping with one key, the action's name."""

    add_access_policy: AddAccessPolicy | None = None
    remove_access_policy: RemoveAccessPolicy | None = None
    assign_role: AssignRole | None = None
    remove_role: RemoveRole | None = None
    change_role: ChangeRole | None = None
    change_vault: ChangeVault | None = None
    delete_vault: DeleteVault | None = None
    recover_vault: RecoverVault | None = None
    purge_vault: PurgeVault | None = None
    add_vault: AddVault | None = None
    write_secret: WriteSecret | None = None
    change_secret: ChangeSecret | None = None
    delete_secret: DeleteSecret | None = None
    recover_secret: RecoverSecret | None = None
    purge_secret: PurgeSecret | None = None
    change_account: ChangeAccount | None = None
    delete_account: DeleteAccount | None = None
    change_function_app: ChangeFunctionApp | None = None
    add_principal: AddPrincipal | None = None
    delete_principal: DeletePrincipal | None = None
    change_members: ChangeMembers | None = None
    advance: Advance | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("each item of do is a mapping with one key, the name of an action")
        return self

    @property
    def name(self) -> str:
        """The action's name."""
        return next(iter(self.model_fields_set))

    @property
    def action(self) -> Action:
        """The action."""
        action: Action = getattr(self, self.name)
        return action


class EventScript(Trigger):
    """Somebody else's actions, in their order, at one moment of a command."""

    do: list[Do] = Field(min_length=1)

    def apply(self, builder: Builder) -> None:
        """Act now."""
        for each in self.do:
            each.action.apply(builder)

    @property
    def label(self) -> str:
        """The actions in words, for logs."""
        return ", ".join(each.name for each in self.do)


def _entry(vault: Vault, object_id: str, application_id: str | None) -> AccessPolicy | None:
    whose = (object_id.lower(), application_id)
    return next((p for p in vault.policies if (p.object_id.lower(), p.application_id) == whose), None)


def _merged(known: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    return {k: v for k, v in {**known, **changes}.items() if v is not None}
