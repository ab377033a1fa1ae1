"""`submit`: from files to a fine-tuning job, once, even if interrupted."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evidence.processes import Processes
from function_app.cli.commands import main
from sandbox.azure.openai.store import Store
from sandbox.azure.openai.training_files import FileScript, TrainingFile
from tests.conftest import ROOT
from tests.conftest import Run as Command
from tests.function_app.conftest import (
    ACCOUNT,
    CLOSED_ENDPOINT,
    ENDPOINT,
    ENTITY,
    KEY,
    PROJECT,
    UNKNOWN_VERSION,
    Bench,
    a_job,
    refuses,
)

MODEL = "gpt-4o-mini-2024-07-18"
STABLE = "2024-10-21"
FAST = ("--interval", "0.05s", "--tokenizer", "estimate")
SETTINGS = {"AZURE_OPENAI_ENDPOINTS": ENDPOINT, "WANDB_ENTITY": ENTITY, "WANDB_PROJECT": PROJECT, "COLUMNS": "100"}
MAY_WRITE = [
    {"principal": "operator", "role": "Cognitive Services OpenAI Contributor", "scope": ACCOUNT},
    {"principal": "operator", "role": "Key Vault Secrets Officer", "scope": "rg-ml"},
]
GRADER = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{sample.output_text}}"}
GRADER |= {"reference": "{{item.reference_category}}"}


def open_world(bench: Bench, *jobs: Mapping[str, Any], **values: Any) -> Store:
    """A world where the operator may start jobs and a file is processed within a tenth of a second; its account."""
    bench.world(*jobs, **({"assignments": MAY_WRITE, "clock": {"rate": 100}} | values))
    return next(store for store in bench.cloud.world.openai.stores if store.account.name == "aoai-ml")


def a_training_file(tmp_path: Path, name: str = "train.jsonl", **values: Any) -> Path:
    script = FileScript.model_validate({"id": "file-1", "count": 12, **values})
    path = tmp_path / name
    path.write_bytes(b"".join(TrainingFile(script, 0.0).content()))
    return path


def arguments(training: Path) -> list[str]:
    """The command that submits this file and hardly waits."""
    return ["submit", "--model", MODEL, "--training", str(training), *FAST]


def tried(training: Path, *flags: str, env: Mapping[str, str] | None = None) -> Result:
    """The command, run in this process, which is several times as fast as a separate one."""
    return CliRunner().invoke(main, [*arguments(training), "--yes", *flags], env=SETTINGS | dict(env or {}))


def submit(training: Path, *flags: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What it says in JSON, when it ends well."""
    done = tried(training, "-o", "json", *flags, env=env)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def copies(bench: Bench, store: Store, path: Path) -> list[str]:
    """The ids of the account's files that have this file's content; another one of its name is there from the start."""
    return [file.id for file in store.files(bench.cloud.clock.time()) if file.content() == path.read_bytes()]


def made(bench: Bench, store: Store) -> list[dict[str, Any]]:
    """The account's jobs, as it shows them, newest first."""
    now = bench.cloud.clock.time()
    return [job.body(now) for job in store.jobs(now)]


