"""Role assignments, role definitions, and what the caller may do: Microsoft.Authorization."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignment as SdkAssignment
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from provisioning.azure.errors import code, text, translated
from provisioning.azure.rest import Rest
from provisioning.errors import ConditionalRoleError, ConflictError, PrincipalMissingError
from provisioning.models import Assignment, Permissions, Principal, RoleDefinition
from provisioning.resource_ids import same, within

_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


def assignment_name(scope: str, principal_id: str, role_id: str) -> str:
    """The name of a role assignment: what ARM's `guid(scope, principalId, roleId)` gives for the same strings.

    A template agrees when it passes the resource's id as Azure shows it (`vault.id`), the principal's object id and
    the role's bare GUID, both in lower case; `guid()` tells letter case and a longer role id apart.
    """
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join((scope, principal_id.lower(), role_id))))


class Roles:
    """Microsoft.Authorization as the signed-in identity. Every method raises as sdk_errors translates."""

    def __init__(self, arm: Rest, credential: TokenCredential, subscription_id: str, shared: Mapping[str, Any]) -> None:
        self._arm = arm
        self._subscription_id = subscription_id
        self._client = AuthorizationManagementClient(credential, subscription_id, **shared)

    def at(self, scope: str) -> tuple[Assignment, ...]:
        """Everybody's assignments at the scope and above it."""
        with translated("Listing role assignments"):
            listed = self._client.role_assignments.list_for_scope(scope, filter="atScope()")
            return tuple(_assignment(each, scope) for each in listed)

    def around(self, scope: str) -> tuple[Assignment, ...]:
        """Everybody's assignments at the scope, above it and below it.

        Only `atScope()` leaves out those below (Microsoft, "List Azure role assignments using the REST API").
        """
        with translated("Listing role assignments"):
            return tuple(_assignment(each, scope) for each in self._client.role_assignments.list_for_scope(scope))

    def of(self, scope: str, principal_id: str) -> tuple[Assignment, ...]:
        """The assignments at the scope or above it that one principal holds, itself or through groups."""
        # Whether `assignedTo` leaves out those below the scope is not documented, so that this does it.
        with translated("Listing role assignments"):
            listed = self._client.role_assignments.list_for_scope(scope, filter=f"assignedTo('{principal_id}')")
            return tuple(a for a in map(_assignment, listed) if within(scope, a.scope))

    def definition(self, scope: str, role_id: str) -> RoleDefinition | None:
        """The role with this GUID as this tenant defines it; None where the cloud does not have it."""
        with translated(f"Reading role {role_id}"):
            try:
                found = self._client.role_definitions.get(scope, role_id)
            except ResourceNotFoundError:
                return None
        # Each permission subtracts only its own exceptions; built-in vault roles have exactly one.
        data = [p for p in found.permissions or () if p.data_actions]
        return RoleDefinition(
            role_id,
            found.role_name or role_id,
            tuple(a for p in data for a in p.data_actions or ()),
            tuple(a for p in data for a in p.not_data_actions or ()),
        )

    def mine_in_group(self, group: str) -> tuple[Permissions, ...]:
        """What the caller may do in the whole resource group, on the control plane.

        Neither conditions nor deny assignments show in it, so that a yes is not a promise.
        """
        with translated("Reading your permissions"):
            return tuple(
                Permissions(tuple(p.actions or ()), tuple(p.not_actions or ()))
                for p in self._client.permissions.list_for_resource_group(group)
            )

    def mine_at(self, scope: str) -> tuple[Permissions, ...]:
        """What the caller may do at one resource, on the control plane. No promise, either.

        Asked by a request of our own because the SDK puts an empty segment into the path of a top-level resource.
        """
        path = f"{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
        with translated("Reading your permissions"):
            return tuple(
                Permissions(tuple(p.get("actions") or ()), tuple(p.get("notActions") or ()))
                for p in self._arm.pages(path)
            )

    def assign(self, scope: str, principal: Principal, role_id: str, description: str) -> Assignment:
        """Assign the role, or adopt the assignment that says the same under another name.

        The principal's type is always decided here: the SDK's default is "User". Where it is not known, none is
        sent, and Azure looks the principal up; so it does where what was assumed turns out to be wrong.

        Raises:
            PrincipalMissingError: the directory does not know the principal (yet).
            ConditionalRoleError: the assignment exists under a condition.
            ConflictError: the assignment's name is taken by another one.
        """
        wanted = RoleAssignmentCreateParameters(
            role_definition_id=f"/subscriptions/{self._subscription_id}"
            f"/providers/Microsoft.Authorization/roleDefinitions/{role_id}",
            principal_id=principal.object_id,
            principal_type=principal.kind,  # type: ignore[arg-type]  # None sends none; the stub knows only its default
            description=description,
        )
        name = assignment_name(scope, principal.object_id, role_id)
        with translated(f"Assigning a role to {principal.label}"):
            try:
                return _assignment(self._client.role_assignments.create(scope, name, wanted))
            except HttpResponseError as error:
                if code(error) == "RoleAssignmentExists":
                    return self._adopt(scope, principal, role_id, error)
                if code(error) == "UnmatchedPrincipalType" and principal.kind:
                    return self.assign(scope, replace(principal, kind=None), role_id, description)
                _explain(principal, name, error)
                raise

    def remove(self, assignment: Assignment) -> None:
        """Take the assignment away; where it is gone already, nothing happens."""
        name = assignment.id.rsplit("/", 1)[-1]
        with translated(f"Taking away role assignment {name}"):
            self._client.role_assignments.delete(assignment.scope, name)

    def _adopt(self, scope: str, principal: Principal, role_id: str, error: HttpResponseError) -> Assignment:
        """The assignment that is there under another name. Its id in the message is not always given."""
        listed = self._client.role_assignments.list_for_scope(scope, filter=f"principalId eq '{principal.object_id}'")
        for found in map(_assignment, listed):
            if found.role_id == role_id and same(found.scope, scope):
                if found.conditional:
                    raise ConditionalRoleError(
                        f"{principal.label} has the role already, under a condition that may take it away again.",
                        hint=f"Look at it (az role assignment list --scope {scope}); remove the condition or the "
                        "assignment, then run the same command again.",
                    ) from error
                return found
        raise error


