"""Training and validation files (JSONL) as table rows, for every format that fine-tuning takes. Pure.

A file has one format, that of its first example, and a format has fixed columns: a table can be opened before the file
has been read to its end. Cells hold text and whole numbers only; what is nested goes in as JSON, beside the one or two
texts that people want to read.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from heapq import heappop, heappush
from math import inf
from typing import Any

from function_app.models import Cell, Malformed, TableRow

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes. A longer line counts as malformed: parsing takes several times a line's size, and a row that big helps nobody."""

MALFORMED_KEPT = 1000
"""Of a file's malformed lines, so many are told one by one; all are counted."""

_MALFORMED_SHOWN = 20  # in the metadata
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_LONGEST_INLINE = 200  # characters of base64 that still go into a cell; more is contents and no text to read
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")


class Format(StrEnum):
    """What one line of a file looks like."""

    CHAT = "chat"  # messages: supervised with or without tools and images, and reinforcement with its reference fields
    PREFERENCE = "preference"  # input, preferred_output, non_preferred_output
    COMPLETION = "completion"  # prompt, completion


COLUMNS: Mapping[str, tuple[str, ...]] = {
    Format.CHAT: (
        *("line", "system", "prompt", "completion", "messages", "n_messages", "roles"),
        *("untrained", "tool_calls", "images", "tools", "fields"),
    ),
    Format.PREFERENCE: (
        *("line", "system", "prompt", "preferred", "non_preferred", "messages", "n_messages", "roles"),
        *("tool_calls", "images", "preferred_output", "non_preferred_output", "tools", "fields"),
    ),
    Format.COMPLETION: ("line", "prompt", "completion", "fields"),
}
"""The columns of each format, in the order people read them.

``prompt`` is the last message before the answer, ``completion`` the answer: its text, its tool calls. ``untrained``
counts the answers of weight 0. ``messages``, ``tools`` and ``fields`` are JSON; ``fields`` has every other top-level
field, which is where reference answers and metadata are.
"""

NUMBERS = frozenset({"line", "n_messages", "untrained", "tool_calls", "images"})
"""The columns that hold whole numbers; the others hold text."""


class _NotAnExampleError(ValueError):
    """Says what is wrong with a line, without quoting it."""


