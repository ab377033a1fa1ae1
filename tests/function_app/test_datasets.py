"""Training files become tables, whatever their format and however broken a line is."""

import itertools
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data import formats as datasets
from function_app.data.formats import COLUMNS, LONGEST_LINE, NUMBERS, Sample, Tally, lines_of, read_rows
from function_app.models import Cell, Malformed, TableRow

IMAGE = "data:image/png;base64," + "iVBORw0KGgo=" * 1000
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def says(role: str, content: object = None, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def read(*examples: object) -> list[TableRow | Malformed]:
    return list(read_rows(json.dumps(example).encode() + b"\n" for example in examples))


def cells(example: Mapping[str, object]) -> dict[str, Cell]:
    (row,) = read(example)
    assert isinstance(row, TableRow)
    return dict(row.cells)


def parsed(cell: Cell) -> Any:
    return json.loads(str(cell))


# --- formats


@pytest.mark.parametrize("turns", [1, 2, 3, 50])
def test_a_chat_of_any_length_is_one_row(turns: int) -> None:
    messages = [
        says("system", "Be brief."),
        *(says(r, f"{r} {n}") for n in range(turns) for r in ("user", "assistant")),
    ]
    row = cells({"messages": messages})
    assert row["system"] == "Be brief."
    assert (row["prompt"], row["completion"]) == (f"user {turns - 1}", f"assistant {turns - 1}")
    assert parsed(row["messages"]) == messages
    assert (row["n_messages"], row["roles"]) == (1 + 2 * turns, "system" + " user assistant" * turns)


def test_the_developer_is_the_newer_name_of_the_system_and_a_refusal_is_an_answer() -> None:
    row = cells({"messages": [says("developer", "D"), says("user", "Q"), says("assistant", refusal="No.")]})
    assert (row["system"], row["completion"]) == ("D", "No.")


def test_a_chat_without_system_and_one_without_answer_have_empty_cells_there() -> None:
    assert cells({"messages": [says("user", "Hi"), says("assistant", "Hello")]})["system"] == ""
    unanswered = cells({"messages": [says("user", "Hi")]})
    assert (unanswered["prompt"], unanswered["completion"]) == ("Hi", "")


def test_tool_calls_without_content_are_the_answer_parallel_ones_too() -> None:
    row = cells(
        {
            "messages": [says("user", "Weather?"), says("assistant", tool_calls=[CALL, CALL])],
            "tools": [TOOL],
            "parallel_tool_calls": True,
        }
    )
    assert row["completion"] == 'weather({"city": "Oslo"})\nweather({"city": "Oslo"})'
    assert row["tool_calls"] == 2
    assert parsed(row["tools"]) == [TOOL]
    assert parsed(row["fields"]) == {"parallel_tool_calls": True}


def test_the_older_functions_are_tools_and_calls() -> None:
    call = {"name": "weather", "arguments": "{}"}
    row = cells(
        {"messages": [says("user", "?"), says("assistant", function_call=call)], "functions": [TOOL["function"]]}
    )
    assert (row["completion"], row["tool_calls"], parsed(row["tools"])) == ("weather({})", 1, [TOOL["function"]])


def test_images_are_named_and_their_bytes_are_in_no_cell() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
    ]
    row = cells({"messages": [says("user", parts), says("assistant", "A cat.")]})
    assert row["prompt"] == "What is this?\n[image: data:image/png (9,000 bytes)]\n[image: https://example.com/cat.png]"
    assert row["images"] == 2
    assert parsed(row["messages"])[0]["content"][1]["image_url"] == {
        "url": "data:image/png (9,000 bytes)",
        "detail": "low",
    }


def test_bytes_of_audio_and_files_are_in_no_cell_and_long_texts_are() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA" * 100, "format": "wav"}}
    text = "data:text/plain, not the bytes of anything; " * 20
    row = cells({"messages": [says("user", [audio, {"type": "text", "text": text}])], "data": text})
    assert "AAAA" not in "".join(map(str, row.values()))
    assert "(300 bytes)" in str(row["prompt"])
    assert text in str(row["prompt"])
    assert parsed(row["fields"]) == {"data": text}


def test_preferences_show_the_prompt_and_both_answers() -> None:
    asked = {"messages": [says("system", "S"), says("user", "Q")], "tools": [TOOL], "parallel_tool_calls": False}
    good, bad = [says("assistant", tool_calls=[CALL])], [says("assistant", "worse")]
    row = cells({"input": asked, "preferred_output": good, "non_preferred_output": bad, "metadata": {"by": "x"}})
    assert (row["system"], row["prompt"]) == ("S", "Q")
    assert (row["preferred"], row["non_preferred"]) == ('weather({"city": "Oslo"})', "worse")
    assert (parsed(row["preferred_output"]), parsed(row["non_preferred_output"])) == (good, bad)
    assert (row["n_messages"], row["roles"], row["tool_calls"]) == (2, "system user", 1)
    assert parsed(row["tools"]) == [TOOL]
    assert parsed(row["fields"]) == {"metadata": {"by": "x"}, "parallel_tool_calls": False}