def _explain(principal: Principal, name: str, error: HttpResponseError) -> None:
    if code(error) == "PrincipalNotFound":
        raise PrincipalMissingError(
            f"The directory does not know {principal.label} ({principal.object_id}).",
            hint="If it was deleted, remove its access policy (az keyvault delete-policy --object-id "
            f"{principal.object_id} …) or go on without it (--accept-loss); if it is new, run the same command again "
            "in some minutes.",
        ) from error
    if code(error) == "RoleAssignmentUpdateNotPermitted":
        raise ConflictError(
            f"Role assignment {name} exists and means something else: {text(error)}",
            hint=f"Look at it (az role assignment list --all --query \"[?name=='{name}']\"), remove it if nobody needs "
            "it, and run the same command again.",
        ) from error


def _assignment(sdk: SdkAssignment, asked: str = "") -> Assignment:
    """ARM's assignment. Only the GUID of the role counts: its id comes with and without a subscription.

    Names are derived from the scope as it was spelled then: as ARM shows it, or as in `asked`, at or below it.
    """
    scope, principal_id = str(sdk.scope), str(sdk.principal_id)
    role_id = str(sdk.role_definition_id).rsplit("/", 1)[-1].lower()
    spelled = asked[: len(scope)] if asked.lower().startswith(scope.lower()) else scope
    names = {assignment_name(each, principal_id, role_id) for each in (scope, spelled)}
    return Assignment(
        id=str(sdk.id),
        scope=scope,
        role_id=role_id,
        principal_id=principal_id,
        created=sdk.created_on,
        conditional=bool(sdk.condition),
        description=sdk.description,
        derived=str(sdk.name).lower() in names,
    )
