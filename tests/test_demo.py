"""The demo as a whole succeeds, shows no secret, and W&B agrees with Azure. Its traffic is checked as that of every test.

The command itself, `python -m sandbox demo`, is run by CI.
"""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from sandbox.azure.openai.jobs import Job
from sandbox.cloud import Cloud
from sandbox.demo import ENTITY, PROJECT, played
from sandbox.scenario.reader import Scenario, read
from sandbox.wandb.runs import Run, RunState


def changed() -> Scenario:
    """The demo's world with other numbers than its own, so that nothing can know the answers by heart."""
    data: dict[str, Any] = read("demo")
    account = data["accounts"][0]
    supervised, dpo, *_, training = account["jobs"]
    supervised["metrics"]["train_loss"]["points"][90] = 0.875
    dpo["timeline"]["steps"] = 1234
    training["timeline"] = {"steps": 60, "seconds_per_step": 40, "postprocessing": 200}
    account["files"][0]["count"] = 33
    return Scenario.parse(data)


@pytest.mark.timeout(300)  # the demo itself may take 170 s on a loaded machine
def test_the_demo_succeeds_shows_no_secret_and_wandb_agrees_with_azure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.jsonl"
    with Cloud(changed(), trace=trace) as cloud:
        assert played(cloud) == 0
        check_curves(cloud)
        check_ends(cloud)
    output = "".join(capfd.readouterr())
    assert "setup: 0 writes" in output
    assert "sync: 0 writes" in output
    assert "Traceback" not in output
    assert "Refused" not in output
    key = cloud.world.scenario.wandb.users[0].keys[0]
    assert key not in output
    assert key not in trace.read_text()


def check_curves(played: Cloud) -> None:
    """Every run's curve is the job's results file, step by step."""
    now = played.clock.time()
    origin = played.world.scenario.clock.start.timestamp()
    for script in played.world.scenario.accounts[0].jobs:
        job, run = Job(script, origin), played.world.wandb.store.run(ENTITY, PROJECT, script.id)
        assert run is not None, script.id
        assert rows_by_wandb(run) == (rows_by_azure(job, now) if job.has_results(now) else {}), script.id


def rows_by_azure(job: Job, now: float) -> dict[int, dict[str, float]]:
    """The results file by another way than the engine's: step -> metrics that have a value."""
    table = csv.DictReader(io.StringIO(job.results(now).decode()))
    return {int(r["step"]): {k: float(v) for k, v in r.items() if k != "step" and v not in ("", "-1")} for r in table}


def rows_by_wandb(run: Run) -> dict[int, dict[str, float]]:
    """History without W&B's own keys; a step that stands there twice would be lost here, so they are counted too."""
    steps = [row["_step"] for row in run.history]
    assert len(steps) == len(set(steps)), "a step is there twice"
    return {row["_step"]: {k: v for k, v in row.items() if not k.startswith("_")} for row in run.history}


def check_ends(played: Cloud) -> None:
    """Every run ended as its job did."""
    now = played.clock.time()
    runs = {run.id: run for run in played.world.wandb.store.runs(ENTITY, PROJECT)}
    for script in played.world.scenario.accounts[0].jobs:
        succeeded = script.outcome.status == "succeeded"
        assert runs[script.id].state(now) is (RunState.FINISHED if succeeded else RunState.FAILED), script.id
        assert runs[script.id].config["status"] == script.outcome.status
