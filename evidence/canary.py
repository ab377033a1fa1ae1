"""The canary: runs every command at its most verbose, undisturbed and in every kind of trouble, and must find no secret.

It searches stdout, stderr, every written file, the arguments and environment of every started process, the trace, and every
request except those that are meant to carry the secret.
"""

import itertools
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from evidence.commands.canary import SECRETS, WRONG_KEYS
from evidence.commands.case import Case
from evidence.leaks import Leaks, Watch, watch_requests
from evidence.processes import ROOT, HungError, kill
from evidence.stage import Failed, Point, Stage
from sandbox.runtime.faults import Fault, Gate
from sandbox.runtime.trace import Trace
from sandbox.scenario.reader import Scenario

GOOD = "no leak"
_LONGEST = 60.0  # seconds of an undisturbed command
_READ_AT_IMPORT = frozenset({"OPENAI_LOG", "WANDB_DEBUG"})  # a forked command has imported the SDKs before it has these
_NOWHERE = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")  # nothing listens there
_FAULTS: Mapping[str, dict[str, Any]] = {
    "403": {"status": 403},
    "500": {"status": 500, "headers": {"retry-after-ms": "10"}},
    "not JSON": {"malformed_json": True},
}


@dataclass(frozen=True)
class Trouble:
    """A disturbance of a command: other variables, a fault, or a signal at the first request of an operation."""

    env: Mapping[str, str] = field(default_factory=dict)
    fault: Mapping[str, Any] | None = None
    stop: tuple[signal.Signals, str] | None = None


@dataclass(frozen=True)
class CanaryRun:
    """How a command ended, what it requested, and what was found."""

    status: int
    operations: tuple[str, ...]
    leaks: tuple[str, ...]
    output: str


def points(stage: Stage, case: Case) -> list[Point]:
    """Return the undisturbed run, and the command with wrong keys, without a network, with failing requests, and stopped."""
    whole = play(case, Trouble(), stage)
    troubles = {
        name: Trouble({"WANDB_API_KEY": key}) for name, key in WRONG_KEYS.items() if "WANDB_API_KEY" in case.env
    }
    troubles["no network"] = Trouble(_NOWHERE)
    for operation, (name, do) in itertools.product(whole.operations, _FAULTS.items()):
        troubles[f"{operation}: {name}"] = Trouble(fault={"op": operation, "do": do})
    for operation, how in itertools.product(whole.operations, (signal.SIGINT, signal.SIGKILL)):
        troubles[f"{operation}: {how.name}"] = Trouble(stop=(how, operation))
    undisturbed = Point({"trouble": "undisturbed"}, lambda stage: judge(whole, must_succeed=case.ends_well))
    return [undisturbed, *(Point({"trouble": n}, partial(_disturbed, case, each)) for n, each in troubles.items())]


def _disturbed(case: Case, trouble: Trouble, stage: Stage) -> str:
    return judge(play(case, trouble, stage))


def judge(searched: CanaryRun, *, must_succeed: bool = False) -> str:
    """Return the result if no secret was found.

    Raises:
        Failed: a secret was found, or a command failed that must not fail.
    """
    if searched.leaks:
        raise Failed("; ".join(searched.leaks))
    if must_succeed and searched.status:
        raise Failed(f"ended with {searched.status}, undisturbed: {searched.output[-800:]}")
    return GOOD


def play(case: Case, trouble: Trouble, stage: Stage) -> CanaryRun:
    """Run a command in trouble, in an empty directory, and search everywhere."""
    with tempfile.TemporaryDirectory(prefix="canary-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        leaks = Leaks(SECRETS)
        world = stage.cloud.load(Scenario.parse(dict(case.world)))
        world.trace = Trace(directory / "trace.jsonl")
        watch_requests(world, leaks)
        world.faults.faults = [Fault.model_validate(trouble.fault)] if trouble.fault else []
        gate = world.gate = Gate(trouble.stop[1]) if trouble.stop else Gate()
        try:
            status, output = _run(case, trouble, stage, directory, leaks)
        finally:
            gate.opened.set()
        leaks.search(output.encode(), "the output")
        return CanaryRun(status, tuple(dict.fromkeys(gate.seen)), tuple(sorted(leaks.found)), output)


def _run(case: Case, trouble: Trouble, stage: Stage, directory: Path, leaks: Leaks) -> tuple[int, str]:
    """Return the command's exit status and output. A command that takes too long is killed."""
    home, temporary, cwd = (directory / each for each in ("home", "tmp", "cwd"))
    for each in (home, temporary, cwd):
        each.mkdir()
    for name, content in case.files.items():
        (cwd / name).write_text(content, encoding="utf-8")
    places = {"HOME": str(home), "TMPDIR": str(temporary), "AZURE_CONFIG_DIR": str(home / ".azure")}
    env = {
        **stage.cloud.environment(case.principal),
        **places,
        "PYTHONPATH": str(ROOT),
        **case.environment,
        **trouble.env,
    }
    undisturbed = trouble == Trouble()
    longest = _LONGEST if undisturbed else case.longest
    fork = not undisturbed and _READ_AT_IMPORT.isdisjoint(env)
    running = stage.processes.start(case.argv, env, cwd, fork=fork)
    with Watch(running.pid, [directory], leaks) as watch:
        try:
            if trouble.stop and not running.ends_before(stage.world.gate.reached.is_set, longest):
                os.killpg(running.pid, trouble.stop[0])  # as a terminal does
                stage.world.gate.opened.set()
            status = running.ended(longest).status
        except HungError:
            status = -signal.SIGKILL
        finally:
            running.kill()
            kill(watch.processes)  # processes whose parent was killed before
    return status, "".join(each.read_text(encoding="utf-8", errors="replace") for each in (running.out, running.err))
