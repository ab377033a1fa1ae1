"""Find which rules one example breaks. Pure.

Each check yields the rule's name and a message. A message does not quote the example, because training data is private. Names
of keys appear only if they are well known. Messages of a conversation are counted from 1.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from function_app.authoring.checking.tool_calls import broken_calls, broken_tools, calls_of, text_or_empty
from function_app.data.credentials import has_credentials
from function_app.data.training.formats import ROLES, SPECS, Format
from function_app.models import Method

LARGEST_IMAGE = 10 * 1000 * 1000
"""Bytes (OpenAI and Microsoft, Vision fine-tuning: 10 MB)."""

_Broken = Iterator[tuple[str, str]]
_Message = Mapping[str, Any]

_IMAGES_OPENAI, _IMAGES_AZURE = 10, 64
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})
_DETAILS = frozenset({"auto", "low", "high"})
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,", re.IGNORECASE)
_SPECIAL_TOKEN = re.compile(
    r"<\|(?:endoftext|endofprompt|fim_(?:prefix|middle|suffix)|im_(?:start|end|sep)|start|end|return|message|channel|call|constrain)\|>"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_EXAMPLE_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})
_INPUT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
_PREFERENCE_KEYS = frozenset({"input", "preferred_output", "non_preferred_output"})
_MESSAGE_KEYS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("system", "developer", "user"), frozenset({"role", "content", "name"})),
    "assistant": frozenset({"role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "weight"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
    "function": frozenset({"role", "content", "name"}),
}
_KNOWN_EXTRAS = frozenset(
    {
        *("weight", "metadata", "id", "name", "source", "source_agent", "score", "tools", "functions", "annotations"),
        *(
            "timestamp",
            "reasoning_content",
            "reasoning",
            "tool_call_id",
            "tool_calls",
            "function_call",
            "refusal",
            "audio",
        ),
        *("parallel_tool_calls", "response_format", "messages", "input", "prompt", "completion", "sent_at", "model"),
    }
)
"""Names of keys that a finding may contain. Other names are text from the file."""


def broken_rules(
    example: Mapping[str, Any], file_format: Format, method: Method, grader_fields: frozenset[str] = frozenset()
) -> _Broken:
    """Yield a rule and a message for each error in an example whose format the method supports.

    Raises:
        RecursionError: the example is nested too deeply.
    """
    yield from CHECKS[file_format](example, method)
    yield from _texts(example, file_format)
    if method is Method.REINFORCEMENT:
        missing = sorted(grader_fields - example.keys())
        if missing:  # these names come from the grader, not from the example
            yield "grader-field", f"lacks fields that the grader uses: {', '.join(missing)}"


def _texts(example: Mapping[str, Any], file_format: Format) -> _Broken:
    """Check every text in an example, at any depth."""
    if has_credentials(example):
        yield (
            "credential",
            "contains a credential: a header, a password in an address, or a value whose key names a secret",
        )
    texts = list(_strings(SPECS[file_format].messages(example)))
    if any(_SPECIAL_TOKEN.search(text) for text in texts):
        yield "special-token", "contains a control token of the model in a text"
    if any(_SURROGATE.search(text) for text in texts):
        yield "lone-surrogate", "contains half of a surrogate pair"


def _completion(example: Mapping[str, Any], _: Method) -> _Broken:
    if example.keys() - {"prompt", "completion"}:
        yield "extra-fields", "has other fields besides prompt and completion"
    for name in ("prompt", "completion"):
        if not isinstance(example[name], str):
            yield "text", f"its {name} is not a string"
        elif not example[name].strip():
            yield "empty", f"its {name} is empty"


def _preference(example: Mapping[str, Any], _: Method) -> _Broken:
    prompt = example["input"]
    yield from _extra_keys(example, _PREFERENCE_KEYS, "the example")
    yield from _extra_keys(prompt, _INPUT_KEYS, "the input")
    yield from _chat(prompt["messages"], prompt, "input.messages", method=Method.DPO)
    yield from broken_tools(prompt)
    if _role(prompt["messages"][-1]) == "assistant":
        yield "last-input-message", "its input ends with the assistant's turn"
    if not any(_role(message) == "user" for message in prompt["messages"]):
        yield "no-user", "has no message from the user"
    open_calls = {str(call.get("id")) for message in prompt["messages"] for call in calls_of(message)}
    for name in ("preferred_output", "non_preferred_output"):
        answers: Sequence[_Message] = example[name]
        yield from _chat(answers, prompt, name, method=Method.DPO, called=open_calls)
        roles = [_role(message) for message in answers]
        if "assistant" not in roles:
            yield "no-answer", f"its {name} has no message from the assistant"
        if set(roles) & ROLES - {"assistant", "tool"}:
            yield "output-role", f"its {name} has a message from neither assistant nor tool"
        elif roles != ["assistant"]:
            yield "output-messages", f"its {name} is not exactly one message from the assistant"
        if any("weight" in message for message in answers):
            yield "output-weight", f"its {name} has a message with a weight"
    if example["preferred_output"] == example["non_preferred_output"]:
        yield "same-outputs", "its two outputs are the same, so neither is preferred"
    if _images(SPECS[Format.PREFERENCE].messages(example)):
        yield "images-in-preferences", "has images"


def _conversation(example: Mapping[str, Any], method: Method) -> _Broken:
    messages = example["messages"]
    if method is not Method.REINFORCEMENT:  # every other key belongs to the grader
        yield from _extra_keys(example, _EXAMPLE_KEYS, "the example")
    yield from _chat(messages, example, "messages", method=method)
    yield from broken_tools(example)
    if method is Method.REINFORCEMENT:
        yield from _reinforcement(example)
        return
    answers = [message for message in messages if _role(message) == "assistant"]
    if not any(_role(message) == "user" for message in messages):
        yield "no-user", "has no message from the user"
    if not answers:
        yield "no-answer", "has no message from the assistant, so there is nothing to learn"
    elif _role(messages[-1]) != "assistant":
        yield "last-message", "its last message is not from the assistant"
    elif all(_is_number(answer.get("weight"), 0) for answer in answers):
        yield "no-weight", "every answer has weight 0, so there is nothing to learn"


def _reinforcement(example: Mapping[str, Any]) -> _Broken:
    messages = example["messages"]
    if _role(messages[-1]) != "user":
        yield "last-user-message", "its last message is not from the user, as reinforcement requires"
    if not example.keys() - {"messages", "tools"}:
        yield "no-reference", "has no field for the grader besides its messages"
    if _images(messages):
        yield "images-in-reinforcement", "has images"


CHECKS: Mapping[Format, Callable[[Mapping[str, Any], Method], _Broken]] = {
    Format.CHAT: _conversation,
    Format.PREFERENCE: _preference,
    Format.COMPLETION: _completion,
}
"""The check of an example, by its format."""


# --- messages


def _chat(
    messages: Sequence[_Message],
    example: Mapping[str, Any],
    where: str,
    *,
    method: Method,
    called: Iterable[str] = (),
) -> _Broken:
    """Check a list of messages. `example` declares the tools; `called` contains the ids of earlier calls."""
    known, waiting = set(called), set[str]()
    for number, message in enumerate(messages, 1):
        here = f"message {number} of {where}"
        role = _role(message)
        if role not in ROLES:
            yield "role", f"{here} has no known role: {', '.join(sorted(ROLES))}"
            continue
        yield from _message(message, role, method, here)
        yield from broken_calls(message, role, example, here)
        if role == "tool":
            answered = text_or_empty(message.get("tool_call_id"))
            waiting.discard(answered)
            if answered not in known:
                yield "tool-call-id", f"{here} answers a tool call that no earlier message makes"
        elif waiting:
            yield "unanswered-call", f"{here} comes before all tool calls of the assistant are answered"
            waiting = set()
        ids = {text_or_empty(call.get("id")) for call in calls_of(message)} - {""}
        known |= ids
        waiting |= ids if role == "assistant" else set()
    images = _images(messages)
    if images > _IMAGES_AZURE:
        yield "images", f"has {images} images in {where}; at most {_IMAGES_AZURE} are allowed"
    elif images > _IMAGES_OPENAI:
        yield "images-openai", f"has {images} images in {where}; OpenAI allows {_IMAGES_OPENAI}, Azure {_IMAGES_AZURE}"


def _message(message: _Message, role: str, method: Method, here: str) -> _Broken:
    yield from _extra_keys(message, _MESSAGE_KEYS[role], here, rule="message-key", known={"weight"})
    if role == "developer" and method is not Method.REINFORCEMENT:
        yield (
            "role-developer",
            f"{here} has the role developer, which the services document for reinforcement only",
        )
    if role in ("system", "function") and method is Method.REINFORCEMENT:
        yield (
            "role-system",
            f"{here} has the role {role}; for reinforcement developer, user, assistant and tool are documented",
        )
    if role == "function" and not text_or_empty(message.get("name")):
        yield "function-name", f"{here} does not name the function that answers"
    yield from _content(message, role, here)
    yield from _fields(message, role, here)


def _fields(message: _Message, role: str, here: str) -> _Broken:
    for name in ("weight", "tool_calls", "function_call", "name"):
        if name in message and message[name] is None:
            yield "null-key", f"{here} has a {name} that is null"
    for name in ("name", "refusal"):
        if not isinstance(message.get(name), str | None):
            yield "message-text", f"{here} has a {name} that is not text"
    weight = message.get("weight")
    if weight is not None:
        if not (_is_number(weight, 0) or _is_number(weight, 1)):
            yield "weight", f"{here} has a weight that is neither 0 nor 1"
        if role != "assistant":
            yield "weight", f"{here} has a weight, but only messages from the assistant can have one"


def _content(message: _Message, role: str, here: str) -> _Broken:
    content = message.get("content")
    speaks = role == "assistant" and any(message.get(name) for name in ("refusal", "tool_calls", "function_call"))
    if content is None:
        if not speaks and role != "function":
            yield "content", f"{here} has no content"
    elif isinstance(content, str):
        if not content.strip() and not speaks:
            yield "empty", f"{here} is empty"
    elif not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        yield "content", f"the content of {here} is neither text nor a list of parts"
    elif not content:
        yield "empty-parts", f"{here} has an empty list of parts"
    else:
        for part in content:
            yield from _part(part, role, here)
        if all(
            _kind(part) == "text" and part.get("text") is not None and not str(part["text"]).strip() for part in content
        ):
            yield "empty", f"{here} is empty"
        refusals = sum(_kind(part) == "refusal" for part in content)
        if refusals and (role != "assistant" or len(content) > 1):
            yield (
                "refusal-part",
                f"{here} has a refusal together with other parts, or from another role than the assistant",
            )


def _part(part: Mapping[str, Any], role: str, here: str) -> _Broken:
    kind = _kind(part)
    if kind == "image_url":
        if role != "user":
            yield "image-role", f"{here} has an image, but only messages from the user can have images"
        yield from _image(part.get("image_url"), here)
    elif kind in ("text", "refusal"):
        if not isinstance(part.get(kind), str):
            yield "part", f"{here} has a {kind} part without its {kind}"
    else:
        yield "part", f"{here} has a part of a type that training does not support"


def _image(image: object, here: str) -> _Broken:
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        yield "image", f"{here} has an image without an address"
        return
    if data := _DATA_URL.match(url):
        kind = data["type"].lower()
        if kind == "image/jpg":
            yield "image-jpg", f"{here} has an inline image of the type image/jpg"
        elif kind not in _IMAGE_TYPES:
            yield "image-type", f"{here} has an image that is not JPEG, PNG or WEBP, so training skips it"
        if (len(url) - data.end()) * 3 // 4 > LARGEST_IMAGE:
            yield "image-size", f"{here} has an image of more than 10 MB, so training skips it"
    elif not url.lower().startswith(("https://", "http://")):
        yield "image", f"{here} has an image that is neither at a web address nor inline in base64"
    if isinstance(image, dict) and text_or_empty(image.get("detail", "auto")) not in _DETAILS:
        yield "image-detail", f"{here} has an image with a detail other than {', '.join(sorted(_DETAILS))}"


# --- values


def _extra_keys(
    value: Mapping[str, Any], keys: frozenset[str], where: str, *, rule: str = "extra-key", known: Iterable[str] = ()
) -> _Broken:
    """Report unexpected keys. Keys in `known` are checked by other rules."""
    extra = value.keys() - keys - set(known)
    if extra:
        named = sorted(extra & _KNOWN_EXTRAS)
        others = len(extra) - len(named)
        names = [*named, *([f"{others} other{'s' * (others > 1)}"] if others else [])]
        yield rule, f"{where} has unexpected keys: {', '.join(names)}"


def _images(messages: Iterable[_Message]) -> int:
    contents = [message.get("content") for message in messages]
    return sum(_kind(part) == "image_url" for parts in contents if isinstance(parts, list) for part in parts)


def _strings(value: object) -> Iterator[str]:
    """Yield every text inside a JSON value, except inline files."""
    if isinstance(value, str):
        if not _DATA_URL.match(value):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _role(message: _Message) -> str:
    return text_or_empty(message.get("role"))


def _kind(part: object) -> str:
    return text_or_empty(part.get("type")) if isinstance(part, dict) else ""


def _is_number(value: object, number: int) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value == number
