"""Azure Resource Manager: the front door (tokens, api-versions, permissions) and Cognitive Services accounts.

Vaults are in vaults.py, role assignments in authorization.py, function apps in web.py.
"""

import re
import uuid
from collections.abc import Sequence
from typing import Any

from sandbox.azure.arm.account_lifecycle import AccountLifecycle
from sandbox.azure.arm.authorization import Authorization
from sandbox.azure.arm.common import (
    LongRunning,
    addressed,
    arm_time,
    complying,
    identity_body,
    not_found,
    page,
    readable_group,
    require_tags,
    shown,
)
from sandbox.azure.arm.deployments import Deployments
from sandbox.azure.arm.governance import Governance
from sandbox.azure.arm.insights import Insights
from sandbox.azure.arm.resources import Resources
from sandbox.azure.arm.vaults import Vaults
from sandbox.azure.arm.web import Web
from sandbox.azure.bodies import AccountBody
from sandbox.azure.governance import Subscription
from sandbox.azure.identity import Tokens
from sandbox.azure.rbac import within
from sandbox.azure.tenant import Account, Tenant
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError, refused

_ACCOUNTS = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts"
_OF_SUBSCRIPTION = "/subscriptions/{sub}/providers/Microsoft.CognitiveServices/accounts"
_KIND = "Microsoft.CognitiveServices/accounts"
_PAGE = 5  # accounts


