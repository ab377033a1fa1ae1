"""`check` of whole files: their kind, their numbers, and files that are not JSONL at all."""

import codecs
import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from function_app.authoring.checking.check import CheckedFile, Question, check_file, strict
from function_app.authoring.checking.rules import Finding, Service, Severity
from function_app.authoring.checking.tokens import (
    TokenizerError,
    estimating_tokenizer,
    exact_tokenizer,
    expected_epochs,
    tokens_of,
)
from function_app.data.training.formats import Format
from function_app.models import Method
from tests.function_app.authoring.test_examples import ANSWER, SECRET, TOOL, USER, chat, image, pair

CHAT, REINFORCEMENT = chat(USER, ANSWER), chat(USER, answer="billing")
COMPLETION = {"prompt": SECRET, "completion": " billing"}


def written(tmp_path: Path, *examples: Any, times: int = 1, name: str = "train.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(example) + "\n" for example in examples * times))
    return path


def checked(path: Path, **asked: Any) -> CheckedFile:
    return check_file(path, Question(**asked), estimating_tokenizer())


@pytest.mark.parametrize(
    ("example", "method"),
    [(CHAT, Method.SUPERVISED), (pair(), Method.DPO), (REINFORCEMENT, Method.REINFORCEMENT)],
    ids=["chat", "preference", "reinforcement"],
)
def test_the_method_is_what_most_examples_look_like(tmp_path: Path, example: Any, method: Method) -> None:
    found = checked(written(tmp_path, example, times=10))
    assert (found.method, found.findings, found.examples) == (method, [], 10)


@pytest.mark.parametrize("place", [0, 1, 19])
@pytest.mark.parametrize(
    ("odd", "rule"),
    [(chat(USER), "last-message"), (COMPLETION, "mixed-formats"), (pair(), "mixed-formats")],
    ids=["without answer", "completion", "preference"],
)
def test_a_line_of_another_kind_is_reported_at_any_position(tmp_path: Path, place: int, odd: Any, rule: str) -> None:
    found = checked(written(tmp_path, *[CHAT] * place, odd, *[CHAT] * (19 - place)))
    assert (found.format, found.method, found.examples) == (Format.CHAT, Method.SUPERVISED, 20)
    assert [(each.rule, each.line, each.severity) for each in found.findings] == [(rule, place + 1, Severity.ERROR)]


def test_a_file_for_another_method_is_reported_once_however_long_it_is(tmp_path: Path) -> None:
    found = checked(written(tmp_path, CHAT, times=50), method=Method.DPO)
    message = "has chat examples; dpo fine-tuning requires preference"
    assert found.findings == [Finding(Severity.ERROR, "format", message, None)]


def test_few_examples_are_an_error_for_training_and_for_validation_of_reinforcement_on_azure(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=9)
    assert checked(path).rules == {"few-examples": 1}
    assert checked(path, validation=True).rules == {}
    few = written(tmp_path, REINFORCEMENT, times=5)
    verdicts = [checked(few, validation=True, service=service) for service in (Service.AZURE, Service.OPENAI)]
    assert [found.ok for found in verdicts] == [False, True]
    assert [dict(found.rules) for found in verdicts] == [{"few-validation-examples": 1}] * 2


def test_every_line_that_is_not_an_example_is_reported_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    good = json.dumps(CHAT).encode()
    broken = [b"not json", b"", b"\xff\xfe", b"[1]", codecs.BOM_UTF8 + good, b'{"a":' * 100_000]
    path.write_bytes(b"\n".join([good] * 10 + broken))
    found = checked(path)
    assert [finding.line for finding in found.findings] == [11, 13, 14, 15, 16, None]
    assert (found.counts, found.lines, found.rules["blank-lines"]) == ({Severity.ERROR: 5, Severity.WARNING: 1}, 15, 1)


def test_warnings_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {**CHAT, "messages": [USER, {**ANSWER, "weight": float("inf")}]}, *[CHAT] * 10)
    assert checked(path, service=Service.AZURE).rules["not-a-number"] == 1
    path = written(tmp_path, CHAT, times=10)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    azure, openai = [checked(path, service=service) for service in (Service.AZURE, Service.OPENAI)]
    assert (azure.bom, azure.ok, azure.rules) == (True, True, {})
    assert (openai.bom, openai.ok, openai.rules) == (True, True, {"byte-order-mark": 1})
    strictly = strict(openai)
    assert (strictly.ok, strictly.findings[0].severity) == (False, Severity.ERROR)
    assert checked(written(tmp_path, CHAT, times=10, name="train.json")).rules == {"file-name": 1}
    monkeypatch.setattr("function_app.authoring.checking.check.LARGEST_WHOLE_UPLOAD", 100)
    found = [checked(written(tmp_path, CHAT, times=10), service=service) for service in (None, *Service)]
    assert [dict(each.counts) for each in found] == [{Severity.WARNING: 1}, {}, {Severity.WARNING: 1}]


