"""Each rule for an example finds what breaks it, as seriously as the service's documents warrant, and quotes nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.authoring.checking.examples import broken_rules
from function_app.authoring.checking.rule_table import RULES
from function_app.authoring.checking.rules import FORMATS, Service, Severity, Verdict, fields_of_grader, method_of
from function_app.authoring.checking.tokens import estimating_tokenizer, tokens_of
from function_app.data.training.formats import SPECS, NotAnExampleError, format_of
from function_app.models import Method

SECRET = "the customer's private words"
USER = {"role": "user", "content": SECRET}
ANSWER = {"role": "assistant", "content": "Please sign in again."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"number": 7}'}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "tool_call_id": "call_1", "content": "open"}
FUNCTION_CALL = {"role": "assistant", "content": None, "function_call": {"name": "look_up", "arguments": "{}"}}
FUNCTION = {"name": "look_up", "parameters": {"type": "object"}}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def tools(*messages: Any, **more: Any) -> dict[str, Any]:
    return chat(USER, *messages, **({"tools": [TOOL]} | more))


def pair(good: Any = None, bad: Any = None, asked: Any = None, **more: Any) -> dict[str, Any]:
    no = [{"role": "assistant", "content": "No."}]
    return {
        "input": {"messages": asked or [USER], **more},
        "preferred_output": good or [ANSWER],
        "non_preferred_output": bad or no,
    }


def image(url: str = "https://contoso.example/a.png", role: str = "user", **values: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "image_url", "image_url": {"url": url, **values}}]}


def parts(*items: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(items)}


def call(**values: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{**CALL, **values}]}


def arguments(value: Any) -> dict[str, Any]:
    return call(function={"name": "look_up", "arguments": value})


def found(example: dict[str, Any], service: Service | None = None, method: Method | None = None) -> dict[str, Severity]:
    """The rules that one example breaks, and how serious that is."""
    known = format_of(example)
    broken = {rule for rule, _ in broken_rules(example, known, method or method_of(known, example))}
    severities = {rule: RULES[rule].severity(service) for rule in broken}
    return {rule: severity for rule, severity in severities.items() if severity}


@pytest.mark.parametrize(
    "example",
    [
        chat(USER, ANSWER),
        chat({"role": "system", "content": "Be brief."}, USER, ANSWER),
        tools(CALLS, TOLD, ANSWER),
        tools(CALLS),
        tools({**CALLS, "content": ""}, TOLD, {**ANSWER, "refusal": None}),
        tools(CALLS, TOLD, ANSWER, parallel_tool_calls=False),
        chat(
            USER, FUNCTION_CALL, {"role": "function", "name": "look_up", "content": None}, ANSWER, functions=[FUNCTION]
        ),
        chat(image(detail="low"), ANSWER),
        chat(image("data:image/png;base64,aGk="), ANSWER),
        chat(image("data:image/jpeg;charset=utf-8;base64,aGk="), ANSWER),
        chat(parts({"type": "text", "text": "Hi"}), ANSWER),
        chat(USER, parts({"type": "refusal", "refusal": "No."}, role="assistant")),
        chat(USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}),
        chat(USER, {"role": "assistant", "content": None, "refusal": "I cannot."}),
        chat(USER, USER, ANSWER),
        pair(),
        chat(USER, answer="billing"),
        chat({"role": "developer", "content": "D"}, USER, answer="billing"),
        {"prompt": SECRET, "completion": " billing"},
        tools(
            ANSWER,
            tools=[{**TOOL, "function": {**FUNCTION, "parameters": {"properties": {"password": {"type": "string"}}}}}],
        ),
    ],
    ids=lambda example: json.dumps(example)[:60],
)
def test_an_example_as_the_services_document_it_breaks_no_rule(example: dict[str, Any]) -> None:
    assert found(example) == {}


ERROR, WARNING = Severity.ERROR, Severity.WARNING


@pytest.mark.parametrize(
    ("rule", "openai", "azure", "either", "example"),
    [
        ("extra-key", ERROR, WARNING, ERROR, chat(USER, ANSWER, weight=0.9)),
        ("extra-key", ERROR, WARNING, ERROR, {**pair(), "id": 7}),
        ("extra-key", ERROR, WARNING, ERROR, pair(model="x")),
        ("message-key", ERROR, WARNING, ERROR, chat({**USER, "timestamp": 1}, ANSWER)),
        ("role", ERROR, ERROR, ERROR, chat({"role": "customer", "content": SECRET}, ANSWER)),
        ("role", ERROR, ERROR, ERROR, chat({"role": ["user"], "content": SECRET}, ANSWER)),
        ("role-developer", WARNING, WARNING, WARNING, chat({"role": "developer", "content": "D"}, USER, ANSWER)),
        ("role-system", WARNING, WARNING, WARNING, chat({"role": "system", "content": "D"}, USER, answer=1)),
        ("no-user", None, WARNING, WARNING, chat(ANSWER)),
        ("no-user", None, WARNING, WARNING, pair(asked=[{"role": "system", "content": "S"}])),
        ("no-answer", ERROR, ERROR, ERROR, chat(USER, {"role": "system", "content": "Be brief."})),
        ("no-answer", ERROR, ERROR, ERROR, pair(good=[TOLD])),
        ("last-message", ERROR, ERROR, ERROR, chat(USER, ANSWER, {"role": "system", "content": "S"})),
        ("content", ERROR, ERROR, ERROR, chat({"role": "user"}, ANSWER)),
        ("content", ERROR, ERROR, ERROR, chat({"role": "user", "content": {"text": SECRET}}, ANSWER)),
        ("content", ERROR, ERROR, ERROR, chat(parts("Hi"), ANSWER)),
        ("empty", WARNING, WARNING, WARNING, chat({"role": "user", "content": " "}, ANSWER)),
        ("empty", WARNING, WARNING, WARNING, chat(parts({"type": "text", "text": " "}), ANSWER)),
        ("empty-parts", ERROR, WARNING, ERROR, chat(parts(), ANSWER)),
        ("part", ERROR, WARNING, ERROR, chat(parts({"text": SECRET}), ANSWER)),
        ("part", ERROR, WARNING, ERROR, chat(parts({"type": "text"}), ANSWER)),
        ("part", ERROR, WARNING, ERROR, chat(parts({"type": "input_audio", "input_audio": {}}), ANSWER)),
        (
            "refusal-part",
            ERROR,
            WARNING,
            ERROR,
            chat(USER, parts(*[{"type": "refusal", "refusal": "N"}] * 2, role="assistant")),
        ),
        ("weight", ERROR, ERROR, ERROR, chat(USER, {**ANSWER, "weight": 0.5})),
        ("weight", ERROR, ERROR, ERROR, chat(USER, {**ANSWER, "weight": True})),
        ("weight", ERROR, ERROR, ERROR, chat({**USER, "weight": 1}, ANSWER)),
        ("no-weight", WARNING, WARNING, WARNING, chat(USER, {**ANSWER, "weight": 0})),
        ("null-key", WARNING, WARNING, WARNING, chat(USER, {**ANSWER, "tool_calls": None})),
        ("null-key", WARNING, WARNING, WARNING, chat({**USER, "name": None}, ANSWER)),
        ("null-key", WARNING, WARNING, WARNING, tools(ANSWER, tools=None)),
        ("message-text", ERROR, WARNING, ERROR, chat({**USER, "name": 7}, ANSWER)),
        ("message-text", ERROR, WARNING, ERROR, chat(USER, {"role": "assistant", "refusal": ["No."]})),
        ("special-token", ERROR, WARNING, ERROR, chat(USER, {**ANSWER, "content": "In Lund. <|fim_suffix|>"})),
        ("special-token", ERROR, WARNING, ERROR, chat(USER, {**ANSWER, "content": "<|channel|>final"})),
        ("lone-surrogate", WARNING, WARNING, WARNING, chat(USER, {**ANSWER, "content": "\ud83d"})),
        ("credential", ERROR, ERROR, ERROR, tools(ANSWER, tools=[{**TOOL, "headers": {"x-api": "abc"}}])),
        ("credential", ERROR, ERROR, ERROR, chat(USER, {**ANSWER, "content": "https://me:pass@host.example/"})),
        ("tools", ERROR, ERROR, ERROR, chat(USER, ANSWER, tools=[{"type": "function", "name": "look_up"}])),
        ("tools", ERROR, ERROR, ERROR, chat(USER, ANSWER, functions=[{}])),
        ("tools", ERROR, ERROR, ERROR, chat(USER, ANSWER, tools={"a": 1})),
        ("tool-name", ERROR, ERROR, ERROR, tools(ANSWER, tools=[{**TOOL, "function": {"name": "look up"}}])),
        ("many-tools", ERROR, ERROR, ERROR, tools(ANSWER, tools=[TOOL] * 129)),
        ("empty-functions", WARNING, None, WARNING, chat(USER, ANSWER, functions=[])),
        ("parallel-tool-calls", ERROR, ERROR, ERROR, tools(ANSWER, parallel_tool_calls="no")),
        ("tool-calls", ERROR, ERROR, ERROR, tools({**USER, "tool_calls": [CALL]}, ANSWER)),
        ("tool-calls", ERROR, ERROR, ERROR, tools(call(function=None))),
        ("tool-call-shape", ERROR, WARNING, ERROR, tools(call(id=None))),
        ("tool-call-shape", ERROR, WARNING, ERROR, tools(call(type=None))),
        ("arguments-text", ERROR, ERROR, ERROR, tools(arguments({"number": 7}))),
        ("tool-arguments", WARNING, WARNING, WARNING, tools(arguments('"{}"'))),
        ("tool-arguments", WARNING, WARNING, WARNING, tools(arguments(""))),
        ("tool-arguments", WARNING, WARNING, WARNING, tools(arguments('{"number": NaN}'))),
        ("undeclared-tool", WARNING, WARNING, WARNING, tools(CALLS, tools=[{**TOOL, "function": {"name": "other"}}])),
        ("no-tools", WARNING, None, WARNING, tools(CALLS, tools=[])),
        ("no-tools", WARNING, None, WARNING, chat(USER, CALLS)),
        ("undeclared-function", ERROR, WARNING, ERROR, chat(USER, FUNCTION_CALL)),
        ("tool-call-id", ERROR, ERROR, ERROR, tools(TOLD, ANSWER)),
        ("unanswered-call", ERROR, ERROR, ERROR, tools(CALLS, ANSWER)),
        (
            "unanswered-call",
            ERROR,
            ERROR,
            ERROR,
            tools({**CALLS, "tool_calls": [CALL, {**CALL, "id": "2"}]}, TOLD, ANSWER),
        ),
        (
            "function-call",
            ERROR,
            ERROR,
            ERROR,
            chat(USER, {**FUNCTION_CALL, "function_call": {}}, functions=[FUNCTION]),
        ),
        (
            "function-name",
            ERROR,
            WARNING,
            ERROR,
            chat(USER, FUNCTION_CALL, {"role": "function", "content": "x"}, ANSWER),
        ),
        ("image-role", ERROR, ERROR, ERROR, chat(USER, image(role="assistant"))),
        ("image-role", ERROR, ERROR, ERROR, chat(image(role="system"), USER, ANSWER)),
        ("image", ERROR, ERROR, ERROR, chat(image("file:///etc/passwd"), ANSWER)),
        ("image", ERROR, ERROR, ERROR, chat(parts({"type": "image_url"}), ANSWER)),
        ("image-type", WARNING, WARNING, WARNING, chat(image("data:image/gif;base64,aGk="), ANSWER)),
        ("image-jpg", WARNING, None, WARNING, chat(image("data:image/jpg;base64,aGk="), ANSWER)),
        ("image-size", WARNING, WARNING, WARNING, chat(image("data:image/png;base64," + "A" * 14_000_000), ANSWER)),
        ("image-detail", ERROR, ERROR, ERROR, chat(image(detail="best"), ANSWER)),
        ("images-openai", ERROR, None, WARNING, chat(*[image()] * 11, ANSWER)),
        ("images", ERROR, WARNING, WARNING, chat(*[image()] * 65, ANSWER)),
        ("images-in-preferences", WARNING, WARNING, WARNING, pair(asked=[image()])),
        ("images-in-reinforcement", None, ERROR, WARNING, chat(image(), answer="x")),
        ("last-input-message", WARNING, WARNING, WARNING, pair(asked=[USER, ANSWER])),
        ("output-role", ERROR, ERROR, ERROR, pair(bad=[ANSWER, USER])),
        ("output-messages", ERROR, None, WARNING, pair(asked=[USER, CALLS], good=[TOLD, ANSWER], tools=[TOOL])),
        ("output-weight", WARNING, WARNING, WARNING, pair(good=[{**ANSWER, "weight": 1}])),
        ("same-outputs", WARNING, WARNING, WARNING, pair(bad=[ANSWER])),
        ("no-reference", WARNING, WARNING, WARNING, chat(USER)),
        ("extra-fields", ERROR, ERROR, ERROR, {"prompt": SECRET, "completion": "x", "id": 7}),
        ("text", ERROR, ERROR, ERROR, {"prompt": SECRET, "completion": ["billing"]}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_the_severity_of_a_finding_is_the_one_that_each_service_documents(
    rule: str, openai: Severity | None, azure: Severity | None, either: Severity | None, example: dict[str, Any]
) -> None:
    seen = tuple(found(example, service).get(rule) for service in (Service.OPENAI, Service.AZURE, None))
    assert seen == (openai, azure, either)


def test_a_reinforcement_example_ends_with_the_user_and_has_what_the_grader_uses() -> None:
    ends_with_answer = chat(USER, ANSWER, answer="x")
    assert found(ends_with_answer, method=Method.REINFORCEMENT) == {"last-user-message": Severity.ERROR}
    grader = {"type": "multi", "graders": {"a": {"reference": "{{ item.answer.text }}", "input": "{{item.topic}}"}}}
    assert fields_of_grader(grader) == {"answer", "topic"}
    example = chat(USER, answer="billing")
    [(rule, message)] = broken_rules(example, format_of(example), Method.REINFORCEMENT, fields_of_grader(grader))
    assert (rule, message) == ("grader-field", "lacks fields that the grader uses: topic")


def test_every_verdict_but_unknown_names_its_grade_and_source() -> None:
    for rule in RULES.values():
        assert rule.text.endswith(".")
        for evidence in (rule.openai, rule.azure):
            assert evidence.verdict is Verdict.UNKNOWN or (evidence.grade and evidence.source), rule.name


NAMES = [
    *("role", "content", "type", "image_url", "url", "detail", "weight", "tool_calls", "id", "function", "name"),
    *("arguments", "tool_call_id", "tools", "functions", "function_call", "text", "refusal", "headers"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["user", "assistant", "image_url"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "weight", "tool_calls", "function_call"]), JSON), min_size=1
)


@given(MESSAGES, MESSAGES, JSON)
def test_any_json_value_is_checked_and_counted(first: Any, second: Any, declared: Any) -> None:
    shapes: list[Callable[[], dict[str, Any]]] = [
        lambda: {"messages": first, "tools": declared, "functions": declared},
        lambda: pair(second, first, first, tools=declared),
        lambda: {"prompt": declared, "completion": first},
    ]
    for shape in shapes:
        example = shape()
        known = format_of(example)
        try:
            SPECS[known].messages(example)
        except NotAnExampleError:
            continue
        for method in (method for method in Method if known in FORMATS[method]):
            assert {rule for rule, _ in broken_rules(example, known, method)} <= set(RULES)
        assert tokens_of(example, known, estimating_tokenizer()) >= 0


@given(MESSAGES)
def test_findings_do_not_depend_on_the_text_so_they_quote_none_of_it(messages: Any) -> None:
    def with_texts(value: Any, text: str) -> Any:
        if isinstance(value, dict):
            return {name: with_texts(inner, text) for name, inner in value.items()}
        if isinstance(value, list):
            return [with_texts(inner, text) for inner in value]
        return text if isinstance(value, str) and value.strip() else value

    one, other = (
        list(broken_rules(chat(*with_texts(messages, text)), format_of(chat()), Method.SUPERVISED))
        for text in ("a", "bb")
    )
    assert one == other