class Arm(Service):
    """management.azure.com."""

    name = "arm"
    unreadable = ("InvalidRequestContent", "The request content was invalid: ")

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self.hosts = [tenant.names.arm]
        self._running: dict[str, LongRunning[Account]] = {}
        self.operations: Sequence[Operation] = (
            Operation("Subscriptions_List", "GET", "/subscriptions", self._subscriptions),
            Operation("Subscriptions_Get", "GET", "/subscriptions/{sub}", self._subscription),
            Operation("Accounts_Get", "GET", _ACCOUNTS + "/{name}", self._get),
            Operation("Accounts_Update", "PATCH", _ACCOUNTS + "/{name}", self._update, writes=True),
            Operation("Accounts_ListByResourceGroup", "GET", _ACCOUNTS, self._list),
            Operation("Accounts_List", "GET", _OF_SUBSCRIPTION, self._list_all),
            Operation("Accounts_ListModels", "GET", _ACCOUNTS + "/{name}/models", self._models),
            Operation(
                "Accounts_OperationResult",
                "GET",
                "/subscriptions/{sub}/providers/Microsoft.CognitiveServices/locations/{location}/operationResults/{id}",
                self._poll,
            ),
            *AccountLifecycle(tenant, self._body).operations,
            *Deployments(tenant).operations,
            *Insights(tenant).operations,
            *Vaults(tenant).operations,
            *Resources(tenant).operations,
            *Authorization(tenant).operations,
            *Governance(tenant).operations,
            *Web(tenant).operations,
        )

    def authenticate(self, call: Call) -> Caller | None:
        """Require a token for this cloud's Resource Manager, and an api-version: ARM refuses requests without either."""
        caller = self._tokens.verify(call, self._tenant.names.arm_audiences)
        if "api-version" not in call.query:
            why = "The api-version query parameter (?api-version=) is required."
            raise refused(400, "MissingApiVersionParameter", why)
        if match := re.match(r"/subscriptions/([^/]+)", call.path, re.IGNORECASE):
            subscription = self._tenant.subscriptions.get(match[1].lower())
            if subscription is None:
                raise not_found(self._tenant, {"sub": match[1]})
            if subscription.tenant_id != caller.tenant_id and not subscription.delegated:
                raise _wrong_tenant(subscription, caller, self._tenant.names.login)
        return caller

    # --- subscriptions -----------------------------------------------------------------------------------------

    def _subscriptions(self, call: Call) -> Reply:
        """The subscriptions of the token's tenant where the caller holds a role: inherited, or on something in it."""
        rbac, who = self._tenant.rbac, call.who
        held = [a for a in rbac.active(self._tenant.clock.time()) if a.principal_id in rbac.ids_of(who.object_id)]
        seen = [
            self._subscription_body(s)
            for s in self._tenant.subscriptions.values()
            if (s.tenant_id == who.tenant_id or s.delegated)
            and any(rbac.within(s.scope, a.scope) or within(a.scope, s.scope) for a in held)
        ]
        # The official description requires nextLink, even on the last page, where it is empty.
        return Reply(200, {"value": seen, "nextLink": ""})

    def _subscription(self, call: Call) -> Reply:
        return Reply(200, self._subscription_body(self._tenant.subscriptions[call.params["sub"].lower()]))

    def _subscription_body(self, subscription: Subscription) -> dict[str, Any]:
        return {
            "id": subscription.scope,
            "subscriptionId": subscription.id,
            "displayName": subscription.name,
            "state": subscription.state,
            "tenantId": subscription.tenant_id,
            "managedByTenants": [{"tenantId": self._tenant.tenant_id}] if subscription.delegated else [],
        }

    # --- accounts ----------------------------------------------------------------------------------------------

    def _account(self, call: Call, action: str) -> Account:
        return addressed(self._tenant, call, _KIND, action, self._tenant.accounts)

    def _get(self, call: Call) -> Reply:
        account = self._account(call, "read")
        for running in self._running.values():
            if running.resource is account:
                self._count_poll(running)
        body = self._body(account)
        if account.state == "Creating":
            account.state = "Succeeded"
        return Reply(200, body)

    def _list(self, call: Call) -> Reply:
        here = readable_group(self._tenant, call, f"{_KIND}/read")
        found = [account for known, account in self._tenant.accounts.items() if known.startswith(here)]
        return page(call, found, _PAGE, self._body)

    def _list_all(self, call: Call) -> Reply:
        """The accounts of the subscription that the caller may read; the others are left out, not refused (UNVERIFIED)."""
        scope, who = f"/subscriptions/{call.params['sub']}/".lower(), call.who.object_id
        inside = [a for known, a in self._tenant.accounts.items() if known.startswith(scope)]
        return page(call, [a for a in inside if self._tenant.may(who, f"{_KIND}/read", a.id)], _PAGE, self._body)

    def _models(self, call: Call) -> Reply:
        """The base models. A retired one keeps its flag (recorded 2026)."""
        models = [("gpt-35-turbo 0613", {"fineTune": "true"}, "Deprecated")]
        held = self._account(call, "models/read").models
        models += [(named, capabilities, "GenerallyAvailable") for named, capabilities in held.items()]
        value = [
            {"format": "OpenAI", "capabilities": capabilities, "lifecycleStatus": status}
            | dict(zip(("name", "version"), named.split(), strict=True))
            for named, capabilities, status in models
        ]
        return Reply(200, {"value": value})

    def _update(self, call: Call) -> Reply:
        account = self._account(call, "write")
        if account.state != "Succeeded":
            why = f"Cannot modify resource with id '{account.id}': its state is {account.state}."
            raise refused(409, "RequestConflict", why)
        body = complying(self._tenant, account.id, self._body(account), call.read(AccountBody))
        if "identity" in body:
            self._set_identity(account, body["identity"])
        if body.get("tags") is not None:
            require_tags(body["tags"])
            account.tags = dict(body["tags"])
        properties = body.get("properties") or {}
        if properties.get("publicNetworkAccess") is not None:
            account.public_network = properties["publicNetworkAccess"] == "Enabled"
        if properties.get("disableLocalAuth") is not None:
            account.local_auth = not properties["disableLocalAuth"]
        account.state = "Accepted"
        running = LongRunning(account, self._tenant.transitions.identity_polls, self._tenant.clock.time())
        self._running[running.id] = running
        where = (
            f"https://{call.host}/subscriptions/{call.params['sub']}/providers/Microsoft.CognitiveServices"
            f"/locations/{account.location.upper()}/operationResults/{running.id}?api-version=2017-04-18"
        )
        headers = {"azure-asyncoperation": where, "location": where + "&operationResultResponseType=Location"}
        return Reply(202, self._body(account), headers)

    def _set_identity(self, account: Account, identity: dict[str, Any]) -> None:
        """Apply the identity type: SystemAssigned alone removes the user-assigned identities."""
        kinds = {k.strip() for k in identity.get("type", "None").split(",")}
        new = str(uuid.uuid4()), str(uuid.uuid4())
        self._tenant.set_system_identity(account, new if "SystemAssigned" in kinds else None)
        if "UserAssigned" not in kinds:
            account.user_identities.clear()
            return
        wanted = {k.lower() for k in identity.get("userAssignedIdentities") or {}}
        known = {k.lower() for k in account.user_identities}
        if wanted - known:
            why = f"Identity operation failed: {sorted(wanted - known)} does not exist."
            raise refused(400, "FailedIdentityOperation", why)

    def _poll(self, call: Call) -> Reply:
        running = self._running.get(call.params["id"])
        if running is None:
            raise refused(404, "NotFound", "The operation is not known.")
        done = self._count_poll(running)
        body = {"id": call.path, "name": running.id, "status": "Succeeded" if done else "Updating"}
        body["startTime"] = arm_time(running.started)
        if done:
            body["endTime"] = arm_time(self._tenant.clock.time())
        return Reply(200, body)

    def _count_poll(self, running: LongRunning[Account]) -> bool:
        """Count a poll. Return whether the operation is done."""
        running.polls_left -= 1
        done = running.done(self._tenant.clock.time())
        if done:
            running.resource.state = "Succeeded"
        return done

    def _body(self, account: Account) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "endpoint": next(iter(account.endpoints.values())),
            "provisioningState": account.state,
            "isMigrated": False,
            "privateEndpointConnections": [],
            "publicNetworkAccess": "Enabled" if account.public_network else "Disabled",
            "disableLocalAuth": not account.local_auth,
            "endpoints": account.endpoints,
        }
        if account.limits:
            properties["capabilities"] = [{"name": k, "value": str(v)} for k, v in account.limits.items()]
        if account.custom_subdomain:
            properties["customSubDomainName"] = account.name
        if account.firewall:
            properties["networkAcls"] = {"defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": []}
        etag = f'"{uuid.uuid5(uuid.NAMESPACE_URL, account.id + account.state)}"'
        more = {"etag": etag, "location": account.location, "sku": {"name": "S0"}, "kind": account.kind}
        more |= {"tags": account.tags} if account.tags else {}
        more |= identity_body(self._tenant, account.system_identity, account.user_identities)
        return shown(account.id, _KIND, properties, **more)


def _wrong_tenant(subscription: Subscription, caller: Caller, login: str) -> ServiceError:
    """401 for a token of another tenant than the subscription's; the header names the right one (Azure MCP's notes)."""
    right = f"https://{login.replace('login.microsoftonline.com', 'login.windows.net')}/{subscription.tenant_id}"
    why = (
        f"The access token is from the wrong issuer 'https://sts.windows.net/{caller.tenant_id}/'. It must match the tenant "
        f"'https://sts.windows.net/{subscription.tenant_id}/' associated with this subscription."
    )
    challenge = f'Bearer authorization_uri="{right}", error="invalid_token", error_description="{why}"'
    return refused(401, "InvalidAuthenticationTokenTenant", why, {"www-authenticate": challenge})
