"""Durations as text, and waiting with a virtual clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning import durations
from provisioning.clock import attempts, pause_until

START = datetime(2026, 3, 2, tzinfo=UTC)


class Watch:
    def __init__(self) -> None:
        self.slept = 0.0
        self.reported: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def report(self, elapsed: timedelta, budget: timedelta) -> None:
        assert timedelta(0) <= elapsed <= budget
        self.reported.append(elapsed.total_seconds())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1m30s", 90),
        ("0", 0),
        ("1.5m", 90),
        ("2 min", 120),
        ("180d", 15552000),
    ],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5m", "10 minutes", "5w", "45", "10m 5"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time span"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["36501d", "99999999999d", "9" * 400 + "s"])
def test_a_span_that_leads_out_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hundred years"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.42, "0.4 s"), (4, "4 s"), (59.7, "1 min"), (100, "1 min 40 s"), (3600, "1 h"), (90000, "1 d 1 h")],
)
def test_durations_are_formatted(seconds: float, words: str) -> None:
    assert durations.spell(timedelta(seconds=seconds)) == words


@given(st.integers(min_value=10, max_value=10**6))
def test_formatted_durations_can_be_parsed(seconds: int) -> None:
    assert durations.parse(durations.spell(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_attempts_back_off_and_the_last_comes_at_the_end_of_the_budget() -> None:
    watch = Watch()
    at = [elapsed.total_seconds() for elapsed in attempts(watch, timedelta(seconds=40), watch.report)]
    assert at == [0, 1, 3, 7, 15, 30, 40]
    assert watch.reported == list(range(40))


def test_without_a_budget_there_is_one_attempt() -> None:
    watch = Watch()
    assert len(list(attempts(watch, timedelta(0), watch.report))) == 1
    assert watch.slept == 0


def test_a_pause_reports_the_elapsed_part_of_the_budget() -> None:
    watch = Watch()
    pause_until(watch, START + timedelta(seconds=2.5), timedelta(seconds=10), watch.report)
    assert watch.slept == 2.5
    assert watch.reported == [7.5, 8.5, 9.5]


def test_a_pause_until_a_past_time_does_not_wait() -> None:
    watch = Watch()
    pause_until(watch, START - timedelta(seconds=1), timedelta(seconds=10), watch.report)
    assert watch.slept == 0
