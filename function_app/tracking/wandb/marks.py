"""The marks that the engine keeps in a run's config between ticks. Pure.

`account`, `supersedes` and `superseded_by` are plain config values, because listings filter by them. All else is one config
key whose value is a JSON string: W&B may merge a nested config or drop an empty object (wandb#11366), but not a string. The
summary is unsuitable: every session of the SDK writes back the summary that it read, which may be outdated.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from function_app.data.fields import Fields, mapping, moment, number, object_in, text, whole
from function_app.models import alerted_condition

KEY = "azure_openai_wandb"
"""The config key of the marks."""

SUPERSEDED_BY = "superseded_by"
"""The config key with the id of the run that replaced this one."""

LEGACY = "sync"
"""The summary key with the state of version 0.1. It is read once and no longer written."""


@dataclass(frozen=True)
class Position:
    """The position of our rows in the run's history. W&B stores a history as lines; a row is identified by its line number.

    Attributes:
        source: where the rows of the last segment come from, "file" or "events".
        first_step: the lowest step of the last segment.
        first_line: the line of its first row.
        start: the first line of the last write.
        end: the line after the last written one; before W&B has answered, the line after the last one that may be written.
        last_step: the step of the row before `end`; -1 if there is none.
    """

    source: str = ""
    first_step: int = 0
    first_line: int = 0
    start: int = 0
    end: int = 0
    last_step: int = -1


@dataclass(frozen=True)
class Marks:
    """The marks of one run. `models.RunState` describes those that the engine reads.

    Attributes:
        best: the best value of each metric and its step, kept because rows from events cannot all be read again.
        tables: the versions of datasets whose tables the run's summary shows, by role.
        others: whether other programs logged rows into the run.
        position: the position of our rows.
        at: the time of writing, in seconds since the epoch by W&B's clock.
        writer: the process that wrote it.
    """

    status: str | None = None
    rule: int | None = None
    source: str | None = None
    results_file: str | None = None
    datasets: bool = False
    alerted: str = ""
    ended: int | None = None
    best: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    others: bool = False
    position: Position = Position()
    at: float = 0.0
    writer: str = ""

    def text(self) -> str:
        """Return the marks as the JSON string for the config, without unset values."""
        kept = {name: value for name, value in asdict(self).items() if value not in (None, False, "", {})}
        return json.dumps(kept, separators=(",", ":"))


def marks_in(config: Mapping[str, Any]) -> Marks | None:
    """Return the marks in a run's config; None if the run has none of ours.

    People may edit anything: an unusable field counts as absent, and an unusable position as unknown.
    """
    entry = config.get(KEY)
    if not isinstance(entry, Mapping):
        return None
    kept = Fields(object_in(entry.get("value")))
    return replace(
        _since_0_1(kept),
        ended=kept.read("ended", moment),
        best=_best(kept.read("best", mapping) or {}),
        tables=_tables(kept.read("tables", mapping) or {}),
        others=kept.read("others", _flag) or False,
        position=_position(kept.read("position", mapping)),
        at=kept.read("at", number) or 0.0,
        writer=kept.read("writer", text) or "",
    )


def _since_0_1(kept: Fields) -> Marks:
    """Return the marks that version 0.1 already wrote under the same names."""
    return Marks(
        status=kept.read("status", text),
        rule=kept.read("rule", whole),
        source=kept.read("source", text),
        results_file=kept.read("results_file", text),
        datasets=kept.read("datasets", _flag) or False,
        alerted=kept.read("alerted", alerted_condition) or "",
    )


def legacy_marks(summary: Mapping[str, Any]) -> Marks | None:
    """Return the marks of version 0.1 from the run's summary; None if there are none. The position of its rows is unknown."""
    kept = Fields(summary.get(LEGACY))
    if not kept:
        return None
    last = kept.read("last_step", whole)
    return replace(
        _since_0_1(kept),
        best=_best(mapping(summary.get("best")) or {}),
        position=replace(UNKNOWN, last_step=-1 if last is None else last),
    )


UNKNOWN = Position(start=-1, end=-1)
"""The position of rows from version 0.1, or of rows whose marks people have edited."""


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _tables(kept: Mapping[str, Any]) -> dict[str, str]:
    return {role: each for role, each in kept.items() if role in ("training", "validation") and isinstance(each, str)}


def _best(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that have a number and a step."""
    return {
        name: {"value": each["value"], "step": each["step"]}
        for name, each in kept.items()
        if isinstance(each, Mapping) and number(each.get("value")) is not None and whole(each.get("step")) is not None
    }


def _position(kept: Mapping[str, Any] | None) -> Position:
    """Return a position; `UNKNOWN` if this module cannot have written it."""
    source = Fields(kept).read("source", text) or ""
    numbers = {each.name: whole((kept or {}).get(each.name)) for each in fields(Position) if each.name != "source"}
    if any(value is None for value in numbers.values()):
        return UNKNOWN
    position = Position(source=source, **{name: value or 0 for name, value in numbers.items()})
    in_order = 0 <= position.first_line <= position.end and 0 <= position.start <= position.end
    return position if in_order and position.last_step >= -1 else UNKNOWN
