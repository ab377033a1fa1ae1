"""What leaves under each policy is what docs/data.md says; credentials never leave; names and texts from outside are harmless."""

import json
import time
from base64 import b64encode
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.credentials import REDACTED, has_credentials, line_without_credentials, without_credentials
from function_app.data.egress import TABLE, plain_text, sends, table
from function_app.data.fields import has_too_many_values
from function_app.data.training.jsonl import read_rows
from function_app.models import Checkpoint, DatasetPolicy, Event, File, Job, JobError, MetricRow, ModelEnds, TableRow
from function_app.text import lines, one_line, without_mentions
from tests.conftest import ROOT
from tests.function_app.conftest import FILE, Bench, a_file
from tests.function_app.engine.mirror.test_recordings import recorded

ODD_TYPES: list[Any] = [7, True, [{}], {"a": 1}, []]
NAMED = ("x-functions-key", "SharedAccessKey", "clientSecret", "hf_token", "xToken", "ApiKey", "XApiKey", "api_tokens")


def test_every_field_of_the_services_objects_is_in_one_row_of_the_table() -> None:
    objects = {"job": Job, "error": JobError, "checkpoint": Checkpoint, "event": Event}
    objects |= {"file": File, "row": MetricRow, "model": ModelEnds}
    rows = [f"{thing}.{name}" for row in TABLE for thing, names in row.fields.items() for name in names]
    listed = {name for name in rows if name.partition(".")[0] in objects}
    parts = {"job.error"}  # has rows for each of its own fields
    assert listed | parts == {f"{name}.{field.name}" for name, kind in objects.items() for field in fields(kind)}
    assert len(rows) == len(set(rows))


