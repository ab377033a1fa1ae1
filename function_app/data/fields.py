"""Read fields of objects from outside, whose values may have any type. Pure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")

_LATEST = 253_402_300_799
"""The last second of the year 9999; later values are not dates."""

_EXACT = 2**53
"""Larger numbers are not exact in JSON, and from 2^63 on W&B refuses them."""

_LONGEST = 20_000
"""The maximum length of a text. An error message has hundreds of characters, a grader's source some thousands."""

_DEEPEST = 8
_WIDEST = 500
"""The maximum levels and entries of a nested value. A grader of graders has four levels."""

MOST_VALUES = 200_000
"""JSON values of one line. Millions of empty objects take far more memory when parsed than the line has bytes."""

_QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string. Its closing quote is optional: otherwise each quote in an unterminated string would be tried up to the end
of the text.
"""

_DIGITS = re.compile(r"-?\d{1,15}", re.ASCII)


class Fields:
    """An object's fields, each read with its expected type. Absent, null, "", [] and {} all count as absent.

    Attributes:
        malformed: the names of fields that had another type.
    """

    def __init__(self, source: object, prefix: str = "", malformed: list[str] | None = None) -> None:
        self._prefix = prefix
        self.malformed: list[str] = [] if malformed is None else malformed
        self._source: Mapping[str, Any] = source if isinstance(source, Mapping) else {}
        if source is not None and not isinstance(source, Mapping):
            self.malformed.append(prefix.rstrip(".") or "the whole")

    def read(self, name: str, convert: Callable[[Any], _T | None]) -> _T | None:
        """Return a field's value converted by `convert`; None if it is absent or `convert` returns None."""
        value = self._source.get(name)
        if value is None or value in ("", [], {}):
            return None
        converted = convert(value)
        if converted is None:
            self.malformed.append(f"{self._prefix}{name}")
        return converted

    def fields(self, name: str) -> "Fields":
        """Return a field's value, which is an object, as fields."""
        value = self._source.get(name)
        return Fields(None if value in ("", [], {}) else value, f"{self._prefix}{name}.", self.malformed)

    def __bool__(self) -> bool:
        """Return whether there is any field."""
        return bool(self._source)

    def others(self, known: frozenset[str]) -> dict[str, Any]:
        """Return the fields that are not in `known`."""
        rest = {str(name): value for name, value in self._source.items() if name not in known and value is not None}
        return {name: kept for name, value in rest.items() if (kept := bounded(value)) is not None}


def text(value: Any) -> str | None:
    """Return a string of normal length."""
    return value if isinstance(value, str) and len(value) <= _LONGEST else None


def moment(value: Any) -> int | None:
    """Return seconds since the epoch."""
    return int(value) if number(value) is not None and 0 <= value <= _LATEST else None


def number(value: Any) -> float | None:
    """Return a finite number that JSON represents exactly."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_EXACT < value < _EXACT:
        return None
    return value


def whole(value: Any) -> int | None:
    """Return a whole number."""
    return int(value) if number(value) is not None and int(value) == value else None


def whole_or_text(value: Any) -> int | None:
    """Return a whole number that may be written as text."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else whole(value)


def texts(value: Any) -> tuple[str, ...] | None:
    """Return the texts of a list; None if it has none."""
    return tuple(each for each in value if text(each)) or None if isinstance(value, list | tuple) else None


def mapping(value: Any) -> dict[str, Any] | None:
    """Return an object of bounded depth and size."""
    kept = bounded(value) if isinstance(value, Mapping) else None
    return kept if isinstance(kept, dict) else None


def bounded(value: Any, deepest: int = _DEEPEST) -> Any:
    """Return a JSON value; None if it is too deep, too large, or not JSON."""
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) or len(value) <= _LONGEST else None
    if isinstance(value, int | float):
        return number(value)
    if deepest == 0 or not isinstance(value, Mapping | list | tuple) or len(value) > _WIDEST:
        return None
    if isinstance(value, Mapping):
        return {str(name): bounded(each, deepest - 1) for name, each in value.items()}
    return [bounded(each, deepest - 1) for each in value]


def parsed(source: object) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    if not isinstance(source, str | bytes):
        return None
    try:
        return json.loads(source)
    except (ValueError, RecursionError):
        return None


def has_too_many_values(source: bytes) -> bool:
    """Return whether a JSON text has more than `MOST_VALUES` values. It is neither parsed nor copied."""
    count = _commas(source)
    if count > MOST_VALUES:
        count -= sum(_commas(found[0]) for found in _QUOTED.finditer(source))
    return count > MOST_VALUES


def _commas(source: bytes) -> int:
    return source.count(b",") + source.count(b"[") + source.count(b"{")


def at(value: Any, *path: str) -> Any:
    """Return the value at a path in nested objects; None if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def within(value: Any, *path: str) -> dict[str, Any]:
    """Return the object at a path in nested objects; an empty one if there is none."""
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def items(value: Any, *path: str) -> list[Any]:
    """Return the list at a path in nested objects; an empty one if there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def nodes(value: Any, *path: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a GraphQL connection at a path in nested objects."""
    yield from filter(None, (within(edge, "node") for edge in items(value, *path, "edges")))


def object_in(source: object) -> dict[str, Any]:
    """Return the object in a JSON text; an empty one if the text contains something else."""
    value = parsed(source)
    return value if isinstance(value, dict) else {}
