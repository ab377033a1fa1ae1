"""The client for Azure Resource Manager: which Azure OpenAI accounts are in a subscription or a resource group. Read only.

Its few GET requests need no SDK: the azure-mgmt packages are not deployed.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError

from function_app.data.addresses import SUBSCRIPTION, Endpoint, Scope, parse_endpoint
from function_app.data.fields import Fields, mapping, text
from function_app.errors import AccessError, AccountBusyError, AccountError, NotThereError, first_line
from function_app.traffic import AZURE, count_request

_API_VERSION = "2023-05-01"  # stable; its description is public
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_OF_SUBSCRIPTIONS = "2022-12-01"  # stable; its description is public
_PAGES_AT_MOST = 100
_KINDS = frozenset({"openai", "aiservices"})
_DELEGATED = (
    "its subscription belongs to tenant {tenant} and is delegated to this one by Azure Lighthouse, which gives no role that"
    " reads jobs. Run the app in that tenant, or name the account in AZURE_OPENAI_ENDPOINTS of an app that uses its API key"
)
_ROLE = "Assign its identity 'Cognitive Services OpenAI User' at that scope. New roles take up to ten minutes to work."

RESOURCE_MANAGERS = {
    "com": "https://management.azure.com",
    "us": "https://management.usgovcloudapi.net",
    "cn": "https://management.chinacloudapi.cn",
}
"""Azure Resource Manager by the cloud, which the last label of an Azure OpenAI account's host names."""


@dataclass(frozen=True)
class FoundAccount:
    """An account of a subscription.

    Attributes:
        id: its resource id.
        name: the resource's name, which may differ from the subdomain.
        endpoint: where its jobs are; None if it cannot be used.
        problem: why it cannot be used, or what will probably be in the way.
    """

    id: str
    name: str
    endpoint: Endpoint | None
    problem: str = ""


class Subscriptions:
    """Lists accounts with the identity's rights. Every method may raise AccessError, AccountBusyError or AccountError."""

    def __init__(self, identity: TokenCredential, cloud: str = "com") -> None:
        self._identity = identity
        self._cloud = cloud
        self._server = RESOURCE_MANAGERS[cloud]
        self._http = httpx2.Client(timeout=_TIMEOUT, follow_redirects=False)
        self._delegated_by: dict[str, str | None] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def accounts(self, scope: Scope) -> list[FoundAccount]:
        """Return the Azure OpenAI and AI Services accounts of a scope that the identity may see."""
        url = f"{self._server}{scope.path}/providers/Microsoft.CognitiveServices/accounts?api-version={_API_VERSION}"
        entries = (account_from(entry, self._cloud) for entry in self._entries(url, scope.text))
        found = [account for account in entries if account]
        if found and (tenant := self._delegating_tenant(scope.subscription)):
            problem = _DELEGATED.format(tenant=tenant)
            return [replace(account, endpoint=None, problem=problem) for account in found]
        return found

    def exists(self, account: FoundAccount) -> bool:
        """Return whether the account is still there.

        Raises:
            AccessError: the identity may no longer see it.
        """
        try:
            self._get(f"{self._server}{account.id}?api-version={_API_VERSION}", account.name)
        except NotThereError:
            return False
        return True

    def _delegating_tenant(self, subscription: str) -> str | None:
        """Return the tenant of a subscription that is delegated to the identity's tenant; None if it is the identity's own.

        Each subscription is asked about once. One that does not answer counts as the tenant's until the next search.
        """
        if subscription not in self._delegated_by:
            url = f"{self._server}/subscriptions/{subscription}?api-version={_OF_SUBSCRIPTIONS}"
            try:
                home = Fields(self._get(url, f"{SUBSCRIPTION}{subscription}")).read("tenantId", text)
                own = _tenant_of(self._token())
            except (AccountError, AzureError):
                return None
            self._delegated_by[subscription] = home if home and own and home.lower() != own.lower() else None
        return self._delegated_by[subscription]

    def _token(self) -> str:
        return self._identity.get_token(f"{self._server}/.default").token

    def _entries(self, url: str, where: str) -> Iterator[Any]:
        seen: set[str] = set()
        while url not in seen and len(seen) < _PAGES_AT_MOST:
            seen.add(url)
            page = self._get(url, where)
            entries = page.get("value")
            yield from entries if isinstance(entries, list) else []
            following = page.get("nextLink")
            if not following:
                return
            url = str(following)
            if not url.startswith(f"{self._server}/"):  # the token goes to Azure Resource Manager only
                break
        raise AccountBusyError(f"Azure's list of the accounts in {where} does not end.")

    def _get(self, url: str, where: str) -> Mapping[str, Any]:
        try:
            token = self._token()
            count_request(AZURE)
            response = self._http.get(url, headers={"authorization": f"Bearer {token}"})
        except AzureError as error:
            raise AccessError(
                f"There is no token to list the accounts in {where}: {first_line(error)}",
                "On a laptop: `az login`. In Azure: give the app an identity, and AZURE_CLIENT_ID if it is user-assigned.",
            ) from error
        except httpx2.HTTPError as error:
            raise AccountBusyError(
                f"Cannot reach Azure to list the accounts in {where}: {first_line(error)}"
            ) from error
        answer = _json(response)
        if response.is_success and answer is not None:
            return answer
        refused = Fields((answer or {}).get("error"))
        raise _refusal(
            response.status_code, refused.read("code", text) or "", refused.read("message", text) or "", where
        )


