"""`make demo`, as a whole: it ends well, tells no secret, its traffic is Azure's, and W&B shows what Azure says."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.azure.openai.jobs import Job
from sandbox.cloud import Cloud
from sandbox.demo import ENTITY, PROJECT, Demo
from sandbox.scenario.reader import Scenario, read
from sandbox.wandb.runs import Run, RunState
from tests.contracts import PRESENT, TOOLS


def rows_by_azure(job: Job, now: float) -> dict[int, dict[str, float]]:
    """The results file by another way than the engine's: step -> metrics that have a value."""
    table = csv.DictReader(io.StringIO(job.results(now).decode()))
    return {int(r["step"]): {k: float(v) for k, v in r.items() if k != "step" and v not in ("", "-1")} for r in table}


def rows_by_wandb(run: Run) -> dict[int, dict[str, float]]:
    """History without W&B's own keys; a step that stands there twice would be lost here, so they are counted too."""
    steps = [row["_step"] for row in run.history]
    assert len(steps) == len(set(steps)), "a step is there twice"
    return {row["_step"]: {k: v for k, v in row.items() if not k.startswith("_")} for row in run.history}


@pytest.fixture(scope="module")
def played() -> Iterator[Cloud]:
    """The demo's road with other numbers than its own: nothing may know the answers by heart."""
    data: dict[str, Any] = read("demo")
    account = data["accounts"][0]
    supervised, dpo, *_, training = account["jobs"]
    supervised["metrics"]["train_loss"]["points"][90] = 0.875
    dpo["timeline"]["steps"] = 1234
    training["timeline"] = {"steps": 60, "seconds_per_step": 40, "postprocessing": 200}
    account["files"][0]["count"] = 33
    with Cloud(Scenario.parse(data)) as cloud:
        Demo(cloud).play()
        yield cloud


@pytest.mark.timeout(300)  # the demo itself may take 170 s on a loaded machine
def test_it_ends_well_and_tells_no_secret_and_its_trace_conforms(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    command = [sys.executable, "-m", "sandbox", "demo", "--no-page", "--trace", str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "setup: 0 writes" in said
    assert "sync: 0 writes" in said
    key = Scenario.load("demo").wandb.users[0].keys[0]
    assert key not in said
    assert key not in trace.read_text()
    assert "Traceback" not in said
    assert "Refused" not in said
    if PRESENT:
        checked = subprocess.run(
            [sys.executable, str(TOOLS / "check_trace.py"), str(trace)], capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stdout


def test_every_curve_is_the_results_file_step_by_step(played: Cloud) -> None:
    now = played.clock.time()
    account = played.world.scenario.accounts[0]
    origin = played.world.scenario.clock.start.timestamp()
    for script in account.jobs:
        job, run = Job(script, origin), played.world.wandb.store.run(ENTITY, PROJECT, script.id)
        assert run is not None, script.id
        assert rows_by_wandb(run) == (rows_by_azure(job, now) if job.has_results(now) else {}), script.id


def test_every_run_ends_as_its_job_did(played: Cloud) -> None:
    now = played.clock.time()
    runs = {run.id: run for run in played.world.wandb.store.runs(ENTITY, PROJECT)}
    for script in played.world.scenario.accounts[0].jobs:
        succeeded = script.outcome.status == "succeeded"
        assert runs[script.id].state(now) is (RunState.FINISHED if succeeded else RunState.FAILED), script.id
        assert runs[script.id].config["status"] == script.outcome.status


def test_every_training_file_is_one_artifact_with_a_table_that_its_runs_used(played: Cloud) -> None:
    store = played.world.wandb.store
    datasets = {a.name: a for a in store.artifacts(ENTITY, PROJECT) if a.type == "dataset"}
    account = played.world.scenario.accounts[0]
    assert len(datasets) == len(account.files)
    by_file = {a.metadata["file_id"]: a for a in datasets.values()}
    for script in account.jobs:
        for file_id in filter(None, (script.training_file, script.validation_file)):
            assert script.id in {run.id for run in by_file[file_id].used_by}, (script.id, file_id)
    for file in account.files:
        tables = [path for path in by_file[file.id].entries if path.endswith(".table.json")]
        assert tables, file.id
        assert by_file[file.id].metadata["examples"] == file.count - file.malformed
