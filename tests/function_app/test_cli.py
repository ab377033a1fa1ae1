"""`python -m function_app sync` as people and programs run it."""

import json
from typing import Any

import pytest

from tests.conftest import Run as Command

from .conftest import CLOSED_ENDPOINT, ENDPOINT, ENTITY, JOB, KEY, OTHER_JOB, PROJECT, Bench, a_job

SETTINGS = {
    "AZURE_OPENAI_ENDPOINTS": ENDPOINT,
    "WANDB_API_KEY": KEY,
    "WANDB_ENTITY": ENTITY,
    "WANDB_PROJECT": PROJECT,
}


def test_a_line_a_job_and_one_that_sums_up(bench: Bench, run: Command) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB, outcome={"status": "failed", "during": "preprocessing"}))
    done = run("function_app", "sync", env=SETTINGS)
    assert done.returncode == 0
    [header, *lines] = done.stdout.splitlines()
    assert header.split()[:3] == ["RESULT", "JOB", "STATUS"]
    [line] = [line for line in lines if JOB in line]
    assert "30 new steps; 1 dataset; 1 model; settled" in line
    assert line.endswith(f"/{ENTITY}/{PROJECT}/runs/{JOB}")
    assert done.stderr.splitlines()[-1] == "2 jobs: 2 synced"
    assert KEY not in done.stdout + done.stderr


def test_one_document_with_output_json(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    document: dict[str, Any] = json.loads(run("function_app", "sync", "-o", "json", env=SETTINGS).stdout)
    assert document["ok"]
    assert [(job["job"], job["result"], job["steps"], job["last_step"]) for job in document["jobs"]] == [
        (JOB, "synced", 30, 30)
    ]


def test_a_dry_run_says_what_is_owed_and_writes_nothing(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", "--dry-run", env=SETTINGS)
    assert (done.returncode, done.stdout.splitlines()[1].split()[:2]) == (0, ["owed", JOB])
    assert bench.cloud.writes == 0


def test_only_the_jobs_that_are_asked_for(bench: Bench, run: Command) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB, created="-9d"))
    for flags, expected in (
        (["--job", OTHER_JOB], {OTHER_JOB}),
        (["--last", "1"], {JOB}),
        (["--since", bench.cloud.clock.now().strftime("%Y-%m-01")], {JOB, OTHER_JOB}),
    ):
        done = run("function_app", "sync", "--dry-run", "-o", "json", *flags, env=SETTINGS)
        found = {job["job"] for job in json.loads(done.stdout)["jobs"]}
        assert JOB in found if "--since" in flags else found == expected


def test_follow_goes_on_until_every_job_has_come_to_its_end(bench: Bench, run: Command) -> None:
    bench.world(a_job(created="-10m", timeline={"steps": 10}), clock={"rate": 400})  # a virtual minute takes 0.15 s
    done = run("function_app", "sync", "--follow", "--interval", "0.2", env=SETTINGS)
    assert done.returncode == 0
    assert bench.state() == "finished"


def test_a_job_that_failed_to_sync_is_exit_status_1_and_the_others_are_done(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", env=SETTINGS | {"AZURE_OPENAI_ENDPOINTS": f"{ENDPOINT},{CLOSED_ENDPOINT}"})
    assert done.returncode == 1
    assert "Assign it 'Cognitive Services OpenAI User' on the account." in done.stderr
    assert bench.state() == "finished"


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"AZURE_OPENAI_ENDPOINTS": "aoai-ml"}, 2, "AZURE_OPENAI_ENDPOINTS: 'aoai-ml' is not an address"),
        ({"SYNC_SCHEDULE": "often"}, 2, "SYNC_SCHEDULE: 'often' has 1 fields"),
        ({"WANDB_API_KEY": "9" * 40}, 1, "does not take the API key"),
        ({"WANDB_API_KEY": "short"}, 1, "does not take the API key"),
        ({"WANDB_API_KEY": "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"}, 1, "may not"),
        ({"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}, 1, "secret wandb-api-key"),
    ],
)
def test_what_is_wrong_is_said_once_with_the_next_step_and_nothing_is_written(
    bench: Bench, run: Command, changed: dict[str, str], status: int, said: str
) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", env=SETTINGS | changed)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert bench.cloud.writes == 0
    failed = json.loads(run("function_app", "sync", "-o", "json", env=SETTINGS | changed).stdout)
    assert failed["ok"] is False


def test_nobody_signed_in_is_told_to_sign_in(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", principal=None, env=SETTINGS)
    assert done.returncode == 1
    assert "az login" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_for_strangers_and_needs_no_settings(run: Command) -> None:
    done = run("function_app", "sync", "--help")
    assert done.returncode == 0
    for word in ("AZURE_OPENAI_ENDPOINTS", "KEY_VAULT_URL", "WANDB_PROJECT", "Exit status", "--follow", "--dry-run"):
        assert word in done.stdout