@pytest.mark.parametrize(
    "odd",
    [
        *("[{}]", '{"a": 1},', '{"a": 1}{"b": 2}', "{", "{'a': 1}"),
        *("---", "<!-- a note -->", "prompt,completion", "# a note", '{"messages": "\0"}'),
    ],
)
def test_a_single_line_that_is_not_json_does_not_decide_what_the_file_is(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f"{odd}\n{TEXT}")
    assert [(each.rule, each.line) for each in checked(path).findings] == [("malformed", 1)]


TEXT = "".join(json.dumps(CHAT) + "\n" for _ in range(12))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "ShareGPT"),
        ({"instruction": "q", "input": "", "output": "a"}, "Alpaca"),
        ({"instruction": "q", "output": "a"}, "Alpaca"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "chosen and rejected"),
        ({"contents": [{"role": "user", "parts": [{"text": "q"}]}]}, "Gemini"),
    ],
)
def test_a_file_for_another_trainer_gets_one_message(tmp_path: Path, example: dict[str, Any], message: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text((json.dumps(example) + "\n") * 3)
    [finding] = checked(path).findings
    assert (finding.rule, finding.severity, finding.line) == ("format", Severity.ERROR, None)
    assert message in finding.message
    assert "messages" in finding.message
    path.write_text((json.dumps(example) + "\n") + TEXT)
    assert [(each.rule, each.line) for each in checked(path).findings] == [("malformed", 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (gzip.compress(TEXT.encode()), "is compressed with gzip"),
        (b"PK\x03\x04rest", "is a ZIP archive"),
        (TEXT.encode("utf-16"), "is UTF-16"),
        (TEXT.encode("utf-16-le"), "is UTF-16"),
        (TEXT.encode("utf-16-be"), "is UTF-16"),
        (TEXT.encode("utf-32"), "is UTF-32"),
        (('{"messages": "' + "\u4f60" * 90).encode("utf-16-le"), "is UTF-16"),
        (b"\0" * 1000, "is binary"),
        (b"[]", "is a JSON array"),
        (json.dumps([CHAT] * 12).encode(), "is a JSON array"),
        (json.dumps([CHAT] * 12, indent=2).encode(), "is a JSON array"),
        (json.dumps([CHAT] * 2000).encode(), "is a JSON array"),
        (json.dumps(CHAT, indent=2).encode(), "is JSON spread over several lines"),
        (b"prompt,completion\nWhere is it?,In Lund.\n", "is CSV"),
        (b"prompt\tcompletion\r\nWhere is it?\tIn Lund.\r\n", "is TSV"),
        (b"<html>", "is HTML or XML"),
        (b"PAR1....", "is a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "is a pointer of Git LFS"),
        (b"```json\n" + TEXT.encode() + b"```\n", "begins with a Markdown fence"),
        (f"{CHAT}\n{CHAT}\n".encode(), "has Python dictionaries"),
        (TEXT.replace("\n", ",\n").encode(), "has a comma at the end"),
        (TEXT.replace("\n", "").encode(), "has several objects on a line"),
        (TEXT.replace("\n", "\r").encode(), "has several objects on a line"),
        ('{"messages": "\u00e4"}\n'.encode("cp1252") * 3, "is not UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_not_jsonl_gets_a_single_message(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    found = checked(path)
    assert [(each.rule, each.severity, each.line) for each in found.findings] == [("not-jsonl", Severity.ERROR, None)]
    assert found.findings[0].message.startswith(message)


@pytest.mark.parametrize(("service", "most"), [(None, 512 * 1024**2), (Service.AZURE, 512_000_000)])
def test_a_file_larger_than_the_service_takes_is_an_error(tmp_path: Path, service: Service | None, most: int) -> None:
    path = written(tmp_path, CHAT, times=10)
    with path.open("r+b") as file:
        file.truncate(most + 1)  # a hole: one line of zeros that takes no room
    assert checked(path, service=service).rules == {"size": 1}


def test_two_large_images_in_one_line_are_allowed(tmp_path: Path) -> None:
    large = image("data:image/png;base64," + "A" * 11_000_000)
    assert checked(written(tmp_path, chat(large, large, ANSWER), *[CHAT] * 11)).rules == {}


@pytest.mark.parametrize(
    ("model", "service", "example", "rule"),
    [
        ("gpt-4o-mini-2024-07-18", None, pair(), "model-method"),
        ("o4-mini", Service.AZURE, CHAT, "model-method"),
        ("gpt-4.1-mini-2025-04-14", None, chat(image(), ANSWER), "model-images"),
        ("gpt-4.1-2025-04-14", Service.OPENAI, chat(image(), ANSWER), "model-images"),
        ("gpt-4.1-2025-04-14", Service.AZURE, chat(image(), ANSWER), None),
        ("gpt-4.1-2025-04-14.ft-0a1b", Service.AZURE, pair(), None),
        ("ft:gpt-4o-mini-2024-07-18:acme::1", Service.OPENAI, pair(), "model-method"),
        ("gpt-4o-2024-08-06", Service.OPENAI, pair(), "model-method"),
        ("gpt-4o-2024-08-06", Service.AZURE, pair(), None),
        ("a-model-nobody-knows", None, pair(), None),
        ("a-model-nobody-knows", None, COMPLETION, "completion-format"),
    ],
)
def test_the_model_must_support_the_method_and_images(
    tmp_path: Path, model: str, service: Service | None, example: Any, rule: str | None
) -> None:
    found = checked(written(tmp_path, example, times=10), model=model, service=service)
    assert set(found.rules) == ({rule} if rule else set())


def test_an_example_longer_than_a_model_trains_on_is_a_warning(tmp_path: Path) -> None:
    long = chat(USER, {**ANSWER, "content": "word " * 60_000})
    found = checked(written(tmp_path, *[CHAT] * 10, long))
    assert (found.ok, found.rules, found.longest_line) == (True, {"long-example": 1}, 11)


def test_more_than_two_thousand_million_tokens_are_an_error_only_where_they_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, CHAT, times=10)
    estimated = checked(path, epochs=100_000_000, service=Service.AZURE)
    assert (estimated.ok, estimated.rules) == (True, {"many-tokens": 1})
    question = Question(epochs=100_000_000, service=Service.AZURE)
    exact = check_file(path, question, type(estimating_tokenizer())("words", True, lambda text: 5))
    assert (exact.ok, exact.rules) == (False, {"many-tokens": 1})


def test_statistics_show_lengths_duplicates_and_short_answers_without_text(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": f"{n} {'word ' * n}"} for n in range(12)]
    labels = [chat(each, {"role": "assistant", "content": "yes"}) for each in asked]
    other = chat(USER, {"role": "assistant", "content": "no"})
    path = written(tmp_path, *labels, other, labels[0])
    figures = checked(path, statistics=True).statistics
    assert figures is not None
    document = figures.document(checked(written(tmp_path, other, CHAT), statistics=True).statistics)
    assert (document["duplicates"], document["shared"]) == (1, 1)
    assert document["short_answers"] == {"examples": 14, "different": 2, "most_frequent": 13}
    assert sum(each["examples"] for each in document["histogram"]) == 14
    assert [each["line"] for each in document["longest"]] == [12, 11, 10, 9, 8]
    assert "yes" not in json.dumps(document)


@pytest.mark.parametrize(
    ("examples", "epochs"), [(0, 1), (1, 25), (10, 10), (33, 3), (34, 3), (8_333, 3), (8_334, 2), (99_999, 1)]
)
def test_the_expected_epochs_are_those_of_openais_cookbook(examples: int, epochs: int) -> None:
    assert expected_epochs(examples) == epochs


def test_tokens_include_all_texts_calls_and_tools_but_not_images() -> None:
    characters = type(estimating_tokenizer())("characters", True, len)
    plain = tokens_of(CHAT, Format.CHAT, characters)
    assert plain == sum(len(m["role"]) + len(m["content"]) for m in (USER, ANSWER)) + 2 * 3 + 3
    picture = image("x" * 999)["content"][0]
    seen = chat({"role": "user", "content": [{"type": "text", "text": SECRET}, picture]}, ANSWER)
    assert tokens_of(seen, Format.CHAT, characters) == plain
    assert tokens_of({**CHAT, "tools": [TOOL]}, Format.CHAT, characters) == plain + len(json.dumps([TOOL]))
    assert tokens_of(COMPLETION, Format.COMPLETION, characters) == len(SECRET + " billing")


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-35-turbo-0125", "cl100k_base"),
        ("gpt-9", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_tokens_are_counted_with_the_vocabulary_of_the_model(model: str | None, vocabulary: str) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    asked: list[str] = []

    def load(name: str) -> Any:
        asked.append(name)
        ranks = {bytes([n]): n for n in range(256)}
        return tiktoken.Encoding(name, pat_str=".", mergeable_ranks=ranks, special_tokens={})

    tokenizer = exact_tokenizer(model, load=load)
    assert (asked, tokenizer.name, tokenizer.exact) == ([vocabulary], f"tiktoken {vocabulary}", True)
    assert tokenizer.count("grün<|endoftext|>") == len("grün<|endoftext|>".encode())  # no word is special


def test_a_slow_download_of_a_vocabulary_is_given_up_soon() -> None:
    pytest.importorskip("tiktoken")
    never = threading.Event()
    with pytest.raises(TokenizerError, match=r"within 0\.01 s"):
        exact_tokenizer(None, load=lambda name: never.wait(), patience=0.01)
    never.set()