def test_reference_fields_of_reinforcement_and_metadata_are_kept() -> None:
    row = cells({"messages": [says("user", "2+2?")], "reference_answer": {"value": 4}, "metadata": {"level": "easy"}})
    assert (row["prompt"], row["completion"]) == ("2+2?", "")
    assert parsed(row["fields"]) == {"reference_answer": {"value": 4}, "metadata": {"level": "easy"}}


def test_answers_of_weight_0_are_counted() -> None:
    answers = [says("assistant", "a", weight=0), says("assistant", "b", weight=1), says("assistant", "c")]
    assert cells({"messages": [says("user", "q"), *answers]})["untrained"] == 1


def test_prompt_and_completion_are_their_own_format() -> None:
    assert cells({"prompt": "Once", "completion": " upon", "id": 7}) == {
        "line": 1,
        "prompt": "Once",
        "completion": " upon",
        "fields": '{"id": 7}',
    }


@pytest.mark.parametrize(
    "example",
    [
        {"messages": [says("user", "x")]},
        {"messages": [says("user", "x")], "tools": [TOOL], "answer": 1},
        {
            "input": {"messages": [says("user", "x")]},
            "preferred_output": [says("a")],
            "non_preferred_output": [says("a")],
        },
        {"prompt": "", "completion": ""},
    ],
)
def test_columns_are_those_of_the_format_whatever_an_example_has(example: Mapping[str, object]) -> None:
    (row,) = read(example)
    assert isinstance(row, TableRow)
    assert sorted(row.cells) == sorted(COLUMNS[row.format])
    assert {name for name, cell in row.cells.items() if isinstance(cell, int)} == NUMBERS & set(COLUMNS[row.format])


def test_half_a_character_does_not_break_the_table() -> None:
    (row,) = read_rows([b'{"prompt": "\\ud83d", "completion": "\\ud83d\\ude00"}'])
    assert isinstance(row, TableRow)
    assert (row.cells["prompt"], row.cells["completion"]) == ("?", "😀")


