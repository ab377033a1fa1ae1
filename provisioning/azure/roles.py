"""Role assignments, role definitions, and the caller's permissions: Microsoft.Authorization."""

from collections.abc import Iterable, Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignment as SdkAssignment
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from provisioning import shell
from provisioning.azure.transport.errors import code, text, translated
from provisioning.azure.transport.pipeline import items
from provisioning.azure.transport.rest import Rest
from provisioning.errors import ConditionalRoleError, ConflictError, PrincipalMissingError, PrincipalUnsupportedError
from provisioning.models import Assignment, Permissions, Principal, RoleDefinition
from provisioning.planning.access.permissions import permits
from provisioning.resource_ids import assignment_name, below, group_id_of, name_of, same, subscription_id_of


class Roles:
    """Microsoft.Authorization as the signed-in identity. Methods raise the errors of `provisioning.azure.transport.errors`."""

    def __init__(
        self,
        arm: Rest,
        credential: TokenCredential,
        subscription_id: str,
        options: Mapping[str, Any],
        principal_type: str = "",
    ) -> None:
        self._arm = arm
        self._principal_type = principal_type
        self._client = AuthorizationManagementClient(credential, subscription_id, **options)

    def at(self, scope: str) -> tuple[Assignment, ...]:
        """The assignments of all principals at the scope and above it."""
        with translated("Listing role assignments"):
            listed = self._client.role_assignments.list_for_scope(scope, filter="atScope()")
            return tuple(_assignment(each, scope) for each in items(listed))

    def at_and_below(self, scope: str) -> tuple[Assignment, ...]:
        """The assignments of all principals at the scope, above it and below it.

        The filter `atScope()` omits those below (Microsoft, "List Azure role assignments using the REST API").
        """
        with translated("Listing role assignments"):
            listed = self._client.role_assignments.list_for_scope(scope)
            return tuple(_assignment(each, scope) for each in items(listed))

    def of(self, scope: str, principal_id: str) -> tuple[Assignment, ...]:
        """The assignments of one principal and of its groups, at the scope or above it."""
        # It is not documented whether `assignedTo` omits assignments below the scope. Those above it may be at the
        # subscription, a management group, or the root.
        with translated("Listing role assignments"):
            listed = self._client.role_assignments.list_for_scope(scope, filter=f"assignedTo('{principal_id}')")
            return tuple(a for a in map(_assignment, items(listed)) if not below(a.scope, scope))

    def definition(self, scope: str, role_id: str) -> RoleDefinition | None:
        """The role with this GUID; None if this cloud does not have it."""
        with translated(f"Reading role {role_id}"):
            try:
                found = self._client.role_definitions.get(scope, role_id)
            except ResourceNotFoundError:
                return None
        # Exceptions apply to their own permission set only; built-in vault roles have exactly one set.
        data = [p for p in found.permissions or () if p.data_actions]
        control = [p for p in found.permissions or () if p.actions]
        return RoleDefinition(
            role_id,
            found.role_name or role_id,
            tuple(a for p in data for a in p.data_actions or ()),
            tuple(a for p in data for a in p.not_data_actions or ()),
            tuple(a for p in control for a in p.actions or ()),
            tuple(a for p in control for a in p.not_actions or ()),
        )

    def permissions_at(self, scope: str) -> tuple[Permissions, ...]:
        """The caller's control-plane permissions at one scope.

        Conditions and deny assignments are not included, so a permission here is no guarantee.

        This does not use the SDK, which puts an empty segment into the path of a top-level resource.
        """
        path = f"{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
        with translated("Reading your permissions"):
            return tuple(
                Permissions(tuple(p.get("actions") or ()), tuple(p.get("notActions") or ()))
                for p in self._arm.pages(path)
            )

    def lacking(self, needed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the actions, each with its scope, that the caller may do neither in the scope's group nor at the scope."""
        actions = list(needed)
        groups = {group: self.permissions_at(group) for group in {group_id_of(scope) for _, scope in actions}}
        unclear = [(action, scope) for action, scope in actions if not permits(groups[group_id_of(scope)], action)]
        here = {scope: self.permissions_at(scope) for scope in {scope for _, scope in unclear} - groups.keys()}
        return [(action, scope) for action, scope in unclear if not permits(here.get(scope, ()), action)]

    def assign(
        self, scope: str, principal: Principal, role_id: str, description: str, likely: str = "ServicePrincipal"
    ) -> Assignment:
        """Assign the role, or return the same assignment if it exists under another name.

        The principal's type is always sent: Azure then needs no directory lookup, and a condition on the caller's right
        may require it. If it is unknown, `--principal-type` or the likely one is tried first, then the other types.

        An assignment that exists is never written again: that would remove its condition and replace its description.

        Raises:
            PrincipalMissingError: the principal is not in the directory, or not there yet.
            ConditionalRoleError: the assignment exists with a condition.
            ConflictError: another assignment has the derived name.
        """
        name = assignment_name(scope, principal.object_id, role_id)
        if found := self._find(scope, name):
            if found.role_id != role_id or not same(found.principal_id, principal.object_id):
                raise _name_taken(name, "it is for another role or principal.")
            return _unconditional(principal, found)
        known = principal.kind or self._principal_type or likely
        for kind in dict.fromkeys((known, "ServicePrincipal", "User", "Group")):
            assigned = self._assign_as(kind, scope, principal, role_id, description)
            if assigned:
                return assigned
        raise ConflictError(
            f"Azure accepts no type for {principal.label} ({principal.object_id}).",
            hint="Check the object id, and pass its type with --principal-type.",
        )

    def _assign_as(
        self, kind: str, scope: str, principal: Principal, role_id: str, description: str
    ) -> Assignment | None:
        """Assign the role to a principal of this type; None if it is of another type."""
        parameters = RoleAssignmentCreateParameters(
            role_definition_id=f"{subscription_id_of(scope)}/providers/Microsoft.Authorization/roleDefinitions/{role_id}",
            principal_id=principal.object_id,
            principal_type=kind,
            description=description,
        )
        name = assignment_name(scope, principal.object_id, role_id)
        with translated(f"Assigning a role to {principal.label}"):
            try:
                return _assignment(self._client.role_assignments.create(scope, name, parameters))
            except HttpResponseError as error:
                if code(error) == "RoleAssignmentExists":
                    return self._existing(scope, principal, role_id, error)
                if code(error) == "UnmatchedPrincipalType":
                    return None
                _raise_refusal(principal, scope, name, error)
                raise

    def get(self, assignment: Assignment) -> Assignment | None:
        """The assignment as it is now; None if it is gone."""
        return self._find(assignment.scope, name_of(assignment.id))

    def _find(self, scope: str, name: str) -> Assignment | None:
        with translated(f"Reading role assignment {name}"):
            try:
                return _assignment(self._client.role_assignments.get(scope, name), scope)
            except ResourceNotFoundError:
                return None

    def describe(self, assignment: Assignment, description: str) -> Assignment:
        """Replace the description of an existing assignment. Everything else of it is sent as it is now."""
        name = name_of(assignment.id)
        with translated(f"Changing the description of role assignment {name}"):
            now = self._client.role_assignments.get(assignment.scope, name)
            parameters = RoleAssignmentCreateParameters(
                role_definition_id=str(now.role_definition_id),
                principal_id=str(now.principal_id),
                principal_type=now.principal_type,
                description=description,
                condition=now.condition,
                condition_version=now.condition_version,
                delegated_managed_identity_resource_id=now.delegated_managed_identity_resource_id,
            )
            return _assignment(
                self._client.role_assignments.create(assignment.scope, name, parameters), assignment.scope
            )

    def remove(self, assignment: Assignment) -> None:
        """Remove the assignment. A missing assignment is not an error."""
        name = name_of(assignment.id)
        with translated(f"Removing role assignment {name}"):
            self._client.role_assignments.delete(assignment.scope, name)

    def _existing(self, scope: str, principal: Principal, role_id: str, error: HttpResponseError) -> Assignment:
        """Return the same assignment, which exists under another name. The error message does not always contain its id."""
        listed = self._client.role_assignments.list_for_scope(scope, filter=f"principalId eq '{principal.object_id}'")
        for found in map(_assignment, items(listed)):
            if found.role_id == role_id and same(found.scope, scope):
                return _unconditional(principal, found)
        raise error


def _unconditional(principal: Principal, found: Assignment) -> Assignment:
    if found.conditional:
        raise ConditionalRoleError(
            f"{principal.label} already has the role, with a condition that may narrow it.",
            hint=f"{shell.review_condition(found.scope)} Setup does not remove a condition: remove it or the assignment "
            "yourself, and run the same command again.",
        )
    return found


def _name_taken(name: str, why: str) -> ConflictError:
    query = f"[?name=='{name}']"
    return ConflictError(
        f"Another role assignment has the name {name}: {why}",
        hint=f"Review it ({shell.command('az', 'role', 'assignment', 'list', '--all', '--query', query)}), remove it if nobody "
        "needs it, and run the same command again.",
    )


def _raise_refusal(principal: Principal, scope: str, name: str, error: HttpResponseError) -> None:
    if code(error) == "PrincipalNotFound":
        raise PrincipalMissingError(
            f"{principal.label} ({principal.object_id}) is not in the directory.",
            hint=f"If it was deleted, {_without(scope, principal)}. If it is new, run the same command again in a few minutes.",
        ) from error
    if code(error) == "PrincipalTypeNotSupported":
        raise PrincipalUnsupportedError(
            f"A role cannot be assigned to {principal.label} ({principal.object_id}): {text(error)} An access policy for it "
            "would have no effect; use the id of the service principal (enterprise application).",
            hint=f"To continue, {_without(scope, principal)}.",
        ) from error
    if code(error) == "RoleAssignmentUpdateNotPermitted":
        raise _name_taken(name, text(error)) from error


def _without(scope: str, principal: Principal) -> str:
    """Say how to go on without the principal."""
    vault = name_of(scope.partition("/secrets/")[0])
    if "/vaults/" not in scope:
        return "omit it"
    command = shell.command("az", "keyvault", "delete-policy", "-n", vault, "--object-id", principal.object_id)
    return f"remove its access policy ({command}), or accept that it has no access (--accept-loss)"


def _assignment(sdk: SdkAssignment, requested: str = "") -> Assignment:
    """Convert ARM's assignment. The role's id comes with and without a subscription, so only its GUID is kept.

    A derived name depends on the letter case of the scope, either as ARM shows it or as in `requested`.
    """
    scope, principal_id = str(sdk.scope), str(sdk.principal_id)
    role_id = str(sdk.role_definition_id).rsplit("/", 1)[-1].lower()
    spelled = requested[: len(scope)] if requested.lower().startswith(scope.lower()) else scope
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
