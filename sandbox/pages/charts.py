"""Line charts from points: thinned, scaled, with ticks. The template draws them.

Lengths are in the units of the chart's view box.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox.pages.format import number

Point = tuple[float, float]

_BUCKETS = 150  # of a line, at most four points each
_FAMILIES = ("loss", "accuracy", "reward")
_DATA = (("train", "train"), ("valid", "valid"), ("full_valid", "full"))  # prefix of a name, style
_TITLES = {"loss": "Loss", "accuracy": "Token accuracy", "reward": "Reward"}


@dataclass(frozen=True)
class Frame:
    """The size of a chart and the margins for its labels."""

    width: float
    height: float
    left: float = 44
    right: float = 18
    top: float = 10
    bottom: float = 22


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One metric, its CSS style and its newest value."""

    name: str
    style: str
    path: str
    last: float


@dataclass(frozen=True)
class Chart:
    """A family of metrics by step."""

    family: str
    title: str
    description: str
    frame: Frame
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line]


def charts(series: Mapping[str, Sequence[Point]], frame: Frame, *, until: float = 0) -> list[Chart]:
    """Draw one chart for each family of metrics: losses, accuracies and rewards first.

    Points are (step, value), finite, by ascending step. The step axis reaches at least to `until`.
    """
    families: dict[str, dict[str, Sequence[Point]]] = {}
    for name, points in sorted(series.items(), key=lambda item: (_rank(item[0]), item[0])):
        if points:
            families.setdefault(family_of(name), {})[name] = points
    order = sorted(families, key=lambda f: (_FAMILIES.index(f) if f in _FAMILIES else len(_FAMILIES), f))
    return [_chart(family, families[family], frame, until) for family in order]


def family_of(name: str) -> str:
    """Return what a metric measures, without its data set. Metrics of a family share a chart."""
    known = next((family for family in _FAMILIES if family in name.lower()), None)
    if known:
        return known
    stem = name
    for prefix in ("train_", "full_valid_", "valid_", "train/", "valid/", "eval/"):
        stem = stem.removeprefix(prefix)
    return stem


def _chart(family: str, series: Mapping[str, Sequence[Point]], frame: Frame, until: float) -> Chart:
    xs = [x for points in series.values() for x in (points[0][0], points[-1][0])]
    ys = [y for points in series.values() for _, y in points]
    y_marks = ticks(*_with_zero(min(ys), max(ys)))
    x_range = (min(0.0, *xs), max(until, 1.0, *xs))
    y_range = (y_marks[0], y_marks[-1])
    x_marks = [mark for mark in ticks(*x_range) if mark <= x_range[1]]
    title = _TITLES.get(family, family)
    return Chart(
        family,
        title,
        f"{title} by training step. " + " ".join(_described(name, points) for name, points in series.items()),
        frame,
        [Tick(_x(mark, x_range, frame), number(mark)) for mark in x_marks],
        [Tick(_y(mark, y_range, frame), number(mark)) for mark in y_marks],
        [
            _line(name, style, points, x_range, y_range, frame)
            for (name, points), style in zip(series.items(), styles(series), strict=True)
        ],
    )


def _described(name: str, points: Sequence[Point]) -> str:
    (first, begin), (last, end) = points[0], points[-1]
    if len(points) == 1:
        return f"{name}: {number(end)} at step {number(last)}."
    return f"{name}: {number(begin)} at step {number(first)}, {number(end)} at step {number(last)}."


def _line(name: str, style: str, points: Sequence[Point], x_range: Point, y_range: Point, frame: Frame) -> Line:
    placed = [(_x(x, x_range, frame), _y(y, y_range, frame)) for x, y in thinned(points, _BUCKETS)]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in placed) + "h0"  # a line of one point is a dot
    return Line(name, style, path, points[-1][1])


def _x(value: float, reach: Point, frame: Frame) -> float:
    part = (value - reach[0]) / (reach[1] - reach[0])
    return round(frame.left + part * (frame.width - frame.left - frame.right), 1)


def _y(value: float, reach: Point, frame: Frame) -> float:
    part = (value - reach[0]) / (reach[1] - reach[0])
    return round(frame.height - frame.bottom - part * (frame.height - frame.top - frame.bottom), 1)


def _with_zero(low: float, high: float) -> tuple[float, float]:
    """Include zero unless the values are far from it and close together."""
    return (0.0, high) if 0 <= low <= high / 2 else (low, 0.0) if high <= 0 and low / 2 <= high else (low, high)


def styles(names: Iterable[str]) -> list[str]:
    """The style of each line: training, validation and full validation look the same in every chart."""
    out: list[str] = []
    free = 0
    for name in names:
        rank = _rank(name)
        style = _DATA[rank][1] if rank < len(_DATA) else ""
        if not style or style in out:
            style, free = f"other-{free % 3 + 1}", free + 1
        out.append(style)
    return out


def _rank(name: str) -> int:
    """The data that a metric was measured on, as an index of `_DATA`; its length when the name does not say."""
    return next((i for i, (prefix, _) in enumerate(_DATA) if name.startswith(prefix)), len(_DATA))


def thinned(points: Sequence[Point], buckets: int) -> list[Point]:
    """Keep the first, lowest, highest and last point of each bucket."""
    if len(points) <= 4 * buckets:
        return list(points)
    bounds = [len(points) * i // buckets for i in range(buckets + 1)]
    kept: list[Point] = []
    for begin, end in pairwise(bounds):
        span = range(begin, end)
        low = min(span, key=lambda i: points[i][1])
        high = max(span, key=lambda i: points[i][1])
        kept.extend(points[i] for i in sorted({begin, low, high, end - 1}))
    return kept


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """About `about` evenly spaced round numbers that enclose low…high (1, 2 or 5 times a power of ten)."""
    if high - low <= abs(low) * 1e-9:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [i * step for i in range(first, last + 1)]
