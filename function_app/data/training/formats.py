"""The formats of training and validation files, one table row for each example. Pure.

Everything that depends on the format is in `SPECS`: how an example is recognized, its table columns and cells, its
messages and tools. Cells hold text and whole numbers only; nested values are JSON, besides the one or two texts that
people want to read.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from function_app.models import Cell

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_LONGEST_INLINE = 200  # characters of base64 that are kept in a cell; longer ones are file contents, not text to read
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_SYSTEM = ("system", "developer")
_encode = json.JSONEncoder(ensure_ascii=False).encode
_OUTPUTS = ("preferred_output", "non_preferred_output")

Example = Mapping[str, Any]
Message = Mapping[str, Any]


class Format(StrEnum):
    """The shape of a file's lines."""

    CHAT = "chat"  # messages: supervised with or without tools and images, and reinforcement with its reference fields
    PREFERENCE = "preference"  # input, preferred_output, non_preferred_output
    COMPLETION = "completion"  # prompt, completion


class NotAnExampleError(ValueError):
    """A line is not an example. The message gives the reason without quoting the line, because training data is private."""


@dataclass(frozen=True)
class FormatSpec:
    """The parts that depend on the format of an example.

    Attributes:
        recognizes: whether a JSON object is meant as an example of this format.
        columns: the columns of the table, in reading order.
        cells: an example's cells, for every column but ``line``. Raises `NotAnExampleError`.
        messages: all messages of an example, including outputs; texts without a role if the format has no messages.
            Raises `NotAnExampleError`.
        tools: the tools that an example declares, unchanged.
    """

    recognizes: Callable[[Example], bool]
    columns: tuple[str, ...]
    cells: Callable[[Example], dict[str, Cell]]
    messages: Callable[[Example], list[Message]]
    tools: Callable[[Example], object]


NUMBERS = frozenset({"line", "n_messages", "untrained", "tool_calls", "images"})
"""The columns that hold whole numbers; the others hold text."""


def format_of(example: Example) -> Format:
    """Recognize an example's format.

    Raises:
        NotAnExampleError: no format matches.
    """
    for known, spec in SPECS.items():
        if spec.recognizes(example):
            return known
    raise NotAnExampleError("has neither messages, nor input with preferred outputs, nor prompt and completion")


def _chat_cells(example: Example) -> dict[str, Cell]:
    messages = _messages(example["messages"], "messages")
    answer = messages[-1] if messages[-1].get("role") == "assistant" else None
    prompt = messages[:-1] if answer else messages
    return {
        "prompt": _text_of(prompt[-1]) if prompt else "",
        "completion": _text_of(answer) if answer else "",
        "untrained": sum(message.get("role") == "assistant" and message.get("weight") == 0 for message in messages),
        **_conversation(messages, []),
        **_tools_and_fields(example, without={"messages"}),
    }


def _preference_cells(example: Example) -> dict[str, Cell]:
    prompt = example["input"]
    if not isinstance(prompt, dict):
        raise NotAnExampleError("has an input that is not an object")
    messages = _messages(prompt.get("messages"), "input.messages")
    good = _messages(example.get("preferred_output"), "preferred_output")
    bad = _messages(example.get("non_preferred_output"), "non_preferred_output")
    others = {name: value for name, value in example.items() if name not in ("input", *_OUTPUTS)}
    return {
        "prompt": _text_of(messages[-1]),
        "preferred": _text_of(good[-1]),
        "non_preferred": _text_of(bad[-1]),
        "preferred_output": _json(good),
        "non_preferred_output": _json(bad),
        **_conversation(messages, [*good, *bad]),
        **_tools_and_fields({**others, **prompt}, without={"messages"}),
    }


def _completion_cells(example: Example) -> dict[str, Cell]:
    others = {name: value for name, value in example.items() if name not in ("prompt", "completion")}
    return {
        "prompt": _content(example["prompt"]),
        "completion": _content(example["completion"]),
        "fields": _json(others) if others else "",
    }


