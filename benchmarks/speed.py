"""How fast, side by side with wandb's own WandbLogger.sync: `python -m benchmarks.speed`.

Both mirror the same finished jobs, in a fresh sandbox each, where every request to Azure and to W&B takes 50 ms; both
with tables of the training and validation files, which no two jobs share. Times are of whole processes, from start to
exit. Then each looks at all the jobs again from a process that lives on, with nothing to do. WandbLogger is called by
job id, one job after the other: that is the only way to have it see more than 20. What is told of each is the round in
the middle. Requests are counted where they arrive.

The least that a job can take: the SDK (wandb 0.31) sends 29 requests for a run with three artifacts, two files with their
tables and a model. 6 are the run's: its resume status, two upserts, the second of them for telemetry, two of the file
stream, the server's features. Each artifact has 5 and one a file, of which its manifest is one. That the run was trained on
these files is one more, so 30.

Exit status 1 when a target is missed, or what W&B shows of ours is wrong.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sandbox.cloud import Cloud

from .incumbent import INCUMBENT, OURS
from .incumbent import environment as environment_of_incumbent
from .measure import Taken, watched
from .truth import Truth
from .workload import TRAINING, VALIDATION, environment, job_id, scenario

ROOT = Path(__file__).parent.parent
FASTER, IDLE_FASTER, REQUESTS = 12.0, 20.0, 30.0
"""The targets, at the largest number of jobs: how many times as fast, the same with nothing to do, W&B requests a job."""
LEAST = 30
"""W&B requests that the SDK's protocol takes for one of these jobs."""
_QUICK_JOBS = (1, 6)
_TICKS = 2  # the first of a process connects and signs in
_AZURE, _WANDB = "openai", "wandb"
_NAMES = {INCUMBENT: "WandbLogger.sync", OURS: "function_app sync"}
_Requests = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Sync:
    """One process that mirrored so many jobs: what it and its wandb-core took, seconds from start to exit, seconds of CPU that
    the sandbox took meanwhile, requests by service and operation, and what is wrong.
    """

    process: Taken
    wandb_core: Taken
    seconds: float
    sandbox_cpu_seconds: float
    requests: _Requests
    wrong: Sequence[str]

    def requests_to(self, service: str) -> int:
        """How many requests a service got."""
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
    """All that was measured of one tool: by number of jobs, and the ticks over the most of them."""

    syncs: Mapping[int, Sync]
    idle: Idle


@dataclass(frozen=True)
class Target:
    """What was asked for, and what came of it, in words too."""

    said: str
    asked: str
    figure: float
    met: bool

    @property
    def words(self) -> str:
        """What came of it, and what was asked where that is more."""
        return self.said if self.met else f"{self.said} (MISSED: asked {self.asked})"


