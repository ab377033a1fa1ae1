"""Turn a job's results file or metrics events into metric rows. Pure.

A results file is CSV with one line per training step (Microsoft, fine-tuning how-to); OpenAI's own platform serves the
same as base64. The columns depend on the method and are not fully documented, so only ``step`` is required.
"""

import base64
import binascii
import codecs
import csv
import io
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, chain, islice

from function_app.data.jobs.metrics import STEP, TIMESTAMP, flat, is_of_graders, time_in, values_of
from function_app.models import Event, MetricRow

_LONGEST_LINE = 100_000  # characters; a results line has hundreds, and the csv module stops at 131,072 in a field
_HEAD = 64  # bytes that are enough to distinguish base64 from CSV
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")
_STARTED, _SUCCEEDED = "Training started.", "Job succeeded."
_HIGHEST_STEP = 2**31 - 1  # W&B's queries of a run's rows end there, and no job has that many
_SPREAD_AT_MOST = 10_000  # rows, which must be kept in memory for that
_STEP_MESSAGE = re.compile(r"Step (?P<step>\d+)(?:/\d+)?(?::| ,) (?P<metrics>.+)")
_MESSAGE_METRICS = {
    "training loss": "train_loss",
    "validation loss": "valid_loss",
    "full validation loss": "full_valid_loss",
    "train mean reward": "train_mean_reward",
    "full validation mean reward": "full_valid_mean_reward",
    "full validation mean parse error": "full_valid_mean_parse_error",
}


class ResultsError(ValueError):
    """The file is not a results file: neither CSV with a ``step`` column nor base64 of it."""


def parse_results(chunks: Iterable[bytes], *, complete: bool) -> Iterator[MetricRow]:
    """Read a results file in chunks of any size, with at most one line in memory.

    Every numeric column is a metric (`metrics.values_of`). A column `timestamp` is the time of the step. Steps only rise: W&B
    refuses a step below the last one. If a step is repeated because training went back to a checkpoint, the first row counts.
    Consecutive lines with the same step become one row.

    Args:
        chunks: the file's bytes.
        complete: False while the file grows; the text after its last newline is then an incomplete line, which is skipped.

    Raises:
        ResultsError: the first line has no ``step`` column, a line is too long, or base64 ends in something else.
    """
    lines = (line for line in _lines(_decoded(chunks), complete=complete) if line.strip())
    header = next(lines, None)
    if header is None:
        return
    names = [name.strip() for name in _cells(header.lstrip("\ufeff"))]
    if STEP not in names:  # the line is not quoted: the file may be another one, with training text
        raise ResultsError(f"the results file has no {STEP!r} column among the {len(names)} columns of its first line")
    yield from _rising(_row(zip(names, _cells(line), strict=False)) for line in lines)


def rows_from_events(events: Iterable[Event]) -> Iterator[MetricRow]:
    """Turn metrics events, in any order, into one row per step, sorted by step.

    There is an event for about every tenth step. An event without data still has the losses in its message (recorded on
    Azure: "Step 100: training loss=0.001647822093218565").
    """
    rows = [row for event in sorted(events, key=lambda event: event.created_at) if (row := _event_row(event))]
    rows.sort(key=lambda row: row.step)
    return _rising(rows)


def with_events(rows: Iterable[MetricRow], events: Iterable[Event], *, complete: bool) -> Iterator[MetricRow]:
    """Add to the rows of a results file the figures that only metrics events have; the file's own figures win.

    Only events have figures of graders, and on OpenAI's platform those of the whole validation file.

    W&B does not replace a row. If events have figures of graders, rows after the last metrics event are therefore held back
    until the file is complete or their events have come. Steps that only events have are added after the file's last step,
    once the file is complete. None is inserted before it, because a row must keep its place in the sequence.
    """
    by_step = {row.step: row for row in rows_from_events(events)}
    holds_back = not complete and any(is_of_graders(name) for row in by_step.values() for name in row.values)
    last_event, last = max(by_step, default=-1), -1
    for row in rows:
        if holds_back and row.step > last_event:
            return
        last = row.step
        more = by_step.get(row.step)
        yield replace(row, values={**more.values, **row.values}) if more else row
    if complete and last >= 0:
        yield from (row for step, row in by_step.items() if step > last)


def with_event_times(
    rows: Iterable[MetricRow],
    events: Iterable[Event],
    *,
    now: float = math.inf,
    span: tuple[float, float] | None = None,
) -> Iterator[MetricRow]:
    """Give each row a time: that of the metrics event at its step, interpolated between two events.

    Before the first and after the last event the average pace is assumed, but no time is outside the span of the events
    or after `now`, in seconds since the epoch. Times never fall as steps rise. A row that already has a time keeps it.

    Some jobs have no metrics event: they end before the first one, or are so old that their events are gone. Then the rows
    are spread evenly over `span`, the job's start and end in seconds. Without `span` they stay unchanged.
    """
    known = sorted((event for event in events if event.created_at), key=lambda event: event.created_at)
    anchors = _anchors(known)
    if not anchors:
        yield from _spread(rows, known, *span) if span else rows
        return
    latest = known[-1].created_at if known[-1].created_at > anchors[-1][1] else now
    times = _Times(anchors, earliest=known[0].created_at, latest=max(latest, anchors[-1][1]))
    for row in rows:
        yield replace(row, at=times.at(row.step)) if row.at is None else row


