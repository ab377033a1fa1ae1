"""Azure Policy: which assignments reach a resource, and what they refuse or change.

Rules: Microsoft, "Azure Policy definition structure policy rule"; the built-in definitions: Azure/azure-policy.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

Resource = Mapping[str, Any]
Rule = Callable[[Resource, Mapping[str, Any]], bool]
Reaches = Callable[[str, str], bool]
"""Whether a scope is another one or below it."""

VAULT = "Microsoft.KeyVault/vaults"
SECRET = "Microsoft.KeyVault.Data/vaults/secrets"  # noqa: S105 - a resource type
_DAY = 86_400
_UNDELETABLE = "listOfResourceTypesDisallowedForDeletion"


@dataclass(frozen=True)
class Definition:
    """A policy definition. `changes` are the fields that a policy with the effect modify sets."""

    name: str  # a GUID where it is built in
    title: str
    type: str
    matches: Rule
    changes: tuple[tuple[str, Any], ...] = ()
    built_in: bool = False


@dataclass(frozen=True)
class PolicyAssignment:
    """A policy, assigned at a scope; `initiative` is the set of definitions that it is assigned with, if it is."""

    name: str
    scope: str
    definition: Definition
    effect: Literal["deny", "modify", "denyAction", "audit"]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    initiative: str = ""
    excluded: tuple[str, ...] = ()
    enforced: bool = True

    @property
    def id(self) -> str:
        """The ARM id."""
        return f"{self.scope}/providers/Microsoft.Authorization/policyAssignments/{self.name}"

    @property
    def definition_id(self) -> str:
        """The ARM id of the definition: built-in ones belong to no scope."""
        scope = "" if self.definition.built_in else self.scope
        return f"{scope}/providers/Microsoft.Authorization/policyDefinitions/{self.definition.name}"

    @property
    def initiative_id(self) -> str:
        """The ARM id of the set of definitions."""
        return f"{self.scope}/providers/Microsoft.Authorization/policySetDefinitions/{self.initiative}"

    def applies(self, resource: Resource, scope: str, reaches: Reaches) -> bool:
        """Whether the resource is in scope, and is what the rule looks for."""
        reached = (
            self.enforced and reaches(scope, self.scope) and not any(reaches(scope, each) for each in self.excluded)
        )
        same_type = self.definition.type.lower() in ("", str(resource["type"]).lower())
        return reached and same_type and self.definition.matches(resource, self.parameters)


def denials(
    policies: Iterable[PolicyAssignment], resource: Resource, scope: str, reaches: Reaches
) -> list[PolicyAssignment]:
    """The assignments that refuse the resource as it would be."""
    return [p for p in policies if p.effect == "deny" and p.applies(resource, scope, reaches)]


def changes(
    policies: Iterable[PolicyAssignment], resource: Resource, scope: str, reaches: Reaches
) -> Iterator[tuple[PolicyAssignment, str, Any]]:
    """The fields that policies with the effect modify set, each with its assignment."""
    for each in policies:
        if each.effect == "modify" and each.applies(resource, scope, reaches):
            yield from ((each, name, value) for name, value in each.definition.changes)


def merged(resource: Resource, body: Resource) -> dict[str, Any]:
    """The resource as a request with this body leaves it: objects are merged, tags are replaced."""
    result = dict(deepcopy(resource))
    for key, value in body.items():
        known = result.get(key)
        together = isinstance(value, Mapping) and isinstance(known, Mapping) and key != "tags"
        if value is not None:
            result[key] = merged(known, value) if together else deepcopy(value)  # type: ignore[arg-type] # both are mappings
    return result


def put(body: dict[str, Any], name: str, value: Any, resource: Resource) -> None:
    """Set a field in the body of a request. A tag keeps the other tags of the resource, which a body replaces."""
    *parents, last = _path(name, str(resource["type"]))
    if parents == ["tags"]:
        body["tags"] = {**(resource.get("tags") or {}), last: value}
        return
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


# --- rules -----------------------------------------------------------------------------------------------------------


def rule(condition: Mapping[str, Any] | None) -> Rule:
    """A rule in the language of policy definitions: allOf, anyOf, not, and comparisons of a field."""
    if condition is None:
        return lambda resource, parameters: True
    _check(condition)
    return lambda resource, parameters: _holds(condition, resource)


def _check(condition: Mapping[str, Any]) -> None:
    known = {"allOf", "anyOf", "not", "field", *_OPERATORS}
    if unknown := set(condition) - known:
        raise ValueError(f"a condition of a policy has no {', '.join(sorted(unknown))}")
    for each in [*condition.get("allOf", ()), *condition.get("anyOf", ()), *filter(None, [condition.get("not")])]:
        _check(each)


def _holds(condition: Mapping[str, Any], resource: Resource) -> bool:
    if "allOf" in condition:
        return all(_holds(each, resource) for each in condition["allOf"])
    if "anyOf" in condition:
        return any(_holds(each, resource) for each in condition["anyOf"])
    if "not" in condition:
        return not _holds(condition["not"], resource)
    value = _field(resource, condition["field"])
    return all(_OPERATORS[name](value, wanted) for name, wanted in condition.items() if name != "field")


def _same(value: Any, wanted: Any) -> bool:
    return str(value).lower() == str(wanted).lower()


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": _same,
    "notEquals": lambda value, wanted: not _same(value, wanted),
    "in": lambda value, wanted: any(_same(value, each) for each in wanted),
    "notIn": lambda value, wanted: not any(_same(value, each) for each in wanted),
    "exists": lambda value, wanted: (value is not None) == _same(wanted, "true"),
    "contains": lambda value, wanted: str(wanted).lower() in str(value).lower(),
}


def _field(resource: Resource, name: str) -> Any:
    found: Any = resource
    for part in _path(name, str(resource["type"])):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _path(name: str, kind: str) -> Sequence[str]:
    """Return the path of a field: `tags.x`, `tags['x']`, a top-level property, or an alias, which is below `properties`."""
    if tag := re.fullmatch(r"tags(?:\.|\[')(.+?)(?:'\])?", name):
        return ["tags", tag[1]]
    alias = name.lower().startswith(kind.lower() + "/")
    return ["properties", *name[len(kind) + 1 :].split(".")] if alias else name.split(".")


def _keeps_access_policies(resource: Resource, parameters: Mapping[str, Any]) -> bool:
    del parameters
    properties = resource.get("properties") or {}
    return properties.get("createMode") != "recover" and properties.get("enableRbacAuthorization") is not True


def _outlives(resource: Resource, parameters: Mapping[str, Any]) -> bool:
    limit = resource["created"] + parameters["maximumValidityInDays"] * _DAY
    return resource["expires"] is None or resource["expires"] > limit


_DEFINITIONS = (
    (
        "12d4fa5e-1f9f-4c21-97a9-b99b3c6611b5",
        "Azure Key Vault should use RBAC permission model",
        VAULT,
        _keeps_access_policies,
    ),
    (
        "342e8053-e12e-4c44-be01-c3c2f318400f",
        "Secrets should have the specified maximum validity period",
        SECRET,
        _outlives,
    ),
    (
        "98728c90-32c7-4049-8429-847dc0f4fe37",
        "Key Vault secrets should have an expiration date",
        SECRET,
        lambda resource, parameters: resource["expires"] is None,
    ),
    (
        "75262d3e-ba4a-4f43-85f8-9f72c090e5e3",
        "Secrets should have content type set",
        SECRET,
        lambda resource, parameters: resource["contentType"] is None,
    ),
    (
        "78460a36-508a-49a4-b2b2-2f5ec564f4bb",
        "Do not allow deletion of resource types",
        "",
        lambda resource, parameters: resource["type"].lower() in [each.lower() for each in parameters[_UNDELETABLE]],
    ),
)
BUILT_IN = {title: Definition(name, title, kind, matches, built_in=True) for name, title, kind, matches in _DEFINITIONS}
"""The built-in definitions that this project meets, by title."""
