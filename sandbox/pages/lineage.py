"""Where models come from, as a picture: datasets on the left, runs in the middle, models on the right. Pure geometry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from sandbox.pages.format import shortened

WIDTH = 1000
_BOX, _HIGH, _PITCH, _TOP = 270, 34, 48, 30
_LETTERS = 34  # of a label, as many as fit into a box


@dataclass(frozen=True)
class Box:
    """A dataset, a run or a model: its upper left corner, and what is written in it."""

    x: float
    y: float
    label: str
    mark: str = ""


@dataclass(frozen=True)
class Map:
    """The picture: columns of boxes, and the curves between them as SVG paths."""

    height: float
    box: tuple[float, float]
    boxes: Sequence[Box]
    edges: Sequence[str]
    description: str


@dataclass(frozen=True)
class Node:
    """Something with lineage; `runs` are the addresses of the runs that it is connected with."""

    label: str
    runs: Sequence[str]


def lineage(datasets: Sequence[Node], runs: Mapping[str, tuple[str, str]], models: Sequence[Node]) -> Map:
    """The picture. `runs` gives for each run's address its (label, mark), in the order in which they are drawn.

    Datasets and models stand near the runs that they belong to, so that few curves cross.
    """
    place = {address: i for i, address in enumerate(runs)}

    def near(node: Node) -> float:
        return mean(known) if (known := [place[run] for run in node.runs if run in place]) else len(place)

    left, right = sorted(datasets, key=near), sorted(models, key=near)
    rows = max(len(left), len(runs), len(right), 1)
    middle = (WIDTH - _BOX) / 2

    def y(i: int, of: int) -> float:
        return _TOP + (i + (rows - of) / 2) * _PITCH

    boxes = [Box(0, y(i, len(left)), shortened(node.label, _LETTERS)) for i, node in enumerate(left)]
    boxes += [
        Box(middle, y(i, len(runs)), shortened(label, _LETTERS - 2), mark)
        for i, (label, mark) in enumerate(runs.values())
    ]
    boxes += [Box(WIDTH - _BOX, y(i, len(right)), shortened(node.label, _LETTERS)) for i, node in enumerate(right)]
    edges = [
        _curve(_BOX, y(i, len(left)), middle, y(place[run], len(runs)))
        for i, node in enumerate(left)
        for run in node.runs
        if run in place
    ]
    edges += [
        _curve(middle + _BOX, y(place[run], len(runs)), WIDTH - _BOX, y(i, len(right)))
        for i, node in enumerate(right)
        for run in node.runs
        if run in place
    ]
    told = [_told(node, runs, "trained") for node in left] + [_told(node, runs, "was made by") for node in right]
    return Map(_TOP + rows * _PITCH, (_BOX, _HIGH), boxes, edges, " ".join(told))


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    begin, end, bend = y1 + _HIGH / 2, y2 + _HIGH / 2, (x1 + x2) / 2
    return f"M{x1:g} {begin:g}C{bend:g} {begin:g} {bend:g} {end:g} {x2:g} {end:g}"


def _told(node: Node, runs: Mapping[str, tuple[str, str]], verb: str) -> str:
    names = [runs[run][0] for run in node.runs if run in runs]
    return f"{node.label} {verb} {', '.join(names) if names else 'no run'}."
