"""Names and values of metrics, as results files, events and checkpoints have them. Pure.

A figure has the same name from every source: its name in the results file. Events nest what concerns graders
(`scores.graders[0].train_reward_mean`), results files write a path (`scores/graders/python/exact/train_reward_mean`).
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from function_app.data.credentials import without_credentials_in_text
from function_app.text import one_line

STEP = "step"
TIMESTAMP = "timestamp"
PROGRESS = "total_steps"
"""A field of events: the number of steps that the job will have. It shows progress and is not a metric."""

GRADERS = "graders"
RESERVED = frozenset(
    {"status", "fine_tuned_model", "trained_tokens", "error", "error_code", "best", "sync"}
    | {"queue_s", "duration_s", "estimated_finish", "billed_tokens", "billed_hours", "grader_tokens"}
    | {"cost", "estimated_cost", "best_model", "best_step", "best_metric", "best_value", "better_step", "overfitting"}
    | {"train_data", "valid_data"}
)
"""Our own names in a run's summary. A column with such a name is logged with the prefix `metric_`."""

_NO_METRICS = frozenset({PROGRESS, TIMESTAMP})
_LONGEST_NAME = 300
_LONGEST_GRADER = 100
_REPEATED = frozenset({"errors", "timing"})
"""The groups whose name the results file writes a second time, after the grader (recorded: v5_py90_training_metrics.csv)."""

_VALIDATION = re.compile(r"^(full_)?validation_")
_USAGES = re.compile(r"^usages/")  # the name in checkpoints; `usage/` in results files (recorded)
_EVALUATION = re.compile(r"(?:full_)?valid_")
_NEVER_NEGATIVE = re.compile(
    r"^timing/|loss(?!_sum)|accuracy|perplexity|tokens|error|latency|duration|tool_calls|unresponsive|_count$"
)
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})*,\d{3}(?:,\d{3}|\.\d+)", re.ASCII)
"""A number with separators of thousands. "1,234" alone may also be a decimal number, so it is not read as one."""
_GROUPED_STEP = re.compile(r"\d{1,3}(?:,\d{3})+", re.ASCII)
_EARLIEST, _LATEST = 1_400_000_000.0, 4_102_444_800.0  # 2014 and 2100: no job has a time outside these years


def values_of(cells: Iterable[tuple[str, object]]) -> dict[str, float]:
    """Return the metrics among named cells: those with a finite number, by their one name.

    Blank, NaN and infinite cells mean no value. So does -1 (azureml's own reader of results files drops it) where a value
    cannot be negative: in losses, accuracies, errors, times and counts. A reward can be -1, unless its evaluation was not
    made at this step: then those figures of the evaluation that cannot be negative are also -1. Other negative numbers are
    values: `train_mean_reward` counts a sample without a grade as -1 (recorded), and sums of policy losses have any sign.
    """
    values: dict[str, float] = {}
    not_made: set[str] = set()
    for stated, cell in cells:
        name, number = name_of_metric(stated), number_in(cell)
        if name == STEP and isinstance(cell, str) and _GROUPED_STEP.fullmatch(cell.strip()):
            number = float(cell.replace(",", ""))
        if number == -1 and _NEVER_NEGATIVE.search(name):
            not_made.add(_evaluation(name))
        elif name and name not in _NO_METRICS and number is not None:
            values.setdefault(name, number)
    not_made.discard("")
    return {name: number for name, number in values.items() if number != -1 or _evaluation(name) not in not_made}


def flat(data: Mapping[str, object]) -> dict[str, object]:
    """Return the data of an event with its nested figures under the names of the results file.

    The form is that of OpenAI's one recorded event. That Azure's events nest in this way, and the names of columns with the
    token use of graders, are UNVERIFIED.
    """
    return dict(_flat(data))


def _flat(data: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, key))
        elif key == GRADERS and isinstance(value, list | tuple):
            for number, grader in enumerate(value, start=1):
                if isinstance(grader, Mapping):
                    yield from _of_grader(grader, (*path, key), number)
        elif not isinstance(value, list | tuple):
            yield "/".join((*path, key)), value


def _of_grader(grader: Mapping[str, object], path: tuple[str, ...], number: int) -> Iterator[tuple[str, object]]:
    labels = (grader.get("type") or "grader", grader.get("name") or f"grader-{number}")
    group = path[:1] if path[:1] and path[0] in _REPEATED else ()
    figures = {key: value for key, value in grader.items() if key not in ("name", "type", "model")}
    yield from _flat(figures, (*path, *(str(label)[:_LONGEST_GRADER] for label in labels), *group))


def is_of_graders(name: str) -> bool:
    """Return whether a metric is one of those that events nest."""
    return "/" in name


def name_of_metric(stated: str) -> str:
    """Return the one name of a metric; empty for none.

    `validation_…` becomes `valid_…`, as in events and checkpoints (Microsoft's documentation uses the first form, its notebooks
    the second). The rest of the name stays: people chose the names of graders and tools.
    """
    return _kept_name(stated) if len(stated) <= _LONGEST_NAME else _name(stated)


@lru_cache(maxsize=1024)  # a results file has the same columns in every row
def _kept_name(stated: str) -> str:
    return _name(stated)


def _name(stated: str) -> str:
    name = one_line(without_credentials_in_text(stated)).strip()
    name = _USAGES.sub("usage/", _VALIDATION.sub(r"\1valid_", name)) if len(name) <= _LONGEST_NAME else ""
    return f"metric_{name}" if name in RESERVED else name


def number_in(cell: object) -> float | None:
    """Return the number in a cell of a file or a field of an event; None if there is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str):
        if "_" in cell:  # Python reads "1_000" as a number, but nobody writes a number like that
            return None
        cell = cell.replace(",", "") if _GROUPED.fullmatch(cell.strip()) else cell
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number + 0.0 if math.isfinite(number) else None  # -0.0 becomes 0.0


def time_in(cell: object) -> float | None:
    """Return seconds since the epoch, of ISO 8601 (recorded: `2025-10-25T16:55:36.9120000Z`) or a number; None for neither."""
    seconds = number_in(cell)
    if seconds is None and isinstance(cell, str):
        try:
            at = datetime.fromisoformat(cell.strip())
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return seconds if seconds is not None and _EARLIEST < seconds < _LATEST else None


def _evaluation(name: str) -> str:
    """Return the evaluation that a metric belongs to, by its prefix; empty for training metrics, which every step has."""
    found = _EVALUATION.match(name.rpartition("/")[2])
    return found[0] if found else ""
