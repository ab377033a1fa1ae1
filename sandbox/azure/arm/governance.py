"""Reads of a resource's governance: locks, deny assignments, activations, policies. Nothing is written here.

Shapes: the REST references of Microsoft.Authorization (locks 2020-05-01, denyAssignments 2022-04-01,
roleAssignmentScheduleInstances 2020-10-01, policyAssignments 2023-04-01) and of Microsoft.PolicyInsights (2024-10-01).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.azure.arm.common import arm_time, authorize, group_scope, shown
from sandbox.azure.governance import Lock
from sandbox.azure.policy import PolicyAssignment, changes, denials
from sandbox.azure.rbac import Assignment, DenyAssignment, within
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Operation, Reply, refused

_SCOPED = "/{+scope}/providers/Microsoft.Authorization/"
_GROUP = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"


class Governance:
    """The read operations on locks, deny assignments, activations and policies."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("ManagementLocks_ListByScope", "GET", _SCOPED + "locks", self._locks),
            Operation("DenyAssignments_ListForScope", "GET", _SCOPED + "denyAssignments", self._denials),
            Operation(
                "RoleAssignmentScheduleInstances_ListForScope",
                "GET",
                _SCOPED + "roleAssignmentScheduleInstances",
                self._instances,
            ),
            Operation("PolicyAssignments_ListForScope", "GET", _SCOPED + "policyAssignments", self._policies),
            Operation("PolicySetDefinitions_Get", "GET", _SCOPED + "policySetDefinitions/{name}", self._initiative),
            Operation("PolicyRestrictions_CheckAtResourceGroupScope", "POST", _GROUP, self._restrictions),
        )

    def _scope(self, call: Call, kind: str) -> str:
        scope = "/" + call.params["scope"]
        authorize(self._tenant, call, f"Microsoft.Authorization/{kind}/read", scope)
        return scope

    def _locks(self, call: Call) -> Reply:
        """The locks at the scope, above it, and below it unless the filter leaves them out."""
        scope = self._scope(call, "locks")
        below = call.query.get("$filter", "") != "atScope()"
        found = [k for k in self._tenant.locks if within(scope, k.scope) or (below and within(k.scope, scope))]
        return Reply(200, {"value": [_lock(each) for each in found]})

    def _denials(self, call: Call) -> Reply:
        scope = self._scope(call, "denyAssignments")
        found = [d for d in self._tenant.rbac.denies if self._tenant.rbac.within(scope, d.scope)]
        return Reply(200, {"value": [_denial(each) for each in found]})

    def _instances(self, call: Call) -> Reply:
        """Every active assignment at the scope or above, activated or not, those of others too with `atScope()`."""
        scope = self._scope(call, "roleAssignmentScheduleInstances")
        if not self._tenant.has_pim:
            message = "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."
            raise refused(400, "AadPremiumLicenseRequired", message)
        condition, rbac = call.query.get("$filter", ""), self._tenant.rbac
        if condition not in ("atScope()", "asTarget()"):
            raise refused(400, "UnsupportedQuery", f"The filter '{condition}' is not supported.")
        mine = rbac.ids_of(call.who.object_id) if condition == "asTarget()" else None
        found = [
            a
            for a in rbac.active(self._tenant.clock.time())
            if rbac.within(scope, a.scope) and (mine is None or a.principal_id in mine)
        ]
        return Reply(200, {"value": [_instance(each) for each in found]})

    # --- policies ----------------------------------------------------------------------------------------------------

    def _policies(self, call: Call) -> Reply:
        scope = self._scope(call, "policyAssignments")
        found = [p for p in self._tenant.policies if self._tenant.rbac.within(scope, p.scope)]
        return Reply(200, {"value": [_assignment(each) for each in found]})

    def _initiative(self, call: Call) -> Reply:
        scope, name = self._scope(call, "policySetDefinitions"), call.params["name"]
        found = [p for p in self._tenant.policies if p.initiative == name and p.scope.lower() == scope.lower()]
        if not found:
            raise refused(404, "PolicySetDefinitionNotFound", f"The policy set definition '{name}' could not be found.")
        members = [
            {
                "policyDefinitionId": p.definition_id,
                "policyDefinitionReferenceId": p.definition.name,
                "parameters": _values(p),
            }
            for p in found
        ]
        properties = {"displayName": name, "policyType": "Custom", "parameters": {}, "policyDefinitions": members}
        return Reply(200, shown(found[0].initiative_id, "Microsoft.Authorization/policySetDefinitions", properties))

    def _restrictions(self, call: Call) -> Reply:
        """Return the effects of policies on a resource with this content. For modify policies, the requested fields are shown."""
        scope = group_scope(call)
        authorize(self._tenant, call, "Microsoft.PolicyInsights/checkPolicyRestrictions/read", scope)
        content = call.json.get("resourceDetails", {}).get("resourceContent")
        if not isinstance(content, dict) or "type" not in content:
            why = "The resource content must have a type."  # UNVERIFIED
            raise refused(400, "InvalidCheckRestrictionsRequest", why)
        if name := content.get("name"):
            scope += f"/providers/{content['type']}/{name}"
        reaches, asked = self._tenant.rbac.within, [f["field"] for f in call.json.get("pendingFields", ())]
        denied = denials(self._tenant.policies, content, scope, reaches)
        changed = [c for c in changes(self._tenant.policies, content, scope, reaches) if _asked(c[1], asked)]
        fields = [
            {
                "field": name.replace("properties.", f"{content['type']}/", 1),
                "restrictions": [
                    {
                        "result": "Required",
                        "defaultValue": str(value).lower() if isinstance(value, bool) else str(value),
                        "policy": _reference(p),
                        "policyEffect": "Modify",
                    }
                ],
            }
            for p, name, value in changed
        ]
        evaluations = [
            {"policyInfo": _reference(p), "evaluationResult": "NonCompliant", "effectDetails": {"policyEffect": "Deny"}}
            for p in denied
        ]
        return Reply(200, {"fieldRestrictions": fields, "contentEvaluationResult": {"policyEvaluations": evaluations}})


