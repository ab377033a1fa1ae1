"""Microsoft.Web, as far as this project reads a function app: the site, its functions, its settings. Read only.

Shapes: Microsoft's generated type of Microsoft.Web/sites@2024-11-01, and the REST reference of Web Apps.
"""

from collections.abc import Sequence
from typing import Any

from sandbox.azure.arm.common import addressed, authorize, identity_body, page, shown
from sandbox.azure.tenant import FunctionApp, Tenant
from sandbox.runtime.http import Call, Operation, Reply

_SITE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Web/sites/{name}"
_KIND = "Microsoft.Web/sites"
_FLEX = ("East US", "Sweden Central", "West Europe")
_PAGE = 2  # the size of a real page is UNVERIFIED; small, so that clients that read only the first page fail


class Web:
    """The function-app operations of Microsoft.Web."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("WebApps_Get", "GET", _SITE, self._get),
            Operation(
                "ListGeoRegions", "GET", "/subscriptions/{sub}/providers/Microsoft.Web/geoRegions", self._regions
            ),
            Operation("WebApps_ListFunctions", "GET", _SITE + "/functions", self._functions),
            Operation("WebApps_ListApplicationSettings", "POST", _SITE + "/config/appsettings/list", self._settings),
        )

    def _regions(self, call: Call) -> Reply:
        """Some of the regions with Flex Consumption; more of them for other plans, or without `sku`."""
        authorize(self._tenant, call, "Microsoft.Web/geoRegions/read", f"/subscriptions/{call.params['sub']}")
        regions = _FLEX if call.query.get("sku") == "FlexConsumption" else (*_FLEX, "Norway West")
        found = [{"name": name, "type": "Microsoft.Web/geoRegions", "properties": {"name": name}} for name in regions]
        return Reply(200, {"value": found, "nextLink": None})

    def _app(self, call: Call, action: str) -> FunctionApp:
        return addressed(self._tenant, call, _KIND, action, self._tenant.function_apps)

    def _get(self, call: Call) -> Reply:
        app = self._app(call, "read")
        host = f"{app.name.lower()}.{self._tenant.names.web_suffix}"
        properties = {
            "state": app.state,
            "enabled": True,
            "hostNames": [host],
            "defaultHostName": host,
            "httpsOnly": True,
            "reserved": True,  # Linux
            "resourceGroup": call.params["group"],
            "sku": "FlexConsumption",
            "functionAppConfig": {"runtime": {"name": "python", "version": app.python}},
        }
        assigned = {known: {"principalId": p.object_id, "clientId": p.app_id} for known, p in app.identities.items()}
        identity = identity_body(self._tenant, app.system_identity, assigned)
        more = {"location": app.location, "tags": app.tags, **identity, "kind": "functionapp,linux"}
        return Reply(200, shown(app.id, _KIND, properties, **more))

    def _functions(self, call: Call) -> Reply:
        """List the functions that the host has indexed. After a failed deployment there are fewer, or none."""
        app = self._app(call, "functions/read")
        return page(call, app.functions, _PAGE, lambda name: self._function(app, name))

    def _function(self, app: FunctionApp, name: str) -> dict[str, Any]:
        config: dict[str, Any] = {"name": name}
        if app.package_version and name == "report_poison":
            config["bindings"] = [{"type": "queueTrigger", "packageVersion": app.package_version}]
        properties = {"name": name, "language": "python", "isDisabled": False, "config": config}
        more = {"name": f"{app.name}/{name}", "location": app.location}
        return shown(f"{app.id}/functions/{name}", f"{_KIND}/functions", properties, **more)

    def _settings(self, call: Call) -> Reply:
        app = self._app(call, "config/list/action")
        where = f"{app.id}/config/appsettings"
        return Reply(200, shown(where, f"{_KIND}/config", app.settings, location=app.location))
