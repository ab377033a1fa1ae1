"""Microsoft.CognitiveServices: accounts that are created through the API, deleted with their group, and purged."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.azure.arm.common import authorize, complying, not_found, require_region, resource_scope
from sandbox.azure.bodies import NewAccountBody
from sandbox.azure.tenant import Account, Tenant
from sandbox.runtime.http import Call, Operation, Reply, refused

_KIND = "Microsoft.CognitiveServices/accounts"
_ONE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts/{name}"
_DELETED = (
    "/subscriptions/{sub}/providers/Microsoft.CognitiveServices/locations/{location}/resourceGroups/{group}"
    "/deletedAccounts/{name}"
)


class AccountLifecycle:
    """The operations that create and purge accounts. `body` shows an account as ARM does."""

    def __init__(self, tenant: Tenant, body: Callable[[Account], dict[str, Any]]) -> None:
        self._tenant = tenant
        self._body = body
        self.operations: Sequence[Operation] = (
            Operation("Accounts_Create", "PUT", _ONE, self._create, writes=True),
            Operation("DeletedAccounts_Get", "GET", _DELETED, self._get_deleted),
            Operation("DeletedAccounts_Purge", "DELETE", _DELETED, self._purge, writes=True),
        )

    def _create(self, call: Call) -> Reply:
        """Create an account. Its state is Creating until the first read."""
        tenant, scope, name = self._tenant, resource_scope(call, _KIND), call.params["name"]
        authorize(tenant, call, f"{_KIND}/write", scope)
        if not tenant.has_group(call.params["sub"], call.params["group"]):
            raise not_found(tenant, call.params)
        body = complying(tenant, scope, {"type": _KIND, "name": name}, call.read(NewAccountBody))
        if scope.lower() in tenant.accounts:
            raise refused(409, "RequestConflict", f"{name} exists, and replacing it is not modelled.")
        if scope.lower() in tenant.deleted_accounts:
            raise refused(  # as quoted in terraform-provider-azurerm's issues; status UNVERIFIED
                409,
                "FlagMustBeSetForRestore",
                f"An existing resource with ID '{scope}' has been soft-deleted. To restore the resource, you must specify "
                "'restore' to be 'true' in the property. If you don't want to restore existing resource, please purge it first.",
            )
        subdomain = body["properties"].get("customSubDomainName")
        if subdomain in {a.name for a in (*tenant.accounts.values(), *tenant.deleted_accounts.values())}:
            why = "Please pick a different name. The subdomain name is not available."
            raise refused(409, "CustomDomainInUse", why)
        require_region(body["location"], _KIND)
        account = Account(
            id=scope,
            name=name,
            location=body["location"],
            kind=body["kind"],
            endpoint=f"https://{name}.{tenant.names.openai_suffix}/",
            custom_subdomain=bool(subdomain),
            tags=dict(body.get("tags") or {}),
            state="Creating",
        )
        tenant.accounts[scope.lower()] = account
        tenant.account_added(account)
        return Reply(201, self._body(account), {"azure-asyncoperation": f"https://{call.host}/{uuid.uuid4()}"})

    def _deleted(self, call: Call, action: str) -> Account:
        authorize(self._tenant, call, f"Microsoft.CognitiveServices/{action}", f"/subscriptions/{call.params['sub']}")
        found = self._tenant.deleted_accounts.get(resource_scope(call, _KIND).lower())
        if found is None or found.location.lower() != call.params["location"].lower():
            raise refused(404, "ResourceNotFound", f"The deleted account {call.params['name']} was not found.")
        return found

    def _get_deleted(self, call: Call) -> Reply:
        return Reply(200, self._body(self._deleted(call, "locations/resourceGroups/deletedAccounts/read")))

    def _purge(self, call: Call) -> Reply:
        found = self._deleted(call, "locations/resourceGroups/deletedAccounts/delete")
        del self._tenant.deleted_accounts[found.id.lower()]
        return Reply(200, None)
