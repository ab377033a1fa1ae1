"""Generated training files: every format, the same each time, with the size that is announced."""

import json
from typing import Any, get_args

import pytest

from sandbox.azure.openai.training_files import FileScript, Format, TrainingFile

FORMATS = get_args(Format)


def made(**fields: Any) -> bytes:
    return b"".join(TrainingFile(FileScript.model_validate({"id": "file-1"} | fields), 0.0).content())


def examples(**fields: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made(**fields).splitlines()]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_description_makes_the_same_bytes_and_their_number_is_known(name: str) -> None:
    file = TrainingFile(FileScript.model_validate({"id": "file-1", "format": name, "count": 400}), 0.0)
    content = b"".join(file.content())
    assert len(content) == file.size
    assert content == made(format=name, count=400)
    assert content != made(format=name, count=400, seed=1)
    assert len(set(content.splitlines())) > 300


def test_content_comes_in_pieces() -> None:
    pieces = list(TrainingFile(FileScript(id="file-1", count=2000), 0.0).content())
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 70_000


def roles(example: dict[str, Any]) -> list[str]:
    return [message["role"] for message in example["messages"]]


def test_chats_have_two_or_three_messages() -> None:
    assert {tuple(roles(e)) for e in examples(format="chat")} == {("user", "assistant")}
    assert {tuple(roles(e)) for e in examples(format="chat_with_system")} == {("system", "user", "assistant")}


def test_conversations_differ_in_length_and_weigh_their_answers() -> None:
    found = examples(format="conversation", turns=4)
    assert {len(e["messages"]) for e in found} == {5, 7, 9, 11}
    assert {m.get("weight") for e in found for m in e["messages"]} == {None, 0, 1}


def test_tool_calls_have_no_content_and_are_answered() -> None:
    for found in examples(format="tools"):
        call, answer = found["messages"][2:4]
        assert "content" not in call
        assert answer["tool_call_id"] == call["tool_calls"][0]["id"]
        assert found["tools"][0]["function"]["name"] == call["tool_calls"][0]["function"]["name"]


@pytest.mark.parametrize(("images", "start"), [("data", "data:image/png;base64,"), ("https", "https://")])
def test_vision_has_image_parts(images: str, start: str) -> None:
    for found in examples(format="vision", images=images):
        text, image = found["messages"][1]["content"]
        assert text["type"] == "text"
        assert image["image_url"]["url"].startswith(start)


def test_dpo_reinforcement_and_completion_have_their_fields() -> None:
    assert set(examples(format="dpo")[0]) == {"input", "preferred_output", "non_preferred_output"}
    assert {"messages", "reference_category", "reference_priority"} == set(examples(format="reinforcement")[0])
    assert set(examples(format="completion")[0]) == {"prompt", "completion"}


def test_so_many_lines_are_malformed_and_the_rest_are_not() -> None:
    def is_example(line: bytes) -> bool:
        try:
            return isinstance(json.loads(line), dict)
        except ValueError:
            return False

    lines = made(count=50, malformed=7).splitlines()
    assert len(lines) == 50
    assert sum(not is_example(line) for line in lines) == 7


def test_given_lines_come_word_for_word() -> None:
    assert made(lines=['{"a": "ä"}', "not json"]) == '{"a": "ä"}\nnot json\n'.encode()
