"""Azure resource ids, which are compared without regard to letter case, and names derived from them. Pure."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceId:
    """The parts of the id of a resource in a resource group."""

    subscription: str
    resource_group: str
    name: str


def parse(text: str, resource_type: str) -> ResourceId | None:
    """The parts of an id of this type, such as Microsoft.KeyVault/vaults; None if the text is a plain name.

    Raises:
        ValueError: the text is an id of another type, or not a complete id.
    """
    if "/" not in text:
        return None
    parts = text.strip().rstrip("/").split("/")
    shape = [part.lower() for part in (parts[1:2] + parts[3:4] + parts[5:8])] if len(parts) == 9 else []
    if shape != ["subscriptions", "resourcegroups", "providers", *resource_type.lower().split("/")] or not all(
        parts[1:]
    ):
        raise ValueError(f"{text!r} is not the id of a resource of type {resource_type}")
    return ResourceId(parts[2], parts[4], parts[8])


def group_id_of(scope: str) -> str:
    """The id of the resource group that a scope is in, or the scope itself if it is one."""
    return scope.partition("/providers/")[0]


def subscription_id_of(scope: str) -> str:
    """The id of the subscription that a scope is in, or the scope itself if it is one."""
    return "/".join(scope.split("/")[:3])


def same(one: str, other: str) -> bool:
    """Whether both are the same id."""
    return one.lower() == other.lower()


def within(scope: str, parent: str) -> bool:
    """Whether `scope` is `parent` or below it."""
    return same(scope.rstrip("/"), parent.rstrip("/")) or below(scope, parent)


def below(scope: str, parent: str) -> bool:
    """Whether `scope` is below `parent`, and not `parent` itself."""
    return scope.lower().rstrip("/").startswith(parent.lower().rstrip("/") + "/")


def name_of(resource_id: str) -> str:
    """The last part of an id: the name of the resource."""
    return resource_id.rstrip("/").rsplit("/", 1)[-1]


def resource_group_of(resource_id: str) -> str:
    """The name of the resource group in an id.

    Raises:
        ValueError: the id is not that of a resource in a resource group.
    """
    parts = resource_id.split("/")
    if len(parts) < 5 or parts[3].lower() != "resourcegroups":
        raise ValueError(f"{resource_id!r} names no resource group")
    return parts[4]


_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


def assignment_name(scope: str, principal_id: str, role_id: str) -> str:
    """The name of a role assignment, derived as by ARM's `guid(scope, principalId, roleId)`.

    A template gets the same name if it passes the resource's id as Azure shows it (`vault.id`), the principal's object
    id and the role's bare GUID, both in lower case: `guid()` is case-sensitive.
    """
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join((scope, principal_id.lower(), role_id))))
