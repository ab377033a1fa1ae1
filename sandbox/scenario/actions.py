"""Other people's changes of resources and the directory while a program runs. See access_actions.py for access and governance."""

from pydantic import Field

from sandbox.azure.tenant import Account, Secret, Vault
from sandbox.runtime.clock import Duration
from sandbox.scenario.access_actions import Action
from sandbox.scenario.builder import Builder
from sandbox.scenario.tenant import PolicyScript, PrincipalScript, VaultScript, VersionScript

# --- vaults and secrets -----------------------------------------------------------------------------------------------


class _OnVault(Action):
    """An action on a vault by name."""

    vault: str

    def _change(self, builder: Builder) -> None:
        if vault := builder.vault(self.vault):
            self._on(vault, builder)

    def _on(self, vault: Vault, builder: Builder) -> None:
        raise NotImplementedError


class AddAccessPolicy(PolicyScript, _OnVault):
    """Add permissions to a principal's entry in a vault's access policies, or add the entry."""

    def _on(self, vault: Vault, builder: Builder) -> None:
        vault.merge(builder.access_policy(self), "add")


class RemoveAccessPolicy(_OnVault):
    """Remove a principal's entry from a vault's access policies."""

    principal: str
    application_id: str | None = None

    def _on(self, vault: Vault, builder: Builder) -> None:
        known = vault.policy_of(builder.principal_id(self.principal), self.application_id)
        vault.policies = [p for p in vault.policies if p is not known]


class ChangeVault(_OnVault):
    """Change what is given: the access model (`rbac`), network rules, tags. A tag with the value null is removed."""

    rbac: bool | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    firewall: bool | None = None
    ip_rules: list[str] | None = None
    public_network: bool | None = None
    purge_protection: bool | None = None

    def _on(self, vault: Vault, builder: Builder) -> None:
        for name in self.model_fields_set - {"vault", "tags"}:
            setattr(vault, name, getattr(self, name))
        vault.tags = _merged(vault.tags, self.tags)


class DeleteVault(_OnVault):
    """Delete a vault: it is recoverable, its role assignments are gone."""

    def _on(self, vault: Vault, builder: Builder) -> None:
        vault.deleted = builder.tenant.clock.time()
        builder.tenant.rbac.forget(vault.id)


class RecoverVault(_OnVault):
    """Recover a deleted vault."""

    def _change(self, builder: Builder) -> None:
        if vault := builder.tenant.vaults.get(self.vault.lower()):
            vault.deleted = None


class PurgeVault(_OnVault):
    """Remove a vault for good; its name is free."""

    def _change(self, builder: Builder) -> None:
        if vault := builder.tenant.vaults.pop(self.vault.lower(), None):
            builder.tenant.rbac.forget(vault.id)


class MoveVault(_OnVault):
    """Move a vault to another resource group. Access policies and secrets move along, and role assignments do not."""

    group: str

    def _on(self, vault: Vault, builder: Builder) -> None:
        vault.id = builder.tenant.resource_id(self.group, "Microsoft.KeyVault/vaults", vault.name)


class AddVault(VaultScript, Action):
    """Create a vault, as in the scenario's `vaults`."""

    def _change(self, builder: Builder) -> None:
        builder.add_vault(self)


class WriteSecret(VersionScript, _OnVault):
    """Write a new version of a secret; a deleted secret stays as it is."""

    name: str

    def _on(self, vault: Vault, builder: Builder) -> None:
        secret = vault.secrets.setdefault(self.name.lower(), Secret(self.name))
        if secret.deleted is None:
            builder.add_version(secret, self)


class _OnSecret(_OnVault):
    """An action on a secret by name."""

    name: str

    def _on(self, vault: Vault, builder: Builder) -> None:
        if secret := vault.secrets.get(self.name.lower()):
            self._on_secret(secret, int(builder.tenant.clock.time()))

    def _on_secret(self, secret: Secret, now: int) -> None:
        raise NotImplementedError


