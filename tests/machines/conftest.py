"""Machines that act at random on a whole world: their profiles, their places to work, and the line they end with."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from provisioning.models import Target
from sandbox.cloud import Cloud
from tests.function_app.conftest import Bench
from tests.provisioning.bench import Bench as Provisioning
from tests.provisioning.bench import Listener, VirtualClock

from .figures import FIGURES, parts, register
from .places import PIPELINE, fresh

register()
_ENDED = pytest.StashKey[int]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In how many parts a machine runs is the profile's to say, which is known by now."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", parts())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how it ended; a worker of pytest-xdist tells what it ran to the process that sums up."""
    session.config.stash[_ENDED] = exitstatus
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["machines"] = asdict(FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist is done."""
    if ran := getattr(node, "workeroutput", {}).get("machines"):
        FIGURES.add(ran)


def pytest_unconfigure(config: pytest.Config) -> None:
    """What ran, as the last line."""
    if FIGURES.examples and not hasattr(config, "workerinput"):
        sys.stdout.write(FIGURES.line(broken=bool(config.stash.get(_ENDED, 0))) + "\n")


@pytest.fixture
def sync_bench(
    cloud: Cloud, load: Callable[[Mapping[str, Any]], Cloud], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Where engines work, signed in as the pipeline."""
    with ExitStack() as engines:
        bench = Bench(cloud, load, engines)
        fresh(bench)
        monkeypatch.delenv("SANDBOX_SESSION")
        for name, value in cloud.environment(PIPELINE).items():
            monkeypatch.setenv(name, value)
        yield bench


@pytest.fixture
def provisioning_bench(cloud: Cloud) -> Provisioning:
    """Where commands are run, in this process and on the sandbox's clock, as the operator."""
    target = Target("rg-ml", "aoai-ml", "kv-ml", "wandb-api-key", timedelta(minutes=10))
    return Provisioning(cloud, VirtualClock(cloud), target, Listener())
