"""How fast, side by side with wandb's own WandbLogger.sync: `python -m benchmarks.speed`.

Both mirror the same finished jobs, in a fresh sandbox each, where every request to Azure and to W&B takes 50 ms; both
with tables of the training and validation files, which no two jobs share. Each job has three checkpoints, of which WandbLogger
mirrors only the last, the model. Times are of complete processes, from start to exit. Then each syncs all jobs again, with
nothing to do: in a new process, and in one long-lived process. WandbLogger is called by job id, one job after the other,
because it cannot process more than 20 otherwise. The result is the median round. Requests are counted where they arrive. The
modules of both are compiled before, as pip does when it installs them.

The minimum for a job: the SDK (wandb 0.31) sends 44 requests for a run with five artifacts (two files with their tables,
and three models). 6 are for the run: its resume status, two upserts (the second for telemetry), two posts to the file stream,
and the server's features. Each artifact takes 5, and one more for each file, including its manifest. Another file, which says
where a table is, has the same content everywhere, so W&B takes it once. Recording these files as inputs of the run
takes one more: 45.

Exit status 1 when a target is missed, or what W&B shows of ours is wrong.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sandbox.cloud import Cloud

from .checks import SyncedWorld
from .incumbent import INCUMBENT, OURS, pythons_of
from .measure import ROOT, Usage, measure
from .rows import Row
from .workload import TRAINING, VALIDATION, environment, job_id, lines, scenario

FASTER, ONE_FASTER = 16.0, 2.5
"""Times as fast as WandbLogger: at the largest number of jobs, and at the smallest."""
IDLE_FASTER, PROCESS_FASTER, PROCESS_SECONDS = 20.0, 6.0, 1.2
"""For a sync with nothing to do: how many times as fast, as a tick and as a whole process, and the most seconds of the latter."""
START_SECONDS = 0.4
"""The most seconds of a command that needs no service."""
WANDB_REQUESTS, AZURE_REQUESTS = 45 * 1.1, 6.0
"""Requests per job at most: to W&B 10 % more than its SDK needs, to Azure OpenAI without the pages of events."""
MEMORY = 0.5
_STARTS = (
    ("function_app", "--help"),
    ("function_app", "check", "--tokenizer", "estimate", "FILE"),  # tiktoken would load its vocabulary
    ("provisioning", "--help"),
)
_TICKS = 2  # the first sync of a process connects and signs in
_AZURE, _WANDB = "openai", "wandb"
_NAMES = {INCUMBENT: "WandbLogger.sync", OURS: "function_app sync"}
_Requests = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Sync:
    """One process that mirrored all jobs: its usage and that of its wandb-core, seconds from start to exit, requests by
    service and operation, and what is wrong.
    """

    process: Usage
    wandb_core: Usage
    seconds: float
    requests: _Requests
    wrong: Sequence[str]

    def requests_to(self, service: str) -> int:
        """Return the number of requests to a service, without pages of events, whose number depends on the job."""
        return sum(count for name, count in self.requests.get(service, {}).items() if name != "FineTuning_GetEvents")

    @property
    def mib(self) -> float:
        """Both processes' peaks."""
        return self.process.mib + self.wandb_core.mib


@dataclass(frozen=True)
class Idle:
    """Syncs with nothing to do: the seconds of a whole process with one, and of the first and second tick in another
    process, with the requests of these two.
    """

    process: float
    first: float
    seconds: float
    requests: _Requests


_Timed = TypeVar("_Timed", Sync, Idle)


