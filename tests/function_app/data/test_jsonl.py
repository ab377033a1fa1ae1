"""A training file is read line by line; a broken line is named and costs only itself."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.fields import MOST_VALUES
from function_app.data.training.jsonl import LONGEST_LINE, lines_of, read_rows
from function_app.models import Malformed, TableRow

CHAT = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
BOM = b"\xef\xbb\xbf"
NO_FORMAT = "has neither messages, nor input with preferred outputs, nor prompt and completion"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"messages": [', "is not valid JSON at character 15"),
        (b"secret words", "is not valid JSON at character 1"),
        (b'{"prompt": "\xff"}', "is not UTF-8 (byte 13)"),
        (b'{"n": ' + b"9" * 5000 + b"}", "has a number that is too long to read"),
        (b"[" * 200_000, "is nested too deeply to read"),
        (b'{"a":' * 200_000, "is nested too deeply to read"),
        (b'{"messages": [' + b"{}," * MOST_VALUES + b"{}]}", "has more than 200,000 JSON values"),
        (b"[1]", "is JSON, but not an object"),
        (b"{}", NO_FORMAT),
        (b'{"input": {"messages": [{}]}}', NO_FORMAT),
        (b'{"preferred_output": [{}]}', NO_FORMAT),
        (BOM + CHAT, "begins with a byte-order mark, which is only allowed at the start of the file"),
        (b"x" * (LONGEST_LINE + 1), "is longer than 16 MiB"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_a_broken_line_is_reported_by_number_and_not_quoted_and_the_others_are_read(line: bytes, message: str) -> None:
    first, second, third = read_rows([CHAT, b"\n", line + b"\r\n", CHAT])
    assert second == Malformed(3, message)
    assert (type(first), type(third), third.line) == (TableRow, TableRow, 4)


def test_commas_and_brackets_in_a_text_are_not_values() -> None:
    text = json.dumps({"messages": [{"role": "user", "content": '",[{\\' * MOST_VALUES}]}).encode()
    [row] = read_rows([text])
    assert isinstance(row, TableRow)


@given(st.lists(st.binary(max_size=8)), st.lists(st.integers(0, 100)))
def test_lines_do_not_depend_on_how_the_bytes_are_split(parts: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(parts)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    expected = data.split(b"\n")
    assert list(lines_of([data[a:b] for a, b in pairwise(places)])) == (expected if expected[-1] else expected[:-1])
