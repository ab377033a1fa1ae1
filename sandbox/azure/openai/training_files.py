"""Training and validation files: JSON lines of every format, generated from a short description, always the same.

The world is a software company's help desk: customers ask, agents answer.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from sandbox.azure.openai.script import Moment, Script, digest, epoch
from sandbox.runtime.clock import Duration

Format = Literal["chat", "chat_with_system", "conversation", "tools", "vision", "dpo", "reinforcement", "completion"]
CHUNK = 64 * 1024

_PRODUCTS = ("Ledger", "Courier", "Atlas", "Beacon", "Harbor", "Quill")
_PROBLEMS = (
    ("cannot sign in after the update", "Please clear the saved session and sign in again; your data is untouched."),
    ("gets an invoice with the wrong address", "Correct the address under Billing and issue the invoice again."),
    ("sees the export stop at 99 percent", "Large exports finish in the background; we will mail you the link."),
    ("wants to move a project to another team", "Open the project's settings, choose Transfer and pick the new team."),
    ("is charged twice in one month", "I see the duplicate and have refunded it; it takes three to five days."),
    ("no longer receives notifications", "A filter was muting them. I have reset it, please try again."),
    ("wants an account deleted", "Under Profile, Close account. We keep nothing after thirty days."),
    ("finds the dashboard slow in the morning", "Reports are rebuilt at eight; we moved yours to six."),
)
_TONES = ("politely", "in a hurry", "for the third time", "in great detail", "with a screenshot", "for a colleague")
_CATEGORIES = ("access", "billing", "export", "projects", "billing", "notifications", "account", "performance")
_SYSTEM = "You answer tickets for a software company. Be brief, correct and kind."
_LOOKUP = {
    "type": "function",
    "function": {
        "name": "look_up_ticket",
        "description": "Finds a ticket by its number.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
}
# The smallest PNG there is: one grey dot.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
_MALFORMED = ('{"messages": [{"role": "user", "content": "cut off', "not json", '{"messages": []', "[1, 2")


class FileScript(Script):
    """A file of a scenario: either literal `lines`, or `count` generated examples of a `format`.

    `malformed` is the number of generated lines that are broken, spread evenly. `padding` characters more are in every
    answer, for big files. `images` of vision examples are data URLs or links. A `deleted` file answers 404 although
    jobs still name it.
    """

    id: str = Field(min_length=1)
    filename: str = Field(default="training.jsonl", min_length=1)
    purpose: str = "fine-tune"
    created: Moment = 0.0
    format: Format = "chat_with_system"
    count: int = Field(default=20, ge=0)
    malformed: int = Field(default=0, ge=0)
    padding: int = Field(default=0, ge=0)
    turns: int = Field(default=3, ge=1)  # of a conversation
    images: Literal["data", "https"] = "https"
    seed: int = 0
    lines: list[str] | None = None
    status: str = "processed"
    status_details: str | None = None
    processing: Duration = 0.0  # pending until then
    deleted: bool = False

    @model_validator(mode="after")
    def _malformed_at_most_count(self) -> "FileScript":
        if self.malformed > self.count:
            raise ValueError(f"{self.malformed} malformed lines of {self.count}")
        return self


class TrainingFile:
    """A file of a scenario with its content, which is generated line by line and not kept."""

    def __init__(self, script: FileScript, origin: float) -> None:
        self.script = script
        self.created = epoch(script.created, origin)

    @cached_property
    def size(self) -> int:
        """The content's length in bytes."""
        return sum(len(line) for line in self._lines())

    def content(self) -> Iterator[bytes]:
        """The content in pieces of about 64 KiB."""
        piece = bytearray()
        for line in self._lines():
            piece += line
            if len(piece) >= CHUNK:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)

    def _lines(self) -> Iterator[bytes]:
        if self.script.lines is not None:
            yield from ((line + "\n").encode() for line in self.script.lines)
            return
        for index in range(self.script.count):
            yield (self._line(index) + "\n").encode()

    def _line(self, index: int) -> str:
        count, broken = self.script.count, self.script.malformed
        # Line i is broken if the share of broken lines passes the next whole number there.
        if index * broken // count != (index + 1) * broken // count:
            return _MALFORMED[index % len(_MALFORMED)]
        return json.dumps(example(self.script, index), ensure_ascii=False)


