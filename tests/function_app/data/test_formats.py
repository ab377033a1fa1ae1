"""Every format's examples become table rows with fixed columns, however odd an example is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.training.formats import NUMBERS, SPECS, Format
from function_app.data.training.jsonl import read_rows
from function_app.models import Cell, Malformed, TableRow

IMAGE = "data:image/png;base64," + "iVBORw0KGgo=" * 1000
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
HELLO = {"role": "assistant", "content": "Hello"}
ONE: dict[str, Any] = {"messages": [{}]}


def says(role: str, content: object = None, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def cells(example: Mapping[str, object]) -> dict[str, Cell]:
    (row,) = read_rows([json.dumps(example).encode()])
    assert isinstance(row, TableRow)
    return dict(row.cells)


def parsed(cell: Cell) -> Any:
    return json.loads(str(cell))


@pytest.mark.parametrize("turns", [1, 3])
def test_a_chat_of_any_length_is_one_row(turns: int) -> None:
    said = [says(role, f"{role} {n}") for n in range(turns) for role in ("user", "assistant")]
    messages = [says("system", "Be brief."), *said]
    row = cells({"messages": messages})
    last = turns - 1
    assert (row["system"], row["prompt"], row["completion"]) == ("Be brief.", f"user {last}", f"assistant {last}")
    assert parsed(row["messages"]) == messages
    assert (row["n_messages"], row["roles"]) == (1 + 2 * turns, "system" + " user assistant" * turns)


def test_a_chat_with_only_an_answer_fills_its_cells_and_so_does_a_completion() -> None:
    assert cells({"messages": [{"content": "Hello", "role": "assistant", "weight": 0}]}) == {
        "line": 1,
        "system": "",
        "prompt": "",
        "completion": "Hello",
        "n_messages": 1,
        "roles": "assistant",
        "messages": '[{"content": "Hello", "role": "assistant", "weight": 0}]',
        "untrained": 1,
        "tool_calls": 0,
        "images": 0,
        "tools": "",
        "fields": "",
    }
    completion = {"line": 1, "prompt": "Once", "completion": " upon", "fields": '{"id": 7, "note": "Ærlig"}'}
    assert cells({"prompt": "Once", "completion": " upon", "id": 7, "note": "Ærlig"}) == completion


def test_developer_is_the_newer_name_of_system_and_a_refusal_is_an_answer() -> None:
    row = cells({"messages": [says("developer", "D"), says("user", "Q"), says("assistant", refusal="No.")]})
    assert (row["system"], row["completion"]) == ("D", "No.")


def test_tool_calls_without_content_are_the_answer() -> None:
    messages = [says("user", "Weather?"), says("assistant", tool_calls=[CALL, CALL])]
    row = cells({"messages": messages, "tools": [TOOL], "parallel_tool_calls": True})
    assert row["completion"] == 'weather({"city": "Oslo"})\nweather({"city": "Oslo"})'
    assert (row["tool_calls"], parsed(row["tools"])) == (2, [TOOL])
    assert parsed(row["fields"]) == {"parallel_tool_calls": True}


def test_legacy_functions_are_tools_and_calls() -> None:
    messages = [says("user", "?"), says("assistant", function_call={"name": "weather", "arguments": "{}"})]
    row = cells({"messages": messages, "functions": [TOOL["function"]]})
    assert (row["completion"], row["tool_calls"], parsed(row["tools"])) == ("weather({})", 1, [TOOL["function"]])


def test_images_are_described_and_their_bytes_are_in_no_cell() -> None:
    images = [{"url": IMAGE, "detail": "low"}, {"url": "https://example.com/cat.png"}]
    parts = [{"type": "text", "text": "What is this?"}, *({"type": "image_url", "image_url": each} for each in images)]
    row = cells({"messages": [says("user", parts), HELLO]})
    assert row["prompt"] == "What is this?\n[image: data:image/png (9,000 bytes)]\n[image: https://example.com/cat.png]"
    assert row["images"] == 2
    described = {"url": "data:image/png (9,000 bytes)", "detail": "low"}
    assert parsed(row["messages"])[0]["content"][1]["image_url"] == described
    nested = cells({"prompt": "", "completion": "", "pages": [[IMAGE]]})["fields"]
    assert parsed(nested) == {"pages": [["data:image/png (9,000 bytes)"]]}


@pytest.mark.parametrize("name", ["data", "file_data"])
def test_bytes_of_audio_and_files_are_kept_up_to_two_hundred_characters(name: str) -> None:
    def fields(letters: int) -> Any:
        return parsed(cells({"prompt": "", "completion": "", "file": {name: "A" * letters}})["fields"])

    assert fields(200) == {"file": {name: "A" * 200}}
    assert fields(204) == {"file": {name: "(153 bytes)"}}


def test_long_texts_that_only_look_like_bytes_are_kept() -> None:
    text = "data:text/plain, not the bytes of anything; " * 20
    row = cells({"prompt": "A" * 204, "completion": "", "text": "A" * 204, "data": text})
    assert (row["prompt"], parsed(row["fields"])) == ("A" * 204, {"text": "A" * 204, "data": text})


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


def test_reference_fields_of_reinforcement_are_kept() -> None:
    row = cells({"messages": [says("user", "2+2?")], "reference_answer": {"value": 4}, "metadata": {"level": "easy"}})
    assert (row["prompt"], row["completion"]) == ("2+2?", "")
    assert parsed(row["fields"]) == {"reference_answer": {"value": 4}, "metadata": {"level": "easy"}}


def test_only_answers_of_weight_0_are_untrained_and_a_missing_role_is_shown() -> None:
    answers = [{**HELLO, "weight": weight} for weight in (0, 0, 1)]
    row = cells({"messages": [{"content": "?"}, *answers, says("user", "Hi", weight=0)]})
    assert (row["untrained"], row["roles"]) == (2, "? assistant assistant assistant user")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (7, "7"),
        ({"é": None}, '{"é": null}'),
        (["a", "b"], "a\nb"),
        ([3, None, ["c"]], "3\n\nc"),
        ([{"type": "refusal", "refusal": "No."}], "No."),
        ([{"type": "image_url", "image_url": "https://x/y.png"}], "[image: https://x/y.png]"),
        ([{"type": "image_url"}], "[image: ]"),
        ([{"type": "other", "text": None}], '{"type": "other", "text": null}'),
        ("\ud83d", "?"),
    ],
)
def test_content_of_any_kind_has_a_text(content: object, shown: str) -> None:
    assert cells({"messages": [{"role": "user", "content": content}, HELLO]})["prompt"] == shown


KEYS = [
    *("messages", "input", "preferred_output", "non_preferred_output", "prompt", "completion", "tools", "functions"),
    *("role", "content", "tool_calls", "function_call", "function", "name", "arguments", "type", "text", "image_url"),
    *("url", "weight", "refusal", "data"),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEAR_MISSES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["user", "assistant", "image_url", "text", IMAGE, "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
LINES = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" "))
EXAMPLES = ANY_JSON | NEAR_MISSES | NEAR_MISSES.map(lambda value: {"messages": [value]})


@given(st.lists(LINES | EXAMPLES.map(lambda value: json.dumps(value).encode()), max_size=8))
def test_every_line_becomes_a_row_with_its_formats_columns_or_is_counted_as_malformed(lines: list[bytes]) -> None:
    items = list(read_rows(lines))
    blank = [not (line.removeprefix(b"\xef\xbb\xbf") if n == 1 else line).strip() for n, line in enumerate(lines, 1)]
    assert [item.line for item in items] == [n for n, is_blank in enumerate(blank, 1) if not is_blank]
    rows = [item for item in items if isinstance(item, TableRow)]
    for row in rows:
        columns = SPECS[Format(row.format)].columns
        assert set(row.cells) == set(columns)
        assert {name for name, cell in row.cells.items() if type(cell) is int} == NUMBERS & set(columns)
        assert all(type(cell) in (str, int) for cell in row.cells.values())
        texts = "".join(map(str, row.cells.values()))
        assert IMAGE not in texts
        assert texts.encode()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"input": "x", "preferred_output": []}, "has an input that is not an object"),
        ({"input": {}, "preferred_output": [{}]}, "has no list of messages as its input.messages"),
        ({"input": ONE, "preferred_output": [{}]}, "has no list of messages as its non_preferred_output"),
        ({"input": ONE, "non_preferred_output": [{}]}, "has no list of messages as its preferred_output"),
        ({"messages": "hi"}, "has no list of messages as its messages"),
        ({"messages": []}, "has no list of messages as its messages"),
        ({"messages": ["hi"]}, "has no list of messages as its messages"),
    ],
)
def test_an_incomplete_example_is_malformed(example: object, message: str) -> None:
    assert list(read_rows([json.dumps(example).encode()])) == [Malformed(1, message)]