def test_the_page_about_data_has_the_table_of_the_gate() -> None:
    assert "\n".join(table()) in (ROOT / "docs" / "data.md").read_text()


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ({"headers": {"x-any": "abc"}}, {"headers": {"x-any": REDACTED}}),
        ({"Authorization": "abc"}, {"Authorization": REDACTED}),
        ({"client_secret": ["a", {"b": "c"}]}, {"client_secret": [REDACTED, {"b": REDACTED}]}),
        ("see https://me:pw@host/x", f"see https://{REDACTED}@host/x"),
        ("https://host/x?a=1&sig=abc%2F#y", f"https://host/x?a=1&sig={REDACTED}#y"),
        ("Authorization: Bearer abcdefghijklmnop", f"Authorization: Bearer {REDACTED}"),
        ({"https://me:pw@host/x": 1}, {f"https://{REDACTED}@host/x": 1}),
        ({"secret": {"Bearer abcdefghijklmnop": 1}}, {"secret": {f"Bearer {REDACTED}": 1}}),
        *(({name: "abc"}, {name: REDACTED}) for name in NAMED),
        *(
            (f"a {form} b", f"a {REDACTED} b")
            for form in (
                *("sk-proj-0123456789abcdefghij", "xoxb-1234567890-abcdef", "AIza" + "a1-_x" * 7),
                *(f"{name}{'a1' * 18}" for name in ("ghp_", "github_pat_", "gho_", "ghr_", "glpat-", "sk_live_")),
                *("hf_" + "a1" * 17, "AKIA" + "A1B2" * 4, "ASIA" + "A1B2" * 4),
                "a1" * 26 + "JQQJ99BBACYeBjFX" + "a1" * 8,
                "a1" * 26 + "JQQJ99BBACYeBjFX" + "a1" * 9 + "==",
                "abc8Q~" + "a1-_.~b" * 4 + "abcdef",
                "wandb_v1_" + "a1B" * 9 + "_" + "a1" * 24 + "a",
                ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "c2lnbmF0dXJl"]),
            )
        ),
        (f"SharedAccessSignature=sv=1&sig={'aB%2F' * 9}%3D", f"SharedAccessSignature=sv=1&sig={REDACTED}"),
        ("x;AccountKey=abcdefghijklmnopqrstuvwx==;y", f"x;AccountKey={REDACTED};y"),
        *(
            (f"-----BEGIN {kind}-----\n{header}abc\n-----END {kind}-----", REDACTED)
            for kind in ("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK")
            for header in ("", "DEK-Info: AES-128-CBC,0A1B\n\n", "Comment: GPGTools - https://gpgtools.org\n\n")
        ),
        ({"arguments": '{"headers": {"x": "abc"}}'}, {"arguments": f'{{"headers": {{"x": "{REDACTED}"}}}}'}),
        (["--api-key", "abc", "--port", "1"], ["--api-key", REDACTED, "--port", "1"]),
        ({"name": "Authorization", "value": "abc"}, {"name": "Authorization", "value": REDACTED}),
        ("https://host/x?client_secret=abc&code=7", f"https://host/x?client_secret={REDACTED}&code=7"),
        (f"https://host/x?code={'aB3_' * 13}==", f"https://host/x?code={REDACTED}"),
        ("https://me:p@w@host/x", f"https://{REDACTED}@host/x"),
        *(
            (f"{name}abc123def456", f"{name}{REDACTED}")
            for name in (
                *("x-api-key: ", "Authorization: token ", "export OPENAI_API_KEY=", "jdbc:sqlserver://h;password="),
                *("{'api_key': '", '{\\"clientSecret\\": \\"', "os.environ['DB_PASSWORD'] = '"),
            )
        ),
        *(
            (f"{before}{key}{after}", f"{before}{REDACTED}{after}")
            for key in ("a1" * 16, "a1" * 20)
            for before, after in (
                *(('os.getenv("API_KEY", "', '")'), ('AzureKeyCredential("', '")'), ("setx AZURE_OPENAI_API_KEY ", "")),
                *(
                    ("wandb login --relogin ", "\n"),
                    ("wandb login --relogin --host https://wandb.a-company-with-a-long-name.example.com:8080 ", ""),
                    ("wandb login --host=https://wandb.example.com -- ", ""),
                    ("machine api.wandb.ai login user password ", ""),
                    ("the API key ", "."),
                ),
            )
        ),
        *(
            (f"value: {b64encode(secret.encode()).decode()}", f"value: {REDACTED}")
            for secret in (
                *("sk-proj-0123456789abcdefghij", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl"),
                *(f"DefaultEndpointsProtocol=https;AccountKey={'aB1/' * 12}==", "-----BEGIN PRIVATE KEY-----\nabc"),
            )
        ),
        *(({"headers": {"type": odd, "x": "abc"}}, {"headers": {"type": odd, "x": REDACTED}}) for odd in ODD_TYPES),
        ({"password": {"type": "string", "default": "x"}}, {"password": {"type": "string", "default": REDACTED}}),
        ("Basic dXNlcjpwYXNzd29yZA==", f"Basic {REDACTED}"),
        *(
            (f"curl {flag}{quote}me:hunter2{quote} https://h/", f"curl {flag}{quote}me:{REDACTED}{quote} https://h/")
            for flag in ("-u ", "-u", "-sS -u ", "-X POST --user ", "--proxy-user=")
            for quote in ("", "'", '\\"')
        ),
        ('```json\n{"password": "hunter2", "n": 1.10}\n```', f'```json\n{{"password": "{REDACTED}", "n": 1.10}}\n```'),
        ('{\n "api_key": "abc",\n "n": 1.10}', f'{{\n "api_key": "{REDACTED}",\n "n": 1.10}}'),
        ('{"password": "hunter2", "password": ""}', '{"password": ""}'),
        ("curl --user 'api:key-3ax6d5f4'", f"curl --user 'api:{REDACTED}'"),
        ('{"token": "a1b2c3d4e5"}', f'{{"token": "{REDACTED}"}}'),
    ],
)
def test_a_credential_is_replaced_by_a_placeholder(value: Any, clean: Any) -> None:
    assert (without_credentials(value), has_credentials(value), has_credentials(clean)) == (clean, True, False)
    assert json.loads(line_without_credentials(json.dumps(value).encode(), 1 << 20)) == clean