def example(script: FileScript, index: int) -> dict[str, Any]:
    """Example number `index` of a generated file."""
    return _MAKERS[script.format](_Ticket(script, index))


class _Ticket:
    """The subject of one example."""

    def __init__(self, script: FileScript, index: int) -> None:
        self.script = script
        self.index = index
        picks = int(digest(script.seed, script.format, index), 16)
        self._picks = picks
        product = _PRODUCTS[picks % 6]
        self.number = 10_000 + (picks >> 8) % 90_000
        self.kind = (picks >> 32) % len(_PROBLEMS)
        problem, answer = _PROBLEMS[self.kind]
        self.answer = answer + (f" {answer}" * (script.padding // len(answer) + 1))[: script.padding]
        tone = _TONES[(picks >> 40) % len(_TONES)]
        self.question = f"Ticket {self.number}, {product}: a customer {problem} and writes {tone}. What do we reply?"

    def other(self, turn: int) -> tuple[str, str]:
        """A further question and its answer."""
        problem, answer = _PROBLEMS[(self._picks >> (3 * turn)) % len(_PROBLEMS)]
        return f"And if the customer also {problem}?", answer


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _chat(ticket: _Ticket) -> dict[str, Any]:
    return {"messages": [_message("user", ticket.question), _message("assistant", ticket.answer)]}


def _chat_with_system(ticket: _Ticket) -> dict[str, Any]:
    return {"messages": [_message("system", _SYSTEM), *_chat(ticket)["messages"]]}


def _conversation(ticket: _Ticket) -> dict[str, Any]:
    messages = _chat_with_system(ticket)["messages"]
    # Lengths differ from example to example, as they do in real conversations.
    for turn in range(1, 1 + ticket.index % ticket.script.turns + 1):
        question, answer = ticket.other(turn)
        messages += [_message("user", question), {**_message("assistant", answer), "weight": turn % 2}]
    return {"messages": messages}


def _tools(ticket: _Ticket) -> dict[str, Any]:
    call = {
        "id": f"call_{digest(ticket.number)[:8]}",
        "type": "function",
        "function": {"name": "look_up_ticket", "arguments": json.dumps({"number": ticket.number})},
    }
    found = json.dumps({"number": ticket.number, "category": _CATEGORIES[ticket.kind], "open": True})
    messages = [
        _message("system", _SYSTEM),
        _message("user", f"What is ticket {ticket.number} about?"),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": found},
        _message("assistant", ticket.answer),
    ]
    return {"messages": messages, "tools": [_LOOKUP], "parallel_tool_calls": False}


def _vision(ticket: _Ticket) -> dict[str, Any]:
    links = {
        "data": f"data:image/png;base64,{_PIXEL}",
        "https": f"https://tickets.contoso.example/{ticket.number}/screenshot.png",
    }
    parts = [
        {"type": "text", "text": f"What does the screenshot of ticket {ticket.number} show?"},
        {"type": "image_url", "image_url": {"url": links[ticket.script.images], "detail": "low"}},
    ]
    seen = f"The customer {_PROBLEMS[ticket.kind][0]}."
    return {"messages": [_message("system", _SYSTEM), _message("user", parts), _message("assistant", seen)]}


def _dpo(ticket: _Ticket) -> dict[str, Any]:
    return {
        "input": {"messages": _chat_with_system(ticket)["messages"][:2], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [_message("assistant", ticket.answer)],
        "non_preferred_output": [_message("assistant", "Please read the manual.")],
    }


def _reinforcement(ticket: _Ticket) -> dict[str, Any]:
    task = f"Sort this ticket into a category and a priority from 1 to 3. {ticket.question}"
    return {
        "messages": [_message("user", task)],
        "reference_category": _CATEGORIES[ticket.kind],
        "reference_priority": 1 + ticket.number % 3,
    }


def _completion(ticket: _Ticket) -> dict[str, Any]:
    return {"prompt": f"{ticket.question}\n\n###\n\n", "completion": f" {ticket.answer} END"}


_MAKERS = {
    "chat": _chat,
    "chat_with_system": _chat_with_system,
    "conversation": _conversation,
    "tools": _tools,
    "vision": _vision,
    "dpo": _dpo,
    "reinforcement": _reinforcement,
    "completion": _completion,
}