def account_from(entry: object, cloud: str = "com") -> FoundAccount | None:
    """Return an account as ARM shows it; None for other services, and for an entry without an id.

    An account's capabilities do not show whether it can fine-tune, so every account of these kinds counts. Several
    addresses name it: the one of Azure OpenAI is preferred, and an address that does not begin with its subdomain is ignored.
    """
    account = Fields(entry)
    properties = account.fields("properties")
    resource_id, name = account.read("id", text), account.read("name", text)
    if not resource_id or not resource_id.startswith("/subscriptions/") or not name:
        return None
    if (account.read("kind", text) or "").lower() not in _KINDS:
        return None
    state = properties.read("provisioningState", text) or "unknown"
    if state.lower() != "succeeded":
        return FoundAccount(resource_id, name, None, f"its state is {state}")
    subdomain = properties.read("customSubDomainName", text)
    if not subdomain:
        return FoundAccount(resource_id, name, None, "it has no custom subdomain, which Entra tokens require")
    addresses = [*(properties.read("endpoints", mapping) or {}).values(), properties.read("endpoint", text)]
    endpoint = _endpoint(subdomain.lower(), addresses, cloud)
    private = (properties.read("publicNetworkAccess", text) or "").lower() == "disabled"
    problem = "its public network access is disabled, so the app needs a private endpoint" if private else ""
    return FoundAccount(resource_id, name, endpoint, problem if endpoint else "Azure shows no address of its jobs")


def _tenant_of(token: str) -> str | None:
    """Return the tenant in an access token (claim `tid`); None if it cannot be read."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    return Fields(claims).read("tid", text)


def _endpoint(subdomain: str, addresses: list[Any], cloud: str) -> Endpoint | None:
    known: list[Endpoint] = []
    for address in addresses:
        try:
            endpoint = parse_endpoint(str(address))
        except ValueError:
            continue
        if endpoint.account == f"{subdomain}.{cloud}" and endpoint.project is None:
            known.append(endpoint)
    return min(known, key=lambda each: ".openai." not in each.host, default=None)


def _json(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(status: int, code: str, message: str, where: str) -> AccountError:
    detail = f"HTTP {status} {code}: {message[:300]}".rstrip(": ")
    if status in (401, 403):
        return AccessError(f"This identity may not list the accounts in {where} ({detail}).", _ROLE)
    if status == 404:
        return NotThereError(f"Azure does not find {where} ({detail}).", "Check AZURE_OPENAI_ENDPOINTS.")
    if status in (408, 429) or status >= 500:
        return AccountBusyError(f"Azure is busy or failing and could not list the accounts in {where} ({detail}).")
    return AccountError(f"Azure refused to list the accounts in {where} ({detail}).")
