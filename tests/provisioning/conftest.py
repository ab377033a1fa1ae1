"""Fixtures for provisioning/."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

from evidence.processes import Processes
from provisioning.cli import commands as cli
from provisioning.models import Target
from sandbox.cloud import Cloud

from .bench import Bench, Listener, VirtualClock
from .terminal import Terminal


@pytest.fixture
def bench(cloud: Cloud) -> Bench:
    """The contoso world, to be set up by its operator."""
    target = Target("rg-ml", "aoai-ml", "kv-ml", "wandb-api-key", timedelta(minutes=10))
    return Bench(cloud, VirtualClock(cloud), target, Listener())


@dataclass
class Call:
    """Runs `python -m provisioning ARGV` in this process, which a whole child process is three times as slow as."""

    cloud: Cloud
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(
        self, *argv: str, principal: str | None = "operator", env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        whole = self.cloud.environment(principal) | dict(env or {})
        # wandb keeps its own process's address in the environment: putting that back later would revive a dead one.
        for name in set(os.environ) - set(whole) - {"PYTEST_CURRENT_TEST", "WANDB_SERVICE"}:
            self.monkeypatch.delenv(name)
        for name, value in whole.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(argv)
        out, err = self.capsys.readouterr()
        return subprocess.CompletedProcess(argv, int(ended.value.code or 0), out, err)


@pytest.fixture
def call(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A command in this process: no terminal, and nothing on stdin unless given."""
    return Call(cloud, monkeypatch, capsys)


@pytest.fixture
def terminal(cloud: Cloud, processes: Processes) -> Iterator[Callable[..., Terminal]]:
    """Starts a command of the operator on a terminal, which is hung up in the end."""
    started: list[Terminal] = []

    def start(*argv: str, env: Mapping[str, str], columns: int = 200) -> Terminal:
        whole = cloud.environment("operator") | {"TERM": "xterm"} | dict(env)
        started.append(Terminal(processes, whole, *argv, columns=columns))
        return started[-1]

    yield start
    for each in started:
        each.close()
