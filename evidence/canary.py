"""The canary: every command, undisturbed and in every kind of trouble, at its most verbose, and no secret to be found.

Looked for are the W&B keys (given, stored, new, one that W&B does not know, one that cannot be a key), access tokens, the
account's key, an application's client secret, and another secret of the vault: in stdout, stderr, every file written, the
arguments and environment of every process started, the trace, and every request but those that are meant to have them.
`python -m evidence.canary` runs it whole, and ends with N of N.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault, Gate
from sandbox.runtime.trace import Trace
from sandbox.scenario.reader import Scenario

from .canary_commands import COMMANDS, DEMO, Command, secrets_of
from .leaks import Leaks, Watch, watch_requests
from .pool import Pool
from .processes import ROOT

_LONGEST = 60.0  # seconds of one command; a sync tries for half a minute what W&B does not take
_NOWHERE = "http://127.0.0.1:9"  # a proxy that nobody answers at
_TROUBLES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("403", {"status": 403}),
    ("500", {"status": 500, "headers": {"retry-after-ms": "10"}}),
    ("not JSON", {"malformed_json": True}),
)
_STOPS = (signal.SIGINT, signal.SIGKILL)


@dataclass(frozen=True)
class Case:
    """A command and what happens to it; `stop` is a signal and the operation at whose request it comes."""

    command: Command
    trouble: str = "undisturbed"
    env: Mapping[str, str] = field(default_factory=dict)
    fault: Mapping[str, Any] | None = None
    stop: tuple[signal.Signals, str] | None = None

    def __str__(self) -> str:
        return f"{self.command.name}, {self.trouble}"


@dataclass(frozen=True)
class Searched:
    """What a case came to: its leaks, how it ended, the operations it asked for, and how many bytes were looked at."""

    case: Case
    leaks: Sequence[str]
    status: int
    operations: Sequence[str]
    bytes: int
    said: str


def play(cloud: Cloud, case: Case) -> Searched:
    """Run a case and look everywhere."""
    with tempfile.TemporaryDirectory(prefix="canary-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        leaks = Leaks(secrets_of(case.command))
        world = cloud.load(Scenario.parse(dict(case.command.world)))
        world.trace = Trace(directory / "trace.jsonl")
        watch_requests(world, leaks)
        if case.fault:
            world.faults.faults = [Fault.model_validate(case.fault)]
        gate = world.gate = Gate(case.stop[1], 1) if case.stop else Gate()
        try:
            status = _run(cloud, case, directory, leaks, gate)
        finally:
            gate.opened.set()
        said = "".join((directory / stream).read_text(encoding="utf-8", errors="replace") for stream in ("out", "err"))
        return Searched(case, sorted(leaks.found), status, tuple(dict.fromkeys(gate.seen)), leaks.looked_at, said)


def _run(cloud: Cloud, case: Case, directory: Path, leaks: Leaks, gate: Gate) -> int:
    """The command's exit status; negative, the signal that ended it, which is ours where it takes too long."""
    command, places = case.command, {place: directory / place for place in ("home", "tmp", "cwd")}
    for each in places.values():
        each.mkdir()
    command.prepare(places["cwd"])
    env = {**cloud.environment(command.principal), "HOME": str(places["home"]), "TMPDIR": str(places["tmp"])}
    env |= {"AZURE_CONFIG_DIR": str(places["home"] / ".azure"), "PYTHONPATH": str(ROOT), **command.env, **case.env}
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        child = subprocess.Popen(  # noqa: S603 - a case's command, which is ours
            [sys.executable, *(each.replace("CWD", str(places["cwd"])) for each in command.argv)],
            env=env,
            cwd=places["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        with Watch(child.pid, [directory], leaks, command.given) as watch:
            if case.stop and _comes(gate, child):
                os.killpg(child.pid, case.stop[0])  # as a terminal does
                gate.opened.set()
            try:
                return child.wait(_LONGEST)
            except subprocess.TimeoutExpired:
                return -signal.SIGKILL
            finally:
                _end(child, watch)


def _end(child: subprocess.Popen[bytes], watch: Watch) -> None:
    """What the command has started, and left when it was killed."""
    for pid in {child.pid, *watch.processes}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait()


def _comes(gate: Gate, child: subprocess.Popen[bytes]) -> bool:
    """Whether the command comes to where it is to be stopped."""
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline and child.poll() is None:
        if gate.reached.wait(0.01):
            return True
    return False


def disturbed(whole: Searched) -> list[Case]:
    """A command in every kind of trouble: keys that are none, no network, each of its requests failing, and being stopped."""
    command = whole.case.command
    cases = [Case(command, name, env) for name, env in command.wrong_keys.items()]
    cases.append(Case(command, "no network", {"HTTPS_PROXY": _NOWHERE, "HTTP_PROXY": _NOWHERE}))
    for operation, (name, do) in itertools.product(whole.operations, _TROUBLES):
        cases.append(Case(command, f"{operation}: {name}", fault={"op": operation, "do": do}))
    for operation, how in itertools.product(whole.operations, _STOPS):
        cases.append(Case(command, f"{how.name} at {operation}", stop=(how, operation)))
    return cases


def tell(searched: Searched) -> bool:
    """One line for a case, more for its leaks; whether it had none."""
    wrong = (
        []
        if not searched.case.command.ends_well or searched.case.trouble != "undisturbed" or not searched.status
        else [f"ended with {searched.status}, undisturbed: {searched.said[-800:]}"]
    )
    found = [*searched.leaks, *wrong]
    click.echo(f"{'LEAK' if found else 'ok':<5}{searched.case}: status {searched.status}, {searched.bytes:,} bytes")
    for each in found:
        click.echo(f"       {each}")
    return not found


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--command", "only", metavar="TEXT", help="Only commands whose name has this in it.")
@click.option("--every", type=click.IntRange(min=1), default=1, metavar="N", help="Only every N-th kind of trouble.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="At once.")
def main(only: str | None, every: int, jobs: int) -> None:
    """Run every command in every kind of trouble, and look for secrets everywhere.

    Exit status: 0 none was found, 1 some was.
    """
    began = time.monotonic()
    commands = [each for each in (*COMMANDS, DEMO) if each.there and (only is None or only in each.name)]
    with Pool(lambda: Cloud(Scenario.load("contoso")), jobs) as clouds:
        whole = list(clouds.each(play, [Case(each) for each in commands]))
        good = [tell(each) for each in whole]
        cases = [case for each in whole if each.case.command is not DEMO for case in disturbed(each)][::every]
        good += [tell(each) for each in clouds.each(play, cases)]
    for each in (*COMMANDS, DEMO):
        if not each.there:
            click.echo(f"not here: {each.name}")
    minutes = (time.monotonic() - began) / 60
    click.echo(f"{sum(good)} of {len(good)} runs leak no secret, in {minutes:.1f} minutes")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
