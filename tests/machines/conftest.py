"""State machines that act at random on a whole world: their parts, and the places where they work."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from provisioning.models import Target
from sandbox.cloud import Cloud
from tests.conftest import Load
from tests.function_app.conftest import Bench
from tests.provisioning.bench import Bench as Provisioning
from tests.provisioning.bench import Listener, VirtualClock

from .places import PIPELINE, fresh
from .profiles import parts


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Split a machine into the parts of the profile, which is known by now."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", parts())


@pytest.fixture
def sync_bench(cloud: Cloud, load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
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
