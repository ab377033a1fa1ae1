"""Concurrent and terminated workers with the same job: Microsoft's worker library in separate processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load
from tests.worker.test_worker import LIBRARY, WORLD, Answer, Host, azure, delivered, host, logged, message, worker

__all__ = ["host"]  # a fixture

PATIENCE = 200.0  # seconds to wait at most for what a worker is about to do; on a busy machine that is a while
pytestmark = [worker, pytest.mark.timeout(2 * PATIENCE)]
SLOW = {"op": "Files_GetContent", "when": {"nth": [1]}, "do": {"delay": 4.0}}  # so that it is killed while at work
JOB = "ftjob-done"


class Worker:
    """A worker at work."""

    def __init__(self, directory: Path, env: Mapping[str, str], *invocations: Mapping[str, Any]) -> None:
        directory.mkdir()
        orders, self._answers = directory / "orders.json", directory / "answers.json"
        orders.write_text(json.dumps({"invocations": invocations}))
        command = [sys.executable, str(Path(__file__).parent / "host.py"), str(LIBRARY), str(ROOT)]
        command += [str(orders), str(self._answers)]
        self.process = subprocess.Popen(command, env=dict(env), stdout=subprocess.DEVNULL)

    def invocations(self) -> list[Answer]:
        """What became of the invocations, once all are over."""
        assert self.process.wait(PATIENCE) == 0
        answers: list[Answer] = json.loads(self._answers.read_text())["invocations"]
        return answers


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker; none is left behind."""
    started: list[Worker] = []

    def start(env: Mapping[str, str], *invocations: Mapping[str, Any]) -> Worker:
        started.append(Worker(tmp_path / str(len(started)), env, *invocations))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def wait_for_fault(cloud: Cloud) -> None:
    """Return once the world's fault is being met."""
    until = time.monotonic() + PATIENCE
    while not cloud.world.faults.met:
        assert time.monotonic() < until, "no request met the fault"
        time.sleep(0.02)


def steps(cloud: Cloud) -> list[int]:
    return [row["_step"] for row in cloud.world.wandb.store.run("acme", "tuning", JOB).history]


def results(invocations: list[Answer]) -> list[str]:
    return [line.split()[1] for each in invocations for line in logged(each) if line.startswith("message ")]


def test_only_one_of_two_workers_with_the_same_message_writes(load: Load, start: Start) -> None:
    """A message may come twice, or two ticks may enqueue one job. The other worker finds the job leased, or finished."""
    cloud = load(WORLD)
    both = [start(azure(cloud), delivered(message(JOB))) for _ in range(2)]
    came_to = sorted(result for each in both for result in results(each.invocations()))
    assert came_to in (["result=current", "result=synced"], ["result=skipped", "result=synced"])
    assert steps(cloud) == list(range(1, 21))


def test_the_next_worker_completes_what_a_terminated_one_left(load: Load, start: Start, host: Host) -> None:
    """It ends at once (it declares no HandlesWorkerTerminateMessage). Its message remains, and its lease ends by itself."""
    cloud = load({**WORLD, "faults": [SLOW]})
    first = start(azure(cloud), delivered(message(JOB)))
    wait_for_fault(cloud)
    first.process.terminate()
    assert first.process.wait(PATIENCE) == -signal.SIGTERM
    assert cloud.world.wandb.store.runs("acme", "tuning") == []

    early = host(delivered(message(JOB), attempt=2), env=azure(cloud))
    assert results(early["invocations"]) == ["result=skipped"]
    cloud.clock.advance(61)
    late = host(delivered(message(JOB), attempt=3), env=azure(cloud))
    assert results(late["invocations"]) == ["result=synced"]
    assert steps(cloud) == list(range(1, 21))
    assert '"rule":1' in cloud.world.wandb.store.run("acme", "tuning", JOB).config["azure_openai_wandb"]
