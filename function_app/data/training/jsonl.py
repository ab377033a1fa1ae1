"""Read a JSONL file as a stream: bytes to lines, lines to examples, examples to table rows. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from function_app.data.credentials import Members, may_have_credentials, without_credentials
from function_app.data.fields import MOST_VALUES, has_too_many_values
from function_app.data.training.formats import SPECS, NotAnExampleError, format_of
from function_app.models import Malformed, TableRow

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes. Longer lines count as malformed in a table: parsing takes several times a line's size, and such rows are unreadable."""

BOM = b"\xef\xbb\xbf"


def read_rows(
    lines: Iterable[bytes], copy: Callable[[bytes, bool], object] = lambda line, has_credentials: None
) -> Iterator[TableRow | Malformed]:
    """Yield a row, of any format, for each line that is not blank, or the reason why it is not an example.

    Args:
        lines: the file's lines, with or without newlines, for example an open file.
        copy: called with each line, and whether credentials must be removed from it.
    """
    for number, line in enumerate(lines, 1):
        has_credentials = may_have_credentials(line)
        text = stripped(line, number)
        item: TableRow | Malformed | None = None
        try:
            if text:
                item, has_credentials = _row(number, text, suspicious=has_credentials)
        except NotAnExampleError as error:
            item = Malformed(number, str(error))
        except RecursionError:
            item = Malformed(number, "is nested too deeply to read")
        copy(line, has_credentials)
        if item:
            yield item


def _row(number: int, text: bytes, *, suspicious: bool) -> tuple[TableRow, bool]:
    """Return the row of a line, and whether the line may have credentials, which only a suspicious one has."""
    members = Members() if suspicious else None
    example = parse_example(text, members=members)
    clean = without_credentials(example) if suspicious else example
    found = format_of(example)
    row = TableRow(number, {"line": number, **SPECS[found].cells(clean)}, found)
    return row, clean != example or (members is not None and members.repeated)


def stripped(line: bytes, number: int) -> bytes:
    """Return a line without surrounding white space, and the first line without the file's byte-order mark."""
    return (line.removeprefix(BOM) if number == 1 else line).strip()


def parse_example(
    text: bytes,
    *,
    longest: int = LONGEST_LINE,
    constant: Callable[[str], Any] | None = None,
    members: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Parse one line.

    Args:
        text: the line, stripped.
        longest: the maximum number of bytes.
        constant: called for NaN and Infinity, which Python parses although they are not JSON.
        members: called with the members of each object, to return the object.

    Raises:
        NotAnExampleError: the line is not a JSON object; the message does not quote it.
        RecursionError: it is nested too deeply.
    """
    if len(text) > longest:
        raise NotAnExampleError(f"is longer than {longest // 1024**2} MiB")
    if text.startswith(BOM):
        raise NotAnExampleError("begins with a byte-order mark, which is only allowed at the start of the file")
    if has_too_many_values(text):
        raise NotAnExampleError(f"has more than {MOST_VALUES:,} JSON values")
    try:
        example = json.loads(text.decode(), parse_constant=constant, object_pairs_hook=members)
    except UnicodeDecodeError as error:
        raise NotAnExampleError(f"is not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise NotAnExampleError(f"is not valid JSON at character {error.colno}") from error
    except ValueError as error:  # Python's limit for the digits of a number
        raise NotAnExampleError("has a number that is too long to read") from error
    if not isinstance(example, dict):
        raise NotAnExampleError("is JSON, but not an object")
    return example


def lines_of(chunks: Iterable[bytes], *, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Split a stream of bytes into lines. A longer line is cut one byte after `longest`."""
    held = bytearray()
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield bytes(held + line)[: longest + 1]
            held.clear()
        if len(held) <= longest:
            held += rest
    if held:
        yield bytes(held[: longest + 1])
