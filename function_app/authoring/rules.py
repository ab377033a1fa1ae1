"""What fine-tuning asks of one example, by method. Pure.

The rules are those that the services publish, each with its source; where a rule is OpenAI's and Microsoft says nothing
of it, that it holds on Azure too is UNVERIFIED. What a rule finds quotes nothing of the example: training data is
private. Messages are counted from 1.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from function_app.data.formats import Format
from function_app.models import Method

IMAGES_PER_EXAMPLE = 64
"""(Microsoft, Vision fine-tuning)"""

LARGEST_IMAGE = 10 * 1024 * 1024
"""Bytes (Microsoft, Vision fine-tuning: 10 MB)."""

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})  # (Microsoft, Vision fine-tuning)
_DETAILS = frozenset({"auto", "low", "high"})  # (Microsoft, Vision fine-tuning)
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,")
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_ANSWERS = frozenset({"assistant", "tool"})  # (Microsoft, Direct preference optimization)
_ITEM = re.compile(r"\{\{\s*item\.(?P<field>\w+)")


class Severity(StrEnum):
    """Whether the service refuses the file for it, or only people would wish to know."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One rule that is not kept.

    Attributes:
        rule: a short name for programs, such as "last-message".
        message: what is wrong, for people; of a line it says nothing that the line itself says.
        line: which line, from 1 up; None when it is the file as a whole.
    """

    severity: Severity
    rule: str
    message: str
    line: int | None = None


_Findings = Iterator[tuple[Severity, str, str]]
_Message = Mapping[str, Any]


def method_of(file_format: Format, example: Mapping[str, Any]) -> Method:
    """The method that an example is for: preferences are DPO's, a chat that ends with the user's turn is for
    reinforcement (Microsoft, Reinforcement fine-tuning), all else is supervised.
    """
    if file_format is Format.PREFERENCE:
        return Method.DPO
    if file_format is Format.CHAT and example["messages"][-1].get("role") == "user":
        return Method.REINFORCEMENT
    return Method.SUPERVISED


FORMATS: Mapping[Method, tuple[Format, ...]] = {
    Method.SUPERVISED: (Format.CHAT, Format.COMPLETION),
    Method.DPO: (Format.PREFERENCE,),
    Method.REINFORCEMENT: (Format.CHAT,),
}
"""The formats that a method takes."""


def fields_of_grader(grader: object) -> frozenset[str]:
    """The fields of an example that a grader's templates and code take: `{{ item.NAME }}` (Microsoft, Reinforcement
    fine-tuning). What Python code takes out of its `item` cannot be told.
    """
    return frozenset(found["field"] for found in _ITEM.finditer(json.dumps(grader)))


def find(
    example: Mapping[str, Any],
    file_format: Format,
    method: Method,
    line: int,
    grader_fields: frozenset[str] = frozenset(),
) -> Iterator[Finding]:
    """What is wrong with an example that `datasets.read_rows` could read, and whose format the method takes."""
    for severity, rule, message in _found(example, file_format, method, grader_fields):
        yield Finding(severity, rule, message, line)


def _found(example: Mapping[str, Any], file_format: Format, method: Method, grader_fields: frozenset[str]) -> _Findings:
    yield from CHECKS[file_format](example, method)
    if method is Method.REINFORCEMENT:
        missing = sorted(grader_fields - example.keys())
        if missing:  # the names are the grader's own, not the example's
            yield Severity.ERROR, "grader-field", f"lacks what the grader asks for: {', '.join(missing)}"


def _conversation(example: Mapping[str, Any], method: Method) -> _Findings:
    yield from _chat(example["messages"], example, "messages")
    yield from _last_of_chat(example["messages"], method)


def _completion(example: Mapping[str, Any], _: Method) -> _Findings:
    # Azure refused a file with "Each line's json may only contain two properties", and one with empty prompts
    # (MicrosoftDocs/azure-docs#107548, #108515).
    if example.keys() - {"prompt", "completion"}:
        yield Severity.ERROR, "extra-fields", "has more than a prompt and a completion"
    for name in ("prompt", "completion"):
        if not isinstance(example[name], str):
            yield Severity.ERROR, "text", f"its {name} is no text"
        elif not example[name].strip():
            yield Severity.ERROR, "empty", f"its {name} is empty"


def _preference(example: Mapping[str, Any], _: Method) -> _Findings:
    """(Microsoft, Direct preference optimization)"""
    asked = example["input"]
    yield from _chat(asked["messages"], asked, "input.messages")
    for name in ("preferred_output", "non_preferred_output"):
        answers: Sequence[_Message] = example[name]
        yield from _chat(answers, asked, name)
        roles = {_word(message.get("role")) for message in answers}
        if "assistant" not in roles:
            yield Severity.ERROR, "no-answer", f"its {name} has no message from the assistant"
        if roles & _ROLES - _ANSWERS:
            yield Severity.ERROR, "role", f"its {name} has a message from neither assistant nor tool"
    if example["preferred_output"] == example["non_preferred_output"]:
        yield Severity.WARNING, "same-outputs", "its two outputs are the same: nothing is preferred"


def _last_of_chat(messages: Sequence[_Message], method: Method) -> _Findings:
    last = messages[-1].get("role")
    if method is Method.REINFORCEMENT:
        if last != "user":  # (Microsoft, Reinforcement fine-tuning)
            yield Severity.ERROR, "last-message", "its last message is not from the user, as reinforcement asks for"
        return
    answers = [message for message in messages if message.get("role") == "assistant"]
    if not answers:  # (OpenAI cookbook, Data preparation for chat fine-tuning)
        yield Severity.ERROR, "no-answer", "has no message from the assistant: there is nothing to learn"
    elif last != "assistant":  # OpenAI's validation refuses it; Azure's is UNVERIFIED
        yield Severity.ERROR, "last-message", "its last message is not from the assistant"
    elif all(answer.get("weight") == 0 for answer in answers):
        yield Severity.WARNING, "weight", "every answer has weight 0: nothing is learned from it"


CHECKS: Mapping[Format, Callable[[Mapping[str, Any], Method], _Findings]] = {
    Format.CHAT: _conversation,
    Format.PREFERENCE: _preference,
    Format.COMPLETION: _completion,
}
"""What is checked of an example, by its format."""


# --- messages


def _chat(messages: Sequence[_Message], example: Mapping[str, Any], where: str) -> _Findings:
    """What all lists of messages have in common; `example` has the tools that they may call."""
    called: set[str] = set()
    for number, message in enumerate(messages, 1):
        here = f"message {number} of {where}"
        role = _word(message.get("role"))
        if role not in _ROLES:
            yield Severity.ERROR, "role", f"{here} has no role that is known: {', '.join(sorted(_ROLES))}"
            continue
        yield from _content(message, here)
        yield from _weight(message, here)
        called |= {_word(call.get("id")) for call in _calls(message)} - {""}
        yield from _tool_calls(message, _declared(example), here)
        if role == "tool" and _word(message.get("tool_call_id")) not in called:
            yield Severity.ERROR, "tool-call-id", f"{here} answers a tool call that no message before it makes"
    images = sum(_kind(part) == "image_url" for message in messages for part in _parts(message))
    if images > IMAGES_PER_EXAMPLE:
        yield Severity.ERROR, "images", f"has {images} images in {where}; {IMAGES_PER_EXAMPLE} are allowed"


def _content(message: _Message, here: str) -> _Findings:
    content, role = message.get("content"), message["role"]
    if content is None:
        speaks = role == "assistant" and (message.get("refusal") or _calls(message) or message.get("function_call"))
        if not speaks:
            yield Severity.ERROR, "content", f"{here} has no content"
    elif isinstance(content, str):
        if not content.strip():
            yield Severity.WARNING, "empty", f"{here} is empty"
    elif not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        yield Severity.ERROR, "content", f"the content of {here} is neither text nor a list of parts"
    else:
        for part in content:
            yield from _part(part, role, here)


def _part(part: Mapping[str, Any], role: str, here: str) -> _Findings:
    if _kind(part) != "image_url":
        if not isinstance(part.get("type"), str):
            yield Severity.ERROR, "content", f"{here} has a part without a type"
        return
    if role == "assistant":  # (Microsoft, Vision fine-tuning)
        yield Severity.ERROR, "image-role", f"{here} has an image: the assistant cannot answer with one"
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        yield Severity.ERROR, "image", f"{here} has an image without an address"
        return
    if data := _DATA_URL.match(url):
        if data["type"] not in _IMAGE_TYPES:
            yield Severity.ERROR, "image", f"{here} has an image that is not JPEG, PNG or WEBP"
        if (len(url) - data.end()) * 3 // 4 > LARGEST_IMAGE:
            yield Severity.ERROR, "image", f"{here} has an image of more than {LARGEST_IMAGE // 1024**2} MiB"
    elif not url.startswith(("https://", "http://")):
        yield Severity.ERROR, "image", f"{here} has an image that is neither at a web address nor inline in base64"
    if isinstance(image, dict) and _word(image.get("detail", "auto")) not in _DETAILS:
        yield Severity.ERROR, "image", f"{here} asks for a detail that is none of {', '.join(sorted(_DETAILS))}"


def _weight(message: _Message, here: str) -> _Findings:
    if "weight" not in message:
        return
    weight = message["weight"]
    if isinstance(weight, bool) or weight not in (0, 1):  # (Microsoft, Customize a model with fine-tuning)
        yield Severity.ERROR, "weight", f"{here} has a weight that is neither 0 nor 1"
    if message["role"] != "assistant":
        yield Severity.ERROR, "weight", f"{here} has a weight, which only the assistant's messages can have"


def _tool_calls(message: _Message, declared: frozenset[str], here: str) -> _Findings:
    """(OpenAI, Fine-tuning: function calling)"""
    if message.get("tool_calls") and message["role"] != "assistant":
        yield Severity.ERROR, "tool-calls", f"{here} calls tools, which only the assistant can"
    for call in _calls(message):
        function = call.get("function")
        if not isinstance(call.get("id"), str) or not isinstance(function, dict):
            yield Severity.ERROR, "tool-calls", f"{here} has a tool call without an id or a function"
            continue
        if not _is_json_object(function.get("arguments")):
            yield (
                Severity.ERROR,
                "tool-arguments",
                f"{here} calls a tool with arguments that are no JSON object in a text",
            )
        if _word(function.get("name")) not in declared:
            yield Severity.ERROR, "undeclared-tool", f"{here} calls a tool that the example's tools do not have"


def _calls(message: _Message) -> list[Mapping[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _declared(example: Mapping[str, Any]) -> frozenset[str]:
    tools = example.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return frozenset(
        function["name"]
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    )


def _is_json_object(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _parts(message: _Message) -> list[object]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _word(value: object) -> str:
    """A text that can be compared with others; empty for anything else that JSON may have there."""
    return value if isinstance(value, str) else ""


def _kind(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None
