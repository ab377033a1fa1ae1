"""One sandbox per test process, a fresh world per test, and whole commands as child processes."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from evidence.processes import Processes
from sandbox.cloud import FOREIGN, TRACES, Cloud
from sandbox.scenario.reader import Scenario
from tests.contracts import CONTRACTS_DIR
from tests.storage.azurite import PROGRAM, Azurite

pytest_plugins = ["tests.contracts.traffic"]

ROOT = Path(__file__).parent.parent

Load = Callable[[Mapping[str, Any]], Cloud]
"""What the fixture `load` gives."""

# The same examples every time, and no deadline, which would depend on the load of the machine. `make random` draws others,
# and more of them.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
hypothesis.settings.register_profile("few", deadline=None, derandomize=True, max_examples=20)  # for mutmut
hypothesis.settings.load_profile("same")


def start_wandb_core() -> None:
    """Start wandb-core before a test puts a key into the environment: the process outlives the test."""
    from wandb.sdk import wandb_setup

    from function_app.tracking.wandb.core.sdk import prepare

    prepare()
    wandb_setup.singleton().ensure_service()


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """Undo the `gc.freeze` of function_app/startup.py, after which hypothesis finds no referrer of its random numbers."""
    yield
    gc.unfreeze()


def pytest_configure() -> None:
    """Remove the settings of the person who runs the tests; not on import, because children of tests import this file."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name not in (TRACES, CONTRACTS_DIR)]:
        del os.environ[name]


# Files whose tests share a fixture that takes long, such as Azurite: one process runs all of them.
TOGETHER = frozenset({"tests/benchmarks/test_scale.py", "tests/storage/test_storage.py"})


class Together(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist's classes are not typed
    """Gives each test to a free process, except those of some files. `xdist_group` does nothing under pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)  # there is no xdist where mutmut runs the tests
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Choose the scheduler, unless `--dist` does."""
    return Together(config, log) if config.getoption("dist") == "load" else None


@dataclass(frozen=True)
class Run:
    """Runs `python -m ARGV` as a principal of the sandbox and waits for it.

    It is forked from a process that has imported the SDKs, which saves most of the time. `new_process` and `input` start a
    new interpreter instead, which reads its own environment.
    """

    cloud: Cloud
    processes: Processes

    def __call__(
        self,
        *argv: str,
        principal: str | None = "operator",
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 - subprocess's own word
        new_process: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        whole = self.cloud.environment(principal) | dict(env or {})
        if not new_process and input is None:
            ended = self.processes.start(argv, whole).ended()
            return subprocess.CompletedProcess(argv, ended.status, ended.out, ended.err)
        return subprocess.run(
            [sys.executable, "-m", *argv], env=whole, input=input, capture_output=True, text=True, timeout=300, cwd=ROOT
        )


@pytest.fixture(scope="session")
def _running_cloud() -> Iterator[Cloud]:
    """One sandbox for the session. The test process itself has its environment, so that tests can use SDKs directly."""
    before = dict(os.environ)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: children would ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with Cloud(Scenario.load("contoso")) as cloud:
        inside = cloud.environment()
        os.environ.clear()
        os.environ.update(inside | {k: v for k, v in before.items() if k == TRACES})  # sandboxes that tests start
        yield cloud
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def cloud(_running_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sandbox with a fresh `contoso` world, signed in as the operator.

    A test fails if it used an operation or a host that is not modelled, or set a fault or an event that did not happen.
    """
    world = _running_cloud.load(Scenario.load("contoso"))
    for name, value in _running_cloud.environment().items():
        monkeypatch.setenv(name, value)
    denied = len(_running_cloud.denied)
    yield _running_cloud
    world = _running_cloud.world
    assert world.unmodelled == []
    assert world.wandb.unsupported == []
    assert world.faults.unmet == []
    assert world.events.pending == []
    assert _running_cloud.denied[denied:] == []


@pytest.fixture(scope="session")
def azurite(_running_cloud: Cloud) -> Iterator[Azurite]:
    """Microsoft's storage emulator, beside the sandbox; its content stays from test to test."""
    if not PROGRAM.exists():
        pytest.skip(f"Azurite is not in {PROGRAM.parents[2]}: `make test` installs it there where there is Node")
    with Azurite(_running_cloud) as running:
        yield running


@pytest.fixture
def load(cloud: Cloud) -> Load:
    """Load another world; `{"extends": NAME, …}` starts from a known scenario."""

    def load(data: Mapping[str, Any]) -> Cloud:
        cloud.load(Scenario.parse(data))
        return cloud

    return load


@pytest.fixture(scope="session")
def processes(_running_cloud: Cloud) -> Iterator[Processes]:
    """Starts whole commands without the time for their imports."""
    with Processes(_running_cloud.directory, _running_cloud.environment(None)) as started:
        yield started


@pytest.fixture
def run(cloud: Cloud, processes: Processes) -> Run:
    """Runs whole commands, as a person or a host would."""
    return Run(cloud, processes)
