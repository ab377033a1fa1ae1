"""A command, the world it starts in, and the comparison of the states that two runs leave."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

from sandbox.world import World

GOOD_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
"""A key of sync-bot, who may write to acme in the scenario `contoso`."""

PIPELINE = "pipeline"
"""The managed identity that most commands run as. It gets tokens at once; for a person, an `az` process starts each time."""

LIBRARY = Path(sys.prefix) / "functions-worker"
"""Microsoft's worker library, where `make test` has installed it."""

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_YEAR = 366 * 86400.0
_ABSENT = object()


@dataclass(frozen=True)
class Case:
    """A command in one starting state.

    Attributes:
        command: its name, for `--command`.
        kind: the starting state, for `--kind`.
        argv: the arguments after `python -m`.
        world: the scenario.
        end: describes the final state as JSON-ready data, without anything that depends on timing.
        env: environment variables besides the sandbox's.
        before: commands that run first, undisturbed.
        principal: who runs the command.
        files: the contents of the working directory, by name.
        ends_well: whether the exit status of an undisturbed run must be 0.
        pause: seconds of virtual time before the command runs again.
        longest: seconds after which the canary kills the command when it is disturbed.
        stop: the signal that ends the command. After any but SIGKILL, its descendants are killed once it has ended.
    """

    command: str
    kind: str
    argv: tuple[str, ...]
    world: Mapping[str, Any]
    end: Callable[[World], Any] = lambda world: None
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, ...], ...] = ()
    principal: str = PIPELINE
    files: Mapping[str, str] = field(default_factory=dict)
    ends_well: bool = True
    pause: float = 0.0
    longest: float = 60.0
    stop: Signals = SIGKILL

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables besides the sandbox's. Commands use a managed identity only if a variable says so."""
        chosen = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"} if self.principal == PIPELINE else {}
        return {**chosen, **self.env}

    @property
    def name(self) -> str:
        """The name for people."""
        return f"{self.command}, {self.kind}"


def relative(value: Any, start: float) -> Any:
    """Replace every time of the virtual clock by its distance from `start` (epoch seconds).

    Worlds start at different times; this makes their states comparable.
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


def differences(expected: Any, found: Any) -> list[str]:
    """Return one line for each place where two JSON values differ."""
    one, other = dict(_leaves(expected)), dict(_leaves(found))
    return [
        f"{'.'.join(map(str, where))}: {_short(other.get(where, _ABSENT))} instead of {_short(one.get(where, _ABSENT))}"
        for where in dict.fromkeys([*one, *other])
        if one.get(where, _ABSENT) != other.get(where, _ABSENT)
    ]


def _leaves(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, (Mapping, list)) and value:
        for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(each, (*where, key))
    else:
        yield where, value


def _short(value: Any) -> str:
    text = "nothing" if value is _ABSENT else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
