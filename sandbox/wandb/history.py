"""The values that W&B computes from a run's history: last step, keys, samples and ranges."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def last_step(rows: Sequence[Row]) -> int:
    """The highest `_step`, -1 when nothing was logged."""
    return max((int(row["_step"]) for row in rows if "_step" in row), default=-1)


def history_keys(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The metrics with the types of their values; None before the first row."""
    if not rows:
        return None
    keys: dict[str, dict[str, Any]] = {}
    for row in rows:
        for name, value in row.items():
            known = keys.setdefault(name, {"typeCounts": [], "monotonic": False, "previousValue": 0})
            kind = _kind(value)
            counted = next((each for each in known["typeCounts"] if each["type"] == kind), None)
            if counted is None:
                known["typeCounts"].append({"type": kind, "count": 1})
            else:
                counted["count"] += 1
            known["previousValue"] = value
    return {"sets": [], "keys": keys, "lastStep": last_step(rows)}


def _kind(value: Any) -> str:
    match value:
        case bool() | None:
            return "unknown"
        case int() | float() | "NaN" | "Infinity" | "-Infinity":  # wandb-core writes these as strings
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return str(value.get("_type", "map"))


def sampled(lines: Sequence[str], samples: int | None) -> list[str]:
    """Pick at most `samples` lines, evenly spread, with the first and the last. How W&B picks is UNVERIFIED."""
    if samples is None or len(lines) <= samples:
        return list(lines)
    if samples < 2:
        return list(lines[:samples])
    last = len(lines) - 1
    return [lines[last * position // (samples - 1)] for position in range(samples)]


def between(lines: Sequence[str], min_step: int | None, max_step: int | None) -> list[str]:
    """The lines with min_step <= _step < max_step."""
    low = -1 if min_step is None else min_step
    high = float("inf") if max_step is None else max_step
    return [line for line in lines if low <= json.loads(line).get("_step", 0) < high]


def picked(rows: Sequence[Row], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Rows that have all of the keys, reduced to them; whole rows when no key is named."""
    if not keys:
        return [dict(row) for row in rows]
    return [{key: row[key] for key in keys} for row in rows if all(key in row for key in keys)]
