"""`python -m function_app check` as people and programs run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from function_app.cli.commands import main
from sandbox.azure.openai.training_files import FileScript, TrainingFile
from tests.conftest import ROOT

FORMATS = ("chat", "chat_with_system", "conversation", "tools", "vision", "dpo", "reinforcement")
SECRETS = ("Ticket", "customer", "look_up_ticket", "billing", "Please")  # words that are in every generated file


def a_file(tmp_path: Path, **values: Any) -> Path:
    script = FileScript.model_validate({"id": "file-1", "count": 20, **values})
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(TrainingFile(script, 0.0).content()))
    return path


def of_lines(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(lines))
    return path


def offline(tmp_path: Path) -> dict[str, str]:
    """No way out, no vocabulary from before, and no settings."""
    nothing = {"AZURE_OPENAI_ENDPOINTS": "", "OPENAI_API_KEY": "", "HTTPS_PROXY": "http://127.0.0.1:9"}
    return nothing | {"TIKTOKEN_CACHE_DIR": str(tmp_path / "none"), "COLUMNS": "100"}


def tried(path: Path, *flags: str, **env: str) -> Result:
    argv = ["check", str(path), "--tokenizer", "estimate", *flags]
    return CliRunner().invoke(main, argv, env=offline(path.parent) | env)


def document_of(path: Path, *flags: str, **env: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(tried(path, "-o", "json", *flags, **env).stdout)
    return document


def test_it_needs_no_settings_and_no_network(tmp_path: Path) -> None:
    path = a_file(tmp_path, format="tools", malformed=1)
    flags = ("--price-per-million", "25", "--epochs", "2", "--stats")
    command = [sys.executable, "-m", "function_app", "check", str(path), *flags]
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "cp1252", **offline(tmp_path)}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, encoding="cp1252")
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "chat for supervised fine-tuning on OpenAI or Azure, 19 with tools" in shown
    for text in ("2 epochs (as given)", "at 25 a million", "estimate, as tiktoken", "line 20 error is not valid JSON"):
        assert text in shown
    assert done.stderr == "The service would refuse the file. 1 error.\n"


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("method", ["supervised", "dpo"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_the_content_of_the_file_is_never_shown(tmp_path: Path, file_format: str, method: str, output: str) -> None:
    path = a_file(tmp_path, format=file_format, malformed=4)
    shown = tried(path, "--method", method, "-o", output, "--stats", "--explain", "--compare", str(path)).output
    assert not [secret for secret in SECRETS if secret in shown]


HOSTILE = [
    '{"messages": [{"role": "CANARY", "content": "CANARY"}]}',
    '{"messages": [{"role": "user", "content": "CANARY", "CANARY": 1}]}',
    '{"CANARY": 1}',
    '{"messages": [{"role": "assistant", "tool_calls": [{"id": "CANARY", "function": {"name": "CANARY x"}}]}]}',
    '{"messages": [{"role": "user", "content": [{"type": "CANARY", "image_url": {"url": "CANARY"}}]}]}',
    '{"messages": [{"role": "user\\u001b[31m", "content": "a"}], "tools": [{"type": "CANARY"}]}',
    '{"input": "CANARY", "preferred_output": "CANARY"}',
    '{"messages": [{"role": "user", "content": "a"}], "n": ' + "9" * 10_000 + "}",
    '{"messages":' + "[" * 100_000,
]


@pytest.mark.parametrize("output", ["table", "json"])
def test_hostile_lines_are_findings_and_their_text_never_reaches_the_terminal(tmp_path: Path, output: str) -> None:
    done = tried(of_lines(tmp_path, *HOSTILE), "-o", output, "--explain")
    assert done.exit_code == 1
    assert "CANARY" not in done.output
    assert "\x1b[31m" not in done.output


def test_exit_status_is_0_without_errors_1_with_errors_and_2_for_usage(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    assert tried(path).exit_code == 0
    assert tried(path, "--method", "dpo").exit_code == 1
    wrong = (["--method", "magic"], ["--epochs", "0"], ["--price-per-million", "-1"], ["--compare", str(path)])
    assert [tried(path, *flags).exit_code for flags in wrong] == [2] * 4
    assert tried(tmp_path / "none.jsonl").exit_code == 2


@pytest.mark.parametrize(
    ("flags", "env", "service", "ok"),
    [
        ([], {}, None, False),
        (["--service", "azure"], {}, "azure", True),
        ([], {"AZURE_OPENAI_ENDPOINTS": "https://a.openai.azure.com"}, "azure", True),
        ([], {"OPENAI_API_KEY": "sk-x"}, "openai", False),
        (["--service", "azure", "--strict"], {}, "azure", False),
    ],
)
def test_the_service_comes_from_the_option_or_the_settings(
    tmp_path: Path, flags: list[str], env: dict[str, str], service: str | None, ok: bool
) -> None:
    line = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "weight": 0.9}'
    found = document_of(of_lines(tmp_path, *[line] * 12), *flags, **env)
    assert (found["service"], found["ok"], found["rules"]) == (service, ok, {"extra-key": 12})


def test_explain_shows_what_each_service_does_and_the_evidence_for_it(tmp_path: Path) -> None:
    path = of_lines(tmp_path, '{"prompt": "", "completion": "b"}')
    explained = document_of(path, "--explain")["explanations"]["few-examples"]
    assert explained["openai"] == "refuses it (the service's own error, or a job that succeeded: invalid_n_examples)"
    assert "Azure" in tried(path, "--explain").stdout
    assert "explanations" not in document_of(path)


def test_a_grader_is_checked_against_every_example(tmp_path: Path) -> None:
    grader = tmp_path / "grader.json"
    grader.write_text(json.dumps({"type": "string_check", "reference": "{{ item.tone }}", "headers": {"x": "secret"}}))
    found = document_of(a_file(tmp_path, format="reinforcement"), "--grader", str(grader))
    assert found["rules"] == {"grader-field": 20, "grader-template": 1, "credential": 1}
    assert "tone" in found["findings"][0]["message"]


def test_a_price_gives_a_cost_and_without_one_there_is_none(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    found = document_of(path, "--price-per-million", "25", "--epochs", "4")
    assert found["epochs"] == {"count": 4, "given": True}
    assert found["trained_tokens"] == found["tokens"]["count"] * 4
    assert found["cost"] == pytest.approx(found["trained_tokens"] * 25 / 1_000_000)
    assert document_of(path)["cost"] is None


def test_offline_auto_estimates_and_says_so_and_tiktoken_fails(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    path = a_file(tmp_path)
    found = document_of(path, "--tokenizer", "auto")["tokens"]
    assert (found["tokenizer"], found["exact"]) == ("estimate", False)
    assert "could not be fetched" in found["note"]
    done = tried(path, "--tokenizer", "tiktoken", "-o", "json")
    assert (done.exit_code, "TIKTOKEN_CACHE_DIR" in json.loads(done.stdout)["error"]["hint"]) == (1, True)
