"""graph.microsoft.com: the names of principals, as far as the Azure CLI and we ask.

A person may read the directory. An application or a managed identity needs an administrator's consent (Microsoft Graph,
"Overview of permissions"), which nobody has given here.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sandbox.azure.bodies import IdsBody
from sandbox.azure.identity import Tokens
from sandbox.azure.tenant import Principal, Tenant
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, refused

_KINDS = {"User": "user", "Group": "group", "ServicePrincipal": "servicePrincipal", "Application": "application"}


class Graph(Service):
    """Microsoft Graph v1.0."""

    name = "graph"
    unreadable = ("BadRequest", "Unable to read JSON request payload: ")

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self.hosts = [tenant.names.graph]
        self.operations: Sequence[Operation] = tuple(
            Operation(name, method, f"/v1.0/{path}", _for_people(handle))
            for name, method, path, handle in (
                ("DirectoryObjects_GetByIds", "POST", "directoryObjects/getByIds", self._by_ids),
                ("DirectoryObjects_GetMemberObjects", "POST", "directoryObjects/{id}/getMemberObjects", self._groups),
                ("Me_Get", "GET", "me", self._me),
                ("Users_List", "GET", "users", self._users),
                ("Users_Get", "GET", "users/{id}", self._user),
                ("ServicePrincipals_List", "GET", "servicePrincipals", self._applications),
                ("ServicePrincipals_Get", "GET", "servicePrincipals/{id}", self._application),
            )
        )

    def authenticate(self, call: Call) -> Caller | None:
        """A token for Graph."""
        return self._tokens.verify(call, (f"https://{self._tenant.names.graph}",))

    # --- operations ----------------------------------------------------------------------------------------------

    def _by_ids(self, call: Call) -> Reply:
        found = [self._tenant.principals.get(i.lower()) for i in call.read(IdsBody).get("ids", [])]
        alone = self._tenant.sign_in.guest  # sees only itself; the documentation does not say so: UNVERIFIED
        return _listed(p for p in found if p and (not alone or p.object_id == call.who.object_id))

    def _groups(self, call: Call) -> Reply:
        """The ids of a principal's groups, nested ones included (Microsoft Graph, directoryObject: getMemberObjects)."""
        who = call.params["id"].lower()
        return Reply(200, {"value": sorted(self._tenant.rbac.ids_of(who) - {who})})

    def _me(self, call: Call) -> Reply:
        return Reply(200, _shown(self._tenant.principals[call.who.object_id]))

    def _users(self, call: Call) -> Reply:
        wanted = _matched(call, r"userPrincipalName eq '([^']+)'")
        return _listed(self._all("User", lambda p: p.name.lower() == wanted))

    def _user(self, call: Call) -> Reply:
        wanted = call.params["id"].lower()
        return self._one(call, "User", lambda p: wanted in (p.object_id, p.name.lower()))

    def _applications(self, call: Call) -> Reply:
        wanted = _matched(call, r"servicePrincipalNames/any\(c:c eq '([^']+)'\)")
        return _listed(self._all("ServicePrincipal", lambda p: p.app_id == wanted))

    def _application(self, call: Call) -> Reply:
        wanted = call.params["id"].lower()
        return self._one(call, "ServicePrincipal", lambda p: p.object_id == wanted)

    def _all(self, kind: str, which: Callable[[Principal], bool]) -> list[Principal]:
        return [p for p in self._tenant.principals.values() if p.kind == kind and which(p)]

    def _one(self, call: Call, kind: str, which: Callable[[Principal], bool]) -> Reply:
        for principal in self._all(kind, which):
            return Reply(200, _shown(principal))
        raise refused(404, "Request_ResourceNotFound", f"Resource '{call.params['id']}' does not exist.")


def _for_people(handle: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    """Refuse principals that may not read the directory."""

    def allowed(call: Call) -> Reply:
        if call.who.kind != "User":
            raise refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        return handle(call)

    return allowed


def _matched(call: Call, pattern: str) -> str:
    """Return the value that the filter searches for, in lower case."""
    match = re.fullmatch(pattern, call.query.get("$filter", ""))
    if match is None:
        raise refused(400, "Request_UnsupportedQuery", f"Unsupported filter: {call.query.get('$filter', '(none)')}")
    return match[1].lower()


def _listed(principals: Iterable[Principal]) -> Reply:
    return Reply(200, {"value": [_shown(p) for p in principals]})


def _shown(principal: Principal) -> dict[str, Any]:
    shape: dict[str, Any] = {"@odata.type": f"#microsoft.graph.{_KINDS[principal.kind]}", "id": principal.object_id}
    shape |= {"displayName": principal.name.split("@")[0]}
    if principal.kind == "User":
        return shape | {"userPrincipalName": principal.name}
    if principal.kind in ("Group", "Application"):
        return shape
    kind = "ManagedIdentity" if principal.managed_identity else "Application"
    names = [principal.app_id]
    return shape | {"appId": principal.app_id, "servicePrincipalType": kind, "servicePrincipalNames": names}
