"""What leaves under each policy is what docs/data.md says; credentials never leave; names and texts from outside are harmless."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.credentials import REDACTED, has_credentials, line_without_credentials, without_credentials
from function_app.data.description import config_of, model_metadata, name_of, notes_of, summary_of, tags_of
from function_app.data.egress import JOB_FIELDS, permitted, table
from function_app.data.job_log import JobLog
from function_app.data.jsonl import read_rows
from function_app.engine.reporting import FAILED, alert_of
from function_app.models import DatasetPolicy, Job, JobError, TableRow
from function_app.text import lines, one_line, without_mentions
from tests.conftest import ROOT
from tests.function_app.conftest import JOB, Bench, a_file, a_job

FULL, SAMPLE, REFERENCE, OFF = DatasetPolicy
GRADER: dict[str, Any] = {
    "type": "multi",
    "graders": [
        {"type": "score_model", "model": "gpt-4o", "input": [{"role": "user", "content": "CANARY-PROMPT words"}]},
        {"type": "python", "source": "CANARY-SOURCE = 1", "pass_threshold": 0.5},
        {"type": "endpoint", "headers": {"Authorization": "Bearer CANARY-SECRET-1"}, "api_key": "CANARY-SECRET-2"},
        {"type": "endpoint", "url": "https://me:CANARY-SECRET-3@grader.example/?sig=CANARY-SECRET-4&a=b"},
    ],
}
OF_A_JOB = Job(
    "ftjob-1",
    "aoai-ml",
    "failed",
    "gpt-4o-2024-08-06",
    1_700_000_000,
    "file-1",
    method="reinforcement",
    hyperparameters={
        "n_epochs": 3,
        "eval_interval": "auto",
        "note": "CANARY-HYPER words",
        "api_key": "CANARY-SECRET-6",
        "CANARY-HYPER words": 1,
    },
    method_options={"grader": GRADER, "response_format": {"enum": ["CANARY-FORMAT"]}},
    suffix="tickets",
    error=JobError("invalidPayload", "Line 17: CANARY-ERROR\n<!channel>", "CANARY-PARAM"),
    integrations=({"type": "other", "x": "CANARY-INTEGRATION"},),
    metadata={"team": "CANARY-METADATA", "password": "CANARY-SECRET-5"},
    extras={"whatever": "CANARY-EXTRA"},
)
FREE_TEXT = {"CANARY-PROMPT", "CANARY-SOURCE", "CANARY-FORMAT", "CANARY-ERROR", "CANARY-PARAM"}


@pytest.mark.parametrize(
    ("policy", "leaves"),
    [
        (FULL, FREE_TEXT | {"CANARY-METADATA"}),
        (SAMPLE, FREE_TEXT | {"CANARY-METADATA"}),
        (REFERENCE, {"CANARY-METADATA"}),
        (OFF, set()),
    ],
)
def test_only_fields_that_the_policy_allows_leave_and_credentials_never_do(
    policy: DatasetPolicy, leaves: set[str]
) -> None:
    job = permitted(OF_A_JOB, policy)
    sent = json.dumps(
        [
            config_of(job),
            summary_of(job, JobLog(), 0),
            name_of(job),
            tags_of(job, "openai"),
            model_metadata(job, "m", None),
            notes_of(job),
            alert_of(job, FAILED, [], 0).text,
        ]
    )
    assert set(re.findall(r"CANARY-[A-Z]+", sent)) == leaves
    kept = config_of(job)
    assert (kept["hyperparameters"], kept["error"]["code"]) == (
        {"n_epochs": 3, "eval_interval": "auto", "api_key": REDACTED},
        "invalidPayload",
    )
    assert kept["method_options"]["grader"]["graders"][0]["model"] == "gpt-4o"
    assert kept["method_options"]["grader"]["graders"][1]["pass_threshold"] == 0.5


def test_every_field_of_a_job_is_listed_or_never_leaves() -> None:
    assert {field.name for field in fields(Job)} - set(JOB_FIELDS) == {"integrations", "extras", "malformed"}


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
        ({"password": {"type": "string", "default": "x"}}, {"password": {"type": "string", "default": REDACTED}}),
    ],
)
def test_a_credential_is_replaced_by_a_placeholder(value: Any, clean: Any) -> None:
    assert (without_credentials(value), has_credentials(value), has_credentials(clean)) == (clean, True, False)


@pytest.mark.parametrize(
    "value",
    [
        {"password": {"type": "string", "description": "The user's password"}},
        {"max_tokens": 7, "key_points": "a", "tokens": "many", "monkey": "ape", "author": "Ann"},
        "mail me@host.example about https://host.example/@me",
        "the bearer of bad news",
    ],
)
def test_text_that_only_resembles_a_credential_stays(value: Any) -> None:
    assert without_credentials(value) == value
    assert not has_credentials(value)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.sampled_from(["https://a:b@c/", "Bearer 0123456789abcdef"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["headers", "api_key", "type", "default", "text", "token", "https://a:b@c/"]),
            inner,
            max_size=4,
        )
    ),
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


def test_table_rows_have_no_credentials() -> None:
    [row] = read_rows(
        [json.dumps({"messages": [{"role": "user", "content": "q"}], "tools": [{"headers": {"x": "SECRET"}}]}).encode()]
    )
    assert isinstance(row, TableRow)
    assert "SECRET" not in str(row.cells)


def test_text_from_outside_cannot_control_a_terminal_forge_a_line_or_notify_anybody() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\n2026 ERROR forged \u202eabc\u2028x\ud800"
    assert one_line(evil) == "]0;owned[2J[31mred  2026 ERROR forged abc x"
    assert lines("a\nb\x1b[0m") == "a\nb[0m"
    cleaned = without_mentions("<!channel> <@U1> @here @everyone mail a@here.example")
    assert "<!" not in cleaned
    assert "@here " not in cleaned
    assert "a@here.example" in cleaned


@pytest.mark.parametrize(
    ("policy", "leaves"), [("off", set()), ("reference", {"META"}), ("full", {"META", "PROMPT", "NAME", "LINE"})]
)
def test_a_canary_in_every_place_is_found_in_wandb_only_where_the_policy_allows(
    bench: Bench, policy: str, leaves: set[str]
) -> None:
    """Words stand in the grader, metadata, the file's name and lines; a secret stands in a header and in an address."""
    grader: dict[str, Any] = {
        "type": "string_check",
        "name": "same",
        "operation": "eq",
        "input": "CANARY-PROMPT",
        "reference": "x",
    }
    grader |= {"headers": {"x": "CANARY-SECRET"}}
    method = {"type": "reinforcement", "parameters": {"grader": grader}}
    line = {"messages": [{"role": "user", "content": "CANARY-LINE https://me:CANARY-SECRET@host/"}]}
    file = a_file(filename="CANARY-NAME ?sig=x https://me:CANARY-SECRET@host.jsonl", lines=[json.dumps(line)] * 12)
    # A message of the log never leaves.
    job = a_job(method=method, metadata={"team": "CANARY-META"}, messages=["CANARY-EVENT"])
    bench.world(job, files=[file])
    engine = bench.engine(sync_datasets=DatasetPolicy(policy), azure_openai_api_version="v1")
    assert bench.tick(engine)[JOB].final
    run = bench.run()
    texts = [json.dumps(run.raw_config), json.dumps(run.summary), str((run.name, run.notes, run.tags, run.group))]
    for version in [*run.used, *run.logged]:
        texts += [str((version.metadata, version.description, list(version.entries)))]
    texts += [
        stored.content.decode("utf-8", "replace") for stored in bench.cloud.world.wandb.store.storage._objects.values()
    ]
    sent = "\n".join(texts)
    assert {
        word for word in ("META", "PROMPT", "NAME", "LINE", "SECRET", "EVENT") if f"CANARY-{word}" in sent
    } == leaves


def test_credentials_are_also_removed_from_lines_that_are_not_json_or_too_long() -> None:
    broken = b'{"a": "https://me:pw@host/", \xff'
    assert b"pw" not in line_without_credentials(broken, 1 << 20)
    assert line_without_credentials(broken, 1 << 20).endswith(b"\xff")
    assert b"pw" not in line_without_credentials(b'{"a": "https://me:pw@host/"}', 5)
    assert b"pw" not in line_without_credentials(rb'{"a": "https:\/\/me:pw@host"}', 1 << 20)
    assert b"pw" not in line_without_credentials(rb'{"\u0070assword": "pw"}', 1 << 20)
