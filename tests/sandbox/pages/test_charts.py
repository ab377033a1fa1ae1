"""Points to charts: what is drawn is what was measured, however much is left out."""

import math
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sandbox.pages.charts import (
    Chart,
    Frame,
    Point,
    charts,
    family_of,
    labels,
    styles,
    thinned,
    ticks,
)

FRAME = Frame(360, 150)
VALUES = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False, allow_subnormal=False)
POINTS = st.lists(VALUES, min_size=1, max_size=400).map(lambda ys: [(float(i), y) for i, y in enumerate(ys)])


def drawn(chart: Chart) -> list[Point]:
    return [
        (float(x), float(y))
        for line in chart.lines
        for x, y in re.findall(r"[ML](-?[\d.e+-]+) (-?[\d.e+-]+)", line.path)
    ]


@given(POINTS, st.integers(1, 20))
def test_thinning_keeps_the_ends_the_extremes_and_the_order_and_nothing_else(points: list[Point], buckets: int) -> None:
    kept = thinned(points, buckets)
    assert len(kept) <= 4 * buckets
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert min(y for _, y in kept) == min(y for _, y in points)
    assert max(y for _, y in kept) == max(y for _, y in points)
    steps = [x for x, _ in kept]
    assert steps == sorted(set(steps))
    assert set(kept) <= set(points)


def test_a_single_outlier_among_thousands_is_still_drawn() -> None:
    points = [(float(i), 100.0 if i == 7777 else 0.0) for i in range(20_000)]
    (chart,) = charts({"train_loss": points}, FRAME)
    assert len(drawn(chart)) <= 600
    assert chart.lines[0].count == 20_000
    assert min(y for _, y in drawn(chart)) == FRAME.top


@given(VALUES, VALUES)
def test_ticks_enclose_the_range_evenly_and_are_few(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    marks = ticks(low, high)
    slack = 1e-5 * (marks[1] - marks[0])
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 8
    gaps = [b - a for a, b in pairwise(marks)]
    assert all(math.isclose(gap, gaps[0], rel_tol=1e-6) for gap in gaps)


@given(VALUES, VALUES)
def test_no_two_marks_of_an_axis_have_the_same_label(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    if high - low > 1e-2 * abs(low):
        shown = labels(ticks(low, high))
        assert len(set(shown)) == len(shown)


def test_labels_have_the_decimals_that_their_distance_needs() -> None:
    assert labels(ticks(0, 3)) == ["0", "1", "2", "3"]
    assert labels(ticks(0.42, 1)) == ["0.4", "0.6", "0.8", "1.0"]
    assert labels(ticks(0, 3000)) == ["0", "1,000", "2,000", "3,000"]


@given(st.dictionaries(st.sampled_from(["train_loss", "valid_loss", "lr", "train_mean_token_accuracy"]), POINTS))
def test_everything_drawn_lies_inside_the_plot(series: dict[str, list[Point]]) -> None:
    for chart in charts(series, FRAME):
        for x, y in drawn(chart):
            assert FRAME.left <= x <= FRAME.width - FRAME.right
            assert FRAME.top <= y <= FRAME.height - FRAME.bottom


def test_higher_values_are_drawn_higher_and_later_steps_further_right() -> None:
    (chart,) = charts({"train_loss": [(1, 3.0), (2, 1.0)]}, FRAME)
    (x1, y1), (x2, y2) = drawn(chart)
    assert x1 < x2
    assert y1 < y2  # y grows downwards in SVG


def test_metrics_are_grouped_by_what_they_measure_losses_first() -> None:
    names = ["train_mean_token_accuracy", "full_valid_loss", "train_loss", "valid_loss", "learning_rate"]
    found = charts({name: [(1, 1.0)] for name in names}, FRAME)
    assert [chart.family for chart in found] == ["loss", "accuracy", "learning_rate"]
    assert [line.name for line in found[0].lines] == ["train_loss", "valid_loss", "full_valid_loss"]
    assert family_of("train_reward_mean") == "reward"
    assert family_of("valid_kl") == family_of("train_kl") == "kl"


def test_each_line_of_a_chart_looks_its_own_way_and_the_same_in_every_chart() -> None:
    assert styles(["train_loss", "valid_loss", "full_valid_loss"]) == ["train", "valid", "full"]
    assert styles(["valid_mean_token_accuracy"]) == ["valid"]
    assert len(set(styles(["train_reward_a", "train_reward_b", "lr"]))) == 3


def test_a_metric_without_points_has_no_chart() -> None:
    assert charts({"train_loss": []}, FRAME) == []


def test_the_step_axis_reaches_to_the_jobs_end_while_it_trains() -> None:
    (half,) = charts({"train_loss": [(1, 1.0), (50, 0.5)]}, FRAME, until=100)
    assert half.x_ticks[-1].label == "100"
    assert max(x for x, _ in drawn(half)) < 0.6 * FRAME.width


def test_the_description_says_in_words_what_the_chart_shows() -> None:
    (chart,) = charts({"train_loss": [(1, 3.25), (100, 0.0016478)]}, FRAME)
    assert chart.description == "Loss by training step. train_loss: 3.25 at step 1, 0.001648 at step 100."