@dataclass(frozen=True)
class Figures:
    """All measurements of one tool: syncs by number of jobs, idle ticks with the largest number, and the seconds of commands
    that need no service.
    """

    syncs: Mapping[int, Sync]
    idle: Idle
    starts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The sandbox and how to start either tool in it."""

    cloud: Cloud
    pythons: Mapping[str, str]
    latency: float
    training: int = TRAINING
    validation: int = VALIDATION

    def round(self, tool: str, jobs: int) -> Sync:
        """Mirror this number of jobs in a fresh world."""
        world = self.cloud.load(
            scenario(jobs, latency=self.latency, training=self.training, validation=self.validation)
        )
        synced = SyncedWorld(world)
        synced.account.files(synced.now)  # creates the results files, which a service has before anybody asks for them
        ran = measure([self.pythons[tool], *self._once(tool, jobs)], environment(self.cloud))
        wrong = [*synced.faithful(), *synced.tables()] + ([f"exit status {ran.status}"] if ran.status else [])
        return Sync(ran.process, ran.wandb_core, ran.seconds, self._since(Counter()), wrong)

    def idle(self, tool: str, jobs: int) -> Idle:
        """Sync the mirrored jobs again.

        Raises:
            subprocess.CalledProcessError: the tool failed.
        """
        env = environment(self.cloud)
        process = measure([self.pythons[tool], *self._once(tool, jobs)], env).seconds
        before = self._counted()
        command = [self.pythons[tool], *self._ticks(tool, _TICKS, jobs)]
        done = subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        first, second = json.loads(done.stdout)
        return Idle(process, first, second, self._since(before))

    def starts(self) -> dict[str, float]:
        """Return the seconds of our commands that need no service."""
        file = self.cloud.directory / "examples.jsonl"
        file.write_text("\n".join(lines(1, 20)), encoding="utf-8")
        python, env = self.pythons[OURS], environment(self.cloud)
        return {
            " ".join(words): measure(
                [python, "-m", *(str(file) if word == "FILE" else word for word in words)], env
            ).seconds
            for words in _STARTS
        }

    def _once(self, tool: str, jobs: int) -> list[str]:
        return ["-m", "function_app", "sync"] if tool == OURS else self._ticks(tool, 1, jobs)

    @staticmethod
    def _ticks(tool: str, ticks: int, jobs: int) -> list[str]:
        calls = [{"with": {"fine_tune_job_id": job_id(number)}} for number in range(1, jobs + 1)]
        plan = json.dumps(Row("ticks", (), calls=calls, rounds=ticks).plan)
        if tool == OURS:
            return ["-m", "benchmarks.caller", "engine", plan]
        return [str(ROOT / "benchmarks" / "caller.py"), tool, plan]

    def _counted(self) -> Counter[tuple[str, str]]:
        return Counter((each.service, each.operation) for each in self.cloud.world.trace.exchanges)

    def _since(self, before: Counter[tuple[str, str]]) -> _Requests:
        found: dict[str, dict[str, int]] = {}
        for (service, operation), count in sorted((self._counted() - before).items()):
            found.setdefault(service, {})[operation] = count
        return found


def measured(bench: Bench, jobs: Sequence[int], rounds: int) -> dict[str, Figures]:
    """Measure the tools alternately, so that other load on the machine affects both."""
    syncs: dict[str, dict[int, list[Sync]]] = {tool: {number: [] for number in jobs} for tool in bench.pythons}
    idles: dict[str, list[Idle]] = {tool: [] for tool in bench.pythons}
    starts: list[dict[str, float]] = []
    for _ in range(rounds):
        starts.append(bench.starts())
        for number in jobs:
            for tool in bench.pythons:
                syncs[tool][number].append(bench.round(tool, number))
                if number == max(jobs):
                    idles[tool].append(bench.idle(tool, number))
    started = {name: sorted(each[name] for each in starts)[rounds // 2] for name in starts[0]}
    return {
        tool: Figures(
            {number: _of_all(found) for number, found in syncs[tool].items()},
            replace(_median(idles[tool]), process=sorted(each.process for each in idles[tool])[rounds // 2]),
            started if tool == OURS else {},
        )
        for tool in bench.pythons
    }


def _of_all(rounds: Sequence[Sync]) -> Sync:
    """Return the median round, with the mistakes of all rounds."""
    return replace(_median(rounds), wrong=list(dict.fromkeys(what for each in rounds for what in each.wrong)))


def _median(rounds: Sequence[_Timed]) -> _Timed:
    return sorted(rounds, key=lambda each: each.seconds)[len(rounds) // 2]


def targets(theirs: Figures, ours: Figures) -> dict[str, bool]:
    """Return each target in words, with the figure at the largest number of jobs, and whether it is met."""
    most, least = max(ours.syncs), min(ours.syncs)
    faster, one = (theirs.syncs[jobs].seconds / ours.syncs[jobs].seconds for jobs in (most, least))
    idle, process = theirs.idle.seconds / ours.idle.seconds, theirs.idle.process / ours.idle.process
    wandb, azure = (ours.syncs[most].requests_to(service) / most for service in (_WANDB, _AZURE))
    memory = ours.syncs[most].mib / theirs.syncs[most].mib
    slowest = max(ours.starts.values(), default=0.0)
    return {
        f"{faster:.1f}× as fast at {most} jobs, target {FASTER:g}×": faster >= FASTER,
        f"{one:.1f}× at {least}, target {ONE_FASTER:g}×": one >= ONE_FASTER,
        f"idle tick {idle:.1f}×, target {IDLE_FASTER:g}×": idle >= IDLE_FASTER,
        f"idle process {process:.1f}×, target {PROCESS_FASTER:g}×": process >= PROCESS_FASTER,
        f"in {ours.idle.process:.2f} s, target {PROCESS_SECONDS:g} s": ours.idle.process <= PROCESS_SECONDS,
        f"--help and check {slowest:.2f} s, target {START_SECONDS:g} s": slowest <= START_SECONDS,
        f"{wandb:.1f} W&B requests per job, target at most {WANDB_REQUESTS:.1f}": wandb <= WANDB_REQUESTS,
        f"{azure:.1f} Azure requests per job, target at most {AZURE_REQUESTS:g}": azure <= AZURE_REQUESTS,
        f"{memory:.0%} of its peak memory, target less than {MEMORY:.0%}": memory < MEMORY,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. The exit status is 0 if ours is right and every target is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 50], help="finished jobs to mirror")
    parser.add_argument("--rounds", type=int, default=5, help="of each; the median is shown (5)")
    parser.add_argument("--quick", action="store_true", help="a minute to try it: few jobs, one round, no targets")
    parser.add_argument("--delay-ms", type=float, default=50, metavar="MS", help="of every request, on both sides")
    parser.add_argument("--python", help="an interpreter that has wandb, openai, pandas and numpy, for WandbLogger")
    parser.add_argument("--ours-only", action="store_true", help="without WandbLogger, and without targets")
    given = parser.parse_args(arguments)
    latency = given.delay_ms / 1000
    jobs, rounds = ((1, 6), 1) if given.quick else (given.jobs, given.rounds)
    pythons = pythons_of(given.python, ours_only=given.ours_only)
    for python in pythons.values():
        _compile(python)
    with Cloud(scenario(1, latency=latency)) as cloud:
        figures = measured(Bench(cloud, pythons, latency), jobs, rounds)
    met = {} if given.ours_only or given.quick else targets(figures[INCUMBENT], figures[OURS])
    print("\n".join([*_table(figures), *verdict(figures, met)]))
    return int(any(sync.wrong for sync in figures[OURS].syncs.values()) or not all(met.values()))


def _compile(python: str) -> None:
    """Compile the modules that an interpreter imports. uv, unlike pip, does not do so, and a process may not either
    (PYTHONDONTWRITEBYTECODE).
    """
    program = "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2, workers=0)"
    subprocess.run([python, "-c", program], check=True, stdout=subprocess.DEVNULL)
    ours = [str(ROOT / each) for each in ("function_app", "provisioning", "benchmarks")]
    subprocess.run([python, "-m", "compileall", "-q", *ours], check=True)


def _table(figures: Mapping[str, Figures]) -> Iterator[str]:
    tools = list(figures)
    most = max(figures[OURS].syncs)
    yield _row("", (_NAMES[tool] for tool in tools))
    for number in figures[OURS].syncs:
        yield _timed(f"{number} finished jobs", [figures[tool].syncs[number].seconds for tool in tools])
    yield _timed(f"idle tick over {most}", [figures[tool].idle.seconds for tool in tools])
    yield _timed("  the first of its process", [figures[tool].idle.first for tool in tools])
    yield _timed("  as a whole process", [figures[tool].idle.process for tool in tools])
    for name, seconds in figures[OURS].starts.items():
        yield _row(name, [*[""] * (len(tools) - 1), f"{seconds:.2f} s"])
    last = [figures[tool].syncs[most] for tool in tools]
    for service, name in ((_WANDB, "W&B requests per job"), (_AZURE, "Azure requests, without events")):
        yield _row(name, (f"{sync.requests_to(service) / most:.1f}" for sync in last))
    yield _row("peak memory, its process", (f"{sync.process.mib:.0f} MiB" for sync in last))
    yield _row("peak memory, wandb-core", (f"{sync.wandb_core.mib:.0f} MiB" for sync in last))
    yield _row("CPU of its process", (f"{sync.process.cpu_seconds:.2f} s" for sync in last))
    yield _row("CPU of its wandb-core", (f"{sync.wandb_core.cpu_seconds:.2f} s" for sync in last))
    for operation in sorted({operation for sync in last for operation in sync.requests.get(_WANDB, {})}):
        yield _row(f"  {operation}", (f"{sync.requests[_WANDB].get(operation, 0) / most:.2f}" for sync in last))


def verdict(figures: Mapping[str, Figures], met: Mapping[str, bool]) -> Iterator[str]:
    """Print the failures, and a summary line at the end."""
    for tool, found in figures.items():
        for number, sync in found.syncs.items():
            if sync.wrong:
                yield f"{_NAMES[tool]}, {number} jobs: WRONG  {'; '.join(sync.wrong[:3])}"
    wrong = any(sync.wrong for sync in figures[OURS].syncs.values())
    last = [text if is_met else f"MISSED: {text}" for text, is_met in met.items()]
    last.append("ours is WRONG" if wrong else "what W&B shows of ours is right")
    yield (f"Against {_NAMES[INCUMBENT]}: " if met else "") + "; ".join(last)


def _timed(name: str, seconds: Sequence[float]) -> str:
    ratio = [f"{seconds[0] / seconds[-1]:.1f}×"] if len(seconds) > 1 else []
    return _row(name, [*(f"{each:.2f} s" for each in seconds), *ratio])


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:32}" + "".join(f"{cell:>20}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
