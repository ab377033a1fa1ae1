"""Key Vaults as resources: the control plane of Microsoft.KeyVault. Secrets are in secrets.py."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Literal

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.keyvault.models import AccessPolicyEntry, CreateMode, Sku, VaultPatchParameters, VaultPatchProperties
from azure.mgmt.keyvault.models import Permissions as SdkPermissions
from azure.mgmt.keyvault.models import Vault as SdkVault
from azure.mgmt.keyvault.models import VaultAccessPolicyParameters as PolicyParameters
from azure.mgmt.keyvault.models import VaultAccessPolicyProperties as PolicyProperties
from azure.mgmt.keyvault.models import VaultCheckNameAvailabilityParameters as NameQuestion
from azure.mgmt.keyvault.models import VaultCreateOrUpdateParameters as CreateParameters
from azure.mgmt.keyvault.models import VaultProperties as SdkProperties

from provisioning.azure.transport.errors import code, text, translated
from provisioning.azure.transport.not_found import group_of, missing, named
from provisioning.azure.transport.pipeline import Waiting, items, result
from provisioning.errors import NotFoundError, VaultDeletedError, VaultNameTakenError
from provisioning.models import AccessPolicy, DeletedVault, Network, Vault, VaultState

_RETENTION_DAYS = 90  # how long a deleted vault can be recovered; fixed at creation


class Vaults:
    """The vaults of one subscription. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(
        self,
        credential: TokenCredential,
        subscription_id: str,
        tenant_id: str,
        options: Mapping[str, Any],
        waiting: Waiting,
    ) -> None:
        self._tenant_id = tenant_id
        self.subscription_id = subscription_id
        self._waiting = waiting
        self._client = KeyVaultManagementClient(credential, subscription_id, **options).vaults

    # --- reads -------------------------------------------------------------------------------------------------

    def get(self, group: str, name: str) -> Vault:
        """The vault; NotFoundError lists similar names."""
        found = self.find(group, name)
        if found is None:
            raise self.missing(group, name)
        return found

    def find(self, group: str, name: str) -> Vault | None:
        """Return the vault, or None if its group has no vault with this name. Raise NotFoundError if the group is not visible."""
        with (
            translated(f"Reading Key Vault {name}"),
            named("Key Vault", name, group, "--key-vault", self._client.list_by_resource_group),
        ):
            try:
                return self._vault(self._client.get(group, name))
            except ResourceNotFoundError as error:
                if code(error) != "ResourceNotFound":
                    raise
        return None

    def missing(self, group: str, name: str) -> NotFoundError:
        """The error for a vault that does not exist."""
        elsewhere = self.group_of(name)
        return missing("Key Vault", name, group, "--key-vault", self._client.list_by_resource_group, elsewhere)

    def group_of(self, name: str) -> str:
        """The resource group of the vault with this name in the subscription; empty if none is visible."""
        return group_of(name, self._client.list_by_subscription)

    def deleted(self, name: str) -> DeletedVault | None:
        """Return the deleted vault with this name, from any group of the subscription.

        Raises:
            MissingRightsError: listing deleted vaults needs a right on the subscription.
        """
        with translated("Listing deleted vaults"):
            for found in items(self._client.list_deleted()):
                if str(found.name).lower() == name.lower() and found.properties:
                    known = found.properties
                    return DeletedVault(
                        str(known.vault_id), str(known.location), known.deletion_date, known.scheduled_purge_date
                    )
        return None

    def refusal(self, name: str) -> str | None:
        """Return Azure's reason why a new vault cannot have this name, or None if the name is available.

        Raises:
            MissingRightsError: checking a name needs a right on the subscription.
        """
        with translated(f"Checking whether the name {name} is available"):
            answer = self._client.check_name_availability(NameQuestion(name=name))
        return None if answer.name_available else " ".join((answer.message or "The name is not available.").split())

    # --- writes ------------------------------------------------------------------------------------------------

    def create(self, group: str, name: str, location: str, *, rbac: bool, purge_protection: bool) -> Vault:
        """Create a vault and wait until its host name is registered.

        The access model is always sent, because its default depends on the API version (Microsoft, "Prepare for Key Vault
        API version 2026-02-01"). Purge protection is sent only if true, because Azure refuses false.

        Raises:
            VaultNameTakenError: another vault has this name, which is global.
            VaultDeletedError: a deleted vault has this name.
        """
        properties = SdkProperties(
            tenant_id=self._tenant_id,
            sku=Sku(family="A", name="standard"),
            access_policies=[],
            enable_rbac_authorization=rbac,
            enable_soft_delete=True,
            soft_delete_retention_in_days=_RETENTION_DAYS,
            enable_purge_protection=purge_protection or None,
        )
        with translated(f"Creating Key Vault {name}"):
            try:
                return self._put(group, name, location, properties)
            except HttpResponseError as error:
                if code(error) == "VaultAlreadyExists":
                    raise name_taken(name, text(error)) from error
                if code(error) == "ConflictError" and "deleted state" in text(error):
                    raise deleted_vault(name, None) from error
                raise

    def recover(self, group: str, name: str, location: str) -> Vault:
        """Recover a deleted vault and wait until its host name is registered.

        Raises:
            NotFoundError: this group and location have no deleted vault with this name.
        """
        properties = SdkProperties(
            tenant_id=self._tenant_id, sku=Sku(family="A", name="standard"), create_mode=CreateMode.RECOVER
        )
        with translated(f"Recovering Key Vault {name}"):
            try:
                return self._put(group, name, location, properties)
            except HttpResponseError as error:
                # The code is from a public report (terraform-provider-azurerm issue 12972), UNVERIFIED.
                if code(error) != "SoftDeletedVaultDoesNotExist":
                    raise
                found = self.find(group, name)  # the SDK may have retried after a lost answer
                if found is None:
                    raise NotFoundError(
                        f"There is no deleted Key Vault {name} in this group and {location}.",
                        hint="`az keyvault list-deleted` lists deleted vaults. Pass its region as --location, or create "
                        "a new vault with --create-key-vault.",
                    ) from error
                return found

    def _put(self, group: str, name: str, location: str, properties: SdkProperties) -> Vault:
        parameters = CreateParameters(location=location, properties=properties)
        poller = self._client.begin_create_or_update(group, name, parameters)
        return self._vault(result(poller, f"Creating or recovering Key Vault {name}", self._waiting))

    def use_rbac(self, group: str, vault: Vault, tags: Mapping[str, str] | None, *, enabled: bool) -> Vault:
        """Switch the vault to Azure RBAC, or back to its stored access policies. `tags` replace all its tags.

        One request changes both, so that an interruption cannot separate them.
        """
        properties = VaultPatchProperties(enable_rbac_authorization=enabled)
        change = VaultPatchParameters(properties=properties, tags=None if tags is None else dict(tags))
        model = "Azure RBAC" if enabled else "access policies"
        with translated(f"Switching vault {vault.name} to {model}"):
            return self._vault(self._client.update(group, vault.name, change))

    def tag(self, group: str, vault: Vault, tags: Mapping[str, str]) -> Vault:
        """Replace all tags of the vault."""
        with translated(f"Tagging vault {vault.name}"):
            return self._vault(self._client.update(group, vault.name, VaultPatchParameters(tags=dict(tags))))

    def change_policy(
        self, group: str, vault: Vault, kind: Literal["add", "remove"], object_id: str, secrets: Iterable[str]
    ) -> None:
        """Add permissions on secrets to a principal's access policy, or remove them. Everything else stays."""
        entry = AccessPolicyEntry(
            tenant_id=self._tenant_id,
            object_id=object_id,
            permissions=SdkPermissions(secrets=list(secrets)),
        )
        change = PolicyParameters(properties=PolicyProperties(access_policies=[entry]))
        with translated(f"Changing the access policy for {object_id}"):
            self._client.update_access_policy(group, vault.name, kind, change)

    def _vault(self, sdk: SdkVault) -> Vault:
        return _shown(sdk, self._tenant_id)


