"""Function apps in Azure Resource Manager (Microsoft.Web), for which no SDK is installed. Read only.

Operations: Microsoft, REST reference of Web Apps (Get, List Functions, List Application Settings).
"""

from collections.abc import Collection, Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError

from provisioning import shell
from provisioning.app_models import FunctionApp, FunctionAppName, IndexedFunction, UserIdentity
from provisioning.azure.transport.errors import translated
from provisioning.azure.transport.rest import Rest
from provisioning.errors import NotFoundError

_VERSION = "api-version=2024-11-01"
PRESENT, EMPTY = "set", "empty"
"""Stands for the value of a setting that may be secret."""
TEMPLATE_VERSION = "template-version"
"""The tag that infra/modules/app.bicep puts on the app."""


class FunctionApps:
    """The function apps of a subscription. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(self, arm: Rest, subscription_id: str) -> None:
        self._arm = arm
        self._subscription_id = subscription_id

    def _path(self, app: FunctionAppName) -> str:
        subscription = app.subscription or self._subscription_id
        return f"/subscriptions/{subscription}/resourceGroups/{app.resource_group}/providers/Microsoft.Web/sites/{app.name}"

    def get(self, app: FunctionAppName) -> FunctionApp:
        """The app and its identities.

        Raises:
            NotFoundError: it does not exist.
        """
        with translated(f"Reading function app {app.name}"):
            try:
                site = self._arm.get(f"{self._path(app)}?{_VERSION}")
            except HttpResponseError as error:
                if error.status_code != 404:
                    raise
                raise NotFoundError(
                    f"There is no function app {app.name} in resource group {app.resource_group}.",
                    hint="Check --function-app, --function-app-group and --subscription; "
                    f"{shell.command('az', 'functionapp', 'list', '-g', app.resource_group, '-o', 'table')}",
                ) from error
        identity = site.get("identity") or {}
        users = identity.get("userAssignedIdentities") or {}
        properties = site.get("properties") or {}
        runtime = (properties.get("functionAppConfig") or {}).get("runtime") or {}
        return FunctionApp(
            name=site["name"],
            state=properties.get("state") or "",
            system_identity=identity.get("principalId") or None,
            user_identities=tuple(UserIdentity(i, u["clientId"], u["principalId"]) for i, u in users.items()),
            runtime=" ".join(str(runtime[each]) for each in ("name", "version") if runtime.get(each)),
            template_version=str((site.get("tags") or {}).get(TEMPLATE_VERSION) or ""),
        )

    def functions(self, app: FunctionAppName) -> tuple[IndexedFunction, ...]:
        """The functions that the app's host has indexed."""
        with translated(f"Listing the functions of {app.name}"):
            listed = list(self._arm.pages(f"{self._path(app)}/functions?{_VERSION}"))
        return tuple(_function(each) for each in listed)

    def settings(
        self, app: FunctionAppName, names: Collection[str], present: Collection[str] = ()
    ) -> Mapping[str, str]:
        """Read the app settings with these names. For those in `present`, return PRESENT or EMPTY: they may be secrets."""
        with translated(f"Reading the settings of {app.name}"):
            found = self._arm.post(f"{self._path(app)}/config/appsettings/list?{_VERSION}", None)
        values = (found.get("properties") or {}).items()
        shown = {name: value for name, value in values if name in {*names, *present}}
        return {n: value if n in names else (PRESENT if str(value).strip() else EMPTY) for n, value in shown.items()}


def _function(shown: Mapping[str, Any]) -> IndexedFunction:
    """ARM names a function APP/FUNCTION. The package states its version as a field of a binding."""
    properties = shown.get("properties") or {}
    bindings = (properties.get("config") or {}).get("bindings") or ()
    return IndexedFunction(
        str(shown["name"]).rsplit("/", 1)[-1],
        disabled=bool(properties.get("isDisabled")),
        package_version=next((str(each["packageVersion"]) for each in bindings if "packageVersion" in each), ""),
    )
