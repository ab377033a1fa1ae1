"""What is compared: every difference is found, and only the moment at which a world began makes none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.commands.case import differences, relative

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC).timestamp()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_two_values_differ_exactly_when_there_is_a_difference_to_tell(one: Any, other: Any) -> None:
    assert bool(differences(one, other)) == (repr(one) != repr(other) and one != other)
    assert not differences(one, one)


def test_a_difference_says_where_it_is() -> None:
    expected = {"runs": {"a": {"history": [{"loss": 1.0}, {"loss": 2.0}]}}, "gone": 1}
    found = {"runs": {"a": {"history": [{"loss": 1.0}, {"loss": 3.0}]}}, "new": 2}
    assert differences(expected, found) == [
        "runs.a.history[1].loss: 3.0 instead of 2.0",
        "gone: missing, was 1",
        "new: 2, was not there",
    ]


@given(st.integers(1, 86_400_000), st.integers(0, 86_400_000))
def test_two_worlds_that_began_at_two_moments_tell_the_same(offset: int, later: int) -> None:
    """Both in milliseconds."""

    def told(start: float) -> dict[str, Any]:
        iso = datetime.fromtimestamp(start + offset / 1000, UTC).isoformat(timespec="milliseconds")
        return {"at": start + offset / 1000, "iso": f"since {iso}", "steps": [1, 2.5, -1]}

    one, other = relative(told(START), START), relative(told(START + later / 1000), START + later / 1000)
    assert one == other
    assert one == {
        "at": f"start +{offset / 1000:.3f} s",
        "iso": f"since start +{offset / 1000:.3f} s",
        "steps": [1, 2.5, -1],
    }


@pytest.mark.parametrize("value", [0, 1, -1.5, True, "2026", None])
def test_what_is_no_time_stays(value: object) -> None:
    assert relative(value, START) is value
