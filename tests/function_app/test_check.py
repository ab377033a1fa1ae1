"""`check`: what a file for fine-tuning must be like, line by line, without a word of what it says."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.authoring.check import Checked, Question, check_file
from function_app.authoring.rules import FORMATS, Finding, Severity, fields_of_grader, find, method_of
from function_app.authoring.tokens import estimating, expected_epochs, tokens_of
from function_app.cli.check import as_document, tell
from function_app.data.formats import Format
from function_app.data.jsonl import read_rows
from function_app.models import Method, TableRow
from sandbox.azure.openai.training_files import FileScript, TrainingFile

SECRET = "the customer's private words"
USER = {"role": "user", "content": SECRET}
ANSWER = {"role": "assistant", "content": "Please sign in again."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"number": 7}'}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
CHAT = {"messages": [USER, ANSWER]}
TOOL_CHAT: dict[str, Any] = {
    "messages": [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "open"},
        ANSWER,
    ],
    "tools": TOOLS,
}
PREFERENCE = {
    "input": {"messages": [USER]},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{"role": "assistant", "content": "No."}],
}
REINFORCEMENT = {"messages": [USER], "answer": "billing"}
COMPLETION = {"prompt": SECRET, "completion": " billing"}


def image(url: str, **said: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **said}}]}


def written(tmp_path: Path, *examples: Any, times: int = 1) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(example) + "\n" for example in examples * times))
    return path


def checked(path: Path, **asked: Any) -> Checked:
    return check_file(path, Question(**asked), estimating())


def rules(example: dict[str, Any], method: Method | None = None) -> set[str]:
    """The rules that one example breaks."""
    [row] = read_rows([json.dumps(example).encode()])
    assert isinstance(row, TableRow)
    file_format = Format(row.format)
    return {found.rule for found in find(example, file_format, method or method_of(file_format, example), 1)}


GOOD = {
    "chat": CHAT,
    "tools": TOOL_CHAT,
    "vision": {"messages": [image("https://contoso.example/a.png", detail="low"), ANSWER]},
    "inline image": {"messages": [image("data:image/png;base64,aGk="), ANSWER]},
    "weights": {"messages": [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}]},
    "preference": PREFERENCE,
    "reinforcement": REINFORCEMENT,
    "completion": COMPLETION,
    "refusal": {"messages": [USER, {"role": "assistant", "content": None, "refusal": "I cannot."}]},
}


@pytest.mark.parametrize("name", GOOD)
def test_an_example_as_the_services_document_it_breaks_no_rule(name: str) -> None:
    assert rules(GOOD[name]) == set()


@pytest.mark.parametrize(
    ("rule", "example"),
    [
        ("role", {"messages": [{"role": "customer", "content": SECRET}, ANSWER]}),
        ("role", {"messages": [{"role": ["user"], "content": SECRET}, ANSWER]}),
        ("content", {"messages": [{"role": "user"}, ANSWER]}),
        ("content", {"messages": [{"role": "user", "content": {"text": SECRET}}, ANSWER]}),
        ("content", {"messages": [{"role": "user", "content": [{"text": SECRET}]}, ANSWER]}),
        ("empty", {"messages": [{"role": "user", "content": " "}, ANSWER]}),
        ("no-answer", {"messages": [USER, {"role": "system", "content": "Be brief."}]}),
        ("last-message", {"messages": [USER, ANSWER, {"role": "tool", "content": "x", "tool_call_id": "call_1"}]}),
        ("weight", {"messages": [USER, {**ANSWER, "weight": 0.5}]}),
        ("weight", {"messages": [USER, {**ANSWER, "weight": True}]}),
        ("weight", {"messages": [{**USER, "weight": 1}, ANSWER]}),
        ("weight", {"messages": [USER, {**ANSWER, "weight": 0}]}),
        ("tool-calls", {"messages": [{**USER, "tool_calls": [CALL]}, ANSWER], "tools": TOOLS}),
        ("tool-calls", {"messages": [USER, {**ANSWER, "tool_calls": [{"id": "call_1"}]}], "tools": TOOLS}),
        ("undeclared-tool", {"messages": TOOL_CHAT["messages"]}),
        ("tool-call-id", {"messages": [USER, {**TOOL_CHAT["messages"][2]}, ANSWER], "tools": TOOLS}),
        (
            "tool-arguments",
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "look_up", "arguments": "7"}}]},
                ],
                "tools": TOOLS,
            },
        ),
        ("image-role", {"messages": [USER, {**image("https://contoso.example/a.png"), "role": "assistant"}]}),
        ("image", {"messages": [image("data:image/gif;base64,aGk="), ANSWER]}),
        ("image", {"messages": [image("file:///etc/passwd"), ANSWER]}),
        ("image", {"messages": [image("https://contoso.example/a.png", detail="best"), ANSWER]}),
        ("image", {"messages": [image("data:image/png;base64," + "A" * (14 * 1024 * 1024)), ANSWER]}),
        ("image", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}),
        ("images", {"messages": [*[image("https://contoso.example/a.png")] * 65, ANSWER]}),
        ("no-answer", {**PREFERENCE, "preferred_output": [{"role": "tool", "content": "x"}]}),
        ("role", {**PREFERENCE, "non_preferred_output": [ANSWER, USER]}),
        ("same-outputs", {**PREFERENCE, "non_preferred_output": [ANSWER]}),
        ("extra-fields", {**COMPLETION, "id": 7}),
        ("empty", {**COMPLETION, "prompt": ""}),
        ("text", {**COMPLETION, "completion": ["billing"]}),
    ],
)
def test_an_example_that_the_service_would_refuse_breaks_its_rule(rule: str, example: dict[str, Any]) -> None:
    assert rule in rules(example)


def test_a_reinforcement_example_ends_with_the_user_and_has_what_the_grader_asks_for() -> None:
    assert rules(CHAT, Method.REINFORCEMENT) == {"last-message"}
    grader = {"type": "multi", "graders": {"a": {"reference": "{{ item.answer.text }}", "input": "{{item.topic}}"}}}
    assert fields_of_grader(grader) == {"answer", "topic"}
    [found] = find(REINFORCEMENT, Format.CHAT, Method.REINFORCEMENT, 3, fields_of_grader(grader))
    assert (found.rule, found.line) == ("grader-field", 3)
    assert "topic" in found.message


NAMES = [
    *("role", "content", "type", "image_url", "url", "detail", "weight", "tool_calls", "id", "function", "name"),
    *("arguments", "tool_call_id", "tools", "text", "refusal"),
]
WORDS = ["user", "assistant", "image_url"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(st.dictionaries(st.sampled_from(["role", "content", "weight", "tool_calls"]), JSON), min_size=1)


@given(MESSAGES, MESSAGES, JSON)
def test_whatever_json_a_line_has_it_is_judged_and_counted(first: Any, second: Any, tools: Any) -> None:
    for example in (
        {"messages": first, "tools": tools},
        {"input": {"messages": first, "tools": tools}, "preferred_output": second, "non_preferred_output": first},
        {"prompt": tools, "completion": first},
    ):
        [row] = read_rows([json.dumps(example).encode()])
        if not isinstance(row, TableRow):
            continue
        file_format = Format(row.format)
        for method in Method:
            if file_format in FORMATS[method]:
                assert all(found.line == 9 for found in find(example, file_format, method, 9))
        assert tokens_of(example, file_format, estimating()) >= 0


@given(MESSAGES)
def test_what_is_found_is_the_same_for_any_text_so_nothing_of_it_is_told(messages: Any) -> None:
    """A finding is a function of the example's shape: a text of the same kind in its place changes no message."""

    def with_texts(value: Any, text: str) -> Any:
        if isinstance(value, dict):
            return {name: with_texts(inner, text) for name, inner in value.items()}
        if isinstance(value, list):
            return [with_texts(inner, text) for inner in value]
        return text if isinstance(value, str) and value.strip() else value

    told = [
        list(find({"messages": with_texts(messages, text)}, Format.CHAT, Method.SUPERVISED, 1)) for text in ("a", "bb")
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("example", "method"),
    [
        (CHAT, Method.SUPERVISED),
        (COMPLETION, Method.SUPERVISED),
        (PREFERENCE, Method.DPO),
        (REINFORCEMENT, Method.REINFORCEMENT),
    ],
)
def test_the_method_is_what_the_first_example_looks_like(tmp_path: Path, example: Any, method: Method) -> None:
    found = checked(written(tmp_path, example, times=10))
    assert (found.method, found.ok, found.examples) == (method, True, 10)