@pytest.mark.parametrize(
    "value",
    [
        {"password": {"type": "string", "description": "The user's password"}},
        {"password": {"type": ["string", "null"], "description": "d"}, "token": {"$ref": "#/$defs/token"}},
        '{"key": "C major", "token": "dog", "secretary": "Ann Lee", "headers": ["Name", "Age"], "x": 1e400}',
        {"name": "password reset", "value": "sent"},
        "a basic understanding/knowledge of Basic Authentication/Authorization",
        "key = hashlib.sha256(data).hexdigest(); token = base64.b64encode(raw); sorted(xs, key=operator.itemgetter1(0))",
        "sk-" * 200_000 + " eyJabcdefgh-" + "eyJabcdefgh-" * 100_000,
        {"eos_token": "</s>", "next_token": "n", "primary_key": "id", "pattern": "p", "keyboard": "k"},
        "task-oriented sk-learn-pipelines-and-many-other-words, eyJust, AccountKey=?",
        {"max_tokens": 7, "key_points": "a", "tokens": "many", "monkey": "ape", "author": "Ann"},
        "mail me@host.example about https://host.example/@me",
        "the bearer of bad news",
        "curl -u $USER:$PASS -u <user>:<password> -u user:password -u me https://h:8080/; sudo -u me:users ls; curl -o u:x",
        f"commit {'a1' * 20}, sha256 {'a1' * 32}, {'aB1/' * 12}==, JQQJ99, ASIA, ASIAPACIFIC, 8Q~, wandb_v1_",
        *("curl -u " * 30_000 + "curl " + "-u a" * 30_000, "key=1a" * 200_000 + "(", "a1" * 1_000_000 + " key"),
        *("wandb " + "a1" * 1_000_000 + after for after in ("g", "-", "-" + "a1" * 1_000_000 + "_")),
        *("-----BEGIN PRIVATE KEY---- " * 50_000, "-----BEGIN " + "A " * 500_000),
        f"my key is {'a1' * 16}; md5('password') = {'a1' * 16}; api_key sha256 {'a1' * 32}; row['key'] = column_number_12",
        f"{b64encode(b'sk-learn is a package for everybody').decode()} {b64encode(b'sk-' + bytes(range(99))).decode()}",
        "the key: a word; token=abc, max_tokens=123456789012, next_token: abcdef123456, secret: unbelievable",
        {"required": ["token", "city"], "name": "city", "value": "Oslo", "arguments": '{"city": "Oslo"}'},
    ],
)
def test_text_that_only_resembles_a_credential_stays(value: Any) -> None:
    assert without_credentials(value) == value
    assert not has_credentials(value)


