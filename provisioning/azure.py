"""The one door to Azure: accounts, vaults, the directory here; `roles` and `secrets` beside it. Our types go in and out.

The SDK's clients stay inside, and so do its errors (sdk_errors.py). Where no installed SDK has an operation
(subscriptions, permissions at one resource, Microsoft Graph), a plain azure-core pipeline asks (rest.py).
"""

import difflib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.cognitiveservices.models import Account as SdkAccount
from azure.mgmt.cognitiveservices.models import Identity, UserAssignedIdentity
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.keyvault.models import Vault as SdkVault
from azure.mgmt.keyvault.models import VaultPatchParameters, VaultPatchProperties

from .errors import NotFoundError
from .http_log import log_response
from .model import AccessPolicy, Account, Principal, Subscription, Vault
from .rest import Rest
from .roles import Roles
from .sdk_errors import code, text, translated
from .signin import Cloud, who
from .vault_secrets import VaultSecrets

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
        }
        self._accounts = CognitiveServicesManagementClient(credential, self.subscription.id, **shared).accounts
        self._vaults = KeyVaultManagementClient(credential, self.subscription.id, **shared).vaults
        self.roles = Roles(arm, credential, self.subscription.id, shared)

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
        what = f"is named {wanted!r}" if wanted else "is the only one"
        raise NotFoundError(
            f"No subscription {what}; {self.caller.name} sees: {', '.join(s.name for s in visible) or 'none'}.",
            hint="Name one with --subscription ID (or AZURE_SUBSCRIPTION_ID); for another tenant's, first "
            "`az login --tenant TENANT`.",
        )

    def account(self, group: str, name: str) -> Account:
        """The Azure OpenAI account; NotFoundError with names like it."""
        with (
            translated(f"Reading Azure OpenAI account {name}"),
            _named("Azure OpenAI account", name, group, "--openai-account", self._accounts.list_by_resource_group),
        ):
            return _account(self._accounts.get(group, name))

    def vault(self, group: str, name: str) -> Vault:
        """The Key Vault; NotFoundError with names like it."""
        with (
            translated(f"Reading Key Vault {name}"),
            _named("Key Vault", name, group, "--key-vault", self._vaults.list_by_resource_group),
        ):
            return _vault(self._vaults.get(group, name))

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

    def use_rbac(self, group: str, vault: Vault, *, enabled: bool) -> Vault:
        """Put the vault on Azure RBAC, or back on its access policies, which it keeps meanwhile."""
        change = VaultPatchParameters(properties=VaultPatchProperties(enable_rbac_authorization=enabled))
        model = "Azure RBAC" if enabled else "access policies"
        with translated(f"Putting vault {vault.name} on {model}"):
            return _vault(self._vaults.update(group, vault.name, change))


@contextmanager
def _named(what: str, name: str, group: str, flag: str, everything: Callable[[str], Any]) -> Iterator[None]:
    """Make "not there" helpful. ARM says 403 for a group that is not there to who has no rights beyond his own."""
    try:
        yield
    except HttpResponseError as error:
        if error.status_code not in (403, 404):
            raise
        if code(error) == "ResourceGroupNotFound":
            message = f"There is no resource group {group}."
            hint = "Check -g/--resource-group and --subscription."
        elif error.status_code == 403:
            message = f"{what} {name} in resource group {group} is not there, or you may not read it: {text(error)}"
            hint = f"Check {flag}, -g/--resource-group and --subscription; reading takes the Reader role."
        else:
            message = f"There is no {what} {name} in resource group {group}."
            hint = f"Check {flag}, -g/--resource-group and --subscription.{_near(name, group, everything)}"
        raise NotFoundError(message, hint=hint) from error


def _near(name: str, group: str, everything: Callable[[str], Any]) -> str:
    try:
        names = [str(resource.name) for resource in everything(group)]
    except AzureError:  # a guess less; the error itself is told anyway
        return ""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
    return f" The group has: {', '.join(close)}." if close else " The group has none."


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
    )


def _vault(sdk: SdkVault) -> Vault:
    """ARM's vault. A model that was never said means access policies (Microsoft, "prepare for API 2026-02-01")."""
    properties = sdk.properties
    return Vault(
        id=str(sdk.id),
        name=str(sdk.name),
        uri=(properties.vault_uri or "").rstrip("/") + "/",
        rbac=bool(properties.enable_rbac_authorization),
        policies=tuple(
            AccessPolicy(
                object_id=entry.object_id,
                application_id=entry.application_id or None,
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


def _words(verbs: Iterable[str | Enum] | None) -> tuple[str, ...]:
    """Permissions as plain words: the SDK makes an enum of those that it knows, in the letter case that it knows."""
    return tuple(str(verb.value if isinstance(verb, Enum) else verb) for verb in verbs or ())


def _principal(shown: Mapping[str, Any]) -> Principal:
    kind = _GRAPH_KINDS.get(str(shown.get("@odata.type", "")).rsplit(".", 1)[-1])
    return Principal(shown["id"].lower(), shown.get("userPrincipalName") or shown.get("displayName"), kind)
