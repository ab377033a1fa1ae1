"""The protocol by which we write rows into a run's history ourselves. Pure.

Our rows are one deterministic sequence, and the number of a row is its line in the run's history. A write is one request:
lines from `start` to the end of the sequence. Before it, W&B has acknowledged a mark with `start` and `end`
(`marks.Position`). So the next writer always knows between which lines something may have been written:

* W&B's count of lines equals `end`: all rows exist, and rows after `last_step` are appended at `end`.
* The count is lower: the write did not arrive, or the count is late (W&B serves it from a cache). The rows are derived again
  and sent from `start` or the count, whichever is lower. Existing lines are replaced by the same content.
* The count is higher: other programs logged rows, or another process of ours without a lease. `adopted` distinguishes these.

A segment is a part of the sequence that has one source. When the results file becomes readable, a segment from the file begins
after the rows from events, and only once the count has confirmed these, because they may no longer be derivable.
Lines before a segment's first line are never written again. If they are missing, the run must be replaced.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from function_app.data.fields import object_in
from function_app.models import MetricRow
from function_app.tracking.wandb.marks import Position

LARGEST_REQUEST = 4 * 1024 * 1024
"""Bytes of rows in one request, beyond those that replace lines; wandb-core sends at most 10 MB (0.31)."""


class Lines:
    """Rows as lines of a history file, encoded for the request in one buffer: 100,000 rows take about 15 MB.

    Attributes:
        steps: the steps of the rows.
        latest: the last value of each metric.
    """

    def __init__(self, rows: Iterable[MetricRow], *, began: float = 0.0) -> None:
        """Encode rows, in the order of their steps. `began` is the zero of `_runtime`, in seconds since the epoch."""
        self.steps = array("q")
        self.latest: dict[str, float] = {}
        self._text = bytearray()
        self._ends = array("Q")
        for row in rows:
            values = {name: value for name, value in row.values.items() if not name.startswith("_")}  # W&B's own names
            if not values:
                continue
            at = {} if row.at is None else {"_timestamp": row.at, "_runtime": max(0.0, row.at - began)}
            self._text += json.dumps(json.dumps({**values, **at, "_step": row.step})).encode() + b","
            self._ends.append(len(self._text))
            self.steps.append(row.step)
            self.latest |= values

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.steps)

    def content(self, first: int, last: int) -> memoryview:
        """Return the rows from `first` up to, but not including, `last`, as items of a JSON array."""
        begin = self._ends[first - 1] if first else 0
        return memoryview(self._text)[begin : self._ends[last - 1] - 1 if last > first else begin]

    def row(self, number: int) -> dict[str, Any]:
        """Return a row in the form for W&B."""
        return object_in(json.loads(bytes(self.content(number, number + 1))))

    def cut(self, first: int, at_least: int) -> int:
        """Return the end (exclusive) of a request that starts at row `first` and contains at least the rows before `at_least`."""
        begin = self._ends[first - 1] if first else 0
        last = max(first + 1, at_least)
        while last < len(self) and self._ends[last] - begin <= LARGEST_REQUEST:
            last += 1
        return min(last, len(self))

    def after(self, step: int) -> int:
        """Return the number of the first row after a step."""
        return next((number for number, each in enumerate(self.steps) if each > step), len(self))


@dataclass(frozen=True)
class Write:
    """Rows to be sent.

    Attributes:
        position: the position to write into the mark first.
        first: the index of the first row to send among the derived lines.
        new: the number of new rows.
    """

    position: Position
    first: int
    new: int


class NotConfirmedError(Exception):
    """W&B does not show all rows that were sent, and they cannot be derived again now."""


class LostRowsError(Exception):
    """Rows are missing that cannot be derived again."""


def confirmed(position: Position, count: int) -> bool:
    """Return whether all rows exist, in which case rows up to `last_step` are not needed again."""
    return position.end == count


def begun(last_step: int, count: int) -> Position:
    """Return the position in a run with unknown rows: new rows go after the existing ones."""
    return Position("", last_step + 1, count, count, count, last_step)


def append(position: Position, source: str, lines: Lines) -> Write:
    """Return the write of the rows after the existing ones, which W&B has all confirmed."""
    first = lines.after(position.last_step)
    new = len(lines) - first
    if not new:
        return Write(replace(position, start=position.end), first, 0)
    if source != position.source:
        position = replace(position, source=source, first_step=position.last_step + 1, first_line=position.end)
    at = replace(position, start=position.end, end=position.end + new, last_step=lines.steps[-1])
    return Write(at, first, new)


def rewrite(position: Position, source: str, lines: Lines, count: int, *, settled: bool) -> Write:
    """Return how to write rows where W&B does not show all that were sent.

    Args:
        position: as marked.
        source: of the rows.
        lines: the rows, including all of the last segment.
        count: lines that W&B shows.
        settled: whether the last write is old enough for the count to be current.

    Raises:
        NotConfirmedError: wait for a later count.
        LostRowsError: waiting does not help.
    """
    first = lines.after(position.first_step - 1)
    last = first + position.end - position.first_line
    same = (
        source == position.source
        and last <= len(lines)
        and (last == first or lines.steps[last - 1] == position.last_step)
    )
    start = min(position.start, count)
    if not same or start < position.first_line:
        raise LostRowsError if settled else NotConfirmedError
    new = len(lines) - last
    end = position.end + new
    at = replace(position, start=start, end=end, last_step=lines.steps[-1] if len(lines) else position.last_step)
    return Write(at, first + start - position.first_line, new)


def adopted(position: Position, source: str, lines: Lines, shown: Sequence[object]) -> Position | None:
    """Return the position of a run that has more rows than its mark says, if all of them are ours; else None.

    Two processes without a lease may write at the same time. The mark may then be from the one with fewer rows.

    Args:
        position: as marked.
        source: of the rows.
        lines: the rows as derived now.
        shown: the rows that the run has after `last_step`, as W&B serves them, each a JSON text.
    """
    first = lines.after(position.last_step)
    if not shown or first + len(shown) > len(lines):
        return None
    for number, row in enumerate(shown, start=first):
        there, ours = object_in(row), lines.row(number)
        if {**there, "_timestamp": 0, "_runtime": 0} != {**ours, "_timestamp": 0, "_runtime": 0}:
            return None
    end = position.end + len(shown)
    return replace(position, source=source, end=end, start=end, last_step=lines.steps[first + len(shown) - 1])
