"""Azure's ids, of which letter case does not count: "resourcegroups" and "resourceGroups" are the same. Pure."""


def same(one: str, other: str) -> bool:
    """Whether both name the same thing."""
    return one.lower() == other.lower()


def within(scope: str, parent: str) -> bool:
    """Whether `scope` is `parent` or below it."""
    return same(scope.rstrip("/"), parent.rstrip("/")) or below(scope, parent)


def below(scope: str, parent: str) -> bool:
    """Whether `scope` is below `parent`, and not `parent` itself."""
    return scope.lower().rstrip("/").startswith(parent.lower().rstrip("/") + "/")