def read_rows(lines: Iterable[bytes]) -> Iterator[TableRow | Malformed]:
    """Read a file line by line: each line that is not blank gives one row, or says why it is none.

    Args:
        lines: the file's lines, with or without their newlines, such as an open file gives.
    """
    file_format: Format | None = None
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text:
            continue
        try:
            example = _parsed(text)
            line_format = _format_of(example)
            if file_format not in (None, line_format):
                raise _NotAnExampleError(f"is a {line_format} example in a {file_format} file")
            cells = _CELLS[line_format](example)
        except _NotAnExampleError as error:
            yield Malformed(number, str(error))
        except RecursionError:
            yield Malformed(number, "is nested too deeply to be read")
        else:
            file_format = line_format
            yield TableRow(number, {"line": number, **cells}, line_format)


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into lines. Of a line longer than `LONGEST_LINE` only so much is held as shows that it is."""
    held = bytearray()
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield bytes(held + line)[: LONGEST_LINE + 1]
            held.clear()
        if len(held) <= LONGEST_LINE:
            held += rest
    if held:
        yield bytes(held[: LONGEST_LINE + 1])


class Sample:
    """A choice of rows at random that is always the same for one `seed` (the file id), however the rows come.

    Holds no more than `rows` rows and `size` bytes (but one row, however big it is). A larger sample has every row of a
    smaller one.
    """

    def __init__(self, rows: int, size: int, *, seed: str) -> None:
        self._rows = rows
        self._size = size
        self._seed = seed
        self._held: list[tuple[int, int, bytes]] = []  # the rows of lowest rank, the highest of them first to go
        self._bytes = 0
        self._limit = inf if rows else 0  # from this rank on a row has no place

    def offer(self, line: int, encoded: Callable[[], bytes]) -> None:
        """Take a row in if it is chosen; only then it is encoded."""
        rank = int.from_bytes(blake2b(f"{self._seed} {line}".encode(), digest_size=8).digest())
        if rank >= self._limit:
            return
        data = encoded()
        heappush(self._held, (-rank, line, data))
        self._bytes += len(data)
        while len(self._held) > self._rows or (self._bytes > self._size and len(self._held) > 1):
            out, _, gone = heappop(self._held)
            self._limit = -out
            self._bytes -= len(gone)

    def __len__(self) -> int:
        """How many rows are chosen."""
        return len(self._held)

    def __iter__(self) -> Iterator[bytes]:
        """The chosen rows in the order of the file."""
        return (data for _, data in sorted((line, data) for _, line, data in self._held))


@dataclass
class Tally:
    """Counts a file while its rows go by.

    Attributes:
        format: the file's format; empty without any example.
        malformed: how many lines are no example; `shown` are the first of them.
        messages: role → how many messages of examples have it; answers of preference files are not among them.
    """

    format: str = ""
    examples: int = 0
    malformed: int = 0
    shown: list[Malformed] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)
    tool_calls: int = 0
    images: int = 0
    with_tools: int = 0

    def rows(self, items: Iterable[TableRow | Malformed]) -> Iterator[TableRow]:
        """Let the rows pass, count everything."""
        for item in items:
            if isinstance(item, Malformed):
                self.malformed += 1
                if len(self.shown) < MALFORMED_KEPT:
                    self.shown.append(item)
                continue
            self._count(item)
            yield item

    def _count(self, row: TableRow) -> None:
        self.format = row.format
        self.examples += 1
        # A role is the file's own text: one that no format knows is counted, not quoted.
        roles = str(row.cells.get("roles", "")).split()
        self.messages.update(role if role in _ROLES else "other" for role in roles)
        self.tool_calls += _whole(row.cells.get("tool_calls"))
        self.images += _whole(row.cells.get("images"))
        self.with_tools += bool(row.cells.get("tools"))

    def metadata(self) -> dict[str, Any]:
        """Everything there is to say about the file, without a word of its text; zero and empty left out."""
        said = {
            "format": self.format,
            "examples": self.examples,
            "malformed_lines": self.malformed,
            "malformed": [f"line {each.line} {each.message}" for each in self.shown[:_MALFORMED_SHOWN]],
            "messages": self.messages.total(),
            "messages_by_role": dict(self.messages.most_common()),
            "tool_calls": self.tool_calls,
            "examples_with_tools": self.with_tools,
            "images": self.images,
        }
        return {name: value for name, value in said.items() if value or name in ("examples", "malformed_lines")}


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0


# --- one line


def _parsed(text: bytes) -> dict[str, Any]:
    if len(text) > LONGEST_LINE:
        raise _NotAnExampleError(f"is longer than {LONGEST_LINE // 1024**2} MiB")
    try:
        example = json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise _NotAnExampleError(f"is not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise _NotAnExampleError(f"is no JSON from character {error.colno} on") from error
    except ValueError as error:  # Python's limit for the digits of a number
        raise _NotAnExampleError("has a number that is too long to be read") from error
    if not isinstance(example, dict):
        raise _NotAnExampleError("is JSON, but no object")
    return example


def _format_of(example: Mapping[str, Any]) -> Format:
    if "messages" in example:
        return Format.CHAT
    if "input" in example and ("preferred_output" in example or "non_preferred_output" in example):
        return Format.PREFERENCE
    if "prompt" in example and "completion" in example:
        return Format.COMPLETION
    raise _NotAnExampleError("has neither messages, nor input with preferred outputs, nor prompt and completion")


def _chat_cells(example: Mapping[str, Any]) -> dict[str, Cell]:
    messages = _messages(example["messages"], "messages")
    answer = messages[-1] if messages[-1].get("role") == "assistant" else None
    asked = messages[:-1] if answer else messages
    return {
        "prompt": _spoken(asked[-1]) if asked else "",
        "completion": _spoken(answer) if answer else "",
        "untrained": sum(message.get("role") == "assistant" and message.get("weight") == 0 for message in messages),
        **_conversation(messages, []),
        **_tools_and_fields(example, without={"messages"}),
    }


def _preference_cells(example: Mapping[str, Any]) -> dict[str, Cell]:
    asked = example["input"]
    if not isinstance(asked, dict):
        raise _NotAnExampleError("has an input that is no object")
    messages = _messages(asked.get("messages"), "input.messages")
    good = _messages(example.get("preferred_output"), "preferred_output")
    bad = _messages(example.get("non_preferred_output"), "non_preferred_output")
    others = {name: value for name, value in example.items() if name not in ("input", *_OUTPUTS)}
    return {
        "prompt": _spoken(messages[-1]),
        "preferred": _spoken(good[-1]),
        "non_preferred": _spoken(bad[-1]),
        "preferred_output": _json(good),
        "non_preferred_output": _json(bad),
        **_conversation(messages, [*good, *bad]),
        **_tools_and_fields({**others, **asked}, without={"messages"}),
    }


_OUTPUTS = ("preferred_output", "non_preferred_output")


def _completion_cells(example: Mapping[str, Any]) -> dict[str, Cell]:
    others = {name: value for name, value in example.items() if name not in ("prompt", "completion")}
    return {
        "prompt": _content(example["prompt"]),
        "completion": _content(example["completion"]),
        "fields": _json(others) if others else "",
    }


_CELLS: Mapping[Format, Callable[[Mapping[str, Any]], dict[str, Cell]]] = {
    Format.CHAT: _chat_cells,
    Format.PREFERENCE: _preference_cells,
    Format.COMPLETION: _completion_cells,
}


def _messages(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise _NotAnExampleError(f"has {name} that are no list of messages")
    return value


def _conversation(messages: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Cell]:
    """What chats and the inputs of preferences have in common; calls and images of the outputs count too."""
    system = next((message for message in messages if message.get("role") in ("system", "developer")), None)
    everything = [*messages, *outputs]
    return {
        "system": _spoken(system) if system else "",
        "messages": _json(messages),
        "n_messages": len(messages),
        "roles": _clean(" ".join(str(message.get("role") or "?") for message in messages)),
        "tool_calls": sum(len(_calls(message)) for message in everything),
        "images": sum(_kind(part) == "image_url" for message in everything for part in _parts(message.get("content"))),
    }


def _tools_and_fields(example: Mapping[str, Any], *, without: set[str]) -> dict[str, Cell]:
    """`functions` is what `tools` were called before there were any."""
    name = "tools" if "tools" in example else "functions"
    tools = example.get(name)
    fields = {key: value for key, value in example.items() if key not in without | {name}}
    return {"tools": _json(tools) if tools else "", "fields": _json(fields) if fields else ""}


# --- what people read


def _spoken(message: Mapping[str, Any]) -> str:
    """A message as text: its content, its refusal, the calls it makes."""
    said = [_content(message.get("content")), _content(message.get("refusal"))]
    said += [f"{_content(call.get('name'))}({_content(call.get('arguments'))})" for call in _calls(message)]
    return "\n".join(text for text in said if text)


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions that a message calls: any number in `tool_calls`, one in the older `function_call`."""
    tool_calls = message.get("tool_calls")
    calls = (
        [call.get("function") for call in tool_calls if isinstance(call, dict)] if isinstance(tool_calls, list) else []
    )
    return [call for call in [*calls, message.get("function_call")] if isinstance(call, dict)]