def test_files_become_a_job_that_the_next_sync_shows_in_wandb(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    training = a_training_file(tmp_path)
    validation = a_training_file(tmp_path, "valid.jsonl", count=4, seed=1)
    flags = ["--validation", str(validation), "--suffix", "tickets-2", "--seed", "7", "--hyperparameters", "n_epochs=2"]
    document = submit(training, *flags, "--hyperparameters", "batch_size=auto,learning_rate_multiplier=0.5")
    assert document["created"] is True
    assert len(document["uploaded"]) == 2
    [job] = made(bench, store)
    assert (job["id"], job["model"], job["suffix"], job["seed"]) == (document["job"], MODEL, "tickets-2", 7)
    assert (job["hyperparameters"]["n_epochs"], job["hyperparameters"]["learning_rate_multiplier"]) == (2, 0.5)
    assert job["training_file"] == document["training_file"] == document["uploaded"][0]
    held = store.file(document["training_file"], bench.cloud.clock.time())
    assert held is not None
    assert (held.filename, held.content()) == ("train.jsonl", training.read_bytes())
    assert document["run_url"].endswith(f"/{ENTITY}/{PROJECT}/runs/{document['job']}")
    bench.tick(after=86_400)
    assert bench.state(document["job"]) == "finished"


def test_the_job_id_is_on_stdout_and_the_next_steps_are_on_stderr(bench: Bench, run: Command, tmp_path: Path) -> None:
    open_world(bench)
    done = run("function_app", *arguments(a_training_file(tmp_path)), "--yes", env=SETTINGS)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    assert job.startswith("ftjob-")
    for words in ("12 examples", "Uploading train.jsonl", "Created in aoai-ml", f"runs/{job}", f"sync --job {job}"):
        assert words in done.stderr


@pytest.mark.parametrize("version", ["v1", "2025-04-01-preview", STABLE])
def test_every_version_of_the_api_takes_a_supervised_job(bench: Bench, tmp_path: Path, version: str) -> None:
    store = open_world(bench)
    env = {"AZURE_OPENAI_API_VERSION": version}
    submit(a_training_file(tmp_path), "--hyperparameters", "n_epochs=1", env=env)
    [job] = made(bench, store)
    assert job["hyperparameters"]["n_epochs"] == 1


def test_an_account_without_v1_is_used_through_an_older_version(bench: Bench, tmp_path: Path) -> None:
    when = {"path": "/openai/v1/", "times": 1}
    open_world(bench, faults=[{"op": "FineTuning_List", "when": when, "do": UNKNOWN_VERSION}])
    assert submit(a_training_file(tmp_path))["created"] is True


def test_openais_own_platform_needs_only_its_key(bench: Bench, tmp_path: Path) -> None:
    """Its suffixes may be longer than Azure's."""
    account = {"name": "org", "group": "rg-ml", "platform": True, "api_key": "sk-sandbox"}
    bench.world(accounts=[account], clock={"rate": 100}, assignments=[])
    [store] = bench.cloud.world.openai.stores
    env = {"AZURE_OPENAI_ENDPOINTS": "", "OPENAI_API_KEY": "sk-sandbox"}
    training = a_training_file(tmp_path)
    document = submit(training, "--suffix", "x" * 50, env=env)
    assert (document["account"], document["created"]) == ("openai", True)
    assert submit(training, "--suffix", "x" * 50, env=env)["created"] is False
    [job] = made(bench, store)
    assert (job["id"], job["user_provided_suffix"]) == (document["job"], "x" * 50)


def test_a_reinforcement_job_is_created_with_its_grader(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    grader = tmp_path / "grader.json"
    grader.write_text(json.dumps(GRADER))
    training = a_training_file(tmp_path, format="reinforcement")
    validation = a_training_file(tmp_path, "valid.jsonl", format="reinforcement", count=10, seed=2)
    flags = ["--validation", str(validation), "--grader", str(grader), "--training-type", "GlobalStandard"]
    submit(training, *flags, "--model", "o4-mini", "--hyperparameters", "reasoning_effort=low,eval_interval=5")
    [job] = made(bench, store)
    assert job["method"] == {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
    assert job["trainingType"] == "globalStandard"


# --- once


def test_repeating_the_command_creates_and_uploads_nothing(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    training = a_training_file(tmp_path)
    first = submit(training, "--suffix", "mine")
    writes = bench.cloud.writes
    again = submit(training, "--suffix", "mine")
    assert (again["created"], again["job"], again["uploaded"]) == (False, first["job"], [])
    assert bench.cloud.writes == writes
    other = submit(training, "--suffix", "mine", "--again")
    assert (other["created"], other["uploaded"], len(made(bench, store))) == (True, [], 2)


@pytest.mark.parametrize("operation", ["Files_Upload", "Files_Get", "FineTuning_Create"])
@pytest.mark.parametrize("failure", ["reset", "lost_response"])
def test_a_kill_at_any_request_and_a_second_run_leave_one_file_and_one_job(
    bench: Bench, processes: Processes, tmp_path: Path, operation: str, failure: str
) -> None:
    """The connection breaks at that request, before the service acted or after it did, and the command is killed."""
    fault = {"op": operation, "when": {"nth": [1]}, "do": {failure: True}}
    store = open_world(bench, clock={"rate": 20}, faults=[fault])
    training = a_training_file(tmp_path)
    process = processes.start(("function_app", *arguments(training), "--yes"), bench.cloud.environment() | SETTINGS)
    process.ends_before(lambda: bool(bench.cloud.world.faults.met))
    process.kill()
    submit(training)
    assert len(made(bench, store)) == 1
    assert len(copies(bench, store, training)) == 1


@pytest.mark.parametrize("failure", [{"lost_response": True}, {"status": 503}])
def test_a_creation_with_a_lost_answer_is_never_repeated(bench: Bench, tmp_path: Path, failure: dict[str, Any]) -> None:
    store = open_world(bench, faults=[{"op": "FineTuning_Create", "when": {"nth": [1]}, "do": failure}])
    training = a_training_file(tmp_path)
    done = tried(training, "-o", "json")
    assert bench.cloud.counts["FineTuning_Create"] == 1
    if "lost_response" in failure:
        document = json.loads(done.stdout)
        assert (document["created"], document["answer_lost"], done.exit_code) == (True, True, 0)
    else:
        error = json.loads(done.stdout)["error"]
        assert (error["code"], done.exit_code) == ("lost-answer", 1)
        assert "Run the same command again" in error["hint"]
        assert submit(training)["created"] is True
    assert len(made(bench, store)) == 1


@pytest.mark.parametrize("failure", [{"lost_response": True}, {"status": 503}])
def test_an_upload_with_a_lost_answer_is_not_repeated(bench: Bench, tmp_path: Path, failure: dict[str, Any]) -> None:
    store = open_world(bench, faults=[{"op": "Files_Upload", "when": {"nth": [1]}, "do": failure}])
    training = a_training_file(tmp_path)
    done = tried(training)
    assert (done.exit_code, bench.cloud.counts["Files_Upload"]) == (1, 1)
    assert "did not answer the request" in done.stderr
    assert len(submit(training)["uploaded"]) == ("lost_response" not in failure)
    assert len(copies(bench, store, training)) == 1


def test_ctrl_c_during_file_processing_prints_how_to_continue(bench: Bench, tmp_path: Path) -> None:
    open_world(bench, clock={"rate": 0})
    training = a_training_file(tmp_path)
    command = [sys.executable, "-m", "function_app", *arguments(training), "--yes"]
    environment = bench.cloud.environment() | SETTINGS
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = ""
    while "is pending" not in line:
        line = process.stderr.readline()
        assert line, "it ended without having waited"
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert "Run the same command again" in rest
    assert "Traceback" not in rest
    bench.cloud.clock.advance(60)
    assert submit(training)["uploaded"] == []


# --- errors name the next step


def test_a_file_with_errors_is_only_uploaded_with_unchecked(bench: Bench, tmp_path: Path) -> None:
    open_world(bench)
    training = a_training_file(tmp_path, malformed=2)
    done = tried(training)
    assert (done.exit_code, done.stdout, bench.cloud.writes) == (1, "", 0)
    assert "line 6 is not valid JSON" in done.stderr
    assert f"check {training}" in done.stderr
    insisting = tried(training, "--unchecked")
    assert insisting.exit_code == 1
    assert "cannot use train.jsonl" in insisting.stderr
    assert "Deserialization of line #5 failed" in insisting.stderr
    assert "FineTuning_Create" not in bench.cloud.counts


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (400, "quotaExceeded", "You have reached the maximum number of jobs.", "wait until a job ends"),
        (400, "invalidPayload", "The specified base model does not support fine-tuning.", "--training-type"),
        (400, "jsonlValidationFailed", "Validation of the file failed.", "function_app check"),
        (429, "429", "Requests have exceeded the rate limit.", "wait until a job ends"),
        (400, "invalidPayload", "suffix: too odd", ""),
    ],
)
def test_a_refusal_is_shown_in_the_services_words_with_its_usual_cause(
    bench: Bench, tmp_path: Path, status: int, code: str, message: str, hint: str
) -> None:
    open_world(bench, faults=[{"op": "FineTuning_Create", "do": refuses(status, code, message)}])
    done = tried(a_training_file(tmp_path), "-o", "json")
    error = json.loads(done.stdout)["error"]
    assert done.exit_code == 1
    assert message in error["message"]
    assert hint in error["hint"]
    assert bench.cloud.counts["FineTuning_Create"] == 1


def test_a_missing_role_is_named(bench: Bench, tmp_path: Path) -> None:
    open_world(bench, assignments=[{**MAY_WRITE[0], "role": "Cognitive Services OpenAI User"}])
    done = tried(a_training_file(tmp_path))
    assert done.exit_code == 1
    assert "'Cognitive Services OpenAI Contributor'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--hyperparameters", "epochs=3"], "supervised has batch_size, learning_rate_multiplier, n_epochs"),
        (["--hyperparameters", "n_epochs"], "is not NAME=VALUE"),
        (["--suffix", "no spaces"], "--suffix"),
        (["--method", "reinforcement"], "--grader and --validation"),
        (["--account", "aoai-other"], "the settings name aoai-ml"),
        (["--training", "/nowhere.jsonl"], "does not exist"),
    ],
)
def test_contradictory_options_are_usage_errors(bench: Bench, tmp_path: Path, flags: list[str], words: str) -> None:
    open_world(bench)
    training = a_training_file(tmp_path, format="reinforcement" if "reinforcement" in flags else "chat")
    done = tried(training, *flags)
    assert (done.exit_code, bench.cloud.writes) == (2, 0), done.stderr
    assert words in done.stderr