def _asked(field: str, asked: Iterable[str]) -> bool:
    last = re.split(r"[/.]", field)[-1].lower()
    return any(
        re.split(r"[/.]", each)[-1].lower() == last or (each == "tags" and field.startswith("tags")) for each in asked
    )


def _reference(policy: PolicyAssignment) -> dict[str, str]:
    reference = {"policyDefinitionId": policy.definition_id, "policyAssignmentId": policy.id}
    if policy.initiative:
        reference |= {
            "policySetDefinitionId": policy.initiative_id,
            "policyDefinitionReferenceId": policy.definition.name,
        }
    return reference


def _values(policy: PolicyAssignment) -> dict[str, Any]:
    given = {"effect": policy.effect[0].upper() + policy.effect[1:], **policy.parameters}
    return {name: {"value": value} for name, value in given.items()}


def _assignment(policy: PolicyAssignment) -> dict[str, Any]:
    properties = {
        "displayName": policy.name,
        "policyDefinitionId": policy.initiative_id if policy.initiative else policy.definition_id,
        "scope": policy.scope,
        "notScopes": list(policy.excluded),
        "parameters": {} if policy.initiative else _values(policy),
        "enforcementMode": "Default" if policy.enforced else "DoNotEnforce",
    }
    return shown(policy.id, "Microsoft.Authorization/policyAssignments", properties)


def _lock(lock: Lock) -> dict[str, Any]:
    properties = {"level": lock.level} | ({"notes": lock.notes} if lock.notes else {})
    return shown(lock.id, "Microsoft.Authorization/locks", properties)


def _denial(denial: DenyAssignment) -> dict[str, Any]:
    kind = "Microsoft.Authorization/denyAssignments"
    properties = {
        "denyAssignmentName": denial.name,
        "permissions": [denial.denied.permission],
        "scope": denial.scope,
        "doNotApplyToChildScopes": False,
        "principals": [{"id": each, "type": "SystemDefined"} for each in sorted(denial.principals)],
        "excludePrincipals": [{"id": each, "type": "User"} for each in sorted(denial.excluded)],
        "isSystemProtected": True,
    }
    return shown(f"{denial.scope}/providers/{kind}/{denial.id}", kind, properties)


def _instance(assignment: Assignment) -> dict[str, Any]:
    ends = {} if assignment.expires is None else {"endDateTime": arm_time(assignment.expires)}
    kind = "Microsoft.Authorization/roleAssignmentScheduleInstances"
    properties = {
        "scope": assignment.scope,
        "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{assignment.role_id}",
        "principalId": assignment.principal_id,
        "principalType": assignment.principal_type,
        "originRoleAssignmentId": assignment.id,
        "assignmentType": "Activated" if ends else "Assigned",
        "memberType": "Direct",
        "status": "Provisioned",
        "startDateTime": arm_time(assignment.created),
        **ends,
    }
    return shown(f"{assignment.scope.rstrip('/')}/providers/{kind}/{assignment.name}", kind, properties)
