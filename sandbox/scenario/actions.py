"""Other people's changes of resources and the directory while a program runs. See access_actions.py for access and governance."""

from pydantic import Field

from sandbox.azure.tenant import Account, Secret
from sandbox.runtime.clock import Duration
from sandbox.scenario.access_actions import Action
from sandbox.scenario.builder import Builder
from sandbox.scenario.tenant import PrincipalScript, VaultScript, VersionScript

# --- vaults and secrets -----------------------------------------------------------------------------------------------


class _OnVault(Action):
    """An action on a vault by name."""

    vault: str


class ChangeVault(_OnVault):
    """Change what is given: the access model (`rbac`), network rules, tags. A tag with the value null is removed."""

    rbac: bool | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    firewall: bool | None = None
    ip_rules: list[str] | None = None
    public_network: bool | None = None
    purge_protection: bool | None = None

    def _change(self, builder: Builder) -> None:
        if vault := builder.vault(self.vault):
            for name in self.model_fields_set - {"vault", "tags"}:
                setattr(vault, name, getattr(self, name))
            vault.tags = _merged(vault.tags, self.tags)


class DeleteVault(_OnVault):
    """Delete a vault: it is recoverable, its role assignments are gone."""

    def _change(self, builder: Builder) -> None:
        if vault := builder.vault(self.vault):
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


class MoveVault(Action):
    """Move a vault to another resource group. Access policies and secrets move along, and role assignments do not."""

    vault: str
    group: str

    def _change(self, builder: Builder) -> None:
        if vault := builder.vault(self.vault):
            vault.id = builder.tenant.resource_id(self.group, "Microsoft.KeyVault/vaults", vault.name)


class AddVault(VaultScript, Action):
    """Create a vault, as in the scenario's `vaults`."""

    def _change(self, builder: Builder) -> None:
        builder.add_vault(self)


class WriteSecret(VersionScript, Action):
    """Write a new version of a secret; a deleted secret stays as it is."""

    vault: str
    name: str

    def _change(self, builder: Builder) -> None:
        if vault := builder.vault(self.vault):
            secret = vault.secrets.setdefault(self.name.lower(), Secret(self.name))
            if secret.deleted is None:
                builder.add_version(secret, self)


class _OnSecret(Action):
    """An action on a secret by name."""

    vault: str
    name: str

    def _found(self, builder: Builder) -> Secret | None:
        vault = builder.vault(self.vault)
        return vault.secrets.get(self.name.lower()) if vault else None


class ChangeSecret(_OnSecret):
    """Change attributes of the newest version of a secret, or of every version (`all_versions`)."""

    enabled: bool | None = None
    expires_in_days: float | None = None
    content_type: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    all_versions: bool = False

    def _change(self, builder: Builder) -> None:
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


class DeleteSecret(_OnSecret):
    """Delete a secret: it is recoverable."""

    def _change(self, builder: Builder) -> None:
        if secret := self._found(builder):
            secret.deleted = int(builder.tenant.clock.time())


class RecoverSecret(_OnSecret):
    """Recover a deleted secret."""

    def _change(self, builder: Builder) -> None:
        if secret := self._found(builder):
            secret.deleted = None


class PurgeSecret(_OnSecret):
    """Remove a secret for good."""

    def _change(self, builder: Builder) -> None:
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

    def _change(self, builder: Builder) -> None:
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

    def _change(self, builder: Builder) -> None:
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