NAMES = st.sampled_from(["headers", "api_key", "type", "default", "text", "token", "https://a:b@c/"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.sampled_from(["https://a:b@c/", "Bearer 0123456789abcdef"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_cleaned_values_have_no_credential_and_a_line_is_cleaned_like_its_value(value: Any) -> None:
    clean = without_credentials(value)
    assert not has_credentials(clean)
    assert has_credentials(value) == (clean != value)
    line = json.dumps(value).encode()
    assert json.loads(line_without_credentials(line, 1 << 20)) == clean
    assert clean != value or line_without_credentials(line, 1 << 20) == line


def test_a_string_without_an_end_is_counted_in_one_pass() -> None:
    """It would take minutes if each quote were tried to the end of the line."""
    assert not has_too_many_values(b'{"messages":[{"role":"user","content":"' + b'\\",' * 201_000)


def test_invisible_characters_hide_no_credential() -> None:
    assert plain_text("Bea\u200brer abcdefgh\u200bijklmnop") == f"Bearer {REDACTED}"


def test_table_rows_have_no_credentials() -> None:
    example = {"messages": [{"role": "user", "content": "q"}], "tools": [{"headers": {"x": "SECRET"}}]}
    [row] = read_rows([json.dumps(example).encode()])
    assert isinstance(row, TableRow)
    assert "SECRET" not in str(row.cells)


def test_text_from_outside_cannot_control_a_terminal_forge_a_line_or_notify_anybody() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\n2026 ERROR forged \u202eabc\u2028x\ud800"
    assert one_line(evil) == "]0;owned[2J[31mred  2026 ERROR forged abc x"
    assert lines("a\nb\x1b[0m") == "a\nb[0m"
    cleaned = without_mentions("<!channel> <@U1> @here @everyone mail a@here.example <https://evil.example|words>")
    assert not [each for each in ("<https", "<!", "@here ") if each in cleaned]
    assert "a@here.example" in cleaned


# --- a word in every field

CREATED = int(time.time()) - 7_200  # a recent failure, so there is an alert, too


class Words:
    """A unique word for each place. `fields` says by which row of the table each may leave; None is never."""

    def __init__(self) -> None:
        self.fields: dict[str, str | None] = {}
        self.places: dict[str, str] = {}

    def __call__(self, place: str, field: str | None) -> str:
        word = f"canary{len(self.fields):03d}x"
        self.fields[word], self.places[word] = field, place
        return word


def graders(word: Words) -> dict[str, Any]:
    """A grader of graders with a word in each field."""
    options, secret = "job.method_options", f"Bearer {word('header', None)}abcdefgh"
    choices = ("type", "operation", "evaluation_metric", "model")
    plain = {name: word(f"grader {name}", f"grader.{name}") for name in choices} | {"pass_threshold": 0.5}
    text = {name: word(f"grader {name}", options) for name in ("name", "source", "input", "reference", "image_tag")}
    hidden = {"headers": {"x": word("header x", None)}, "authorization": secret}
    hidden |= {"url": f"https://me:{word('password', None)}@host/?sig={word('signature', None)}"}
    return {"type": "multi", "calculate_output": word("formula", options), "graders": [plain | text | hidden]}


def job_body(word: Words, number: int, **values: Any) -> dict[str, Any]:
    """A job as the service answers it, with a word in each field that is not an id of ours or a state."""
    options = {
        "grader": graders(word),
        "response_format": {"schema": {"enum": [word("format", "job.method_options")]}},
        "tools": [{"name": word("tool", "job.method_options"), "api_key": word("tool key", None)}],
        "hyperparameters": {
            "n_epochs": 3,
            "reasoning_effort": "low",
            "api_key": word("key among hyperparameters", None),
            "unknown_choice": word("choice", "job.method_options"),
            "prose": f"{word('prose', None)} words",
            f"{word('name of a hyperparameter', 'job.hyperparameters')}": 1,
            f"{word('prose as name', None)} words": 1,
        },
    }
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{number:032x}",
        "created_at": CREATED,
        "model": f"gpt-4o-{word('model', 'job.model')}",
        "training_file": FILE,
        "suffix": word("suffix", "job.suffix"),
        "trainingType": word("training type", "job.training_type"),
        "method": {"type": "reinforcement", "reinforcement": options},
        "metadata": {word("key", "job.metadata"): word("metadata", "job.metadata"), "token": word("token", None)},
        "integrations": [{"type": word("integration", None), "other": {"project": word("project", None)}}],
        "unknown_field": word("unknown field", None),
        "organization_id": word("organization", None),
        **values,
    }


def log_of(word: Words) -> list[dict[str, Any]]:
    """Messages, and figures of a step, newest first."""
    texts = ["Training started.", f"Created results file: {word('results file', None)} words", word("message", None)]
    lines = [{"message": text, "level": word("level", None), "type": word("type", None)} for text in texts]
    grader = {"name": word("grader in data", "event.data"), "type": "python", "model": word("model in data", None)}
    data = {
        "step": 2,
        word("figure", "event.data"): 0.5,
        word("text in data", None): word("value", None),
        "scores": {"graders": [grader | {"score": 1}]},
        f"https://me:{word('password in a metric', None)}@host/": 1,
    }
    log: list[dict[str, Any]] = [*lines, {"message": word("message", None), "type": "metrics", "data": data}]
    for number, each in enumerate(log):
        each |= {"object": "fine_tuning.job.event", "created_at": CREATED + 1_415 + number}
        each |= {"id": word("event", None), "extra": word("extra", None)}
    return log[::-1]


def lines_of(word: Words) -> list[str]:
    """Lines of a training file: examples, of which a hundred are a sample, and ones that are malformed."""
    turns = [{"role": "user", "content": word("example", "content.sample")}, {"role": "assistant", "content": "a"}]
    secret = {"role": "user", "content": f"https://me:{word('password in a file', None)}@host/"}
    broken = f"{word('broken line', 'content.all')} is no JSON"
    odd = {word("key of a line", "content.all"): 1}
    return [*[json.dumps({"messages": [secret, *turns]})] * 120, broken, json.dumps(odd)]


def everything_in_wandb(bench: Bench) -> str:
    """The requests that W&B received, and everything that was uploaded."""
    asked = [json.dumps(each.request) for each in bench.cloud.world.trace.exchanges if each.service == "wandb"]
    stored = bench.store.storage.under("").values()
    return "\n".join([*asked, *(each.content.decode("utf-8", "replace") for each in stored)])


@pytest.mark.malformed("addresses")  # no service answers these fields
@pytest.mark.parametrize("policy", DatasetPolicy)
def test_of_a_word_in_each_field_those_reach_wandb_that_the_table_promises(bench: Bench, policy: DatasetPolicy) -> None:
    word = Words()
    tuned = f"gpt-4o.ft-{word('tuned model', 'job.fine_tuned_model')}"
    done = job_body(word, 1, status="succeeded", fine_tuned_model=tuned, result_files=["file-r"], trained_tokens=1)
    error = {"code": word("code", "error.code"), "message": f"Line 7: {word('error', 'error.message')}\n"}
    error |= {"param": word("parameter", "error.param"), "x": word("x", None)}
    failed = job_body(word, 2, status="failed", error=error)
    checkpoint = {
        "id": f"ftckpt-{word('checkpoint', 'checkpoint.id')}",
        "created_at": CREATED + 1_651,
        "step_number": 1,
        "fine_tuned_model_checkpoint": f"{tuned}:{word('checkpoint model', 'checkpoint.model')}",
        "metrics": {word("metric", "checkpoint.metrics"): 0.5, word("text metric", None): word("text", None)},
        "extra": word("extra", None),
    }
    columns = f"{word('column', 'row.values')},{word('text column', None)}"
    results = f"step,train_loss,{columns}\n1,0.5,2,{word('cell', None)}\n"
    log = log_of(word)
    name = f"{word('file', 'file.name')} https://me:{word('secret', None)}@h.jsonl"
    bench.world(
        recorded(done, events=log, results=results, checkpoints=[checkpoint]),
        recorded(failed, events=log),
        files=[a_file(filename=name, lines=lines_of(word))],
    )
    outcomes = bench.tick(bench.engine(sync_datasets=policy, azure_openai_api_version="v1"))
    assert [outcomes[job["id"]].final for job in (done, failed)] == [True, True]
    assert len(bench.store.alerts) == 1
    kept = bench.run(done["id"]).config
    assert kept["hyperparameters"].items() >= {"n_epochs": 3, "reasoning_effort": "low"}.items()
    assert kept["method_options"]["grader"]["graders"][0]["pass_threshold"] == 0.5
    sent = everything_in_wandb(bench)
    found = {word.places[each] for each in word.fields if each in sent}
    assert found == {word.places[each] for each, field in word.fields.items() if field and sends(policy, field)}


@pytest.mark.parametrize(
    "line",
    [
        b'{"password": "hunter2hunter2", "password": ""}',
        b'{"k": {"secret": ["hunter2hunter2"]}, "k": ""}',
        b'{"messages": [{"content": "sk-hunter2hunter2hunter2", "content": "hello"}]}',
        rb'{"arguments": "{\"token\": [\"hunter2hunter2\"], \"token\": 1}"}',
    ],
)
def test_a_repeated_key_hides_no_credential(line: bytes) -> None:
    """Parsers keep the last value of a key, but the line has all of them."""
    copied: list[tuple[bytes, bool]] = []
    list(read_rows([line], lambda *copy: copied.append(copy)))
    assert copied == [(line, True)]
    assert b"hunter2" not in line_without_credentials(line, 1 << 20)


def test_credentials_are_also_removed_from_lines_that_are_not_json_or_too_long() -> None:
    broken = b'{"a": "https://me:pw@host/", \xff'
    assert b"pw" not in line_without_credentials(broken, 1 << 20)
    assert line_without_credentials(broken, 1 << 20).endswith(b"\xff")
    assert b"pw" not in line_without_credentials(b'{"a": "https://me:pw@host/"}', 5)
    assert b"pw" not in line_without_credentials(rb'{"a": "https:\/\/me:pw@host"}', 1 << 20)
    many = b'{"client_secret": "\\"pw", "max_tokens": "seven", "a": [' + b"1," * 200_000 + b"1]}"
    clean = line_without_credentials(many, 1 << 20)
    assert json.loads(clean) == json.loads(many) | {"client_secret": REDACTED}
    assert b"pw" not in line_without_credentials(rb'{"\u0070assword": "pw"}', 1 << 20)
