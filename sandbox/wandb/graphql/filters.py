"""Filters in MongoDB's style, and orders, as `Api().runs` and the artifact listings send them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sandbox.wandb.rules import invalid, parsed_object

T = TypeVar("T")
Lookup = Callable[[T, str], Any]
MISSING = object()


def matching(items: Sequence[T], filters: str | None, lookup: Lookup[T]) -> list[T]:
    """Keep the items that pass a filter; `lookup(item, key)` returns a value or MISSING and refuses unknown keys."""
    condition = _prepared(parsed_object(filters or "{}", "filters"))
    return [item for item in items if _passes(item, condition, lookup)]


def ordered(items: Sequence[T], order: str | None, default: str, lookup: Lookup[T]) -> list[T]:
    """Sort by keys as in "-created_at"; items without the key come last."""
    out = list(items)
    for part in reversed((order or default).split(",")):
        key = part.strip().lstrip("+-")
        known = [item for item in out if lookup(item, key) not in (MISSING, None)]
        unknown = [item for item in out if lookup(item, key) in (MISSING, None)]
        known.sort(key=lambda item: _sortable(lookup(item, key)), reverse=part.strip().startswith("-"))
        out = known + unknown
    return out


def _sortable(value: Any) -> tuple[bool, Any]:
    """Sort numbers before strings, so that a mixed column sorts."""
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))


class _Members(list[Any]):
    """The operand of `$in` with a fast lookup: there may be a thousand values, for ten thousand runs."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__(values)
        self._plain = frozenset(value for value in values if not isinstance(value, list | dict))

    def have(self, value: Any) -> bool:
        """Whether the value equals a member."""
        if isinstance(value, list | dict):
            return any(_equal(value, each) for each in self)
        return (None if value is MISSING else value) in self._plain


def _prepared(condition: Any) -> Any:
    """Wrap every operand of `$in` and `$nin` in _Members."""
    if isinstance(condition, list):
        return [_prepared(each) for each in condition]
    if not isinstance(condition, Mapping):
        return condition
    return {
        key: _Members(each) if key in ("$in", "$nin") and isinstance(each, list) else _prepared(each)
        for key, each in condition.items()
    }


def _passes(item: T, condition: Mapping[str, Any], lookup: Lookup[T]) -> bool:
    return all(_clause(item, key, expected, lookup) for key, expected in condition.items())


def _clause(item: T, key: str, expected: Any, lookup: Lookup[T]) -> bool:
    match key:
        case "$and":
            return all(_passes(item, each, lookup) for each in expected)
        case "$or":
            return any(_passes(item, each, lookup) for each in expected)
        case "$nor":
            return not any(_passes(item, each, lookup) for each in expected)
        case "$not":
            return not _passes(item, expected, lookup)
    if key.startswith("$"):
        raise invalid(f"unknown filter operator {key!r}")
    value = lookup(item, key)
    if isinstance(expected, Mapping) and any(name.startswith("$") for name in expected):
        return all(_compare(value, operator, operand) for operator, operand in expected.items())
    return _equal(value, expected)


def _equal(value: Any, expected: Any) -> bool:
    """Compare as MongoDB does: a list equals each of its members, and a missing value equals null."""
    if isinstance(value, list) and not isinstance(expected, list):
        return expected in value
    return bool((None if value is MISSING else value) == expected)


def _regex(value: Any, pattern: str) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(each, str) and re.search(pattern, each) is not None for each in values)


def _order(value: Any, operand: Any, accept: Callable[[Any, Any], bool]) -> bool:
    """Compare numbers with numbers and strings with strings; nothing else passes."""
    numbers = isinstance(value, int | float) and isinstance(operand, int | float)
    texts = isinstance(value, str) and isinstance(operand, str)
    return (numbers or texts) and accept(value, operand)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, operand: not _equal(value, operand),
    "$in": lambda value, operand: operand.have(value),
    "$nin": lambda value, operand: not operand.have(value),
    "$gt": lambda value, operand: _order(value, operand, lambda a, b: a > b),
    "$gte": lambda value, operand: _order(value, operand, lambda a, b: a >= b),
    "$lt": lambda value, operand: _order(value, operand, lambda a, b: a < b),
    "$lte": lambda value, operand: _order(value, operand, lambda a, b: a <= b),
    "$exists": lambda value, operand: (value is not MISSING) == operand,
    "$regex": _regex,
    "$contains": lambda value, operand: isinstance(value, str) and operand in value,
}


def _compare(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$not":
        return not all(_compare(value, name, each) for name, each in operand.items())
    if operator not in OPERATORS:
        raise invalid(f"unknown filter operator {operator!r}")
    return OPERATORS[operator](value, operand)


def inside(tree: Mapping[str, Any], path: str) -> Any:
    """Find a value in nested objects by its dotted path; a key with dots takes precedence over the path."""
    if path in tree:
        return tree[path]
    head, dot, rest = path.partition(".")
    below = tree.get(head)
    return inside(below, rest) if dot and isinstance(below, Mapping) else MISSING


def as_json(value: Any) -> str:
    """Write a JSONString."""
    return json.dumps(value, separators=(",", ":"))
