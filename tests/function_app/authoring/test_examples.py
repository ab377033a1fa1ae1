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
FUNCTION = TOOL["function"]
FUNCTION_RESULT = {"role": "function", "content": None}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def tools(*messages: Any, **more: Any) -> dict[str, Any]:
    return chat(USER, *messages, **({"tools": [TOOL]} | more))


def pair(good: Any = None, bad: Any = None, asked: Any = None, **more: Any) -> dict[str, Any]:
    outputs = {"preferred_output": good or [ANSWER], "non_preferred_output": bad or [{**ANSWER, "content": "No."}]}
    return {"input": {"messages": asked or [USER], **more}, **outputs}


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
        chat(USER, FUNCTION_CALL, {**FUNCTION_RESULT, "name": "look_up"}, ANSWER, functions=[FUNCTION]),
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
        tools(ANSWER, tools=[{**TOOL, "function": {"name": "a", "parameters": {"password": {"type": "string"}}}}]),
    ],
    ids=lambda example: json.dumps(example)[:60],
)
def test_an_example_as_the_services_document_it_breaks_no_rule(example: dict[str, Any]) -> None:
    assert found(example) == {}


ERROR, WARNING = Severity.ERROR, Severity.WARNING
REFUSED = (ERROR, ERROR, ERROR)  # at OpenAI, on Azure, and where the service is not known
NOTED = (WARNING, WARNING, WARNING)
REFUSED_BY_OPENAI = (ERROR, WARNING, ERROR)


