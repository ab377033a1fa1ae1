"""Microsoft.Authorization: role assignments, role definitions, the caller's permissions."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.azure.arm.common import authorization_failed, authorize, complying, page, require_deletable, shown
from sandbox.azure.bodies import AssignmentBody
from sandbox.azure.rbac import Assignment, within
from sandbox.azure.roles import ASSIGN, UNASSIGN, Role
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Operation, Reply, refused

_SCOPED = "/{+scope}/providers/Microsoft.Authorization/"
_PAGE = 50


class Authorization:
    """The operations of Microsoft.Authorization, api-version 2022-04-01."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._unreplicated: dict[str, int] = {}
        self.operations: Sequence[Operation] = (
            Operation("RoleAssignments_ListForScope", "GET", _SCOPED + "roleAssignments", self._list),
            Operation("RoleAssignments_Get", "GET", _SCOPED + "roleAssignments/{name}", self._get),
            Operation("RoleAssignments_Create", "PUT", _SCOPED + "roleAssignments/{name}", self._create, writes=True),
            Operation(
                "RoleAssignments_Delete", "DELETE", _SCOPED + "roleAssignments/{name}", self._delete, writes=True
            ),
            Operation("RoleDefinitions_List", "GET", _SCOPED + "roleDefinitions", self._definitions),
            Operation("RoleDefinitions_Get", "GET", _SCOPED + "roleDefinitions/{id}", self._definition),
            Operation("Permissions_ListForResourceGroup", "GET", _SCOPED + "permissions", self._permissions),
        )

    def _authorize(self, call: Call, action: str) -> str:
        scope = "/" + call.params["scope"]
        authorize(self._tenant, call, f"Microsoft.Authorization/{action}", scope)
        return scope

    # --- assignments -------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Reply:
        scope = self._authorize(call, "roleAssignments/read")
        now, condition = self._tenant.clock.time(), call.query.get("$filter", "")
        found = [a for a in self._tenant.rbac.active(now) if self._listed(a, scope, condition)]
        return page(call, found, _PAGE, self._shown)

    def _listed(self, assignment: Assignment, scope: str, condition: str) -> bool:
        rbac = self._tenant.rbac
        above, below = rbac.within(scope, assignment.scope), rbac.within(assignment.scope, scope)
        if not condition:
            return above or below
        if condition == "atScope()":
            return above
        if match := re.fullmatch(r"principalId eq '([^']+)'", condition):
            return (above or below) and assignment.principal_id.lower() == match[1].lower()
        if match := re.fullmatch(r"assignedTo\('([^']+)'\)", condition):
            return above and assignment.principal_id.lower() in rbac.ids_of(match[1])
        raise refused(400, "UnsupportedQuery", f"The filter '{condition}' is not supported.")

    def _get(self, call: Call) -> Reply:
        scope = self._authorize(call, "roleAssignments/read")
        return Reply(200, self._shown(self._at(call.params["name"], scope)))

    def _at(self, name: str, scope: str) -> Assignment:
        assignment, now = self._tenant.rbac.assignments.get(name.lower()), self._tenant.clock.time()
        ended = assignment is not None and (assignment.expires or now + 1) <= now
        if assignment is None or ended or not (within(assignment.scope, scope) and within(scope, assignment.scope)):
            raise refused(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
        return assignment

    def _create(self, call: Call) -> Reply:
        scope = self._authorize(call, "roleAssignments/write")
        properties = call.read(AssignmentBody).get("properties", {})
        wanted = self._wanted(call, scope, properties)
        self._require_delegated(call, ASSIGN, wanted, properties.get("principalType"))
        kind = "Microsoft.Authorization/roleAssignments"
        complying(self._tenant, scope, {"type": kind, "name": wanted.name, "properties": properties}, {})
        for known in self._tenant.rbac.active(self._tenant.clock.time()):
            same = _same(known, wanted)
            if known.name.lower() == wanted.name.lower():
                if same:  # only its description and its condition may change
                    known.description, known.condition = wanted.description, wanted.condition
                    known.condition_version = wanted.condition_version
                    return Reply(200, self._shown(known))
                why = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
                raise refused(400, "RoleAssignmentUpdateNotPermitted", why)
            if same:
                bare = known.name.replace("-", "")
                why = f"The role assignment already exists. The ID of the existing role assignment is {bare}."
                raise refused(409, "RoleAssignmentExists", why)
        self._require_room(scope)
        self._tenant.rbac.add(wanted)
        return Reply(201, self._shown(wanted))

    def _require_delegated(self, call: Call, action: str, wanted: Assignment, kind: str | None) -> None:
        """Refuse a role, or a type of principal, that the condition on the caller's right does not allow."""
        who, now = call.who.object_id, self._tenant.clock.time()
        if not self._tenant.rbac.may_assign(who, wanted.scope, wanted.role_id, kind, action=action, now=now):
            raise authorization_failed(call.who, action, wanted.id, conditional=True)

    def _require_room(self, scope: str) -> None:
        for subscription in self._tenant.subscriptions.values():
            within_it = [a for a in self._tenant.rbac.assignments.values() if within(a.scope, subscription.scope)]
            if within(scope, subscription.scope) and len(within_it) >= subscription.assignment_limit:
                raise refused(
                    400,
                    "RoleAssignmentLimitExceeded",
                    f"The number of role assignments in the subscription has reached its limit of "
                    f"{subscription.assignment_limit}. Delete unused role assignments.",
                )

    def _wanted(self, call: Call, scope: str, properties: dict[str, Any]) -> Assignment:
        role = properties.get("roleDefinitionId", "").rsplit("/", 1)[-1].lower()
        known = self._tenant.rbac.roles.get(role)
        if known is None or (
            known.assignable and not any(self._tenant.rbac.within(scope, s) for s in known.assignable)
        ):
            why = f"The specified role definition with ID '{role}' does not exist."
            raise refused(400, "RoleDefinitionDoesNotExist", why)
        principal_id = properties.get("principalId", "").lower()
        kind = self._principal_type(principal_id, properties.get("principalType"))
        now = self._tenant.clock.time()
        return Assignment(
            name=call.params["name"],
            scope=scope,
            role_id=role,
            principal_id=principal_id,
            principal_type=kind,
            created=now,
            effective=now + self._tenant.transitions.rbac_propagation,
            created_by=call.who.object_id,
            description=properties.get("description"),
            condition=properties.get("condition"),
            condition_version=properties.get("conditionVersion"),
        )

    def _principal_type(self, principal_id: str, given: str | None) -> str:
        """Return the principal's type. A new identity is not found for a while, unless the caller gives its type."""
        principal = self._tenant.principals.get(principal_id)
        # Azure gives a service principal's role to any id (terraform-provider-azurerm pull request 4168).
        if principal is None and given == "ServicePrincipal":
            return given
        refusals = self._unreplicated.get(principal_id, 0)
        late = given is None and refusals < self._tenant.transitions.replication_refusals
        if principal is None or (principal.managed_identity and late):
            self._unreplicated[principal_id] = refusals + 1
            raise refused(
                400,
                "PrincipalNotFound",
                f"Principal {principal_id.replace('-', '')} does not exist in the directory {self._tenant.tenant_id}. Check "
                "that you have the correct principal ID. If you are creating this principal and then immediately assigning "
                "a role, this error might be related to a replication delay. In this case, set the role assignment "
                "principalType property to a value, such as ServicePrincipal, User, or Group.",
            )
        if given and given != principal.kind and principal.kind != "Application":
            raise refused(
                400,
                "UnmatchedPrincipalType",
                f"The PrincipalId '{principal_id}' has type '{principal.kind}', which is different from specified "
                f"PrincipalType '{given}'.",
            )
        if principal.kind == "Application":  # the object id of an app registration in place of its service principal's
            why = "Principals of type Application cannot validly be used in role assignments."
            raise refused(400, "PrincipalTypeNotSupported", why)
        return principal.kind

    def _delete(self, call: Call) -> Reply:
        scope = self._authorize(call, "roleAssignments/delete")
        gone = self._tenant.rbac.assignments.get(call.params["name"].lower())
        if gone is None:
            return Reply(204)
        gone = self._at(call.params["name"], scope)
        self._require_delegated(call, UNASSIGN, gone, gone.principal_type)
        require_deletable(self._tenant, gone.id, "Microsoft.Authorization/roleAssignments")
        del self._tenant.rbac.assignments[gone.name.lower()]
        return Reply(200, self._shown(gone))

    # --- definitions and permissions ---------------------------------------------------------------------------

    def _definitions(self, call: Call) -> Reply:
        self._authorize(call, "roleDefinitions/read")
        match = re.fullmatch(r"roleName eq '([^']+)'", call.query.get("$filter", ""))
        found = [r for r in self._tenant.rbac.roles.values() if not match or r.name.lower() == match[1].lower()]
        return Reply(200, {"value": [self._described(r) for r in found]})

    def _definition(self, call: Call) -> Reply:
        self._authorize(call, "roleDefinitions/read")
        role = self._tenant.rbac.roles.get(call.params["id"].lower())
        if role is None:
            why = f"The specified role definition with ID '{call.params['id']}' does not exist."
            raise refused(404, "RoleDefinitionDoesNotExist", why)
        return Reply(200, self._described(role))

    def _described(self, role: Role) -> dict[str, Any]:
        kind = "Microsoft.Authorization/roleDefinitions"
        properties = {
            "roleName": role.name,
            "type": "CustomRole" if role.assignable else "BuiltInRole",
            "description": "",
            "assignableScopes": list(role.assignable) or ["/"],
            "permissions": [role.permission],
        }
        return shown(f"/subscriptions/{self._tenant.subscription_id}/providers/{kind}/{role.id}", kind, properties)

    def _permissions(self, call: Call) -> Reply:
        """Effective grants of the caller. An empty segment in the scope is refused: whether ARM takes it is UNVERIFIED."""
        scope = "/" + call.params["scope"]
        if "//" in scope:
            raise refused(404, "InvalidResourceType", f"The scope '{scope}' is not valid.")
        rbac = self._tenant.rbac
        held = rbac.held(call.who.object_id, scope, now=self._tenant.clock.time())
        return Reply(200, {"value": [rbac.roles[a.role_id].permission for a in held]})

    def _shown(self, assignment: Assignment) -> dict[str, Any]:
        """Return the assignment as ARM shows it. The role's id contains the assignment's subscription, if there is one."""
        when = datetime.fromtimestamp(assignment.created, UTC).isoformat().replace("+00:00", "Z")
        inside = re.match(r"/subscriptions/[^/]+", assignment.scope, re.IGNORECASE)
        roles = f"{inside[0] if inside else ''}/providers/Microsoft.Authorization/roleDefinitions"
        properties: dict[str, Any] = {
            "roleDefinitionId": f"{roles}/{assignment.role_id}",
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition_version,
            "createdOn": when,
            "updatedOn": when,
            "createdBy": assignment.created_by or None,
            "updatedBy": assignment.created_by or None,
            "delegatedManagedIdentityResourceId": None,
            "description": assignment.description,
        }
        return shown(assignment.id, "Microsoft.Authorization/roleAssignments", properties)


def _same(one: Assignment, other: Assignment) -> bool:
    return (one.scope.lower(), one.principal_id.lower(), one.role_id) == (
        other.scope.lower(),
        other.principal_id.lower(),
        other.role_id,
    )
