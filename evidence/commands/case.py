"""A command, the world it starts in, and how its end state is told."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.world import World

GOOD_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
"""A key of sync-bot, who may write to acme in the scenario `contoso`."""

PIPELINE = "pipeline"
"""The managed identity that most commands run as: it gets tokens in a moment, where a person's `az` has to be started for
each."""

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_YEAR = 366 * 86400.0


@dataclass(frozen=True)
class Case:
    """One row of a matrix. `argv` and `before` are what follows `python -m`; `before` runs first, undisturbed.

    `principal` is who runs it. `end` tells everything that must not depend on what happened on the way, as JSON-ready data.
    """

    command: str
    kind: str
    argv: tuple[str, ...]
    world: Mapping[str, Any]
    end: Callable[[World], Any]
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, ...], ...] = ()
    principal: str = PIPELINE

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.command}, {self.kind}"


def relative(value: Any, start: float) -> Any:
    """The value with every time of the virtual clock as the distance from `start` (epoch seconds): two worlds start at two
    moments, and what is told of them is compared.
    """
    if isinstance(value, Mapping):
        return {key: relative(each, start) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [relative(each, start) for each in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value - start) < _YEAR:
        return f"start {value - start:+.3f} s"
    if isinstance(value, str):
        return _ISO.sub(lambda found: f"start {datetime.fromisoformat(found[0]).timestamp() - start:+.3f} s", value)
    return value


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Where two values of JSON differ, one line each."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        keys = dict.fromkeys([*expected, *found])
        missing = object()
        return [
            line
            for key in keys
            for line in _differ(
                expected.get(key, missing), found.get(key, missing), missing, f"{where}.{key}".lstrip(".")
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for at, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in differences(one, other, f"{where}[{at}]")
        ]
    return [] if expected == found else [f"{where}: {_short(found)} instead of {_short(expected)}"]


def _differ(expected: Any, found: Any, missing: object, where: str) -> list[str]:
    if found is missing:
        return [f"{where}: missing, was {_short(expected)}"]
    if expected is missing:
        return [f"{where}: {_short(found)}, was not there"]
    return differences(expected, found, where)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
