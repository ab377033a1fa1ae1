"""What `submit` shows before it does anything, and whether it pays once."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from function_app.authoring.job_creation import JobRequest
from function_app.authoring.request import training_type_of
from function_app.authoring.submission import Submission
from function_app.authoring.twins import matching_job
from function_app.azure.openai import Account
from function_app.cli.commands import main
from function_app.errors import AccountError
from function_app.models import Job, Method
from tests.conftest import ROOT
from tests.function_app.authoring.test_submit import (
    GRADER,
    MODEL,
    SETTINGS,
    a_training_file,
    arguments,
    copies,
    open_world,
    submit,
    tried,
)
from tests.function_app.conftest import JOB, Bench, a_job

REQUEST = JobRequest(MODEL, "file-1", Method.SUPERVISED, hyperparameters={"n_epochs": 3})
THERE = {"hyperparameters": {"n_epochs": 3}, "training_type": "globalStandard"}
SHOWN = replace(Job(JOB, "aoai-ml", "running", MODEL, 5, "file-1"), **THERE)  # type: ignore[arg-type]
PRICES = json.dumps([{"model": "gpt-4o-mini*", "per_million_tokens": 2.0}])


@pytest.mark.parametrize(
    ("shown", "asked", "alike"),
    [
        ({"hyperparameters": {"n_epochs": "3"}}, {}, True),
        ({"hyperparameters": {"n_epochs": 3.0, "batch_size": 1}}, {}, True),
        ({"hyperparameters": {"n_epochs": "4"}}, {}, False),
        ({}, {"hyperparameters": {"n_epochs": "auto"}}, True),
        ({}, {"hyperparameters": {"n_epochs": -1}}, True),
        ({}, {"hyperparameters": {"n_epochs": 3, "learning_rate_multiplier": 0.1}}, True),
        ({}, {"training_type": "GlobalStandard"}, True),
        ({"training_type": "developerTier"}, {"training_type": "Developer"}, True),
        ({}, {"training_type": "standard"}, False),
        ({"model": MODEL.upper()}, {}, True),
        ({"method_options": {"grader": GRADER | {"pass_threshold": None, "name": "same"}}}, {"grader": GRADER}, True),
        ({"method_options": {"grader": GRADER | {"operation": "ne"}}}, {"grader": GRADER}, False),
        ({"validation_file": "file-9"}, {"validation_file": "file-9"}, True),
        ({"validation_file": "file-9"}, {}, False),
        ({"training_file": "file-2"}, {}, False),
        ({"status": "succeeded"}, {}, True),
        ({"status": "failed"}, {}, False),
        ({"status": "cancelled"}, {}, False),
        ({"suffix": "x"}, {}, False),
        ({"suffix": "my-model"}, {"suffix": "My.Model"}, True),
        ({"suffix": "a" * 18}, {"suffix": "a" * 30}, True),
        ({"suffix": "tickets"}, {"suffix": "tickets-2"}, False),
        ({"model": "gpt-4.1"}, {"model": "gpt-4.1-2025-04-14"}, True),
        ({"method": "supervised"}, {}, True),
        ({"method": "dpo"}, {}, False),
        ({"hyperparameters": {}}, {}, True),
        ({"hyperparameters": {"n_epochs": -1}}, {}, False),
        ({"model": "gpt-4o-2024-08-06"}, {"model": "gpt-4o"}, True),
        ({}, {"model": "gpt-4o"}, False),
    ],
)
def test_a_job_matches_a_request_without_differences(shown: dict[str, Any], asked: dict[str, Any], alike: bool) -> None:
    assert (matching_job(replace(REQUEST, **asked), [replace(SHOWN, **shown)]) is not None) is alike


def test_the_same_content_uploaded_again_by_others_does_not_hide_the_job(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    training = a_training_file(tmp_path)
    first = submit(training, "--hyperparameters", "n_epochs=3")
    store.upload("train.jsonl", "fine-tune", training.read_bytes(), bench.cloud.clock.time())
    again = submit(training, "--hyperparameters", "n_epochs=3")
    assert (again["job"], again["created"], again["uploaded"]) == (first["job"], False, [])
    assert len(copies(bench, store, training)) == 2


def test_a_dry_run_shows_what_would_be_done_and_cost_and_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    open_world(bench)
    training = a_training_file(tmp_path)
    document = submit(training, "--dry-run", "--hyperparameters", "n_epochs=4", env={"FINE_TUNING_PRICES": PRICES})
    assert (document["account"], document["model"], document["method"]) == ("aoai-ml", MODEL, "supervised")
    assert document["epochs"] == {"count": 4, "given": True}
    assert document["cost"] == round(document["trained_tokens"] * 2 / 1_000_000, 2)
    assert (document["training"]["examples"], document["training"]["id"], document["existing_job"]) == (12, None, None)
    assert submit(training, "--dry-run")["cost"] is None
    shown = tried(training, "--dry-run")
    assert "unknown: FINE_TUNING_PRICES has no price" in shown.stdout
    assert bench.cloud.writes == 0


def asked(bench: Bench, training: Path, stdin: int, *flags: str) -> subprocess.CompletedProcess[str]:
    """The command without `--yes`."""
    command = [sys.executable, "-m", "function_app", *arguments(training), *flags]
    env = bench.cloud.environment() | SETTINGS
    return subprocess.run(command, env=env, cwd=ROOT, stdin=stdin, capture_output=True, text=True)


def test_without_a_terminal_and_without_yes_nothing_is_done(bench: Bench, tmp_path: Path) -> None:
    open_world(bench)
    done = asked(bench, a_training_file(tmp_path), subprocess.DEVNULL, "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "not-confirmed"), done.stderr
    assert bench.cloud.writes == 0


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_submit_asks_before_it_creates_a_job(bench: Bench, tmp_path: Path, answer: str, status: int) -> None:
    open_world(bench)
    primary, secondary = pty.openpty()
    os.write(primary, f"{answer}\n".encode())
    done = asked(bench, a_training_file(tmp_path), secondary)
    os.close(secondary)
    os.close(primary)
    assert done.returncode == status, done.stderr
    assert "Create this job? [y/N]" in done.stderr
    assert bench.cloud.counts.get("FineTuning_Create", 0) == (status == 0)


def test_training_continues_from_a_job_or_a_model(bench: Bench, tmp_path: Path) -> None:
    jobs = a_job(outcome={"status": "succeeded"}), a_job(id="ftjob-running", created="-1m")
    open_world(bench, *jobs, clock={"rate": 0})  # the second one still runs, however long this takes
    training = a_training_file(tmp_path)
    flags = ["submit", "--training", str(training), "--dry-run", "--tokenizer", "estimate", "-o", "json"]

    def quote(further: str) -> Result:
        return CliRunner().invoke(main, [*flags, "--continue-from", further], env=SETTINGS)

    model = json.loads(quote(JOB).stdout)["model"]
    assert model.startswith(f"{MODEL}.ft-")
    assert json.loads(quote(model).stdout)["model"] == model
    refused = quote("ftjob-running")
    assert (refused.exit_code, "has no model to continue from" in refused.output) == (2, True)


@pytest.mark.parametrize(("days", "noted"), [(30, "in 29 days"), (-2, "ended on"), (200, "")])
def test_a_base_model_that_ends_soon_is_a_warning(bench: Bench, tmp_path: Path, days: int, noted: str) -> None:
    held = {"name": "aoai-ml", "group": "rg-ml", "training_ends": {MODEL: f"{days}d"}}
    open_world(bench, accounts=[held], clock={"rate": 1})
    notes = submit(a_training_file(tmp_path), "--dry-run")["notes"]
    assert [noted in note for note in notes] == [True] * bool(noted)


@pytest.mark.parametrize(
    ("model", "flags", "noted"),
    [
        ("gpt-oss-20b", [], "open-weight"),
        ("gpt-oss-20b", ["--training-type", "DatazoneStandard"], ""),
        (MODEL, ["--training-type", "Faster"], "Faster is not known here"),
        (MODEL, ["--training-type", "developer"], ""),
    ],
)
def test_open_weight_models_and_training_types_are_known(
    bench: Bench, tmp_path: Path, model: str, flags: list[str], noted: str
) -> None:
    open_world(bench)
    notes = submit(a_training_file(tmp_path), "--dry-run", "--model", model, *flags)["notes"]
    assert [noted in note for note in notes] == [True] * bool(noted)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("Developer", "developerTier"), ("GLOBALSTANDARD", "globalStandard"), ("Newest", "Newest"), (None, None)],
)
def test_training_types_are_sent_as_jobs_show_them(given: str | None, sent: str | None) -> None:
    assert training_type_of(given) == sent


def followed(bench: Bench, *faults: Any, **values: Any) -> tuple[Job, list[str]]:
    """A job that was just created, at the end of waiting for it, and what was reported."""
    bench.world(a_job(created="-1s", **values), faults=[*faults])
    [account] = bench.engine().accounts
    assert isinstance(account, Account)
    reported: list[str] = []
    submission = Submission(account, reported.append, sleep=bench.cloud.clock.advance)
    return submission.follow(account.job(JOB)), reported


@pytest.mark.parametrize(("ends", "during"), [("succeeded", None), ("failed", "preprocessing"), ("paused", "queue")])
def test_waiting_ends_when_the_job_does_or_pauses(bench: Bench, ends: str, during: str | None) -> None:
    job, reported = followed(bench, outcome={"status": ends} | ({"during": during} if during else {}))
    assert job.status == ends
    assert reported[-1].startswith(ends)
    assert job.error is None or job.error.message in reported[-1]
    assert len(reported) == len(set(reported)) > 1


def test_waiting_outlasts_an_outage_and_otherwise_says_that_the_job_exists(bench: Bench) -> None:
    busy = {"status": 503, "headers": {"retry-after-ms": "1"}}
    job, reported = followed(bench, {"op": "FineTuning_Get", "when": {"nth": [3, 4, 5, 6, 7, 8]}, "do": busy})
    assert job.status == "succeeded"
    assert [line for line in reported if "busy or failing" in line]
    with pytest.raises(AccountError, match=JOB) as caught:
        followed(bench, {"op": "FineTuning_GetEvents", "do": {"status": 400}})
    assert "The job exists" in caught.value.hint
