"""Samples are stable and bounded; tallies count without quoting."""

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.training.jsonl import read_rows
from function_app.data.training.sampling import Sample, Tally

LINES = range(1, 501)


def chosen_of(lines: Iterable[int], rows: int, size: int = 1 << 30, *, seed: str = "file-a") -> list[int]:
    sample = Sample(rows, size, seed=seed)
    for line in lines:
        sample.offer(line, str(line).encode)
    return [int(data) for data in sample.of()]


def tally_of(*examples: object) -> Tally:
    tally = Tally()
    list(tally.rows(read_rows(json.dumps(example).encode() for example in examples)))
    return tally


@given(st.integers(0, 600), st.integers(0, 600), st.text(max_size=5))
def test_a_sample_is_always_the_same_and_a_larger_one_contains_it(small: int, large: int, seed: str) -> None:
    small, large = sorted((small, large))
    chosen = chosen_of(LINES, small, seed=seed)
    assert len(chosen) == min(small, len(LINES))
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(chosen_of(LINES, large, seed=seed))


@given(st.integers(1, 1600))
def test_a_sample_holds_no_more_bytes_than_allowed_but_always_a_row(size: int) -> None:
    held = sum(len(str(line)) for line in chosen_of(LINES, 500, size))
    assert 0 < held <= max(size, 3)


def test_the_sample_of_a_file_is_the_same_in_every_version_of_this_program() -> None:
    """A table is uploaded once for a file and compared with what an earlier version uploaded."""
    assert chosen_of(range(1, 21), 5, 100) == [4, 5, 6, 7, 16]


@pytest.mark.parametrize(("rows", "most"), [(0, 0), (10, 100)])
def test_rows_that_are_not_chosen_are_not_encoded(rows: int, most: int) -> None:
    sample = Sample(rows, 1 << 30, seed="file-a")
    encodings = itertools.count()
    for line in LINES:
        sample.offer(line, lambda: b"%d" % next(encodings))
    assert (len(sample.of()), next(encodings) <= most) == (rows, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40))), st.integers(0, 5), st.integers(1, 100))
def test_a_sample_has_rows_of_each_format_within_its_limit(lines: list[tuple[str, int]], rows: int, size: int) -> None:
    sample = Sample(rows, size, seed="file-a")
    for number, (form, length) in enumerate(lines, 1):
        sample.offer(number, (b"%3d" % number).ljust(length).__bytes__, form)
    held = {form: sample.of(form) for form in "abc"}
    assert all(len(found) <= rows for found in held.values())
    assert sum(map(len, itertools.chain(*held.values()))) <= size or sum(map(len, held.values())) == 1
    asked = {form: sum(form == each for each, _ in lines) for form in "abc"}
    if sum(max(length, 3) for _, length in lines) <= size:
        assert {form: len(found) for form, found in held.items()} == {form: min(rows, n) for form, n in asked.items()}


def test_a_tally_counts_without_quoting_the_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y"}}
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [{"role": "user", "content": [image]}, {"role": "Jane-Doe", "tool_calls": [call]}]
    tally = tally_of({"messages": messages, "tools": [{}]}, "private words", {"messages": messages})
    assert tally.metadata() == {
        "format": "chat",
        "examples": 2,
        "malformed_lines": 1,
        "malformed": ["line 2 is JSON, but not an object"],
        "messages": 4,
        "messages_by_role": {"user": 2, "other": 2},
        "tool_calls": 2,
        "examples_with_tools": 1,
        "images": 2,
    }
    completions = tally_of(*[{"prompt": "a", "completion": "b"}] * 2)
    assert completions.metadata() == {"format": "completion", "examples": 2, "malformed_lines": 0}


@pytest.mark.parametrize("first", [1, 999, 1500])
def test_a_file_has_the_format_of_most_of_its_examples_at_any_position_of_the_others(first: int) -> None:
    """Until version 0.2 the first 1,000 lines determined the format."""
    chats, completions = [{"messages": [{"role": "user"}]}] * first, [{"prompt": "a", "completion": "b"}] * (first + 1)
    for examples in ([*chats, "words", *completions], [*completions, "words", *chats]):
        tally = tally_of(*examples)
        assert (tally.format, tally.examples, tally.malformed) == ("completion", first + 1, first + 1)
        others = [number for number, each in enumerate(examples, 1) if each == "words" or "messages" in each]
        assert [each.line for each in tally.shown] == others[:1000]
        messages = {"is JSON, but not an object", "is a chat example in a completion file"}
        assert {each.message for each in tally.shown} <= messages
        assert tally.metadata().get("messages") is None


def test_of_many_malformed_lines_all_are_counted_and_the_first_are_listed() -> None:
    tally = tally_of(*range(1500))
    assert (tally.malformed, [each.line for each in tally.shown]) == (1500, list(range(1, 1001)))
    assert len(tally.metadata()["malformed"]) == 20
