"""Results and times where something just begins or just ends: the first step, the last byte, the row too many."""

import base64
from collections.abc import Iterator

import pytest

from function_app.data.results import ResultsError, parse_results, rows_from_events, with_event_times
from function_app.models import Event, MetricRow

HELD_AT_MOST = 10_000


def row(step: int) -> MetricRow:
    return MetricRow(step, {"train_loss": 1.0})


def metrics(step: int, at: int) -> Event:
    return Event(f"e{step}", at, "?", type="metrics", data={"step": step, "train_loss": 1.0})


def times(steps: list[int], events: list[Event]) -> list[float | None]:
    return [each.at for each in with_event_times(map(row, steps), events)]


@pytest.mark.parametrize("value", ["0.2", "0.25", "0.255"])
def test_no_byte_of_base64_without_padding_is_lost(value: str) -> None:
    """Of the last group of letters there may be two, three or all four."""
    encoded = base64.b64encode(f"step,train_loss\n10,0.5\n20,{value}".encode()).rstrip(b"=")
    assert [each.values for each in parse_results([encoded], complete=True)][-1] == {"train_loss": float(value)}


def test_before_the_first_event_the_average_pace_of_all_events_goes_back() -> None:
    events = [Event("a", 500, "Job enqueued."), metrics(10, 1000), metrics(20, 1020), metrics(40, 1300)]
    assert times([4, 10, 42], [*events, Event("z", 2000, "Job succeeded.")]) == [940, 1000, 1320]


def test_the_only_step_of_a_job_is_at_its_end() -> None:
    assert [each.at for each in with_event_times([row(1)], [], span=(0, 1000))] == [1000]


def test_as_many_rows_as_can_be_held_are_spread() -> None:
    spread = list(with_event_times(map(row, range(1, HELD_AT_MOST + 1)), [], span=(0, HELD_AT_MOST)))
    assert [spread[0].at, spread[-1].at] == [1, HELD_AT_MOST]


def test_of_more_rows_only_as_many_are_taken_as_show_that() -> None:
    taken = 0

    def rows() -> Iterator[MetricRow]:
        nonlocal taken
        for taken in range(1, HELD_AT_MOST + 500):
            yield row(taken)

    next(with_event_times(rows(), [], span=(0, 1000)))
    assert taken == HELD_AT_MOST + 1


def test_events_of_one_second_keep_their_order() -> None:
    """The first telling of a step counts, also among events of the same time."""
    told = [Event(name, 5, "?", type="metrics", data={"step": 1, "loss": loss}) for name, loss in (("a", 1), ("b", 2))]
    assert list(rows_from_events(told)) == [MetricRow(1, {"loss": 1.0}, 5.0)]


def rows_of(data: bytes, *, complete: bool = True) -> list[MetricRow]:
    return list(parse_results([data], complete=complete))


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_line_is_whole_when_its_newline_is_there_whatever_that_is(newline: bytes) -> None:
    growing = newline.join([b"step,train_loss", b"10,1", b"20,1", b""])
    assert rows_of(growing, complete=False) == [row(10), row(20)]
    assert rows_of(growing.removesuffix(newline), complete=False) == [row(10)]


def test_a_line_may_have_a_hundred_thousand_characters_and_no_more() -> None:
    line = b"10,1," + b"x" * (100_000 - 5)
    assert rows_of(b"step,train_loss\n" + line) == [row(10)]
    with pytest.raises(ResultsError, match="more than 100,000 characters"):
        rows_of(b"step,train_loss\n" + line + b"x")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("width", [3, 20, 60])
def test_base64_in_short_lines_reads_like_the_file(width: int, newline: bytes) -> None:
    encoded = base64.b64encode(newline.join([b"step,train_loss", b"10,1", b"20,1", b"30,1", b""]))
    lines = b"\r\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    assert rows_of(lines) == [row(10), row(20), row(30)]


def test_base64_is_told_by_its_first_comma_wherever_in_the_head_that_is() -> None:
    name = "a_reward_whose_name_is_forty_letters_lon"
    (found,) = rows_of(base64.b64encode(f"{name},step\n0.5,7\n".encode()))
    assert found == MetricRow(7, {name: 0.5})


def test_a_file_of_steps_alone_has_no_rows_though_its_letters_are_those_of_base64() -> None:
    assert rows_of(b"step\n1\n2\n") == rows_of(b"step\nx=\n==\n") == []
