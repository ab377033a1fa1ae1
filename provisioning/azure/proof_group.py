"""The resource group that `prove` creates, with an Azure OpenAI account and Key Vaults in it, and deletes.

Operations: Microsoft, REST references of Resource Groups, Resources, Cognitive Services accounts and Key Vault vaults.
Long operations are only started: read the state to see whether they have ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioning.azure.transport.errors import translated
from provisioning.azure.transport.rest import Rest

_RESOURCES = "api-version=2021-04-01"
_ACCOUNTS = "api-version=2023-05-01"
_VAULTS = "api-version=2026-02-01"


@dataclass(frozen=True)
class Resource:
    """A resource of the group, as its listing shows it."""

    name: str
    type: str
    tags: Mapping[str, str]


class ProofGroup:
    """One resource group of a subscription, by name. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(self, arm: Rest, subscription_id: str, tenant_id: str, name: str) -> None:
        self._arm = arm
        self._subscription = f"/subscriptions/{subscription_id}"
        self._tenant_id = tenant_id
        self.name = name
        self.id = f"{self._subscription}/resourceGroups/{name}"

    # --- the group -----------------------------------------------------------------------------------------------

    def tags(self) -> Mapping[str, str] | None:
        """The tags of the group; None if there is no such group."""
        with translated(f"Reading resource group {self.name}"):
            found = self._arm.find(f"{self.id}?{_RESOURCES}")
        return None if found is None else dict(found.get("tags") or {})

    def create(self, location: str, tags: Mapping[str, str]) -> None:
        """Create the group."""
        with translated(f"Creating resource group {self.name}"):
            self._arm.put(f"{self.id}?{_RESOURCES}", {"location": location, "tags": dict(tags)})

    def delete(self) -> None:
        """Begin to delete the group with everything in it."""
        with translated(f"Deleting resource group {self.name}"):
            self._arm.act("DELETE", f"{self.id}?{_RESOURCES}")

    def resources(self) -> tuple[Resource, ...]:
        """Everything in the group that this identity may see."""
        with translated(f"Listing the resources of {self.name}"):
            listed = list(self._arm.pages(f"{self.id}/resources?{_RESOURCES}"))
        return tuple(Resource(each["name"], each["type"], dict(each.get("tags") or {})) for each in listed)

    # --- an account ----------------------------------------------------------------------------------------------

    def create_account(self, name: str, location: str) -> None:
        """Create an Azure OpenAI account with a custom subdomain, which Entra tokens require."""
        path = f"{self.id}/providers/Microsoft.CognitiveServices/accounts/{name}?{_ACCOUNTS}"
        properties = {"customSubDomainName": name, "publicNetworkAccess": "Enabled"}
        body = {"location": location, "kind": "OpenAI", "sku": {"name": "S0"}, "properties": properties}
        with translated(f"Creating Azure OpenAI account {name}"):
            self._arm.put(path, body)

    def deleted_account(self, name: str, location: str) -> bool:
        """Whether there is a deleted account of this group with this name, which is taken until it is purged."""
        with translated(f"Reading the deleted account {name}"):
            return self._arm.find(self._deleted_account(name, location)) is not None

    def purge_account(self, name: str, location: str) -> None:
        """Begin to purge the deleted account."""
        with translated(f"Purging account {name}"):
            self._arm.act("DELETE", self._deleted_account(name, location))

    def _deleted_account(self, name: str, location: str) -> str:
        where = f"{self._subscription}/providers/Microsoft.CognitiveServices/locations/{location}"
        return f"{where}/resourceGroups/{self.name}/deletedAccounts/{name}?{_ACCOUNTS}"

    # --- vaults --------------------------------------------------------------------------------------------------

    def create_vault(self, name: str, location: str, readers: Iterable[str]) -> None:
        """Create a vault on access policies, on which these principals may use secrets.

        The shortest retention, and no purge protection: it has to be purged afterwards.
        """
        permissions = {"secrets": ["get", "list", "set", "delete"]}
        properties = {
            "tenantId": self._tenant_id,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": False,
            "softDeleteRetentionInDays": 7,
            "accessPolicies": [
                {"tenantId": self._tenant_id, "objectId": each, "permissions": permissions} for each in readers
            ],
        }
        with translated(f"Creating Key Vault {name}"):
            self._arm.put(self._vault(name), {"location": location, "properties": properties})

    def close_vault(self, name: str, *, closed: bool) -> None:
        """Let the vault's firewall refuse everybody, or nobody."""
        rules = {"defaultAction": "Deny" if closed else "Allow", "bypass": "None"}
        with translated(f"Changing the firewall of {name}"):
            self._arm.patch(self._vault(name), {"properties": {"networkAcls": rules}})

    def delete_vault(self, name: str) -> None:
        """Delete the vault, which can be recovered."""
        with translated(f"Deleting Key Vault {name}"):
            self._arm.act("DELETE", self._vault(name))

    def deleted_vault(self, name: str, location: str) -> bool:
        """Whether there is a deleted vault of this group with this name, which is taken until it is purged."""
        with translated(f"Reading the deleted Key Vault {name}"):
            found = self._arm.find(f"{self._deleted_vault(name, location)}?{_VAULTS}")
        ours = f"{self.id}/providers/Microsoft.KeyVault/vaults/{name}".lower()
        return found is not None and str(found["properties"].get("vaultId")).lower() == ours

    def purge_vault(self, name: str, location: str) -> None:
        """Begin to purge the deleted vault."""
        with translated(f"Purging Key Vault {name}"):
            self._arm.act("POST", f"{self._deleted_vault(name, location)}/purge?{_VAULTS}")

    def _deleted_vault(self, name: str, location: str) -> str:
        return f"{self._subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}"

    def _vault(self, name: str) -> str:
        return f"{self.id}/providers/Microsoft.KeyVault/vaults/{name}?{_VAULTS}"
