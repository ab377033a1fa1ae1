"""The one door to Azure: accounts and the directory here, the rest beside it. Our types go in and out.

The SDK's clients stay inside, and so do its errors (sdk_errors.py). Where no installed SDK has an operation
(subscriptions, permissions at one resource, Microsoft Graph), a plain azure-core pipeline asks (rest.py).
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.cognitiveservices.models import Account as SdkAccount
from azure.mgmt.cognitiveservices.models import AccountProperties, Identity, UserAssignedIdentity

from provisioning.azure.errors import translated
from provisioning.azure.fine_tuning import FineTuningJobs
from provisioning.azure.function_apps import FunctionApps
from provisioning.azure.http_log import log_response
from provisioning.azure.not_found import named
from provisioning.azure.rest import Rest
from provisioning.azure.roles import Roles
from provisioning.azure.secrets import VaultSecrets
from provisioning.azure.sign_in import Cloud, who
from provisioning.azure.vaults import Vaults
from provisioning.errors import NotFoundError
from provisioning.models import Account, Network, Principal, Subscription, Vault

POLL_SECONDS = 2.0
"""Between two looks at a long-running operation that names no pace itself; the SDK's own default is 30."""

_GRAPH_KINDS = {"user": "User", "group": "Group", "servicePrincipal": "ServicePrincipal"}
_GRAPH_BATCH = 1000  # ids per getByIds request (Microsoft Graph reference)


