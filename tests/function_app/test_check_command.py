"""`python -m function_app check` as people and programs run it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from function_app.authoring.tokens import TokenizerError, counting
from function_app.cli.commands import main
from sandbox.azure.openai.training_files import FileScript, TrainingFile
from tests.conftest import ROOT

FORMATS = ("chat", "chat_with_system", "conversation", "tools", "vision", "dpo", "reinforcement", "completion")
SECRETS = ("Ticket", "customer", "look_up_ticket", "billing", "Please")  # words that stand in every generated file


def a_file(tmp_path: Path, **said: Any) -> Path:
    script = FileScript.model_validate({"id": "file-1", "count": 20, **said})
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(TrainingFile(script, 0.0).content()))
    return path


def offline(tmp_path: Path) -> dict[str, str]:
    """No way out, and no vocabulary from before."""
    return {"HTTPS_PROXY": "http://127.0.0.1:9", "TIKTOKEN_CACHE_DIR": str(tmp_path / "none"), "COLUMNS": "100"}


def tried(path: Path, *flags: str) -> Result:
    return CliRunner().invoke(main, ["check", str(path), *flags], env=offline(path.parent))


def said(path: Path, *flags: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(tried(path, "-o", "json", "--tokenizer", "estimate", *flags).stdout)
    return document


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_of_the_sandbox_is_known_and_good(tmp_path: Path, file_format: str) -> None:
    told = said(a_file(tmp_path, format=file_format))
    assert (told["ok"], told["examples"], told["errors"], told["warnings"]) == (True, 20, 0, 0)
    method = {"dpo": "dpo", "reinforcement": "reinforcement"}.get(file_format, "supervised")
    assert (told["method"], told["method_given"]) == (method, False)


def test_as_a_person_runs_it_it_needs_no_settings_and_no_network(tmp_path: Path) -> None:
    path = a_file(tmp_path, format="tools", malformed=1)
    environment = {"PATH": os.environ["PATH"], **offline(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "function_app", "check", str(path), "--price-per-million", "25", "--epochs", "2"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "chat for supervised fine-tuning, 19 with tools" in shown
    assert "2 epochs (as asked)" in shown
    assert "at 25 a million" in shown
    assert "estimate, as tiktoken" in shown
    assert "line 20 error is not valid JSON" in shown
    assert done.stderr == "It would be refused. 1 error.\n"


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("method", ["supervised", "dpo", "reinforcement"])
@pytest.mark.parametrize("output", ["text", "json"])
def test_nothing_of_the_file_is_ever_shown(tmp_path: Path, file_format: str, method: str, output: str) -> None:
    """Right or wrong, for the method it is for or another one."""
    path = a_file(tmp_path, format=file_format, malformed=4)
    shown = tried(path, "--method", method, "-o", output, "--tokenizer", "estimate").output
    assert not [secret for secret in SECRETS if secret in shown]


def test_every_line_fits_the_terminal(tmp_path: Path) -> None:
    path = a_file(tmp_path, format="vision", malformed=2)
    done = CliRunner().invoke(main, ["check", str(path)], env=offline(tmp_path) | {"COLUMNS": "60"})
    assert max(len(line) for line in done.stdout.splitlines() if str(path) not in line) <= 60


def test_exit_status_0_is_fine_1_is_errors_2_is_usage(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    assert tried(path, "--tokenizer", "estimate").exit_code == 0
    assert tried(path, "--tokenizer", "estimate", "--method", "dpo").exit_code == 1
    for wrong in (["--method", "magic"], ["--epochs", "0"], ["--price-per-million", "-1"], ["--grader", str(path)]):
        assert tried(path, *wrong).exit_code == 2
    assert tried(tmp_path / "none.jsonl").exit_code == 2


def test_a_grader_is_held_against_every_example(tmp_path: Path) -> None:
    grader = tmp_path / "grader.json"
    grader.write_text(json.dumps({"type": "string_check", "reference": "{{ item.reference_tone }}"}))
    told = said(a_file(tmp_path, format="reinforcement"), "--grader", str(grader))
    assert told["rules"] == {"grader-field": 20}
    assert "reference_tone" in told["findings"][0]["message"]


def test_a_price_gives_a_cost_and_without_one_there_is_none(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    told = said(path, "--price-per-million", "25", "--epochs", "4")
    assert told["epochs"] == {"count": 4, "given": True}
    assert told["trained_tokens"] == told["tokens"]["count"] * 4
    assert told["cost"] == pytest.approx(told["trained_tokens"] * 25 / 1_000_000)
    assert said(path)["cost"] is None


# --- the tokenizer


def test_offline_auto_is_an_estimate_that_says_so_and_tiktoken_is_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    path = a_file(tmp_path)
    told = json.loads(tried(path, "-o", "json").stdout)["tokens"]
    assert (told["tokenizer"], told["exact"]) == ("estimate", False)
    assert "could not be fetched" in told["note"]
    done = tried(path, "--tokenizer", "tiktoken", "-o", "json")
    error = json.loads(done.stdout)["error"]
    assert done.exit_code == 1
    assert "TIKTOKEN_CACHE_DIR" in error["hint"]


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1-2025-04-14", "o200k_base"),
        ("gpt-35-turbo-0125", "cl100k_base"),
        ("babbage-002", "cl100k_base"),
        ("gpt-9-that-nobody-knows", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_tokens_are_counted_with_the_vocabulary_of_the_model(model: str | None, vocabulary: str) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    asked: list[str] = []

    def load(name: str) -> Any:
        asked.append(name)
        return tiktoken.Encoding(
            name, pat_str=".", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
        )

    tokenizer = counting(model, load=load)
    assert (asked, tokenizer.name, tokenizer.exact) == ([vocabulary], f"tiktoken {vocabulary}", True)
    assert tokenizer.count("grün<|endoftext|>") == len("grün<|endoftext|>".encode())  # no word is special


def test_a_vocabulary_that_does_not_come_is_not_waited_for_long() -> None:
    pytest.importorskip("tiktoken")
    never = threading.Event()
    with pytest.raises(TokenizerError, match=r"within 0\.01 seconds"):
        counting(None, load=lambda name: never.wait(), patience=0.01)
    never.set()
