"""The monitoring of a function app: alert rules and their action groups, and the app's log. Read only.

Operations: Microsoft, REST references of Scheduled Query Rules, Action Groups and Application Insights components; the log is
queried as azure-monitor-query does. Whether every field is as described is UNVERIFIED.
"""

import json
from collections.abc import Mapping
from typing import Any

from provisioning.app_models import AlertRule, FunctionAppName
from provisioning.azure.transport.errors import translated
from provisioning.azure.transport.rest import Rest

_RULES = "api-version=2023-12-01"
_GROUPS = "api-version=2023-01-01"
_COMPONENTS = "api-version=2020-02-02"
_IMPORT_ERRORS = """union
 (AppExceptions | project TimeGenerated, AppRoleName, Text = strcat(ExceptionType, ": ", OuterMessage, " ", InnermostMessage)),
 (AppTraces | where SeverityLevel >= 3 | project TimeGenerated, AppRoleName, Text = Message)
| where TimeGenerated > ago(1h) and AppRoleName =~ NAME
| where Text has_any ("ModuleNotFoundError", "ImportError", "SyntaxError")
| top 1 by TimeGenerated desc
| project Text"""


def import_errors_query(app: str) -> str:
    """The query for the latest error of the last hour that says that the app's code cannot be imported."""
    return _IMPORT_ERRORS.replace("NAME", json.dumps(app))


class Monitoring:
    """The monitoring of function apps in a subscription. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(self, arm: Rest, logs: Rest, subscription_id: str) -> None:
        self._arm = arm
        self._logs = logs
        self._subscription_id = subscription_id

    def _insights(self, app: FunctionAppName) -> str:
        subscription = app.subscription or self._subscription_id
        return f"/subscriptions/{subscription}/resourceGroups/{app.resource_group}/providers/Microsoft.Insights"

    def alerts(self, app: FunctionAppName) -> tuple[AlertRule, ...]:
        """The alert rules of the app's resource group whose query names the app."""
        with translated(f"Listing the alert rules of {app.resource_group}"):
            listed = list(self._arm.pages(f"{self._insights(app)}/scheduledQueryRules?{_RULES}"))
        rules = [each for each in listed if app.name.lower() in json.dumps(each["properties"].get("criteria")).lower()]
        groups = {group.lower() for each in rules for group in _action_groups(each)}
        receivers = {group: self._receivers(group) for group in sorted(groups)}
        return tuple(
            AlertRule(
                str(each["name"]),
                enabled=each["properties"].get("enabled") is not False,
                receivers=sum(receivers[group.lower()] for group in _action_groups(each)),
            )
            for each in rules
        )

    def _receivers(self, action_group: str) -> int:
        """How many receivers an action group has. One that is disabled or gone has none."""
        with translated("Reading an action group"):
            found = self._arm.find(f"{action_group}?{_GROUPS}")
        properties = found["properties"] if found else {}
        if properties.get("enabled") is False:
            return 0
        return sum(len(value) for name, value in properties.items() if name.endswith("Receivers") and value)

    def import_error(self, app: FunctionAppName) -> str | None:
        """The latest error of the last hour that says that the app's code cannot be imported; None if no log can be found.

        Empty if there is none. Lines arrive some minutes late.
        """
        with translated(f"Listing the Application Insights of {app.resource_group}"):
            components = list(self._arm.pages(f"{self._insights(app)}/components?{_COMPONENTS}"))
        for each in components:
            with translated(f"Querying the log of {app.name}"):
                answer = self._logs.post(
                    f"/v1{each['id']}/query", {"query": import_errors_query(app.name), "timespan": "PT1H"}
                )
            if rows := answer["tables"][0]["rows"]:
                return " ".join(str(rows[0][0]).split())
        return "" if components else None


def _action_groups(rule: Mapping[str, Any]) -> list[str]:
    return list((rule["properties"].get("actions") or {}).get("actionGroups") or ())