def _spread(rows: Iterable[MetricRow], events: list[Event], begun: float, ended: float) -> Iterator[MetricRow]:
    """Spread the rows evenly between the start and end of the job, or of its training if events contain these times."""
    source = iter(rows)
    held = list(islice(source, _SPREAD_AT_MOST + 1))
    if len(held) > _SPREAD_AT_MOST:
        yield from chain(held, source)
        return
    times = {event.message: float(event.created_at) for event in events}
    begun, ended = times.get(_STARTED, begun), times.get(_SUCCEEDED, ended)
    for row in held:
        share = row.step / max(held[-1].step, 1)
        yield replace(row, at=begun + (ended - begun) * share) if row.at is None else row


class _Times:
    """The time of any step, interpolated from the (step, seconds) of some steps, both rising."""

    def __init__(self, anchors: list[tuple[int, int]], *, earliest: float, latest: float) -> None:
        self._steps = [step for step, _ in anchors]
        self._times = [time for _, time in anchors]
        self._earliest = earliest
        self._latest = latest
        steps = self._steps[-1] - self._steps[0]
        self._pace = (self._times[-1] - self._times[0]) / steps if steps else 0.0

    def at(self, step: int) -> float:
        """Return the time of a step in seconds since the epoch."""
        after = bisect_right(self._steps, step)
        if after == 0:
            return max(float(self._earliest), self._times[0] - self._pace * (self._steps[0] - step))
        passed, time = step - self._steps[after - 1], self._times[after - 1]
        if after == len(self._steps):
            return min(self._latest, time + self._pace * passed)
        return time + passed * (self._times[after] - time) / (self._steps[after] - self._steps[after - 1])


def _anchors(events: list[Event]) -> list[tuple[int, int]]:
    """Return (step, seconds) of the metrics events, both rising. "Training started." is step 0. `events` are sorted by time."""
    seen: dict[int, int] = {}
    for event in events:
        if row := _event_row(event):
            seen.setdefault(row.step, event.created_at)
    if not seen:
        return []
    started = next((event.created_at for event in events if event.message == _STARTED), None)
    if started is not None:
        seen.setdefault(0, started)
    steps = sorted(seen)
    return list(zip(steps, accumulate((seen[step] for step in steps), max), strict=True))


def _event_row(event: Event) -> MetricRow | None:
    """Return the row of an event; None if the event is not about a step."""
    data = flat(event.data)
    if STEP not in data and (found := _STEP_MESSAGE.fullmatch(event.message)):
        parts = (part.partition("=") for part in found["metrics"].split(", "))
        data = {_MESSAGE_METRICS[name]: value for name, _, value in parts if name in _MESSAGE_METRICS}
        data[STEP] = found["step"]
    row = _row(data.items())
    return replace(row, at=float(event.created_at)) if row and event.created_at else row


def _row(cells: Iterable[tuple[str, object]]) -> MetricRow | None:
    """Return named cells as a row; None if there is nothing to log or no step."""
    named = list(cells)
    values = values_of(named)
    step = values.pop(STEP, None)
    if not values or step is None or not 0 <= step <= _HIGHEST_STEP or not step.is_integer():
        return None
    return MetricRow(int(step), values, next((time_in(cell) for name, cell in named if name == TIMESTAMP), None))


def _rising(rows: Iterable[MetricRow | None]) -> Iterator[MetricRow]:
    """Yield one row per step, with rising steps. Adjacent rows of one step are merged, and repeated steps are skipped."""
    last: MetricRow | None = None
    for row in rows:
        if row is None or (last and row.step < last.step):
            continue
        if last and row.step == last.step:
            last = replace(last, values={**row.values, **last.values})
            continue
        if last:
            yield last
        last = row
    if last:
        yield last


def _cells(line: str) -> list[str]:
    """Split one CSV line. Lines are parsed one by one, so that a stray quote cannot absorb the following lines."""
    return next(csv.reader([line]))


def _lines(chunks: Iterable[bytes], *, complete: bool) -> Iterator[str]:
    """Yield lines of UTF-8 text, with or without BOM, that end with LF, CR or CRLF."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True)
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        if any(len(line) > _LONGEST_LINE for line in (*lines, rest)):
            raise ResultsError(
                f"the results file has a line of more than {_LONGEST_LINE:,} characters, so it is not CSV"
            )
        yield from lines
    *lines, rest = (rest + decoder.decode(b"", final=True)).split("\n")
    yield from lines
    if complete:
        yield rest


def _decoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of the CSV, decoded from base64 if the start of the file can only be base64."""
    source = iter(chunks)
    head = b""
    for chunk in source:
        head = (head + chunk).lstrip()
        if len(head) >= _HEAD:
            break
    if _is_base64(head[:_HEAD]):
        yield from _from_base64(head, source)
        return
    yield head
    yield from source


def _is_base64(head: bytes) -> bool:
    """Return whether the file is base64. CSV with several columns has commas; anything else is base64 if it decodes to text."""
    if not _BASE64.fullmatch(head):
        return False
    letters = b"".join(head.split())
    try:
        text = base64.b64decode(letters[: len(letters) // 4 * 4], validate=True).decode("utf-8-sig", "ignore")
    except binascii.Error:
        return False
    return "," in text and text.replace("\r", "").replace("\n", "").isprintable()


def _from_base64(head: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in chain([head], source):
            letters = rest + b"".join(chunk.split())
            whole = len(letters) // 4 * 4
            rest = letters[whole:]
            yield base64.b64decode(letters[:whole], validate=True)
        if len(rest) > 1:  # a file that is still growing, or one without padding
            yield base64.b64decode(rest + b"=" * (4 - len(rest)))
    except binascii.Error as error:
        raise ResultsError(f"the results file begins as base64 but continues differently: {error}") from error