def test_one_of_several_accounts_must_be_named(bench: Bench, tmp_path: Path) -> None:
    open_world(bench)
    both = {"AZURE_OPENAI_ENDPOINTS": f"{ENDPOINT},{CLOSED_ENDPOINT}"}
    training = a_training_file(tmp_path)
    done = tried(training, env=both)
    assert (done.exit_code, bench.cloud.writes) == (2, 0)
    assert "Pass one with --account: aoai-ml, aoai-closed" in done.stderr
    assert submit(training, "--account", "aoai-ml", env=both)["account"] == "aoai-ml"


def test_submit_needs_no_wandb_key(bench: Bench, tmp_path: Path) -> None:
    open_world(bench)
    document = submit(a_training_file(tmp_path), env={"WANDB_ENTITY": ""})
    assert (document["created"], document["run_url"], document["run_project"]) == (True, None, PROJECT)
    assert not [name for name in bench.cloud.counts if name in ("Viewer", "ServerInfo", "Runs")]


def test_a_job_that_no_route_mirrors_is_mentioned(bench: Bench, tmp_path: Path) -> None:
    open_world(bench, a_job())
    routes = {"WANDB_ROUTES": "account=aoai-ml -> off", "WANDB_API_KEY": KEY}
    done = tried(a_training_file(tmp_path), "--suffix", "scratch-1", env=routes)
    assert done.exit_code == 0
    assert "The job will not be mirrored to W&B" in done.stderr


def test_preferences_are_dpo_with_its_own_hyperparameters(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    submit(a_training_file(tmp_path, format="dpo"), "--model", "gpt-4.1-mini", "--hyperparameters", "beta=0.1")
    [job] = made(bench, store)
    assert job["method"]["type"] == "dpo"
    assert job["hyperparameters"]["beta"] == 0.1


def test_a_corrected_file_of_the_same_name_and_size_is_uploaded(bench: Bench, tmp_path: Path) -> None:
    store = open_world(bench)
    training = a_training_file(tmp_path)
    before = submit(training)
    training.write_bytes(training.read_bytes().replace(b"politely", b"PoLiTeLy").replace(b"Please", b"please"))
    after = submit(training)
    assert (after["created"], len(after["uploaded"])) == (True, 1)
    assert after["training_file"] != before["training_file"]
    assert len(made(bench, store)) == 2
