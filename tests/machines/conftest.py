"""State machines that act at random on a whole world: their parts, and the places where they work."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sandbox.cloud import Cloud
from tests.conftest import Load
from tests.function_app.conftest import Bench
from tests.provisioning.conftest import bench

from .places import PIPELINE, fresh
from .profiles import parts

__all__ = ["bench"]  # a fixture: where commands are run, as the operator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Split a machine into the parts of the profile, which is known by now."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", parts())


@pytest.fixture
def sync_bench(cloud: Cloud, load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Where engines work, signed in as the pipeline."""
    with ExitStack() as engines:
        sync = Bench(cloud, load, engines)
        fresh(sync)
        monkeypatch.delenv("SANDBOX_SESSION")
        for name, value in cloud.environment(PIPELINE).items():
            monkeypatch.setenv(name, value)
        yield sync