@dataclass(frozen=True)
class Bench:
    """The sandbox and how to start either tool in it."""

    cloud: Cloud
    pythons: Mapping[str, str]
    latency: float
    training: int = TRAINING
    validation: int = VALIDATION
    shared: bool = False

    def round(self, tool: str, jobs: int) -> Sync:
        """Mirror so many jobs in a world of their own."""
        sizes = {"training": self.training, "validation": self.validation}
        self.cloud.load(scenario(jobs, latency=self.latency, shared=self.shared, **sizes))
        command = ["-m", "function_app", "sync"] if tool == OURS else self._ticks(tool, 1, jobs)
        before, spent = self._counted(), time.process_time()
        ran = watched([self.pythons[tool], *command], environment(self.cloud))
        spent = time.process_time() - spent
        truth = Truth(self.cloud.world)
        wrong = [*truth.faithful(), *truth.tables()] + ([f"exit status {ran.status}"] if ran.status else [])
        return Sync(ran.process, ran.wandb_core, ran.seconds, spent, self._since(before), wrong)

    def idle(self, tool: str, jobs: int) -> Idle:
        """Look again at what was mirrored.

        Raises:
            subprocess.CalledProcessError: the tool failed.
        """
        before = self._counted()
        done = subprocess.run(
            [self.pythons[tool], *self._ticks(tool, _TICKS, jobs)],
            env=environment(self.cloud),
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        first, second = json.loads(done.stdout)
        return Idle(first, second, self._since(before))

    @staticmethod
    def _ticks(tool: str, ticks: int, jobs: int) -> list[str]:
        ours = ["-m", "benchmarks.ticks"]
        script = ours if tool == OURS else [str(ROOT / "benchmarks" / "ticks.py")]
        return [*script, tool, str(ticks), *(job_id(number) for number in range(1, jobs + 1))]

    def _counted(self) -> Counter[tuple[str, str]]:
        return Counter((each.service, each.operation) for each in self.cloud.world.trace.exchanges)

    def _since(self, before: Counter[tuple[str, str]]) -> _Requests:
        found: dict[str, dict[str, int]] = {}
        for (service, operation), count in sorted((self._counted() - before).items()):
            found.setdefault(service, {})[operation] = count
        return found


def measured(
    bench: Bench, jobs: Sequence[int], rounds: int, *, told: Callable[[str], None] = lambda line: None
) -> dict[str, Figures]:
    """Measure every tool, in turns, so that what else the machine does meets both; `told` hears how far it is."""
    syncs: dict[str, dict[int, list[Sync]]] = {tool: {number: [] for number in jobs} for tool in bench.pythons}
    idles: dict[str, list[Idle]] = {tool: [] for tool in bench.pythons}
    for number_of_round in range(1, rounds + 1):
        for number in jobs:
            for tool in bench.pythons:
                syncs[tool][number].append(bench.round(tool, number))
                if number == max(jobs):
                    idles[tool].append(bench.idle(tool, number))
                told(f"round {number_of_round}: {_NAMES[tool]}, {number} jobs, {syncs[tool][number][-1].seconds:.1f} s")
    return {
        tool: Figures({number: _of_all(found) for number, found in syncs[tool].items()}, _middle(idles[tool]))
        for tool in bench.pythons
    }


def _of_all(rounds: Sequence[Sync]) -> Sync:
    """The round in the middle, with what is wrong in any."""
    return replace(_middle(rounds), wrong=list(dict.fromkeys(what for each in rounds for what in each.wrong)))


def _middle(rounds: Sequence[_Timed]) -> _Timed:
    return sorted(rounds, key=lambda each: each.seconds)[len(rounds) // 2]


def targets(theirs: Figures, ours: Figures) -> list[Target]:
    """Each target, at the largest number of jobs."""
    most = max(ours.syncs)
    faster = theirs.syncs[most].seconds / ours.syncs[most].seconds
    idle = theirs.idle.seconds / ours.idle.seconds
    requests = ours.syncs[most].requests_to(_WANDB) / most
    memory = ours.syncs[most].mib / theirs.syncs[most].mib
    return [
        Target(f"{faster:.1f}× as fast at {most} jobs", f"{FASTER:g}×", faster, faster >= FASTER),
        Target(f"idle tick {idle:.1f}× as fast", f"{IDLE_FASTER:g}×", idle, idle >= IDLE_FASTER),
        Target(f"{requests:.1f} W&B requests per job", f"at most {REQUESTS:g}", requests, requests <= REQUESTS),
        Target(f"{memory:.0%} of its peak memory", "less than it takes", memory, memory < 1),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by exit status whether ours is right and every target met."""
    said = _parser().parse_args(arguments)
    pythons = {OURS: sys.executable}
    if not said.ours_only:
        pythons = {INCUMBENT: said.python or str(environment_of_incumbent()), **pythons}
    latency = said.delay_ms / 1000
    jobs, rounds = (_QUICK_JOBS, 1) if said.quick else (said.jobs, said.rounds)
    with Cloud(scenario(1, latency=latency)) as cloud:
        training, validation = said.examples
        bench = Bench(cloud, pythons, latency, training, validation, said.one_validation_file)
        told = (lambda line: None) if said.json else (lambda line: print(line, file=sys.stderr, flush=True))
        figures = measured(bench, jobs, rounds, told=told)
    met = [] if said.ours_only or said.quick else targets(figures[INCUMBENT], figures[OURS])
    if said.json:
        print(json.dumps(_as_data(figures, met), indent=2))
    else:
        print("\n".join([*_table(figures), minimum(figures[OURS]), *verdict(figures, met)]))
    return int(not good(figures[OURS], met))


def good(ours: Figures, met: Iterable[Target]) -> bool:
    """Whether what W&B shows of ours is right, and every target met."""
    return not any(sync.wrong for sync in ours.syncs.values()) and all(each.met for each in met)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 10, 50], help="finished jobs to mirror")
    parser.add_argument("--rounds", type=int, default=5, help="of each; the one in the middle is told (5)")
    parser.add_argument("--quick", action="store_true", help="a minute to try it: few jobs, one round, no targets")
    parser.add_argument("--delay-ms", type=float, default=50, metavar="MS", help="of every request, on both sides")
    parser.add_argument(
        "--examples",
        type=int,
        nargs=2,
        default=[TRAINING, VALIDATION],
        metavar=("TRAINING", "VALIDATION"),
        help="in each job's files",
    )
    parser.add_argument("--one-validation-file", action="store_true", help="the same one for all jobs")
    parser.add_argument("--python", help="an interpreter that has wandb, openai, pandas and numpy, for WandbLogger")
    parser.add_argument("--ours-only", action="store_true", help="without WandbLogger, and without targets")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _as_data(figures: Mapping[str, Figures], met: Sequence[Target]) -> dict[str, Any]:
    tools = {
        tool: {
            "syncs": {number: asdict(sync) for number, sync in found.syncs.items()},
            "idle": asdict(found.idle),
        }
        for tool, found in figures.items()
    }
    return {"ok": good(figures[OURS], met), "tools": tools, "targets": [asdict(each) for each in met]}


def _table(figures: Mapping[str, Figures]) -> Iterator[str]:
    tools = list(figures)
    most = max(figures[OURS].syncs)
    yield _row("", (_NAMES[tool] for tool in tools))
    for number in figures[OURS].syncs:
        name = f"{number} finished job{'s' * (number > 1)}"
        yield _timed(name, [figures[tool].syncs[number].seconds for tool in tools])
    yield _timed(f"idle tick over {most}", [figures[tool].idle.seconds for tool in tools])
    yield _timed("  the first of its process", [figures[tool].idle.first for tool in tools])
    last = [figures[tool].syncs[most] for tool in tools]
    for service, name in ((_WANDB, "W&B requests per job"), (_AZURE, "Azure requests per job")):
        yield _row(name, (f"{sync.requests_to(service) / most:.1f}" for sync in last))
    yield _row("peak memory, its process", (f"{sync.process.mib:.0f} MiB" for sync in last))
    yield _row("peak memory, wandb-core", (f"{sync.wandb_core.mib:.0f} MiB" for sync in last))
    yield ""
    operations = sorted({operation for sync in last for operation in sync.requests.get(_WANDB, {})})
    for operation in operations:
        yield _row(f"  {operation}", (f"{sync.requests[_WANDB].get(operation, 0) / most:.2f}" for sync in last))
    yield ""
    for part, seconds in _parts(last).items():
        yield _row(f"  {part}", (f"{each:.2f} s" for each in seconds))
    yield ""


def _parts(syncs: Sequence[Sync]) -> Mapping[str, Sequence[float]]:
    """Return who took the processor."""
    return {
        "CPU of its process": [sync.process.cpu_seconds for sync in syncs],
        "CPU of its wandb-core": [sync.wandb_core.cpu_seconds for sync in syncs],
        "CPU of the sandbox": [sync.sandbox_cpu_seconds for sync in syncs],
    }


def minimum(ours: Figures) -> str:
    """Compare the W&B requests with the least that is possible."""
    most = max(ours.syncs)
    requests = ours.syncs[most].requests_to(_WANDB) / most
    return f"The least: {LEAST} W&B requests per job. Ours: {requests:.1f}, {requests - LEAST:+.1f}."


def verdict(figures: Mapping[str, Figures], met: Sequence[Target]) -> Iterator[str]:
    """What is wrong, what is missed, and all in one line at the end."""
    wrong = False
    for tool, found in figures.items():
        for number, sync in found.syncs.items():
            if sync.wrong:
                yield f"{_NAMES[tool]}, {number} jobs: WRONG  {'; '.join(sync.wrong[:3])}"
                wrong = wrong or tool == OURS
    for each in met:
        yield f"{'met   ' if each.met else 'MISSED'}  {each.said}, asked {each.asked}"
    last = [*(each.words for each in met), "ours is WRONG" if wrong else "what W&B shows of ours is right"]
    yield f"Against {_NAMES[INCUMBENT]}: {'; '.join(last)}" if met else last[-1]


def _timed(name: str, seconds: Sequence[float]) -> str:
    ratio = [f"{seconds[0] / seconds[-1]:.1f}×"] if len(seconds) > 1 else []
    return _row(name, [*(f"{each:.2f} s" for each in seconds), *ratio])


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:30}" + "".join(f"{cell:>20}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