def _messages(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise NotAnExampleError(f"has no list of messages as its {name}")
    return value


def _conversation(messages: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Cell]:
    """Return the cells that chats and preferences share. Calls and images of the outputs count, too."""
    roles = [message.get("role") for message in messages]
    system = next((message for message, role in zip(messages, roles, strict=True) if role in _SYSTEM), None)
    everything = [*messages, *outputs]
    contents = [message.get("content") for message in everything]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return {
        "system": _text_of(system) if system else "",
        "messages": _json(messages),
        "n_messages": len(messages),
        "roles": _clean(" ".join([str(role or "?") for role in roles])),
        "tool_calls": len([call for message in everything for call in _calls(message)]),
        "images": len([part for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]),
    }


def _tools_and_fields(example: Mapping[str, Any], *, without: set[str]) -> dict[str, Cell]:
    """Return the cells for the tools (or `functions`, their older name) and for all other fields."""
    name = "tools" if "tools" in example else "functions"
    tools = example.get(name)
    fields = {key: value for key, value in example.items() if key not in without | {name}}
    return {"tools": _json(tools) if tools else "", "fields": _json(fields) if fields else ""}


# --- text for people


def _text_of(message: Message) -> str:
    """Return a message as text: its content, its refusal and its calls."""
    texts = [_content(message[name]) for name in ("content", "refusal") if name in message]
    texts += [f"{_content(call.get('name'))}({_content(call.get('arguments'))})" for call in _calls(message)]
    return "\n".join(text for text in texts if text)


def _calls(message: Message) -> list[dict[str, Any]]:
    """Return the functions that a message calls: any number in `tool_calls`, one in the older `function_call`."""
    tool_calls, call = message.get("tool_calls"), message.get("function_call")
    if tool_calls is None and call is None:
        return []
    calls = (
        [each.get("function") for each in tool_calls if isinstance(each, dict)] if isinstance(tool_calls, list) else []
    )
    return [each for each in [*calls, call] if isinstance(each, dict)]


def _content(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return _clean(_shortened(content))
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return _json(content)


def _part(part: object) -> str:
    """Return a part of a message as text; an image is shown by its address or type."""
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
    text = _encode(value)
    if "base64," in text or 'data"' in text:  # else there is nothing to shorten
        text = _encode(_without_contents(value))
    return _clean(text)


def _without_contents(value: Any) -> Any:
    """Return the same JSON with the type and size of images, audio and files instead of their bytes."""
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
    """Replace halves of surrogate pairs: JSON may escape one (\\ud83d), but UTF-8 cannot encode it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _preference_messages(example: Example) -> list[Message]:
    prompt = example["input"]
    if not isinstance(prompt, dict):
        raise NotAnExampleError("has an input that is not an object")
    messages = _messages(prompt.get("messages"), "input.messages")
    return [*messages, *(message for name in _OUTPUTS for message in _messages(example.get(name), name))]


def _tools_of(example: Example) -> object:
    """Return the declared tools; `functions` is their older name."""
    return example.get("tools") or example.get("functions")


SPECS: Mapping[Format, FormatSpec] = {
    Format.CHAT: FormatSpec(
        recognizes=lambda example: "messages" in example,
        # prompt is the last message before the answer; completion is the answer with its tool calls. untrained counts
        # the answers of weight 0. fields contains every other top-level field, such as reference answers and metadata.
        columns=(
            *("line", "system", "prompt", "completion", "messages", "n_messages", "roles"),
            *("untrained", "tool_calls", "images", "tools", "fields"),
        ),
        cells=_chat_cells,
        messages=lambda example: [*_messages(example["messages"], "messages")],
        tools=_tools_of,
    ),
    Format.PREFERENCE: FormatSpec(
        recognizes=lambda example: "input" in example and any(name in example for name in _OUTPUTS),
        columns=(
            *("line", "system", "prompt", "preferred", "non_preferred", "messages", "n_messages", "roles"),
            *("tool_calls", "images", "preferred_output", "non_preferred_output", "tools", "fields"),
        ),
        cells=_preference_cells,
        messages=_preference_messages,
        tools=lambda example: _tools_of(example["input"]),
    ),
    Format.COMPLETION: FormatSpec(
        recognizes=lambda example: "prompt" in example and "completion" in example,
        columns=("line", "prompt", "completion", "fields"),
        cells=_completion_cells,
        messages=lambda example: [{"content": example["prompt"]}, {"content": example["completion"]}],
        tools=lambda _: None,
    ),
}
"""One entry for each format. docs/architecture.md describes how to add one."""
