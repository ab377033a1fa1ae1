"""Reads what governs resources: locks, deny assignments, ends of role assignments, and Azure Policy. Writes nothing.

No installed SDK has most of these operations, so all are requests of our own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import HttpResponseError

from provisioning.azure.transport.errors import code, translated
from provisioning.azure.transport.rest import Rest
from provisioning.errors import MissingRightsError
from provisioning.planning.access.principals import UNREADABLE_END
from provisioning.planning.governance import EVERYBODY, DenyAssignment, Lock, Rule, SecretPolicy
from provisioning.resource_ids import group_id_of, name_of, same

_AUTHORIZATION = "providers/Microsoft.Authorization"
_INITIATIVES = 20
"""How many policy initiatives are read at most, to look for policies on secrets in them."""
_SECRET_POLICIES = {
    "342e8053-e12e-4c44-be01-c3c2f318400f": Rule.VALIDITY,
    "98728c90-32c7-4049-8429-847dc0f4fe37": Rule.EXPIRY,
}
"""The built-in policies on the lifetime of secrets (Azure/azure-policy, Key Vault, Secrets_*.json)."""
_NO_DELETES = "78460a36-508a-49a4-b2b2-2f5ec564f4bb"
"""The built-in policy "Do not allow deletion of resource types"."""
_FIELDS = ("enableRbacAuthorization", "networkAcls.defaultAction", "publicNetworkAccess", "disableLocalAuth")
"""The properties whose change by a policy matters to others."""


@dataclass(frozen=True)
class Restrictions:
    """The effects of Azure Policy on a resource: the policies that refuse it, and the fields that policies set."""

    refusing: tuple[str, ...] = ()
    sets: tuple[tuple[str, str, str], ...] = ()  # policy, field, value


@dataclass(frozen=True)
class Policies:
    """Assigned policies of the kinds that `restrictions` does not show. `undeletable`: names with resource types, in
    lower case.
    """

    on_secrets: tuple[SecretPolicy, ...] = ()
    undeletable: tuple[tuple[str, frozenset[str]], ...] = ()
    complete: bool = True  # whether every initiative could be read


class GovernanceReads:
    """The reads, as the signed-in identity. Methods raise as `provisioning.azure.transport.errors` translates."""

    def __init__(self, arm: Rest) -> None:
        self._arm = arm

    def locks(self, scope: str) -> tuple[Lock, ...]:
        """The locks at a scope and below it. Whether Azure also lists those above it is not documented."""
        with translated("Listing locks"):
            listed = list(self._arm.pages(f"{scope}/{_AUTHORIZATION}/locks?api-version=2020-05-01"))
        return tuple(
            Lock(
                str(each["name"]), str(each["properties"]["level"]), str(each["id"]).partition(f"/{_AUTHORIZATION}/")[0]
            )
            for each in listed
        )

    def denials(self, scope: str) -> tuple[DenyAssignment, ...]:
        """The deny assignments at a scope and above it."""
        path = f"{scope}/{_AUTHORIZATION}/denyAssignments?api-version=2022-04-01&$filter=atScope()"
        with translated("Listing deny assignments"):
            return tuple(_denial(each["properties"]) for each in self._arm.pages(path))

    def ends(self, scope: str) -> Mapping[str, datetime]:
        """When role assignments at a scope and above it end, by their ids in lower case. Permanent ones are left out.

        UNREADABLE_END stands for an end in an unknown form. Empty in a tenant without Privileged Identity Management,
        where no role ends.
        """
        path = f"{scope}/{_AUTHORIZATION}/roleAssignmentScheduleInstances?api-version=2020-10-01&$filter=atScope()"
        with translated("Reading when roles end"):
            try:
                listed = list(self._arm.pages(path))
            except HttpResponseError as error:
                if code(error) != "AadPremiumLicenseRequired":
                    raise
                return {}
        shown = [each["properties"] for each in listed if isinstance(each.get("properties"), Mapping)]
        return {
            str(each["originRoleAssignmentId"]).lower(): _end(each["endDateTime"])
            for each in shown
            if each.get("endDateTime") and each.get("originRoleAssignmentId")
        }

    def deployments(self, group_id: str, resource_id: str) -> tuple[str, ...]:
        """The names of the deployments in a resource group whose template has the resource (ARM, Bicep)."""
        path = f"{group_id}/providers/Microsoft.Resources/deployments?api-version=2021-04-01"
        with translated("Listing deployments"):
            return tuple(
                str(each["name"])
                for each in self._arm.pages(path)
                if any(same(str(r.get("id")), resource_id) for r in each["properties"].get("outputResources") or ())
            )

    # --- policies ----------------------------------------------------------------------------------------------------

    def resource(self, resource_id: str, version: str) -> dict[str, Any]:
        """A resource as Azure Resource Manager shows it."""
        with translated(f"Reading {name_of(resource_id)}"):
            found: dict[str, Any] = self._arm.get(f"{resource_id}?api-version={version}")
        return found

    def restrictions(self, resource_id: str, content: Mapping[str, Any], version: str) -> Restrictions:
        """The effects of Azure Policy on a resource with this content, as Azure itself evaluates them."""
        path = f"{group_id_of(resource_id)}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions?api-version=2024-10-01"
        fields = [{"field": f"{content['type']}/{name}"} for name in _FIELDS]
        question = {
            "resourceDetails": {"resourceContent": dict(content), "apiVersion": version},
            "pendingFields": [*fields, {"field": "tags"}],
        }
        with translated("Asking what Azure Policy would refuse"):
            answer = self._arm.post(path, question)
        evaluations = (answer.get("contentEvaluationResult") or {}).get("policyEvaluations") or ()
        refusing = [
            _policy(each.get("policyInfo"))
            for each in evaluations
            if str((each.get("effectDetails") or {}).get("policyEffect", "deny")).lower() == "deny"
        ]
        return Restrictions(tuple(dict.fromkeys(refusing)), tuple(_sets(answer.get("fieldRestrictions") or ())))

    def policies(self, scope: str) -> Policies:
        """The policies on the lifetime of secrets and on deletes, assigned at a scope or above it, also in initiatives."""
        path = f"{scope}/{_AUTHORIZATION}/policyAssignments?api-version=2023-04-01&$filter=atScope()"
        with translated("Listing policies"):
            assigned = [each for each in self._arm.pages(path) if _enforced(each["properties"])]
        found = [(str(each["name"]), _definition(each), _values(each, {})) for each in assigned]
        initiatives = [each for each in assigned if "/policysetdefinitions/" in _definition(each).lower()]
        complete = len(initiatives) <= _INITIATIVES
        for each in initiatives[:_INITIATIVES]:
            try:
                found += self._members(each)
            except MissingRightsError:  # a role below the initiative's scope does not show what is in it
                complete = False
        on_secrets = (_secret_policy(*each) for each in found)
        undeletable = (_undeletable(*each) for each in found)
        return Policies(tuple(filter(None, on_secrets)), tuple(filter(None, undeletable)), complete)

    def _members(self, assignment: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
        """The definitions in an assigned initiative, each with the name of the assignment and its values."""
        name, given = str(assignment["name"]), _values(assignment, {})
        with translated(f"Reading what policy {name} consists of"):
            shown = self._arm.get(f"{_definition(assignment)}?api-version=2023-04-01")["properties"]
        return [
            (name, str(member["policyDefinitionId"]), _values({"properties": member}, given))
            for member in shown["policyDefinitions"]
        ]


def _end(shown: object) -> datetime:
    """Read a time, which is in UTC if it has no zone. A role whose end is not readable is not permanent."""
    try:
        when = datetime.fromisoformat(str(shown).replace("Z", "+00:00"))
    except ValueError:
        return UNREADABLE_END
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _denial(shown: Mapping[str, Any]) -> DenyAssignment:
    sets: Sequence[Mapping[str, Any]] = shown.get("permissions") or ()

    def patterns(name: str) -> tuple[str, ...]:
        return tuple(str(action) for each in sets for action in each.get(name) or ())

    def ids(name: str) -> frozenset[str]:
        return frozenset(str(each["id"]).lower() for each in shown.get(name) or ())

    return DenyAssignment(
        str(shown.get("denyAssignmentName") or ""),
        str(shown.get("scope") or ""),
        patterns("actions"),
        patterns("notActions"),
        patterns("dataActions"),
        patterns("notDataActions"),
        ids("principals") or frozenset({EVERYBODY}),
        ids("excludePrincipals"),
    )


def _policy(reference: Mapping[str, Any] | None) -> str:
    """The name of the assignment: what people see in lists of policies."""
    return name_of(str((reference or {}).get("policyAssignmentId") or "unnamed"))


def _sets(restrictions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for each in restrictions:
        for one in each.get("restrictions") or ():
            if str(one.get("policyEffect", "")).lower() in ("modify", "append"):
                field = name_of(str(each["field"])).removeprefix("properties.")
                yield _policy(one.get("policy")), field, str(one.get("defaultValue", ""))


def _enforced(properties: Mapping[str, Any]) -> bool:
    return str(properties.get("enforcementMode") or "Default").lower() == "default"


def _definition(assignment: Mapping[str, Any]) -> str:
    return str(assignment["properties"].get("policyDefinitionId") or "")


def _values(each: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of parameters; `[parameters('x')]` in a member of an initiative is the initiative's own value."""
    values = {name: shown.get("value") for name, shown in (each["properties"].get("parameters") or {}).items()}
    found = {}
    for name, value in values.items():
        reference = re.fullmatch(r"\[parameters\('(.+)'\)\]", value) if isinstance(value, str) else None
        found[name] = given.get(reference[1]) if reference else value
    return found


def _secret_policy(name: str, definition: str, values: Mapping[str, Any]) -> SecretPolicy | None:
    rule = _SECRET_POLICIES.get(name_of(definition).lower())
    if rule is None or str(values.get("effect") or "Audit").lower() != "deny":
        return None
    days = values.get("maximumValidityInDays")
    return SecretPolicy(name, rule, days if isinstance(days, int) else 0) if rule is Rule.EXPIRY or days else None


def _undeletable(name: str, definition: str, values: Mapping[str, Any]) -> tuple[str, frozenset[str]] | None:
    types = values.get("listOfResourceTypesDisallowedForDeletion")
    if name_of(definition).lower() != _NO_DELETES or not isinstance(types, list):
        return None
    return name, frozenset(str(each).lower() for each in types)