def name_taken(name: str, reason: str) -> VaultNameTakenError:
    """The error for a name that is not available, with Azure's reason."""
    return VaultNameTakenError(
        f"A Key Vault cannot have the name {name}: {reason}",
        hint="Choose another name with --key-vault. If the vault is yours and was deleted, "
        "`setup --recover-key-vault` recovers it.",
    )


def deleted_vault(name: str, known: DeletedVault | None) -> VaultDeletedError:
    """The error for the name of a deleted, recoverable vault; `known` if this identity may read it."""
    when = f" on {known.deleted:%Y-%m-%d}" if known and known.deleted else ""
    until = f" until {known.purged:%Y-%m-%d}, when Azure purges it" if known and known.purged else ""
    return VaultDeletedError(
        f"Key Vault {name} was deleted{when} and can be recovered{until}.",
        hint="`setup --recover-key-vault` recovers it with its content; or pass another name as --key-vault.",
    )


def _shown(sdk: SdkVault, tenant_id: str) -> Vault:
    """Convert ARM's vault. An unset model means access policies (Microsoft, "Prepare for API version 2026-02-01")."""
    properties = sdk.properties
    registering = _word(properties.provisioning_state).lower() == "registeringdns"
    return Vault(
        id=str(sdk.id),
        name=str(sdk.name),
        uri=(properties.vault_uri or "").rstrip("/") + "/",
        rbac=bool(properties.enable_rbac_authorization),
        tags=dict(sdk.tags or {}),
        location=str(sdk.location or ""),
        state=VaultState.REGISTERING if registering else VaultState.READY,
        network=_network(properties),
        rules=network_rules(properties),
        foreign_tenant=_other(properties.tenant_id, tenant_id),
        soft_delete=bool(properties.enable_soft_delete),
        by_application=_word(sdk.system_data.last_modified_by_type if sdk.system_data else None).lower()
        == "application",
        policies=tuple(
            AccessPolicy(
                object_id=entry.object_id,
                application_id=entry.application_id or None,
                foreign_tenant=_other(entry.tenant_id, tenant_id),
                permissions={
                    "keys": _words(entry.permissions.keys_property),
                    "secrets": _words(entry.permissions.secrets),
                    "certificates": _words(entry.permissions.certificates),
                    "storage": _words(entry.permissions.storage),
                },
            )
            for entry in properties.access_policies or ()
        ),
    )


