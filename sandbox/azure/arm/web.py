"""Microsoft.Web, as far as this project reads a function app: the site, its functions, its settings. Read only.

Shapes: Microsoft's generated type of Microsoft.Web/sites@2024-11-01, and the REST reference of Web Apps.
"""

from collections.abc import Sequence
from typing import Any

from sandbox.azure.arm.common import authorize, identity_body, not_found, page, resource_scope
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
        shown = [{"name": name, "type": "Microsoft.Web/geoRegions", "properties": {"name": name}} for name in regions]
        return Reply(200, {"value": shown, "nextLink": None})

    def _app(self, call: Call, action: str) -> FunctionApp:
        scope = resource_scope(call, _KIND)
        authorize(self._tenant, call, f"{_KIND}/{action}", scope)
        app = self._tenant.function_apps.get(scope.lower())
        if app is None:
            raise not_found(self._tenant, call.params, _KIND)
        return app

    def _get(self, call: Call) -> Reply:
        app = self._app(call, "read")
        host = f"{app.name.lower()}.{self._tenant.names.web_suffix}"
        body: dict[str, Any] = {
            "id": app.id,
            "name": app.name,
            "type": _KIND,
            "kind": "functionapp,linux",
            "location": app.location,
            "tags": app.tags,
            "properties": {
                "state": app.state,
                "enabled": True,
                "hostNames": [host],
                "defaultHostName": host,
                "httpsOnly": True,
                "reserved": True,  # Linux
                "resourceGroup": call.params["group"],
                "sku": "FlexConsumption",
                "functionAppConfig": {"runtime": {"name": "python", "version": app.python}},
            },
        }
        assigned = {known: {"principalId": p.object_id, "clientId": p.app_id} for known, p in app.identities.items()}
        return Reply(200, body | identity_body(self._tenant, app.system_identity, assigned))

    def _functions(self, call: Call) -> Reply:
        """List the functions that the host has indexed. After a failed deployment there are fewer, or none."""
        app = self._app(call, "functions/read")
        return page(call, app.functions, _PAGE, lambda name: self._function(app, name))

    def _function(self, app: FunctionApp, name: str) -> dict[str, Any]:
        config: dict[str, Any] = {"name": name}
        if app.package_version and name == "report_poison":
            config["bindings"] = [{"type": "queueTrigger", "packageVersion": app.package_version}]
        return {
            "id": f"{app.id}/functions/{name}",
            "name": f"{app.name}/{name}",
            "type": f"{_KIND}/functions",
            "location": app.location,
            "properties": {"name": name, "language": "python", "isDisabled": False, "config": config},
        }

    def _settings(self, call: Call) -> Reply:
        app = self._app(call, "config/list/action")
        body = {
            "id": f"{app.id}/config/appsettings",
            "name": "appsettings",
            "type": f"{_KIND}/config",
            "location": app.location,
            "properties": app.settings,
        }
        return Reply(200, body)
