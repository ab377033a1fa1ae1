"""How fast, side by side with wandb's own WandbLogger.sync: `python -m benchmarks.speed`.

Both mirror the same finished jobs, in a fresh sandbox each, where every request to Azure and to W&B takes 50 ms; both
with tables of the training and validation files, which no two jobs share. Times are of complete processes, from start to
exit. Then each syncs all jobs again, with nothing to do, in one long-lived process. WandbLogger is called by job id, one job
after the other, because it cannot process more than 20 otherwise. The result is the median round. Requests are counted where
they arrive.

The minimum for a job: the SDK (wandb 0.31) sends 29 requests for a run with three artifacts (two files with their tables,
and a model). 6 are for the run: its resume status, two upserts (the second for telemetry), two posts to the file stream, and
the server's features. Each artifact takes 5, and one more for each file, including its manifest. Recording these files as
inputs of the run takes one more: 30.

Exit status 1 when a target is missed, or what W&B shows of ours is wrong.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sandbox.cloud import Cloud

from .incumbent import INCUMBENT, OURS, pythons_of
from .measure import Taken, watched
from .truth import Truth
from .workload import TRAINING, VALIDATION, environment, job_id, scenario

ROOT = Path(__file__).parent.parent
FASTER, IDLE_FASTER, REQUESTS = 12.0, 20.0, 30.0
"""The targets at the largest number of jobs: the speed-up, the speed-up of an idle tick, and W&B requests per job."""
_TICKS = 2  # the first of a process connects and signs in
_AZURE, _WANDB = "openai", "wandb"
_NAMES = {INCUMBENT: "WandbLogger.sync", OURS: "function_app sync"}
_Requests = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Sync:
    """One process that mirrored all jobs: its usage and that of its wandb-core, seconds from start to exit, requests by
    service and operation, and what is wrong.
    """

    process: Taken
    wandb_core: Taken
    seconds: float
    requests: _Requests
    wrong: Sequence[str]

    def requests_to(self, service: str) -> int:
        """Return the number of requests to a service."""
        return sum(self.requests.get(service, {}).values())

    @property
    def mib(self) -> float:
        """Both processes' peaks."""
        return self.process.mib + self.wandb_core.mib


@dataclass(frozen=True)
class Idle:
    """Two ticks with nothing to do in one process: the seconds of the first, of the second, and requests of both."""

    first: float
    seconds: float
    requests: _Requests


_Timed = TypeVar("_Timed", Sync, Idle)


@dataclass(frozen=True)
class Figures:
    """All measurements of one tool: syncs by number of jobs, and idle ticks with the largest number."""

    syncs: Mapping[int, Sync]
    idle: Idle


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
        self.cloud.load(scenario(jobs, latency=self.latency, training=self.training, validation=self.validation))
        command = ["-m", "function_app", "sync"] if tool == OURS else self._ticks(tool, 1, jobs)
        ran = watched([self.pythons[tool], *command], environment(self.cloud))
        truth = Truth(self.cloud.world)
        wrong = [*truth.faithful(), *truth.tables()] + ([f"exit status {ran.status}"] if ran.status else [])
        return Sync(ran.process, ran.wandb_core, ran.seconds, self._since(Counter()), wrong)

    def idle(self, tool: str, jobs: int) -> Idle:
        """Sync the mirrored jobs again.

        Raises:
            subprocess.CalledProcessError: the tool failed.
        """
        before = self._counted()
        command = [self.pythons[tool], *self._ticks(tool, _TICKS, jobs)]
        env = environment(self.cloud)
        done = subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        first, second = json.loads(done.stdout)
        return Idle(first, second, self._since(before))

    @staticmethod
    def _ticks(tool: str, ticks: int, jobs: int) -> list[str]:
        script = ["-m", "benchmarks.ticks"] if tool == OURS else [str(ROOT / "benchmarks" / "ticks.py")]
        return [*script, tool, str(ticks), *(job_id(number) for number in range(1, jobs + 1))]

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
    for _ in range(rounds):
        for number in jobs:
            for tool in bench.pythons:
                syncs[tool][number].append(bench.round(tool, number))
                if number == max(jobs):
                    idles[tool].append(bench.idle(tool, number))
    return {
        tool: Figures({number: _of_all(found) for number, found in syncs[tool].items()}, _median(idles[tool]))
        for tool in bench.pythons
    }


def _of_all(rounds: Sequence[Sync]) -> Sync:
    """Return the median round, with the mistakes of all rounds."""
    return replace(_median(rounds), wrong=list(dict.fromkeys(what for each in rounds for what in each.wrong)))


def _median(rounds: Sequence[_Timed]) -> _Timed:
    return sorted(rounds, key=lambda each: each.seconds)[len(rounds) // 2]


def targets(theirs: Figures, ours: Figures) -> dict[str, bool]:
    """Return each target in words, with the figure at the largest number of jobs, and whether it is met."""
    most = max(ours.syncs)
    faster = theirs.syncs[most].seconds / ours.syncs[most].seconds
    idle = theirs.idle.seconds / ours.idle.seconds
    requests = ours.syncs[most].requests_to(_WANDB) / most
    memory = ours.syncs[most].mib / theirs.syncs[most].mib
    return {
        f"{faster:.1f}× as fast at {most} jobs, target {FASTER:g}×": faster >= FASTER,
        f"idle tick {idle:.1f}× as fast, target {IDLE_FASTER:g}×": idle >= IDLE_FASTER,
        f"{requests:.1f} W&B requests per job, target at most {REQUESTS:g}": requests <= REQUESTS,
        f"{memory:.0%} of its peak memory, target less than 100%": memory < 1,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. The exit status is 0 if ours is right and every target is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 10, 50], help="finished jobs to mirror")
    parser.add_argument("--rounds", type=int, default=5, help="of each; the median is shown (5)")
    parser.add_argument("--quick", action="store_true", help="a minute to try it: few jobs, one round, no targets")
    parser.add_argument("--delay-ms", type=float, default=50, metavar="MS", help="of every request, on both sides")
    parser.add_argument("--python", help="an interpreter that has wandb, openai, pandas and numpy, for WandbLogger")
    parser.add_argument("--ours-only", action="store_true", help="without WandbLogger, and without targets")
    given = parser.parse_args(arguments)
    latency = given.delay_ms / 1000
    jobs, rounds = ((1, 6), 1) if given.quick else (given.jobs, given.rounds)
    with Cloud(scenario(1, latency=latency)) as cloud:
        figures = measured(Bench(cloud, pythons_of(given.python, ours_only=given.ours_only), latency), jobs, rounds)
    met = {} if given.ours_only or given.quick else targets(figures[INCUMBENT], figures[OURS])
    print("\n".join([*_table(figures), *verdict(figures, met)]))
    return int(any(sync.wrong for sync in figures[OURS].syncs.values()) or not all(met.values()))


def _table(figures: Mapping[str, Figures]) -> Iterator[str]:
    tools = list(figures)
    most = max(figures[OURS].syncs)
    yield _row("", (_NAMES[tool] for tool in tools))
    for number in figures[OURS].syncs:
        yield _timed(f"{number} finished jobs", [figures[tool].syncs[number].seconds for tool in tools])
    yield _timed(f"idle tick over {most}", [figures[tool].idle.seconds for tool in tools])
    yield _timed("  the first of its process", [figures[tool].idle.first for tool in tools])
    last = [figures[tool].syncs[most] for tool in tools]
    for service, name in ((_WANDB, "W&B requests per job"), (_AZURE, "Azure requests per job")):
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
    return f"{name:30}" + "".join(f"{cell:>20}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
