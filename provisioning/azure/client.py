"""The client for Azure: subscription, accounts and directory here, everything else in the modules beside it.

Our own types go in and out. The SDKs' clients stay inside, and their errors are translated (errors.py). Operations that no
installed SDK has (subscriptions, permissions at one resource, Microsoft Graph) use rest.py.
"""

import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineResponse
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.cognitiveservices.models import Account as SdkAccount
from azure.mgmt.cognitiveservices.models import AccountModel, AccountProperties, Identity, UserAssignedIdentity

from provisioning.azure.deployments import Deployments
from provisioning.azure.fine_tuning import FineTuningJobs
from provisioning.azure.function_apps import FunctionApps
from provisioning.azure.governance import GovernanceReads
from provisioning.azure.identity.sign_in import Cloud, default_subscription, identify
from provisioning.azure.identity.tokens import CachedCredential
from provisioning.azure.monitoring import Monitoring
from provisioning.azure.proof_group import ProofGroup
from provisioning.azure.roles import Roles
from provisioning.azure.secrets import VaultSecrets
from provisioning.azure.transport.errors import translated
from provisioning.azure.transport.not_found import named
from provisioning.azure.transport.pipeline import TIMEOUTS, Waiting, items, log_response, policies, result, silent
from provisioning.azure.transport.rest import Rest
from provisioning.azure.vaults import Vaults, network_rules
from provisioning.errors import MissingRightsError, NotFoundError
from provisioning.models import APPLICATION, OPENAI_KINDS, Account, Network, Principal, Subscription, Vault

POLL_SECONDS = 2.0
"""Seconds between polls of a long-running operation that sends no Retry-After; the SDK's default is 30."""

_GRAPH_KINDS = {
    "user": "User",
    "agentUser": "User",
    "group": "Group",
    "servicePrincipal": "ServicePrincipal",
    "agentIdentity": "ServicePrincipal",
    "agentIdentityBlueprintPrincipal": "ServicePrincipal",
    "application": APPLICATION,
    "agentIdentityBlueprint": APPLICATION,
}
_GRAPH_BATCH = 998  # two less than the ids per getByIds request (Microsoft Graph reference)


class AccountIdentities(NamedTuple):
    """An Azure OpenAI account, by its ARM id, with the object ids of its identities."""

    id: str
    principals: tuple[str, ...]