def _network(properties: SdkProperties) -> Network:
    """The networks that can reach the vault. Disabled public access overrides the firewall; the default is open."""
    public = (properties.public_network_access or "enabled").lower()
    if public == "securedbyperimeter":
        return Network.PERIMETER
    if public != "enabled":
        return Network.PRIVATE
    rules = properties.network_acls
    return Network.FIREWALL if rules and _word(rules.default_action).lower() == "deny" else Network.OPEN


def _other(tenant_id: str | None, home: str) -> str:
    """The tenant if it is known and is not the home tenant; otherwise empty."""
    return str(tenant_id) if tenant_id and home and str(tenant_id).lower() != home.lower() else ""


def network_rules(properties: Any) -> frozenset[str]:
    """Every network rule of a vault or an account, public access among them, in words."""
    public = (properties.public_network_access or "enabled").lower()
    acls = properties.network_acls
    if not acls:
        return frozenset({f"public access {public}"})
    found = {f"public access {public}", f"default {_word(acls.default_action).lower() or 'allow'}"}
    found |= {f"address {rule.value}" for rule in acls.ip_rules or ()}
    return frozenset(found | {f"subnet {rule.id}" for rule in acls.virtual_network_rules or ()})


def _words(verbs: Iterable[str | Enum] | None) -> tuple[str, ...]:
    return tuple(map(_word, verbs or ()))


def _word(value: str | Enum | None) -> str:
    """Return a plain string. The SDK returns an enum for values that it knows."""
    return str(value.value if isinstance(value, Enum) else value or "")
