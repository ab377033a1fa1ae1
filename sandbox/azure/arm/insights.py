"""Microsoft.Insights, as far as it watches a function app: alert rules, their action group, and the Application Insights."""

from collections.abc import Sequence
from typing import Any

from sandbox.azure.arm.common import not_found, readable_group, shown
from sandbox.azure.tenant import FunctionApp, Tenant
from sandbox.runtime.http import Call, Operation, Reply

_ALL = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Insights"


class Insights:
    """The operations of Microsoft.Insights. What they show follows from the function apps of the group."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("ScheduledQueryRules_ListByResourceGroup", "GET", _ALL + "/scheduledQueryRules", self._rules),
            Operation("ActionGroups_Get", "GET", _ALL + "/actionGroups/{name}", self._group),
            Operation("Components_ListByResourceGroup", "GET", _ALL + "/components", self._components),
        )

    def _apps(self, call: Call, kind: str) -> list[FunctionApp]:
        here = readable_group(self._tenant, call, f"Microsoft.Insights/{kind}/read")
        return [app for known, app in self._tenant.function_apps.items() if known.startswith(here)]

    def _rules(self, call: Call) -> Reply:
        return Reply(
            200, {"value": [_rule(a, name) for a in self._apps(call, "scheduledQueryRules") for name in a.alerts]}
        )

    def _group(self, call: Call) -> Reply:
        for app in self._apps(call, "actionGroups"):
            if call.params["name"].lower() == f"ag-{app.name}".lower():
                emails = [{"name": f"email-{n}", "emailAddress": each} for n, each in enumerate(app.alert_emails or ())]
                properties = {"enabled": True, "groupShortName": "finetune"}
                properties |= {"emailReceivers": emails, "webhookReceivers": []}
                return Reply(200, shown(call.path, "Microsoft.Insights/actionGroups", properties, location="Global"))
        raise not_found(self._tenant, call.params, "Microsoft.Insights/actionGroups")

    def _components(self, call: Call) -> Reply:
        kind, properties = "microsoft.insights/components", {"Application_Type": "web"}
        found = [shown(component_id(app), kind, properties, kind="web") for app in self._apps(call, "components")]
        return Reply(200, {"value": found})


def component_id(app: FunctionApp) -> str:
    """The Application Insights of a function app."""
    return f"{app.id.partition('/providers/')[0]}/providers/Microsoft.Insights/components/appi-{app.name}"


def _rule(app: FunctionApp, name: str) -> dict[str, Any]:
    provider = f"{app.id.partition('/providers/')[0]}/providers/Microsoft.Insights"
    group = f"{provider}/actionGroups/ag-{app.name}"
    query = f'AppRequests | where AppRoleName =~ "{app.name}"'
    properties = {
        "enabled": True,
        "criteria": {"allOf": [{"query": query}]},
        "actions": {"actionGroups": [group] if app.alert_emails is not None else []},
    }
    kind = "Microsoft.Insights/scheduledQueryRules"
    return shown(f"{provider}/scheduledQueryRules/alert-{name}", kind, properties, location=app.location)