class ChangeSecret(_OnSecret):
    """Change attributes of the newest version of a secret, or of every version (`all_versions`)."""

    enabled: bool | None = None
    expires_in_days: float | None = None
    content_type: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    all_versions: bool = False

    def _on_secret(self, secret: Secret, now: int) -> None:
        for version in secret.versions if self.all_versions else secret.versions[-1:]:
            if self.enabled is not None:
                version.enabled = self.enabled
            if self.expires_in_days is not None:
                version.expires = now + int(self.expires_in_days * 86400)
            if "content_type" in self.model_fields_set:
                version.content_type = self.content_type
            version.tags = _merged(version.tags or {}, self.tags) or None
            version.updated = now


class DeleteSecret(_OnSecret):
    """Delete a secret: it is recoverable."""

    def _on_secret(self, secret: Secret, now: int) -> None:
        secret.deleted = now


class RecoverSecret(_OnSecret):
    """Recover a deleted secret."""

    def _on_secret(self, secret: Secret, now: int) -> None:
        secret.deleted = None


class PurgeSecret(_OnSecret):
    """Remove a secret for good."""

    def _on(self, vault: Vault, builder: Builder) -> None:
        vault.secrets.pop(self.name.lower(), None)


# --- accounts, function apps, directory -------------------------------------------------------------------------------


class _OnAccount(Action):
    """An action on an account by name."""

    account: str

    def _change(self, builder: Builder) -> None:
        if account := builder.account(self.account):
            self._on(account, builder)

    def _on(self, account: Account, builder: Builder) -> None:
        raise NotImplementedError


class ChangeAccount(_OnAccount):
    """Change what is given: identities, keys (`local_auth`), network rules, provisioning state, tags."""

    system_identity: bool | None = None
    attach: list[str] = Field(default_factory=list)  # user-assigned identities
    detach: list[str] = Field(default_factory=list)
    local_auth: bool | None = None
    firewall: bool | None = None
    public_network: bool | None = None
    state: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)

    def _on(self, account: Account, builder: Builder) -> None:
        if self.system_identity is not None:
            builder.set_system_identity(account, there=self.system_identity)
        for name in self.attach:
            builder.attach(account, name)
        for name in self.detach:
            builder.attach(account, name, there=False)
        for name in self.model_fields_set & {"local_auth", "firewall", "public_network", "state"}:
            setattr(account, name, getattr(self, name))
        account.tags = _merged(account.tags, self.tags)


class DeleteAccount(_OnAccount):
    """Delete an account, with its identity."""

    def _on(self, account: Account, builder: Builder) -> None:
        builder.set_system_identity(account, there=False)
        builder.tenant.rbac.forget(account.id)
        del builder.tenant.accounts[account.id.lower()]


class ChangeFunctionApp(Action):
    """Change what is given: app settings (null removes one), state, indexed functions."""

    name: str
    settings: dict[str, str | None] = Field(default_factory=dict)
    state: str | None = None
    functions: list[str] | None = None

    def _change(self, builder: Builder) -> None:
        for app in builder.tenant.function_apps.values():
            if app.name == self.name:
                app.settings = _merged(app.settings, self.settings)
                app.state = self.state or app.state
                app.functions = app.functions if self.functions is None else list(self.functions)


class AddPrincipal(PrincipalScript, Action):
    """Add a principal to the directory, as in the scenario's `principals`."""

    def _change(self, builder: Builder) -> None:
        builder.add_principal(self)
        builder.set_members(self.name, self.members)


class DeletePrincipal(Action):
    """Delete a principal from the directory; policies and assignments that name it stay."""

    principal: str

    def _change(self, builder: Builder) -> None:
        builder.tenant.principals.pop(builder.principal_id(self.principal), None)


class ChangeMembers(Action):
    """Add principals to a group, or remove them."""

    group: str
    add: list[str] = Field(default_factory=list)
    remove: list[str] = Field(default_factory=list)

    def _change(self, builder: Builder) -> None:
        builder.set_members(self.group, self.add)
        builder.set_members(self.group, self.remove, belong=False)


class Advance(Action):
    """Move the virtual clock forward."""

    seconds: Duration

    def _change(self, builder: Builder) -> None:
        builder.tenant.clock.advance(self.seconds)


def _merged(known: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    return {k: v for k, v in {**known, **changes}.items() if v is not None}
