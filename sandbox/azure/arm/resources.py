"""Microsoft.Resources: a person's tenants and a subscription's resources, as far as the Azure CLI reads them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.azure.arm.errors import arm_error, authorize
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Operation, Reply

_ACCOUNTS = "Microsoft.CognitiveServices/accounts"
_VAULTS = "Microsoft.KeyVault/vaults"
_PROVIDERS = [
    f"Microsoft.{name}"
    for name in (
        *("App", "Authorization", "CognitiveServices", "Insights", "KeyVault", "ManagedIdentity", "Network"),
        *("OperationalInsights", "PolicyInsights", "Resources", "Storage", "Web"),
    )
]


@dataclass(frozen=True)
class _Resource:
    id: str
    name: str
    type: str
    location: str

    def matches(self, term: str, value: str) -> bool:
        """Whether one comparison of a filter holds; letter case does not count."""
        group = self.id.split("/")[4]
        known = {"resourcetype": self.type, "name": self.name, "resourcegroup": group, "location": self.location}
        if term.lower() not in known:
            raise arm_error(400, "InvalidFilterInQueryString", f"Invalid $filter: '{term}' is not supported.")
        return known[term.lower()].lower() == value.lower()

    def as_arm(self) -> dict[str, Any]:
        """Return the resource as a listing shows it."""
        return {"id": self.id, "name": self.name, "type": self.type, "location": self.location}


class Resources:
    """The operations of Microsoft.Resources."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("Tenants_List", "GET", "/tenants", self._tenants),
            Operation("Resources_List", "GET", "/subscriptions/{sub}/resources", self._list),
            Operation("Providers_List", "GET", "/subscriptions/{sub}/providers", self._providers),
        )

    def _tenants(self, call: Call) -> Reply:
        del call  # a token of this tenant is enough
        tenant = {
            "id": f"/tenants/{self._tenant.tenant_id}",
            "tenantId": self._tenant.tenant_id,
            "tenantCategory": "Home",
            "tenantType": "AAD",
        }
        return Reply(200, {"value": [tenant], "nextLink": ""})  # the official description requires nextLink

    def _providers(self, call: Call) -> Reply:
        """Those that are registered, and those that the scenario names as not registered."""
        scope = f"/subscriptions/{call.params['sub']}"
        # UNVERIFIED: whether a role below the subscription is enough, as it is to read the subscription.
        authorize(self._tenant, call, "Microsoft.Resources/subscriptions/providers/read", scope)
        missing = self._tenant.subscriptions[call.params["sub"].lower()].unregistered
        states = dict.fromkeys(_PROVIDERS, "Registered") | dict.fromkeys(missing, "NotRegistered")
        shown = [{"namespace": name, "registrationState": state} for name, state in states.items()]
        return Reply(200, {"value": shown})

    def _list(self, call: Call) -> Reply:
        """Return the resources that the caller may read. Others are omitted, not refused."""
        terms = re.findall(r"(\w+) eq '([^']*)'", call.query.get("$filter", ""))
        found = [
            resource.as_arm()
            for resource in self._all()
            if resource.id.lower().startswith(f"/subscriptions/{call.params['sub'].lower()}/")
            and self._tenant.may(call.who.object_id, f"{resource.type}/read", resource.id)
            and all(resource.matches(term, value) for term, value in terms)
        ]
        return Reply(200, {"value": found})

    def _all(self) -> Iterator[_Resource]:
        for account in self._tenant.accounts.values():
            yield _Resource(account.id, account.name, _ACCOUNTS, account.location)
        for vault in self._tenant.vaults.values():
            if vault.deleted is None:
                yield _Resource(vault.id, vault.name, _VAULTS, vault.location)
