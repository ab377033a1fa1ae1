"""From what Azure OpenAI tells about a job's training to metric rows: the results file, the metrics events. Pure.

A results file is CSV with one line per training step (Microsoft, fine-tuning how-to); OpenAI's own platform serves the
same as base64. Which columns it has depends on the method and is nowhere listed in full: none but ``step`` is expected.
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

from function_app.models import Event, MetricRow

_STEP = "step"
_PROGRESS = frozenset({"total_steps"})  # of events; says how far training is, and is no metric
_NEVER_NEGATIVE = re.compile(r"loss|accuracy|perplexity|tokens")
_VALIDATION = re.compile(r"^(full_)?validation_")
_EVALUATION = re.compile(r"(?:full_)?valid_")
_LONGEST_LINE = 100_000  # characters; a results line has hundreds, csv itself stops at 131,072 in a field
_HEAD = 64  # bytes that are enough to tell base64 from CSV
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")
_STARTED, _SUCCEEDED = "Training started.", "Job succeeded."
_SPREAD_AT_MOST = 10_000  # rows, as they have to be held for it
_STEP_MESSAGE = re.compile(r"Step (?P<step>\d+)(?:/\d+)?: (?P<metrics>.+)")
_MESSAGE_METRICS = {"training loss": "train_loss", "validation loss": "valid_loss"}


class ResultsError(ValueError):
    """The file is no results file: neither CSV with a ``step`` column nor base64 of it."""


def parse_results(chunks: Iterable[bytes], *, complete: bool) -> Iterator[MetricRow]:
    """Read a results file in chunks of any size, never holding more than a line of it.

    Every numeric column is a metric under its own name, but `validation_…` is `valid_…`, as events and checkpoints say
    (Microsoft's documentation has the one, its own notebooks read the other). Blank, NaN and infinite mean no value. So
    does -1 (azureml's own reader of these files drops it) where a value cannot be negative: in losses, accuracies and
    counts of tokens. A reward can be -1, but for one of an evaluation that was not made at this step: then those of its
    figures that cannot be negative are -1, too. Cells that are no numbers are left out. Steps only rise, as W&B cannot take one
    below the last: of a step that comes again (a training that went back to a checkpoint) the first row counts; lines
    that follow one another with the same step are one row.

    Args:
        chunks: the file's bytes.
        complete: False while the file grows: what follows its last newline is then half a line and left out.

    Raises:
        ResultsError: the first line has no ``step`` column, a line has no end, or base64 turns into something else.
    """
    lines = (line for line in _lines(_decoded(chunks), complete=complete) if line.strip())
    header = next(lines, None)
    if header is None:
        return
    names = [name.strip() for name in _cells(header)]
    if _STEP not in names:  # what the line says instead stays unsaid: the file may be another one, with training text
        raise ResultsError(f"the results file has no {_STEP!r} column among the {len(names)} that its first line names")
    yield from _rising(_row(zip(names, _cells(line), strict=False)) for line in lines)


def rows_from_events(events: Iterable[Event]) -> Iterator[MetricRow]:
    """Turn metrics events, in any order, into one row per step, by step; for when no results file can be read.

    Events tell of about every tenth step. One that carries no data still says its losses in its message (recorded on
    Azure: "Step 100: training loss=0.001647822093218565").
    """
    rows = [row for event in sorted(events, key=lambda event: event.created_at) if (row := _event_row(event))]
    rows.sort(key=lambda row: row.step)
    return _rising(rows)


def with_event_times(
    rows: Iterable[MetricRow],
    events: Iterable[Event],
    *,
    now: float = math.inf,
    span: tuple[float, float] | None = None,
) -> Iterator[MetricRow]:
    """Say of each row when it happened: a metrics event's time at its step, in proportion between two of them.

    Before the first and after the last the average pace goes on, but not out of the span of time that the events tell
    of, nor past `now`, in seconds since the epoch. Times never fall as steps rise. A row that has a time keeps it.

    Without any metrics event, as of a job that is shorter than the first one or so old that its events are gone, the rows
    are spread evenly over `span`, from which to which second the job lasted; without that they stay as they are.
    """
    known = sorted(events, key=lambda event: event.created_at)
    anchors = _anchors(known)
    if not anchors:
        yield from _spread(rows, known, *span) if span else rows
        return
    latest = known[-1].created_at if known[-1].created_at > anchors[-1][1] else now
    times = _Times(anchors, earliest=known[0].created_at, latest=max(latest, anchors[-1][1]))
    for row in rows:
        yield replace(row, at=times.at(row.step)) if row.at is None else row


def _spread(rows: Iterable[MetricRow], events: list[Event], begun: float, ended: float) -> Iterator[MetricRow]:
    """The same rows dated evenly between the job's bounds, or those of its training where the events tell them."""
    source = iter(rows)
    held = list(islice(source, _SPREAD_AT_MOST + 1))
    if len(held) > _SPREAD_AT_MOST:
        yield from chain(held, source)
        return
    said = {event.message: float(event.created_at) for event in events}
    begun, ended = said.get(_STARTED, begun), said.get(_SUCCEEDED, ended)
    for row in held:
        share = row.step / max(held[-1].step, 1)
        yield replace(row, at=begun + (ended - begun) * share) if row.at is None else row


class _Times:
    """When any step happened, from the (step, seconds) of some of them, both rising."""

    def __init__(self, anchors: list[tuple[int, int]], *, earliest: float, latest: float) -> None:
        self._steps = [step for step, _ in anchors]
        self._times = [time for _, time in anchors]
        self._earliest = earliest
        self._latest = latest
        steps = self._steps[-1] - self._steps[0]
        self._pace = (self._times[-1] - self._times[0]) / steps if steps else 0.0

    def at(self, step: int) -> float:
        """Seconds since the epoch."""
        after = bisect_right(self._steps, step)
        if after == 0:
            return max(float(self._earliest), self._times[0] - self._pace * (self._steps[0] - step))
        passed, time = step - self._steps[after - 1], self._times[after - 1]
        if after == len(self._steps):
            return min(self._latest, time + self._pace * passed)
        return time + passed * (self._times[after] - time) / (self._steps[after] - self._steps[after - 1])


def _anchors(events: list[Event]) -> list[tuple[int, int]]:
    """(step, seconds) of the metrics events, both rising, and "Training started." as step 0. `events` come by time."""
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
    """The row that an event tells of; None when it is not about a step."""
    data = dict(event.data)
    if _STEP not in data and (told := _STEP_MESSAGE.fullmatch(event.message)):
        said = (part.partition("=") for part in told["metrics"].split(", "))
        data = {_MESSAGE_METRICS[name]: value for name, _, value in said if name in _MESSAGE_METRICS}
        data[_STEP] = told["step"]
    row = _row(data.items())
    return row and replace(row, at=float(event.created_at))


def _row(cells: Iterable[tuple[str, object]]) -> MetricRow | None:
    """Named cells as a row; None when there is nothing to log, or no step to log it at."""
    values: dict[str, float] = {}
    not_made: set[str] = set()
    for said, cell in cells:
        name, number = _VALIDATION.sub(r"\1valid_", said), _number(cell)
        if number == -1 and _NEVER_NEGATIVE.search(name):
            not_made.add(_evaluation(name))
        elif name and name not in _PROGRESS and number is not None:
            values.setdefault(name, number)
    not_made.discard("")
    values = {name: number for name, number in values.items() if number != -1 or _evaluation(name) not in not_made}
    step = values.pop(_STEP, None)
    if not values or step is None or step < 0 or not step.is_integer():
        return None
    return MetricRow(int(step), values)


def _evaluation(name: str) -> str:
    """Which evaluation a metric is from, by its prefix; empty for those of training, which is at every step."""
    found = _EVALUATION.match(name)
    return found[0] if found else ""


def _number(cell: object) -> float | None:
    """What a cell of a file or a field of an event says in numbers, if anything."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if isinstance(cell, str) and "_" in cell:  # Python reads "1_000" as a number, nobody means one by it
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _rising(rows: Iterable[MetricRow | None]) -> Iterator[MetricRow]:
    """One row per step, steps rising: neighbours of one step become one row, a step that was passed is left out."""
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
    """One CSV line. Lines are read one by one, so that a stray quote cannot swallow those after it."""
    return next(csv.reader([line]))


def _lines(chunks: Iterable[bytes], *, complete: bool) -> Iterator[str]:
    """UTF-8 text lines, with or without BOM, ended by LF, CR or CRLF."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True)
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        if any(len(line) > _LONGEST_LINE for line in (*lines, rest)):
            raise ResultsError(f"the results file has a line of more than {_LONGEST_LINE:,} characters: it is no CSV")
        yield from lines
    *lines, rest = (rest + decoder.decode(b"", final=True)).split("\n")
    yield from lines
    if complete:
        yield rest


def _decoded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The CSV's bytes: as they are, or out of base64 when the file's head can be nothing else."""
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
    """CSV of several columns has commas, which base64 has not; anything else is base64 if text comes out of it."""
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
    for chunk in chain([head], source):
        letters = rest + b"".join(chunk.split())
        whole = len(letters) // 4 * 4
        rest = letters[whole:]
        try:
            yield base64.b64decode(letters[:whole], validate=True)
        except binascii.Error as error:
            raise ResultsError(f"the results file begins as base64 and goes on as something else: {error}") from error
    if len(rest) > 1:  # a file that is still growing, or one without padding
        yield base64.b64decode(rest + b"=" * (4 - len(rest)))
