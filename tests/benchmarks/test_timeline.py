"""Where a process's time went: the parts are the whole, and each part is what its name says."""

import math

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.timeline import Flight, timeline

MOMENTS = st.integers(min_value=-5, max_value=25)
FLIGHTS = st.lists(
    st.tuples(st.sampled_from(["wandb", "openai"]), MOMENTS, MOMENTS).map(
        lambda said: Flight(said[0], min(said[1:]), max(said[1:]) + 1)
    )
)


@given(FLIGHTS)
def test_the_parts_are_the_whole_and_are_those_of_a_count_second_by_second(flights: list[Flight]) -> None:
    """The other way of counting: every second from 0 to 20 by itself."""
    found = timeline(0, 20, flights, "wandb")
    on = [{each.service for each in flights if each.began <= second < each.ended} for second in range(20)]
    assert math.isclose(found.whole, 20)
    assert found.main == sum("wandb" in services for services in on)
    assert found.other == sum(services == {"openai"} for services in on)
    assert found.none + found.start + found.end == sum(not services for services in on)
    assert found.start == next((second for second in range(20) if on[second]), 20)


def test_two_at_once_are_waited_for_once() -> None:
    found = timeline(0, 10, [Flight("wandb", 2, 4), Flight("wandb", 2, 4), Flight("wandb", 6, 8)], "wandb")
    assert (found.start, found.main, found.none, found.end) == (2, 4, 2, 2)
    assert found.at_once == 1.5
