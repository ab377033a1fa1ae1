"""Microsoft.Resources: a person's tenants, resource groups, and resources, as far as the Azure CLI and `prove` use them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.azure.arm.common import authorize, group_scope, not_found, require_region, shown
from sandbox.azure.bodies import GroupBody
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Operation, Reply, refused

_GROUP = "/subscriptions/{sub}/resourcegroups/{group}"
_ACCOUNTS = "Microsoft.CognitiveServices/accounts"
_VAULTS = "Microsoft.KeyVault/vaults"
_SMART = "microsoft.alertsmanagement/smartDetectorAlertRules"
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
    tags: dict[str, str]

    def matches(self, term: str, value: str) -> bool:
        """Whether one comparison of a filter holds; letter case does not count."""
        group = self.id.split("/")[4]
        known = {"resourcetype": self.type, "name": self.name, "resourcegroup": group, "location": self.location}
        if term.lower() not in known:
            raise refused(400, "InvalidFilterInQueryString", f"Invalid $filter: '{term}' is not supported.")
        return known[term.lower()].lower() == value.lower()

    def as_arm(self) -> dict[str, Any]:
        """Return the resource as a listing shows it."""
        body = {"id": self.id, "name": self.name, "type": self.type, "location": self.location}
        return body | ({"tags": self.tags} if self.tags else {})


class Resources:
    """The operations of Microsoft.Resources."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._deleting: dict[str, int] = {}  # group, lower case -> polls until it is gone
        self._locations: dict[str, str] = {}
        self.operations: Sequence[Operation] = (
            Operation("Tenants_List", "GET", "/tenants", self._tenants),
            Operation("Resources_List", "GET", "/subscriptions/{sub}/resources", self._list),
            Operation("Providers_List", "GET", "/subscriptions/{sub}/providers", self._providers),
            Operation("ResourceGroups_Get", "GET", _GROUP, self._get_group),
            Operation("ResourceGroups_CreateOrUpdate", "PUT", _GROUP, self._put_group, writes=True),
            Operation("ResourceGroups_Delete", "DELETE", _GROUP, self._delete_group, writes=True),
            Operation("Resources_ListByResourceGroup", "GET", _GROUP + "/resources", self._list_group),
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
        """The providers that are registered, and those that the scenario names as not registered."""
        scope = f"/subscriptions/{call.params['sub']}"
        # UNVERIFIED: whether a role below the subscription is enough, as it is to read the subscription.
        authorize(self._tenant, call, "Microsoft.Resources/subscriptions/providers/read", scope)
        missing = self._tenant.subscriptions[call.params["sub"].lower()].unregistered
        states = dict.fromkeys(_PROVIDERS, "Registered") | dict.fromkeys(missing, "NotRegistered")
        return Reply(200, {"value": [{"namespace": k, "registrationState": v} for k, v in states.items()]})

    # --- resource groups ----------------------------------------------------------------------------------------------

    def _group(self, call: Call, action: str) -> str:
        """The name of the group, in lower case, if it is there. A deletion completes after a poll or two."""
        name = call.params["group"].lower()
        authorize(self._tenant, call, f"Microsoft.Resources/subscriptions/resourceGroups/{action}", group_scope(call))
        if name in self._deleting:
            self._deleting[name] -= 1
            if self._deleting[name] < 0:
                del self._deleting[name]
                self._tenant.delete_group(name)
        if not self._tenant.has_group(call.params["sub"], name):
            raise not_found(self._tenant, call.params)
        return name

    def _get_group(self, call: Call) -> Reply:
        return Reply(200, self._group_body(call, self._group(call, "read")))

    def _put_group(self, call: Call) -> Reply:
        name, body, sub = call.params["group"], call.read(GroupBody), call.params["sub"].lower()
        authorize(self._tenant, call, "Microsoft.Resources/subscriptions/resourceGroups/write", group_scope(call))
        if name.lower() in self._deleting:
            why = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
            raise refused(409, "ResourceGroupBeingDeleted", why)
        require_region(body["location"], "resource groups", "ResourceGroup")
        new = not self._tenant.has_group(sub, name)
        self._tenant.groups[name.lower()] = name
        self._tenant.subscription_of[name.lower()] = sub
        self._tenant.group_tags[name.lower()] = dict(body.get("tags") or {})
        self._locations[name.lower()] = body["location"]
        return Reply(201 if new else 200, self._group_body(call, name.lower()))

    def _delete_group(self, call: Call) -> Reply:
        name = self._group(call, "delete")
        self._deleting.setdefault(name, 1)
        return Reply(202, None)

    def _list_group(self, call: Call) -> Reply:
        self._group(call, "read")
        here = f"{group_scope(call)}/".lower()
        return Reply(200, {"value": [each.as_arm() for each in self._all() if each.id.lower().startswith(here)]})

    def _group_body(self, call: Call, name: str) -> dict[str, Any]:
        state = "Deleting" if name in self._deleting else "Succeeded"
        return shown(
            f"/subscriptions/{call.params['sub']}/resourceGroups/{self._tenant.groups[name]}",
            "Microsoft.Resources/resourceGroups",
            {"provisioningState": state},
            location=self._locations.get(name, "swedencentral"),
            tags=self._tenant.group_tags.get(name, {}),
        )

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
            yield _Resource(account.id, account.name, _ACCOUNTS, account.location, account.tags)
        for vault in self._tenant.vaults.values():
            if vault.deleted is None:
                yield _Resource(vault.id, vault.name, _VAULTS, vault.location, vault.tags)
        for app in self._tenant.function_apps.values():
            yield _Resource(app.id, app.name, "Microsoft.Web/sites", app.location, app.tags)
            # Azure adds a rule to each Application Insights by itself, without the tags of a template.
            insights, name = app.id.partition("/providers/")[0], f"Failure Anomalies - appi-{app.name}"
            rule = f"{insights}/providers/{_SMART}/{name}"
            yield _Resource(rule, name, _SMART, "global", {})