def test_a_file_for_another_method_is_told_once_however_long_it_is(tmp_path: Path) -> None:
    found = checked(written(tmp_path, CHAT, times=50), method=Method.DPO)
    assert found.findings == [
        Finding(Severity.ERROR, "format", "has chat examples; dpo fine-tuning takes preference", None)
    ]


def test_fewer_than_ten_examples_are_an_error_for_training_and_none_for_validation(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=9)
    assert checked(path).rules == {"few-examples": 1}
    assert checked(path, validation=True).ok


def test_every_line_that_is_no_example_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    good = json.dumps(CHAT).encode()
    path.write_bytes(b"\n".join([good] * 10 + [b"not json", b"", b"\xff\xfe", b"[1]", json.dumps(COMPLETION).encode()]))
    found = checked(path)
    assert [finding.line for finding in found.findings] == [11, 13, 14, 15]
    assert found.counts[Severity.ERROR] == 4
    assert found.lines == 14


def test_a_byte_order_mark_is_seen_and_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=10)
    assert not checked(path).bom
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = checked(path)
    assert (found.bom, found.ok, found.examples) == (True, True, 10)


def test_an_empty_file_has_no_example(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    found = checked(path)
    assert found.rules == {"no-examples": 1}
    assert as_document(path, found)["format"] is None


def test_a_file_over_512_mib_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=10)
    with path.open("r+b") as file:
        file.truncate(512 * 1024 * 1024 + 1)  # a hole: one line of zeros that takes no room
    assert "size" in checked(path).rules