# --- broken lines


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"messages": [', "is no JSON"),
        (b"secret words", "is no JSON"),
        (b'{"prompt": "\xff"}', "is not UTF-8"),
        (b'{"n": ' + b"9" * 5000 + b"}", "too long"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[1]", "no object"),
        (b"{}", "has neither"),
        (b'{"messages": []}', "no list of messages"),
        (b'{"messages": "hi"}', "no list of messages"),
        (b'{"messages": ["hi"]}', "no list of messages"),
        (b'{"prompt": "a", "completion": "b"}', "completion example in a chat file"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(line: bytes, why: str) -> None:
    good = json.dumps({"messages": [says("user", "x")]}).encode()
    first, second, third = read_rows([good, b"\n", line + b"\r\n", good])
    assert isinstance(first, TableRow)
    assert isinstance(third, TableRow)
    assert (second.line, third.line) == (3, 4)
    assert isinstance(second, Malformed)
    assert why in second.message
    assert "secret" not in second.message


@pytest.mark.parametrize(
    ("example", "why"),
    [
        ({"input": "x", "preferred_output": []}, "has an input that is no object"),
        ({"input": {}, "preferred_output": [{}]}, "has input.messages that are no list of messages"),
        (
            {"input": {"messages": [{}]}, "preferred_output": [{}]},
            "has non_preferred_output that are no list of messages",
        ),
    ],
)
def test_half_a_preference_is_malformed(example: object, why: str) -> None:
    assert read(example) == [Malformed(1, why)]


def test_an_example_nested_as_deep_as_json_is_read_at_all_does_not_end_the_file() -> None:
    deep = b'{"prompt": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b', "completion": ""}'
    assert [item.line for item in read_rows([deep, b'{"prompt": "", "completion": ""}'])] == [1, 2]


def test_a_line_that_is_too_long_to_parse_is_named() -> None:
    line = b'{"prompt": "' + b"x" * datasets.LONGEST_LINE + b'", "completion": ""}'
    assert list(read_rows([line])) == [Malformed(1, "is longer than 16 MiB")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
known = st.sampled_from(
    [
        *(
            "messages",
            "input",
            "preferred_output",
            "non_preferred_output",
            "prompt",
            "completion",
            "tools",
            "functions",
        ),
        *(
            "role",
            "content",
            "tool_calls",
            "function_call",
            "function",
            "name",
            "arguments",
            "type",
            "text",
            "image_url",
        ),
        *("url", "weight", "refusal", "data"),
    ]
)
near_misses = st.recursive(
    st.none() | st.integers() | st.sampled_from(["user", "assistant", "image_url", "text", IMAGE, "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=4),
    max_leaves=15,
)
lines = st.lists(
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" "))
    | st.builds(
        lambda value: json.dumps(value).encode(),
        json_values | near_misses | near_misses.map(lambda v: {"messages": [v]}),
    ),
    max_size=8,
)


@given(lines)
def test_any_junk_is_a_row_or_a_malformed_line_and_none_is_lost(data: list[bytes]) -> None:
    items = list(read_rows(data))
    assert [item.line for item in items] == [
        n for n, line in enumerate(data, 1) if line.removeprefix(b"\xef\xbb\xbf").strip()
    ]
    rows = [item for item in items if isinstance(item, TableRow)]
    assert len({row.format for row in rows}) <= 1
    for row in rows:
        assert set(row.cells) == set(COLUMNS[row.format])
        assert all(type(cell) in (str, int) for cell in row.cells.values())
        assert IMAGE not in "".join(map(str, row.cells.values()))
        assert all(str(cell).encode() for cell in row.cells.values() if cell != "")


@given(lines)
def test_every_cell_of_a_column_has_one_type(data: list[bytes]) -> None:
    rows = [item for item in read_rows(data) if isinstance(item, TableRow)]
    for one, other in itertools.pairwise(rows):
        assert {name: type(cell) for name, cell in one.cells.items()} == {
            name: type(cell) for name, cell in other.cells.items()
        }


# --- sample and tally

LINES = range(1, 501)


def chosen_of(lines: Iterable[int], rows: int, size: int = 1 << 30, *, seed: str = "file-a") -> list[int]:
    sample = Sample(rows, size, seed=seed)
    for line in lines:
        sample.offer(line, str(line).encode)
    assert len(sample) == len(list(sample))
    return [int(data) for data in sample]


@given(st.integers(0, 600), st.integers(0, 600), st.text(max_size=5))
def test_a_sample_is_always_the_same_and_grows_with_its_size(small: int, large: int, seed: str) -> None:
    small, large = sorted((small, large))
    chosen = chosen_of(LINES, small, seed=seed)
    assert len(chosen) == min(small, len(LINES))
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(chosen_of(LINES, large, seed=seed))


@given(st.permutations(range(1, 40)), st.integers(0, 45), st.integers(0, 90))
def test_a_sample_does_not_depend_on_how_the_rows_come(lines: list[int], rows: int, size: int) -> None:
    assert sorted(chosen_of(lines, rows, size)) == chosen_of(sorted(lines), rows, size)


@given(st.integers(1, 1600))
def test_a_sample_holds_no_more_bytes_than_it_may_but_always_a_row(size: int) -> None:
    held = sum(len(str(line)) for line in chosen_of(LINES, 500, size))
    assert 0 < held <= max(size, 3)


def test_what_is_not_chosen_is_not_even_encoded() -> None:
    sample = Sample(10, 1 << 30, seed="file-a")
    encodings = itertools.count()
    for line in LINES:
        sample.offer(line, lambda: b"%d" % next(encodings))
    assert len(sample) == 10
    assert next(encodings) < 100


def test_samples_of_two_files_differ_and_come_from_everywhere() -> None:
    one, other = chosen_of(LINES, 100, seed="file-a"), chosen_of(LINES, 100, seed="file-b")
    assert one != other
    for part in range(5):
        assert any(part * 100 < line <= (part + 1) * 100 for line in one)


@given(st.lists(st.binary(max_size=8)), st.lists(st.integers(0, 100)))
def test_lines_are_the_same_however_the_bytes_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(parts)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    chunks = [data[a:b] for a, b in pairwise(places)]
    expected = data.split(b"\n")
    assert list(lines_of(chunks)) == (expected if expected[-1] else expected[:-1])


def test_of_a_line_that_is_too_long_only_so_much_is_held_as_shows_it() -> None:
    chunks = [b"a\n", *[b"x" * 65536] * (LONGEST_LINE // 65536 + 500), b"x\nb\n"]
    assert [len(line) for line in lines_of(chunks)] == [1, LONGEST_LINE + 1, 1]


def test_a_tally_counts_what_goes_by_without_a_word_of_its_text() -> None:
    good = {
        "messages": [
            says("user", [{"type": "image_url", "image_url": {"url": "https://x/y"}}]),
            says("assistant", tool_calls=[CALL]),
        ]
    }
    tally = Tally()
    rows = list(tally.rows(read({**good, "tools": [TOOL]}, "private words", good)))
    assert [row.line for row in rows] == [1, 3]
    assert tally.metadata() == {
        "format": "chat",
        "examples": 2,
        "malformed_lines": 1,
        "malformed": ["line 2 is JSON, but no object"],
        "messages": 4,
        "messages_by_role": {"user": 2, "assistant": 2},
        "tool_calls": 2,
        "examples_with_tools": 1,
        "images": 2,
    }


def test_of_many_malformed_lines_all_are_counted_and_the_first_are_shown() -> None:
    tally = Tally()
    assert list(tally.rows(read(*range(1500)))) == []
    assert tally.malformed == 1500
    assert [each.line for each in tally.shown] == list(range(1, 1001))
    assert len(tally.metadata()["malformed"]) == 20
    assert tally.metadata()["examples"] == 0


def test_a_role_that_no_format_knows_is_text_of_the_file_and_not_told() -> None:
    tally = Tally()
    list(tally.rows(read({"messages": [says("user", "hi"), says("Jane-Doe", "private")]})))
    assert tally.metadata()["messages_by_role"] == {"user": 1, "other": 1}
