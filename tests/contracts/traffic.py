"""A pytest plugin: checks every answer of every sandbox of a test session against the official API descriptions.

Every sandbox that a test uses, in its own process or in one that it starts, writes a trace of each world into this
process's directory (sandbox/cloud.py). After each test its new lines are checked, and the test fails where one does not
conform. The end of the session says how many conform, and what was not checked and why. A sandbox that a test gives a
separate trace file writes there instead, for that test to check.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud import TRACES

from . import PRESENT, WHY_ABSENT, checked
from .deviations import DEVIATIONS, Line, skipped
from .fields import strange_fields

CONFORM, NOT, POLLS = "conform", "do not conform", "polls of long-running operations"
ASTRAY = "to wrong addresses on purpose"
MALFORMED = "malformed"
"""A marker: `malformed` for a test whose requests are wrong on purpose, so that only the answers are held to descriptions;
`malformed("addresses")` where nothing is, as their operation cannot be known."""


@dataclass
class Traffic:
    """The exchanges that arrive in a directory of traces, read line by line as it grows."""

    directory: Path
    counts: Counter[str] = field(default_factory=Counter)
    _read: dict[Path, int] = field(default_factory=dict)

    def findings(self, wrong: str = "") -> list[str]:
        """Problems of the traffic since the last call, except those that are intended (MALFORMED)."""
        return sorted({finding for line in self._new() for finding in self._judged(line, wrong)})

    def _judged(self, line: Line, wrong: str) -> list[str]:
        self.counts[POLLS] += len(line.get("polls", ()))
        deviation = skipped(line)
        if deviation or wrong == "addresses":
            self.counts[deviation.name if deviation else ASTRAY] += 1
            return [] if wrong == "addresses" else strange_fields(line)
        found = [each for each in [*checked(line), *strange_fields(line)] if not (wrong and " error:request:" in each)]
        self.counts[NOT if found else CONFORM] += 1
        return found

    def _new(self) -> Iterator[Line]:
        files = sorted(self.directory.iterdir())
        for at, path in enumerate(files):
            with path.open("rb") as trace:
                trace.seek(self._read.get(path, 0))
                for line in trace:
                    if line.endswith(b"\n"):  # else it is being written
                        self._read[path] = self._read.get(path, 0) + len(line)
                        yield json.loads(line)
            if any(_process(later) == _process(path) for later in files[at + 1 : at + 2]):
                path.unlink()  # its process is in another world by now


def _process(trace: Path) -> str:
    return trace.name.partition("-")[0]


_SESSION = pytest.StashKey[Traffic]()
_TOTAL = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Each process has its own directory, which its environment names."""
    config.addinivalue_line(
        "markers", f'{MALFORMED}("requests" | "addresses"): sends requests that are wrong on purpose'
    )
    config.stash[_TOTAL] = Counter()
    if PRESENT:
        directory = tempfile.mkdtemp(prefix="traffic-")
        os.environ[TRACES] = directory
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        config.stash[_SESSION] = Traffic(Path(directory))


@pytest.fixture(autouse=True)
def _conforms(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test fails whose traffic is not what the official API descriptions say."""
    yield
    traffic = request.config.stash.get(_SESSION, None)
    marker = request.node.get_closest_marker(MALFORMED)
    wrong = (*marker.args, "requests")[0] if marker else ""
    found = traffic.findings(wrong) if traffic else []
    assert found == []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the process that sums up; what came after the last test is counted, too."""
    traffic = session.config.stash.get(_SESSION, None)
    if traffic is None:
        return
    traffic.findings()
    session.config.stash[_TOTAL] += traffic.counts
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["traffic"] = dict(traffic.counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist is done."""
    node.config.stash[_TOTAL] += Counter(getattr(node, "workeroutput", {}).get("traffic", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many conform, how many do not, and what was not checked."""
    terminalreporter.write_sep("=", "traffic")
    if not PRESENT:
        terminalreporter.write_line(f"not checked: {WHY_ABSENT}")
        return
    for line in summary(config.stash[_TOTAL]):
        terminalreporter.write_line(line)


def summary(counts: Counter[str]) -> list[str]:
    """The counts for people."""
    first = f"{counts[CONFORM]} exchanges conform to the official API descriptions, {counts[NOT]} do not. Not checked:"
    return [first, *(f"  {counts[name]:>6} {name}" for name in (*(each.name for each in DEVIATIONS), POLLS, ASTRAY))]