def _content(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return _clean(_shortened(content))
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return _json(content)


def _parts(content: object) -> list[object]:
    return content if isinstance(content, list) else []


def _kind(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None


def _part(part: object) -> str:
    """A part of a message: text as it is, anything else by its name."""
    if not isinstance(part, dict):
        return _content(part)
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return _content(part[name])
    if part.get("type") == "image_url":
        image = part.get("image_url")
        return f"[image: {_content(image.get('url') if isinstance(image, dict) else image)}]"
    return _json(part)


def _json(value: object) -> str:
    return _clean(json.dumps(_without_contents(value), ensure_ascii=False))


def _without_contents(value: Any) -> Any:
    """The same JSON with images, audio and files named instead of held."""
    if isinstance(value, dict):
        return {
            name: _shortened(inner, name) if isinstance(inner, str) else _without_contents(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_contents(inner) for inner in value]
    return _shortened(value) if isinstance(value, str) else value


def _shortened(text: str, name: str = "") -> str:
    if len(text) <= _LONGEST_INLINE:
        return text
    if url := _DATA_URL.match(text):
        return f"data:{url['type']} ({(len(text) - url.end()) * 3 // 4:,} bytes)"
    if name in ("data", "file_data") and _BASE64.fullmatch(text):
        return f"({len(text) * 3 // 4:,} bytes)"
    return text


def _clean(text: str) -> str:
    """JSON may escape half a character (\\ud83d), which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode()
