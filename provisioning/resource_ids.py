"""Azure resource ids, which are compared without regard to letter case. Pure."""


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