class Azure:
    """One subscription, as the signed-in identity.

    Raises:
        NotSignedInError: no credential returned a token.
        NotFoundError: the subscription does not exist or is not visible.
        ProvisioningError: from Azure; every method may raise it.
    """

    def __init__(
        self,
        cloud: Cloud,
        credential: TokenCredential,
        subscription: str | None,
        *,
        vault_subscription: str = "",
        principal_type: str = "",
        poll_seconds: float = POLL_SECONDS,
        waiting: Waiting = silent,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sign_in = CachedCredential(credential, now)
        credential = self._sign_in
        self._waiting = waiting
        self._date = ""
        self._secrets: dict[str, VaultSecrets] = {}
        with translated("Signing in"):
            self.caller = identify(credential, cloud.scope)
        self._graph = Rest(cloud.graph, credential, f"{cloud.graph}/.default", waiting)
        arm = Rest(cloud.resource_manager, credential, cloud.scope, waiting)
        self.subscription = self._subscription(arm, subscription)
        shared: dict[str, Any] = {
            "base_url": cloud.resource_manager,
            "credential_scopes": [cloud.scope],
            "polling_interval": poll_seconds,
            **TIMEOUTS,
        }

        def client_options() -> dict[str, Any]:
            return shared | {"policies": policies(credential, cloud.scope, waiting, self._answered)}

        self._accounts = CognitiveServicesManagementClient(
            credential, self.subscription.id, **client_options()
        ).accounts
        self.vault_subscription = (
            self._subscription(arm, vault_subscription) if vault_subscription else self.subscription
        )
        of_vault = self.vault_subscription
        tenant_id = of_vault.tenant_id or self.caller.tenant_id
        self.vaults = Vaults(credential, of_vault.id, tenant_id, client_options(), waiting)
        self.roles = Roles(arm, credential, of_vault.id, client_options(), principal_type)
        self._arm = arm
        self.governance = GovernanceReads(arm)
        self.function_apps = FunctionApps(arm, self.subscription.id)
        self.deployments = Deployments(arm, self.subscription.id)
        logs = Rest(cloud.logs, credential, f"{cloud.logs}/.default", waiting)
        self.monitoring = Monitoring(arm, logs, self.subscription.id)
        self._cloud = cloud

    def _answered(self, response: PipelineResponse[Any, Any]) -> None:
        """Log an answer, and remember its time."""
        log_response(response)
        self._date = response.http_response.headers.get("Date") or ""

    @property
    def answered_at(self) -> datetime | None:
        """Azure's time of the latest answer about a resource; None if it had no valid one."""
        with suppress(ValueError, OverflowError):
            when = parsedate_to_datetime(self._date)
            return when if when.tzinfo else when.replace(tzinfo=UTC)
        return None

    # --- the sign-in -------------------------------------------------------------------------------------------

    def sign_in_to_vaults(self) -> None:
        """Get the token for Key Vault before it is needed: a pipeline's sign-in covers further services only for some minutes.

        Raises:
            NotSignedInError: no credential returned a token for Key Vault.
        """
        tenant_id = self.vault_subscription.tenant_id or self.caller.tenant_id
        with translated("Signing in to Key Vault"):
            self._sign_in.get_token(self._cloud.vault_scope, tenant_id=tenant_id, enable_cae=True)

    def renew_sign_in(self, needed: timedelta) -> None:
        """Renew the tokens for Azure Resource Manager and Key Vault that do not last for the needed time, if possible now.

        Raises:
            NotSignedInError: they cannot be renewed.
        """
        with translated("Renewing the sign-in"):
            self._sign_in.renew(needed.total_seconds(), besides=f"{self._cloud.graph}/.default")

    @property
    def sign_in_lasts(self) -> timedelta:
        """How long the tokens for Azure Resource Manager and Key Vault last without renewal."""
        return timedelta(seconds=self._sign_in.left(besides=f"{self._cloud.graph}/.default"))

    # --- reads -------------------------------------------------------------------------------------------------

    def _subscription(self, arm: Rest, id_or_name: str | None) -> Subscription:
        """Find the subscription by id or name. The default is the one that `az account set` chose, or the only visible one."""
        version = "?api-version=2022-12-01"
        if id_or_name and _is_guid(id_or_name):
            with translated(f"Reading subscription {id_or_name}"):
                found = arm.get(f"/subscriptions/{id_or_name}{version}")
            return _subscription(found)
        with translated("Listing subscriptions"):
            listed = arm.pages(f"/subscriptions{version}")
            visible = [_subscription(each) for each in listed]
        if not id_or_name and (default := default_subscription(self.caller.via)):
            for each in visible:
                if each.id.lower() == default.lower():
                    return each
        matching = [s for s in visible if not id_or_name or s.name.lower() == id_or_name.lower()]
        if len(matching) == 1:
            return matching[0]
        raise _no_subscription(self.caller.name, id_or_name, [s.name for s in visible])

    def account(self, group: str, name: str) -> Account:
        """The Azure OpenAI account; NotFoundError lists similar names."""
        with (
            translated(f"Reading Azure OpenAI account {name}"),
            named(
                *("Azure OpenAI account", name, group, "--openai-account"),
                self._accounts.list_by_resource_group,
                self._accounts.list,
            ),
        ):
            return _account(self._accounts.get(group, name))

    def trainable_models(self, account: Account) -> list[str]:
        """Names and versions of the base models that can be trained in the account's region, by any type of training.

        Each type has its own flag (recorded: fineTune, globalFineTune, devTierFineTune), and a retired model keeps them.
        Open-weight models have none, so an empty list does not mean that the region has no fine-tuning.
        """
        with translated(f"Listing the models of {account.name}"):
            shown = [*items(self._accounts.list_models(account.group, account.name))]
        return sorted({f"{each.name} {each.version}" for each in shown if _trains(each)})

    def openai_accounts(self, subscription: str) -> tuple[AccountIdentities, ...]:
        """The accounts of the subscription with this ARM id that the caller may see; none without the right to list them."""
        path = f"{subscription}/providers/Microsoft.CognitiveServices/accounts?api-version=2023-05-01"
        try:
            with translated("Listing Azure OpenAI accounts"):
                listed = self._arm.pages(path)
                return tuple(_identities(each) for each in listed if str(each.get("kind")).lower() in OPENAI_KINDS)
        except MissingRightsError:
            return ()

    def principals(self, object_ids: Collection[str], exists: str = "") -> Mapping[str, Principal]:
        """Principals by object id in lower case; empty if this identity may not read the directory.

        Microsoft Graph leaves out what the caller may not see. An absent principal is missing only if the caller and `exists`, a
        principal that certainly exists, are in the same answer, and the caller is not a guest. Otherwise its state is unknown.
        """
        found: dict[str, Principal] = {}
        ids = sorted({i.lower() for i in object_ids})
        canaries = {i.lower() for i in (self.caller.object_id, exists) if i}
        for start in range(0, len(ids), _GRAPH_BATCH):
            batch = ids[start : start + _GRAPH_BATCH]
            asked = sorted({*batch, *canaries})
            try:
                shown = self._graph.post("/v1.0/directoryObjects/getByIds", {"ids": asked})["value"]
            except AzureError:  # names are optional: messages show object ids instead
                return {}
            answered = {o["id"].lower(): _principal(o) for o in shown}
            if not self.caller.guest and canaries <= answered.keys():
                found |= {i: Principal(i, missing=True) for i in batch}
            found |= {i: each for i, each in answered.items() if i in batch}
        return found

    def groups_of(self, object_id: str) -> frozenset[str] | None:
        """The groups of a principal, nested ones included; None if this identity may not read the directory."""
        try:
            path = f"/v1.0/directoryObjects/{object_id}/getMemberObjects"
            found = self._graph.post(path, {"securityEnabledOnly": True})["value"]
        except AzureError:
            return None
        return frozenset(str(each).lower() for each in found)

    def secrets(self, vault: Vault) -> VaultSecrets:
        """The vault's data plane, with one client per vault, which caches its token."""
        if vault.uri not in self._secrets:
            self._secrets[vault.uri] = VaultSecrets(
                vault.uri, self._sign_in, self._waiting, soft_delete=vault.soft_delete
            )
        return self._secrets[vault.uri]

    def jobs(self, account: Account) -> FineTuningJobs:
        """The fine-tuning jobs of the account, on its data plane."""
        return FineTuningJobs(account, self._sign_in, self._cloud.openai_scope, self._waiting)

    def proof_group(self, name: str) -> ProofGroup:
        """A resource group for `prove`, in the subscription of the account."""
        return ProofGroup(self._arm, self.subscription.id, self.subscription.tenant_id or self.caller.tenant_id, name)

    @property
    def cloud(self) -> str:
        """The host name of the cloud's Resource Manager, which identifies the cloud."""
        return urlsplit(self._cloud.resource_manager).hostname or ""

    # --- writes ------------------------------------------------------------------------------------------------

    def enable_identity(self, group: str, account: Account) -> Account:
        """Enable the account's system-assigned identity, keep its user-assigned ones, and wait for the operation.

        The PATCH lists all of them, because the type SystemAssigned alone removes the others.
        """
        identity = Identity(type="SystemAssigned")
        if account.user_identities:
            kept = {i: UserAssignedIdentity() for i in account.user_identities}
            identity = Identity(type="SystemAssigned, UserAssigned", user_assigned_identities=kept)
        doing = f"Enabling the identity of {account.name}"
        with translated(doing):
            poller = self._accounts.begin_update(group, account.name, SdkAccount(identity=identity))
            return _account(result(poller, doing, self._waiting))


def _subscription(shown: Mapping[str, Any]) -> Subscription:
    return Subscription(
        shown["subscriptionId"],
        str(shown.get("displayName") or shown["subscriptionId"]),
        str(shown.get("tenantId") or ""),
        str(shown.get("state") or "Enabled"),
    )


def _no_subscription(who: str, id_or_name: str | None, visible: Collection[str]) -> NotFoundError:
    if not visible:
        return NotFoundError(
            f"{who} has access to no subscription.",
            hint="Ask for a role in the subscription (at least Reader), or sign in to its tenant: az login --tenant TENANT",
        )
    names = ", ".join(visible)
    return NotFoundError(
        f"No subscription is named {id_or_name!r}; {who} has access to: {names}."
        if id_or_name
        else f"{who} has access to {len(visible)} subscriptions, and none was named: {names}.",
        hint="Pass one as --subscription ID (AZURE_SUBSCRIPTION_ID). For a subscription of another tenant, first run "
        "`az login --tenant TENANT`.",
    )


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _identities(shown: Mapping[str, Any]) -> AccountIdentities:
    identity = shown.get("identity") or {}
    users = (identity.get("userAssignedIdentities") or {}).values()
    found = (identity.get("principalId"), *((each or {}).get("principalId") for each in users))
    return AccountIdentities(str(shown["id"]), tuple(str(each) for each in found if each))


def _account(sdk: SdkAccount) -> Account:
    properties, identity = sdk.properties, sdk.identity
    users = identity.user_assigned_identities if identity else None
    return Account(
        id=str(sdk.id),
        name=str(sdk.name),
        kind=sdk.kind or "",
        state=str(properties.provisioning_state or "") if properties else "",
        endpoint=_endpoint(properties) if properties else "",
        custom_subdomain=properties.custom_sub_domain_name if properties else None,
        principal_id=(identity.principal_id or None) if identity else None,
        user_identities=tuple(users or ()),
        location=str(sdk.location or ""),
        network=_network(properties),
        endpoints=tuple((properties.endpoints or {}).values()) if properties else (),
        local_auth=not (properties and properties.disable_local_auth),
        rules=network_rules(properties) if properties else frozenset(),
        tags=dict(sdk.tags or {}),
        limits=_limits(properties),
    )


def _trains(model: AccountModel) -> bool:
    flags = (model.capabilities or {}).items()
    shown = any(name.lower().endswith("finetune") and str(value).lower() == "true" for name, value in flags)
    return shown and str(model.lifecycle_status or "").lower() != "deprecated"  # ARM's word for retired


def _limits(properties: AccountProperties | None) -> dict[str, int]:
    """The account's own limits, which differ from the documented ones (recorded: 500 jobs, not 100)."""
    shown = (properties.capabilities if properties else None) or []
    named = [(str(each.name), str(each.value)) for each in shown]
    return {name: int(value) for name, value in named if name.startswith("Max") and re.fullmatch(r"[0-9]{1,18}", value)}


def _endpoint(properties: AccountProperties) -> str:
    """The address of Azure OpenAI, which an AI Services account shows beside its main one."""
    start = f"https://{(properties.custom_sub_domain_name or '').lower()}.openai."
    shown = [each for each in (properties.endpoints or {}).values() if each and each.lower().startswith(start)]
    return next(iter(shown), properties.endpoint or "")


def _network(properties: AccountProperties | None) -> Network:
    """The networks that can reach the account's data plane."""
    if properties and (properties.public_network_access or "enabled").lower() == "disabled":
        return Network.PRIVATE
    rules = properties.network_acls if properties else None
    return Network.FIREWALL if rules and (rules.default_action or "allow").lower() == "deny" else Network.OPEN


def _principal(shown: Mapping[str, Any]) -> Principal:
    kind = _GRAPH_KINDS.get(str(shown.get("@odata.type", "")).rsplit(".", 1)[-1])
    name = shown.get("userPrincipalName") or shown.get("displayName")
    return Principal(shown["id"].lower(), name, kind, app_id=str(shown.get("appId") or "").lower())