def test_an_example_longer_than_a_model_trains_on_is_a_warning(tmp_path: Path) -> None:
    long = {"messages": [USER, {**ANSWER, "content": "word " * 60_000}]}
    found = checked(written(tmp_path, *[CHAT] * 10, long))
    assert (found.ok, found.rules, found.longest_line) == (True, {"long": 1}, 11)


def test_more_than_two_thousand_million_tokens_are_an_error_only_where_they_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=10)
    estimated = checked(path, epochs=100_000_000)
    assert (estimated.ok, estimated.rules) == (True, {"many-tokens": 1})
    exact = check_file(path, Question(epochs=100_000_000), type(estimating())("words", True, lambda text: 5))
    assert (exact.ok, exact.rules) == (False, {"many-tokens": 1})


def test_a_cost_is_tokens_times_epochs_times_price_and_none_without_a_price_or_for_reinforcement(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, CHAT, times=10)
    found = checked(path, epochs=4, price=25.0)
    assert found.cost == pytest.approx(found.tokens * 4 * 25 / 1_000_000)
    assert checked(path).cost is None
    assert checked(written(tmp_path, REINFORCEMENT, times=10), price=25.0).cost is None


@pytest.mark.parametrize(
    ("examples", "epochs"), [(0, 1), (1, 25), (10, 10), (33, 3), (34, 3), (8_333, 3), (8_334, 2), (99_999, 1)]
)
def test_the_epochs_to_expect_are_those_of_openais_cookbook(examples: int, epochs: int) -> None:
    assert expected_epochs(examples) == epochs


@given(st.text(max_size=200))
def test_an_estimate_is_nothing_only_for_nothing_and_grows_with_the_text(text: str) -> None:
    count = estimating().count
    assert (count(text) == 0) == (text == "")
    assert count(text) <= count(text + "x") <= count(text) + 1


def test_tokens_are_those_of_all_texts_calls_and_tools_but_not_of_images() -> None:
    characters = type(estimating())("characters", True, len)
    plain = tokens_of(CHAT, Format.CHAT, characters)
    assert plain == sum(len(m["role"]) + len(m["content"]) for m in (USER, ANSWER)) + 2 * 3 + 3
    seen = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": SECRET}, image("x" * 999)["content"][0]]},
            ANSWER,
        ]
    }
    assert tokens_of(seen, Format.CHAT, characters) == plain
    assert tokens_of({**CHAT, "tools": TOOLS}, Format.CHAT, characters) == plain + len(json.dumps(TOOLS))


def test_only_a_thousand_findings_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    found = checked(written(tmp_path, {"messages": [USER, USER, ANSWER, USER]}, times=1500), method=Method.SUPERVISED)
    assert (len(found.findings), found.counts[Severity.ERROR]) == (1000, 1500)
    said = io.StringIO()
    with redirect_stdout(said):
        tell(tmp_path / "train.jsonl", found)
    assert "and 1,480 more" in said.getvalue()


def test_a_long_file_is_checked_in_little_memory(tmp_path: Path) -> None:
    """2 MB in less than half of one: nothing of the file is held beyond a piece of it."""
    script = FileScript(id="file-1", format="conversation", count=1_500, padding=600)
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        pieces: Iterator[bytes] = TrainingFile(script, 0.0).content()
        file.writelines(pieces)
    assert path.stat().st_size > 2_000_000
    tracemalloc.start()
    try:
        assert checked(path).ok
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
