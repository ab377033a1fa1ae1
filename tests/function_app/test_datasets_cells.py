"""Training files where something just fits or just does not, and every word that is said of a line."""

import json
from collections.abc import Mapping

import pytest

from function_app.data.formats import LONGEST_LINE, Sample, Tally, lines_of, read_rows
from function_app.models import Cell, Malformed, TableRow

HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}


def cells(example: Mapping[str, object]) -> dict[str, Cell]:
    (row,) = read_rows([json.dumps(example).encode()])
    assert isinstance(row, TableRow)
    return dict(row.cells)


def prompt(content: object) -> Cell:
    return cells({"messages": [{"role": "user", "content": content}, HELLO]})["prompt"]


# --- whole rows


def test_every_cell_of_a_chat_that_has_nothing_but_an_answer() -> None:
    assert cells({"messages": [{"content": "Hello", "role": "assistant", "weight": 0}]}) == {
        "line": 1,
        "system": "",
        "prompt": "",
        "completion": "Hello",
        "messages": '[{"content": "Hello", "role": "assistant", "weight": 0}]',
        "n_messages": 1,
        "roles": "assistant",
        "untrained": 1,
        "tool_calls": 0,
        "images": 0,
        "tools": "",
        "fields": "",
    }


def test_every_cell_of_a_completion() -> None:
    assert cells({"prompt": "Once", "completion": " upon"}) == {
        "line": 1,
        "prompt": "Once",
        "completion": " upon",
        "fields": "",
    }


def test_only_answers_of_weight_0_are_untrained() -> None:
    answers = [HELLO | {"weight": weight} for weight in (0, 0, 1)]
    assert cells({"messages": [HI, *answers, HI | {"weight": 0}]})["untrained"] == 2


def test_a_message_without_a_role_is_counted_and_named() -> None:
    assert cells({"messages": [{"content": "?"}, HELLO]})["roles"] == "? assistant"


def test_a_file_with_a_byte_order_mark_loses_no_line() -> None:
    example = json.dumps({"prompt": "a", "completion": "b"}).encode()
    assert [type(item) for item in read_rows([b"\xef\xbb\xbf" + example + b"\r\n", example])] == [TableRow, TableRow]


# --- texts


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
    ],
)
def test_content_of_any_kind_has_a_text(content: object, shown: str) -> None:
    assert prompt(content) == shown


def test_letters_of_every_language_are_themselves_in_json() -> None:
    assert cells({"prompt": "", "completion": "", "note": "Ærlig"})["fields"] == '{"note": "Ærlig"}'


@pytest.mark.parametrize("name", ["data", "file_data"])
def test_bytes_are_held_up_to_two_hundred_characters(name: str) -> None:
    def fields(letters: int) -> Cell:
        return cells({"prompt": "", "completion": "", "file": {name: "A" * letters}})["fields"]

    assert fields(200) == json.dumps({"file": {name: "A" * 200}})
    assert fields(204) == json.dumps({"file": {name: "(153 bytes)"}})


def test_bytes_are_named_wherever_they_are() -> None:
    url = "data:image/png;base64," + "A" * 400
    named = {"pages": [["data:image/png (300 bytes)"]]}
    assert cells({"prompt": "", "completion": "", "pages": [[url]]})["fields"] == json.dumps(named)


def test_letters_that_only_look_like_bytes_are_held_in_full() -> None:
    assert cells({"prompt": "A" * 204, "completion": "", "text": "A" * 204}) == {
        "line": 1,
        "prompt": "A" * 204,
        "completion": "",
        "fields": json.dumps({"text": "A" * 204}),
    }


# --- broken lines, word for word


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"messages": [', "is no JSON from character 15 on"),
        (b'{"prompt": "\xff"}', "is not UTF-8 (byte 13)"),
        (b'{"n": ' + b"9" * 5000 + b"}", "has a number that is too long to be read"),
        (b"[" * 200_000, "is nested too deeply to be read"),
        (b"[1]", "is JSON, but no object"),
        (b'{"messages": "hi"}', "has messages that are no list of messages"),
        (b'{"input": {"messages": [{}]}}', None),
        (b'{"preferred_output": [{}]}', None),
        (b'{"prompt": ""}', None),
        (
            b'{"input": {"messages": [{}]}, "non_preferred_output": [{}]}',
            "has preferred_output that are no list of messages",
        ),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_one_way(line: bytes, why: str | None) -> None:
    neither = "has neither messages, nor input with preferred outputs, nor prompt and completion"
    assert list(read_rows([line])) == [Malformed(1, why or neither)]


# --- lines


def test_the_longest_line_that_may_be_is_read() -> None:
    frame = len(b'{"prompt": "", "completion": ""}')
    line = b'{"prompt": "' + b"x" * (LONGEST_LINE - frame) + b'", "completion": ""}'
    assert [type(item) for item in read_rows([line, line[:-2] + b'x"}'])] == [TableRow, Malformed]


@pytest.mark.parametrize("tail", [[], [b"\n"]], ids=["at the end of the file", "before another"])
@pytest.mark.parametrize("over", [0, 1, 2, 70_000])
def test_a_line_that_grows_chunk_by_chunk_is_cut_one_byte_over_the_limit(over: int, tail: list[bytes]) -> None:
    chunks = [b"x" * (LONGEST_LINE - 1), b"x", b"x" * over, *tail]
    assert [len(line) for line in lines_of(chunks)] == [LONGEST_LINE + min(over, 1)]


# --- sample and tally


def test_a_sample_of_no_rows_encodes_none() -> None:
    def encoded() -> bytes:
        pytest.fail("nobody wants it")

    sample = Sample(0, 100, seed="file-a")
    for line in range(100):
        sample.offer(line, encoded)
    assert len(sample) == 0


def test_the_sample_of_a_file_is_the_same_in_every_version_of_this_program() -> None:
    """A table is uploaded once for a file, and compared with what an earlier version uploaded."""
    sample = Sample(5, 100, seed="file-a")
    for line in range(1, 21):
        sample.offer(line, str(line).encode)
    assert [int(line) for line in sample] == [4, 5, 6, 7, 16]


def test_a_sample_may_be_filled_to_its_last_byte() -> None:
    for size, held in ((30, 3), (29, 2)):
        sample = Sample(10, size, seed="file-a")
        for line in range(3):
            sample.offer(line, lambda: b"0123456789")
        assert len(sample) == held


def test_a_tally_of_completions_counts_no_messages() -> None:
    tally = Tally()
    example = json.dumps({"prompt": "a", "completion": "b"}).encode()
    assert len(list(tally.rows(read_rows([example, example])))) == 2
    assert tally.metadata() == {"format": "completion", "examples": 2, "malformed_lines": 0}