class Azure:
    """One subscription, as one signed-in identity.

    Raises:
        NotSignedInError: no credential gave a token.
        NotFoundError: the subscription does not exist or is not visible.
        ProvisioningError: as sdk_errors translates; every method may.
    """

    def __init__(
        self, cloud: Cloud, credential: TokenCredential, subscription: str | None, *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._credential = credential
        self._secrets: dict[str, VaultSecrets] = {}
        with translated("Signing in"):
            self.caller = who(credential, cloud.scope)
        self._graph = Rest(cloud.graph, credential, f"{cloud.graph}/.default")
        arm = Rest(cloud.resource_manager, credential, cloud.scope)
        self.subscription = self._subscription(arm, subscription)
        shared: dict[str, Any] = {
            "base_url": cloud.resource_manager,
            "credential_scopes": [cloud.scope],
            "polling_interval": poll_seconds,
            "raw_response_hook": log_response,
            "enable_cae": True,
        }
        self._accounts = CognitiveServicesManagementClient(credential, self.subscription.id, **shared).accounts
        self.vaults = Vaults(credential, self.subscription.id, self.caller.tenant_id, shared)
        self.roles = Roles(arm, credential, self.subscription.id, shared)
        self.function_apps = FunctionApps(arm, self.subscription.id)
        self._openai_scope = cloud.openai_scope

    # --- what is there -----------------------------------------------------------------------------------------

    def _subscription(self, arm: Rest, wanted: str | None) -> Subscription:
        """The subscription with this id or name; without one, the only one there is."""
        version = "?api-version=2022-12-01"
        if wanted and _is_guid(wanted):
            with translated(f"Reading subscription {wanted}"):
                found = arm.get(f"/subscriptions/{wanted}{version}")
            return Subscription(found["subscriptionId"], found["displayName"])
        with translated("Listing subscriptions"):
            listed = arm.pages(f"/subscriptions{version}")
            visible = [Subscription(s["subscriptionId"], s["displayName"]) for s in listed]
        matching = [s for s in visible if not wanted or s.name.lower() == wanted.lower()]
        if len(matching) == 1:
            return matching[0]
        raise _no_subscription(self.caller.name, wanted, [s.name for s in visible])

    def account(self, group: str, name: str) -> Account:
        """The Azure OpenAI account; NotFoundError with names like it."""
        with (
            translated(f"Reading Azure OpenAI account {name}"),
            named("Azure OpenAI account", name, group, "--openai-account", self._accounts.list_by_resource_group),
        ):
            return _account(self._accounts.get(group, name))

    def principals(self, object_ids: Collection[str]) -> Mapping[str, Principal]:
        """Who these are, by object id in lower case. Nothing where this identity may not read the directory."""
        found: dict[str, Principal] = {}
        ids = sorted({i.lower() for i in object_ids})
        for start in range(0, len(ids), _GRAPH_BATCH):
            batch = ids[start : start + _GRAPH_BATCH]
            try:
                shown = self._graph.post("/v1.0/directoryObjects/getByIds", {"ids": batch})["value"]
            except AzureError:  # names are a nicety: refused or out of reach, object ids have to do
                return {}
            found |= {i: Principal(i, missing=True) for i in batch}
            found |= {o["id"].lower(): _principal(o) for o in shown}
        return found

    def secrets(self, vault: Vault) -> VaultSecrets:
        """The vault's data plane: one client for each vault, which keeps its token."""
        if vault.uri not in self._secrets:
            self._secrets[vault.uri] = VaultSecrets(vault.uri, self._credential)
        return self._secrets[vault.uri]

    def jobs(self, account: Account) -> FineTuningJobs:
        """The account's data plane: its fine-tuning jobs."""
        return FineTuningJobs(account, self._credential, self._openai_scope)

    # --- what changes ------------------------------------------------------------------------------------------

    def enable_identity(self, group: str, account: Account) -> Account:
        """Give the account a system-assigned identity, keep its user-assigned ones, and wait until that is done.

        The type says what remains: SystemAssigned alone would take the others away.
        """
        identity = Identity(type="SystemAssigned")
        if account.user_identities:
            kept = {i: UserAssignedIdentity() for i in account.user_identities}
            identity = Identity(type="SystemAssigned, UserAssigned", user_assigned_identities=kept)
        with translated(f"Giving {account.name} an identity"):
            return _account(self._accounts.begin_update(group, account.name, SdkAccount(identity=identity)).result())


def _no_subscription(who: str, wanted: str | None, visible: Collection[str]) -> NotFoundError:
    if not visible:
        return NotFoundError(
            f"{who} sees no subscription.",
            hint="Ask for a role in it (Reader at least), or sign in to its tenant: az login --tenant TENANT",
        )
    names = ", ".join(visible)
    return NotFoundError(
        f"No subscription is named {wanted!r}; {who} sees: {names}."
        if wanted
        else f"{who} sees {len(visible)} subscriptions, and none was named: {names}.",
        hint="Name one with --subscription ID (or AZURE_SUBSCRIPTION_ID); for another tenant's, first "
        "`az login --tenant TENANT`.",
    )


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _account(sdk: SdkAccount) -> Account:
    properties, identity = sdk.properties, sdk.identity
    users = identity.user_assigned_identities if identity else None
    return Account(
        id=str(sdk.id),
        name=str(sdk.name),
        kind=sdk.kind or "",
        state=str(properties.provisioning_state or "") if properties else "",
        endpoint=(properties.endpoint or "") if properties else "",
        custom_subdomain=properties.custom_sub_domain_name if properties else None,
        principal_id=(identity.principal_id or None) if identity else None,
        user_identities=tuple(users or ()),
        location=str(sdk.location or ""),
        network=_network(properties),
    )


def _network(properties: AccountProperties | None) -> Network:
    """Whom the account's data plane answers."""
    if properties and (properties.public_network_access or "enabled").lower() == "disabled":
        return Network.PRIVATE
    rules = properties.network_acls if properties else None
    return Network.FIREWALL if rules and (rules.default_action or "allow").lower() == "deny" else Network.OPEN


def _principal(shown: Mapping[str, Any]) -> Principal:
    kind = _GRAPH_KINDS.get(str(shown.get("@odata.type", "")).rsplit(".", 1)[-1])
    return Principal(shown["id"].lower(), shown.get("userPrincipalName") or shown.get("displayName"), kind)
