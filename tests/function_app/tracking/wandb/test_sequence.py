"""The rows of a run, written by position: late counts, lost writes and other writers leave every row once, in its place."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.models import MetricRow
from function_app.tracking.wandb.marks import Position
from function_app.tracking.wandb.sequence import (
    LARGEST_REQUEST,
    Lines,
    LostRowsError,
    NotConfirmedError,
    adopted,
    append,
    confirmed,
    rewrite,
)


def lines(steps: Iterable[int]) -> Lines:
    """A row for each of these steps."""
    return Lines(MetricRow(step, {"loss": 1 / (step + 1)}, 100.0 + step) for step in steps)


class History:
    """A run's lines as W&B keeps them, and the mark that we have written beside them."""

    def __init__(self, *, rebased: bool = False) -> None:
        self.rows: list[int] = []
        self.counts = [0]  # as they were after each write, for counts that are late
        self.position = Position()
        self.end = 0  # of the last write: with `rebased` a higher offset is pulled down to it (wandb#12269)
        self.rebased = rebased

    def tick(self, source: str, steps: list[int], *, late: int = 0, lost: str = "", settled: bool = False) -> None:
        """Write the rows up to now. `late`: by how many writes the count is late. `lost`: "request" or "answer"."""
        count = self.counts[max(0, len(self.counts) - 1 - late)]
        rows = lines(steps)
        if confirmed(self.position, count):
            write = append(self.position, source, rows)
        else:
            write = rewrite(self.position, source, rows, count, settled=settled)
        self.position = write.position
        sent = list(rows.steps[write.first :])
        if not sent or lost == "request":
            return
        at = min(write.position.start, self.end) if self.rebased else write.position.start
        assert at <= len(self.rows), "W&B refuses a gap"
        self.rows[at : at + len(sent)] = sent
        self.end = at + len(sent)
        self.counts.append(len(self.rows))


LOST = st.sampled_from(["", "", "request", "answer"])
TICKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), LOST), max_size=12)
Ticks = list[tuple[int, int, str]]


@given(TICKS, st.booleans())
def test_late_counts_and_lost_writes_leave_every_row_in_place(ticks: list[tuple[int, int, str]], rebased: bool) -> None:
    history, steps = History(rebased=rebased), 0
    for more, late, lost in ticks:
        steps += more
        history.tick("file", list(range(steps)), late=late, lost=lost)
        assert history.rows == list(range(len(history.rows)))
    history.tick("file", list(range(steps)))
    history.tick("file", list(range(steps)))
    assert history.rows == list(range(steps))


@given(TICKS, TICKS)
def test_rows_from_events_are_followed_by_those_of_the_file_after_them(
    before: list[tuple[int, int, str]], after: list[tuple[int, int, str]]
) -> None:
    history, steps = History(), 0
    for more, late, lost in before:
        steps += more * 10
        history.tick("events", list(range(0, steps, 10)), late=late, lost=lost)
    history.tick("events", list(range(0, steps, 10)))
    sampled = list(range(0, steps, 10))
    for more, late, lost in [*after, (0, 0, ""), (0, 0, "")]:
        steps += more
        try:
            history.tick("file", list(range(steps)), late=late, lost=lost)
        except NotConfirmedError:
            continue
    expected = [*sampled, *(step for step in range(steps) if step > max(sampled, default=-1))]
    assert history.rows == expected


def test_a_segment_whose_rows_are_lost_cannot_be_written_again() -> None:
    history = History()
    history.tick("events", [0, 10])
    history.tick("file", list(range(15)))
    del history.rows[1:]
    history.counts.append(1)
    with pytest.raises(NotConfirmedError):
        history.tick("file", list(range(15)))
    with pytest.raises(LostRowsError):
        history.tick("file", list(range(15)), settled=True)


@pytest.mark.parametrize("steps", [[0, 10, 15, 20], [0, 20], [], [10, 20]])
def test_a_changed_sequence_does_not_overwrite_unconfirmed_rows(steps: list[int]) -> None:
    history = History()
    history.tick("events", [0, 10, 20], lost="request")
    with pytest.raises(NotConfirmedError):
        history.tick("events", steps)


def test_rows_of_another_process_of_ours_are_adopted_and_those_of_others_are_not() -> None:
    ours, position = lines(range(10)), Position("file", 0, 0, 0, 5, 4)
    shown = [json.dumps(ours.row(number)) for number in range(5, 8)]
    found = adopted(position, "file", ours, shown)
    assert found
    assert (found.end, found.last_step) == (8, 7)
    theirs = json.dumps({"_step": 6, "accuracy": 1})
    assert adopted(position, "file", ours, [shown[0], theirs]) is None
    assert adopted(position, "file", lines(range(6)), shown) is None
    assert adopted(position, "file", ours, ["[", None]) is None


def test_a_request_is_limited_in_size_but_contains_all_lines_that_it_replaces() -> None:
    wide = {f"metric_{number}": 0.5 for number in range(3_000)}
    rows = Lines(MetricRow(step, wide) for step in range(300))
    assert len(rows.content(0, rows.cut(0, 0))) <= LARGEST_REQUEST < len(rows.content(0, 300))
    assert rows.cut(0, 299) >= 299
    last = json.loads(b"[" + rows.content(298, 300) + b"]")
    assert last == [json.dumps(rows.row(number)) for number in (298, 299)]


def test_a_column_cannot_set_wandbs_internal_keys() -> None:
    row = Lines([MetricRow(3, {"_step": 9.0, "_timestamp": 9.0, "loss": 1.0}, 20.0)], began=5.0).row(0)
    assert row == {"loss": 1.0, "_timestamp": 20.0, "_runtime": 15.0, "_step": 3}