@pytest.mark.parametrize(
    ("rule", "severities", "example"),
    [
        ("extra-key", REFUSED_BY_OPENAI, chat(USER, ANSWER, weight=0.9)),
        ("extra-key", REFUSED_BY_OPENAI, {**pair(), "id": 7}),
        ("extra-key", REFUSED_BY_OPENAI, pair(model="x")),
        ("message-key", REFUSED_BY_OPENAI, chat({**USER, "timestamp": 1}, ANSWER)),
        ("role", REFUSED, chat({"role": "customer", "content": SECRET}, ANSWER)),
        ("role", REFUSED, chat({"role": ["user"], "content": SECRET}, ANSWER)),
        ("role-developer", NOTED, chat({"role": "developer", "content": "D"}, USER, ANSWER)),
        ("role-system", NOTED, chat({"role": "system", "content": "D"}, USER, answer=1)),
        ("no-user", (None, WARNING, WARNING), chat(ANSWER)),
        ("no-user", (None, WARNING, WARNING), pair(asked=[{"role": "system", "content": "S"}])),
        ("no-answer", REFUSED, chat(USER, {"role": "system", "content": "Be brief."})),
        ("no-answer", REFUSED, pair(good=[TOLD])),
        ("last-message", REFUSED, chat(USER, ANSWER, {"role": "system", "content": "S"})),
        ("content", REFUSED, chat({"role": "user"}, ANSWER)),
        ("content", REFUSED, chat({"role": "user", "content": {"text": SECRET}}, ANSWER)),
        ("content", REFUSED, chat(parts("Hi"), ANSWER)),
        ("empty", NOTED, chat({"role": "user", "content": " "}, ANSWER)),
        ("empty", NOTED, chat(parts({"type": "text", "text": " "}), ANSWER)),
        ("empty-parts", REFUSED_BY_OPENAI, chat(parts(), ANSWER)),
        ("part", REFUSED_BY_OPENAI, chat(parts({"text": SECRET}), ANSWER)),
        ("part", REFUSED_BY_OPENAI, chat(parts({"type": "text"}), ANSWER)),
        ("part", REFUSED_BY_OPENAI, chat(parts({"type": "input_audio", "input_audio": {}}), ANSWER)),
        (
            "refusal-part",
            REFUSED_BY_OPENAI,
            chat(USER, parts(*[{"type": "refusal", "refusal": "N"}] * 2, role="assistant")),
        ),
        ("weight", REFUSED, chat(USER, {**ANSWER, "weight": 0.5})),
        ("weight", REFUSED, chat(USER, {**ANSWER, "weight": True})),
        ("weight", REFUSED, chat({**USER, "weight": 1}, ANSWER)),
        ("no-weight", NOTED, chat(USER, {**ANSWER, "weight": 0})),
        ("null-key", NOTED, chat(USER, {**ANSWER, "tool_calls": None})),
        ("null-key", NOTED, chat({**USER, "name": None}, ANSWER)),
        ("null-key", NOTED, tools(ANSWER, tools=None)),
        ("message-text", REFUSED_BY_OPENAI, chat({**USER, "name": 7}, ANSWER)),
        ("message-text", REFUSED_BY_OPENAI, chat(USER, {"role": "assistant", "refusal": ["No."]})),
        ("special-token", REFUSED_BY_OPENAI, chat(USER, {**ANSWER, "content": "In Lund. <|fim_suffix|>"})),
        ("special-token", REFUSED_BY_OPENAI, chat(USER, {**ANSWER, "content": "<|channel|>final"})),
        ("lone-surrogate", NOTED, chat(USER, {**ANSWER, "content": "\ud83d"})),
        ("credential", REFUSED, tools(ANSWER, tools=[{**TOOL, "headers": {"x-api": "abc"}}])),
        ("credential", REFUSED, chat(USER, {**ANSWER, "content": "https://me:pass@host.example/"})),
        ("tools", REFUSED, chat(USER, ANSWER, tools=[{"type": "function", "name": "look_up"}])),
        ("tools", REFUSED, chat(USER, ANSWER, functions=[{}])),
        ("tools", REFUSED, chat(USER, ANSWER, tools={"a": 1})),
        ("tool-name", REFUSED, tools(ANSWER, tools=[{**TOOL, "function": {"name": "look up"}}])),
        ("many-tools", REFUSED, tools(ANSWER, tools=[TOOL] * 129)),
        ("empty-functions", (WARNING, None, WARNING), chat(USER, ANSWER, functions=[])),
        ("parallel-tool-calls", REFUSED, tools(ANSWER, parallel_tool_calls="no")),
        ("tool-calls", REFUSED, tools({**USER, "tool_calls": [CALL]}, ANSWER)),
        ("tool-calls", REFUSED, tools(call(function=None))),
        ("tool-call-shape", REFUSED_BY_OPENAI, tools(call(id=None))),
        ("tool-call-shape", REFUSED_BY_OPENAI, tools(call(type=None))),
        ("arguments-text", REFUSED, tools(arguments({"number": 7}))),
        ("tool-arguments", NOTED, tools(arguments('"{}"'))),
        ("tool-arguments", NOTED, tools(arguments(""))),
        ("tool-arguments", NOTED, tools(arguments('{"number": NaN}'))),
        ("undeclared-tool", NOTED, tools(CALLS, tools=[{**TOOL, "function": {"name": "other"}}])),
        ("no-tools", (WARNING, None, WARNING), tools(CALLS, tools=[])),
        ("no-tools", (WARNING, None, WARNING), chat(USER, CALLS)),
        ("undeclared-function", REFUSED_BY_OPENAI, chat(USER, FUNCTION_CALL)),
        ("tool-call-id", REFUSED, tools(TOLD, ANSWER)),
        ("unanswered-call", REFUSED, tools(CALLS, ANSWER)),
        ("unanswered-call", REFUSED, tools({**CALLS, "tool_calls": [CALL, {**CALL, "id": "2"}]}, TOLD, ANSWER)),
        ("function-call", REFUSED, chat(USER, {**FUNCTION_CALL, "function_call": {}}, functions=[FUNCTION])),
        ("function-name", REFUSED_BY_OPENAI, chat(USER, FUNCTION_CALL, {"role": "function", "content": "x"}, ANSWER)),
        ("image-role", REFUSED, chat(USER, image(role="assistant"))),
        ("image-role", REFUSED, chat(image(role="system"), USER, ANSWER)),
        ("image", REFUSED, chat(image("file:///etc/passwd"), ANSWER)),
        ("image", REFUSED, chat(parts({"type": "image_url"}), ANSWER)),
        ("image-type", NOTED, chat(image("data:image/gif;base64,aGk="), ANSWER)),
        ("image-jpg", (WARNING, None, WARNING), chat(image("data:image/jpg;base64,aGk="), ANSWER)),
        ("image-size", NOTED, chat(image("data:image/png;base64," + "A" * 14_000_000), ANSWER)),
        ("image-detail", REFUSED, chat(image(detail="best"), ANSWER)),
        ("images-openai", (ERROR, None, WARNING), chat(*[image()] * 11, ANSWER)),
        ("images", (ERROR, WARNING, WARNING), chat(*[image()] * 65, ANSWER)),
        ("images-in-preferences", NOTED, pair(asked=[image()])),
        ("images-in-reinforcement", (None, ERROR, WARNING), chat(image(), answer="x")),
        ("last-input-message", NOTED, pair(asked=[USER, ANSWER])),
        ("output-role", REFUSED, pair(bad=[ANSWER, USER])),
        ("output-messages", (ERROR, None, WARNING), pair(asked=[USER, CALLS], good=[TOLD, ANSWER], tools=[TOOL])),
        ("output-weight", NOTED, pair(good=[{**ANSWER, "weight": 1}])),
        ("same-outputs", NOTED, pair(bad=[ANSWER])),
        ("no-reference", NOTED, chat(USER)),
        ("extra-fields", REFUSED, {"prompt": SECRET, "completion": "x", "id": 7}),
        ("text", REFUSED, {"prompt": SECRET, "completion": ["billing"]}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_the_severity_of_a_finding_is_the_one_that_each_service_documents(
    rule: str, severities: tuple[Severity | None, ...], example: dict[str, Any]
) -> None:
    seen = tuple(found(example, service).get(rule) for service in (Service.OPENAI, Service.AZURE, None))
    assert seen == severities


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
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES | st.sampled_from(["user", "assistant", "image_url"]),
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
