"""The cost of many accounts with many jobs: `python -m benchmarks.scale`.

The sandbox has 100 accounts with 100 jobs each, of which W&B has all but 200. This measures a tick with nothing to do, and
the backfill after it until every job is in W&B. Ticks and instances of the app are separate processes that run its functions.
This process keeps the queue between them, as the Functions host does. Requests are counted where they arrive.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context

from benchmarks import crowd
from benchmarks.checks import ENTITY, PROJECT
from benchmarks.instance import Answer, begin, invoke
from function_app.engine.backlog import BOUND
from function_app.functions import QUEUE
from function_app.tracking.wandb.marks import KEY as MARKS
from sandbox.cloud import Cloud

ATTEMPTS = 5
"""maxDequeueCount in host.json."""
TICK_EVERY = 120.0
"""Virtual seconds between ticks."""
SINGLE_JOBS = ("FineTuning_Get", "FineTuning_GetEvents", "FineTuning_GetCheckpoints")
"""The requests for single jobs, of which an idle tick makes none."""
_TICK_AFTER = 32  # messages served, so that ticks come while instances are at work


@dataclass(frozen=True)
class Idle:
    """One tick with nothing pending: its time, its CPU time, its requests by operation, and its log line."""

    seconds: float
    cpu_seconds: float
    requests: Mapping[str, int]
    line: str


@dataclass(frozen=True)
class BackfillResult:
    """The backfill until every job is in W&B.

    Attributes:
        results: the number of messages by result.
        deepest: the most messages that the queue held, including those being processed.
        failing: the number of jobs that fail at every attempt, which are not expected in W&B.
        missing: the other jobs that are not in W&B.
        waited: for each running job, the number of messages that were taken before its first.
    """

    seconds: float
    ticks: int
    messages: int
    results: Mapping[str, int]
    poison: int
    deepest: int
    failing: int
    missing: Sequence[str]
    waited: Sequence[int]
    requests: Mapping[str, int]


@dataclass(frozen=True)
class Figures:
    """All that was measured."""

    accounts: int
    jobs: int
    pending: int
    idle: Idle
    backfill: BackfillResult
    memory: str

    @property
    def good(self) -> bool:
        """Whether every job arrived, none was given up, the queue stayed bounded, and an idle tick requested no single job."""
        backfill = self.backfill
        return not (_sum(self.idle, SINGLE_JOBS) or backfill.missing or backfill.poison) and backfill.deepest <= BOUND


@dataclass
class Host:
    """The Functions host: keeps the queue, distributes messages, and repeats those that fail.

    Attributes:
        ticking: the instance that runs the timer.
        workers: the instances that serve the queue, each with a concurrency of one.
        queue: the messages that are waiting or being processed, each with its attempt.
        sent: the job of each message, in the order in which they are processed.
        memory: the most MiB of an instance and of its wandb-core, for ticks and for messages.
    """

    cloud: Cloud
    ticking: Executor
    workers: Executor
    queue: dict[Future[Answer], tuple[str, int]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    served: int = 0
    results: Counter[str] = field(default_factory=Counter)
    poison: int = 0
    deepest: int = 0
    ticks: int = 0
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)

    def mirror_first(self) -> None:
        """Mirror the oldest job of the first account.

        Raises:
            RuntimeError: it failed.
        """
        message = json.dumps({"account": crowd.account_name(0), "job": crowd.job_id(0, 0)})
        if error := self.workers.submit(invoke, message).result().error:
            raise RuntimeError(error)

    def tick(self) -> Answer:
        """Call the timer's function and put what it sends into the queue.

        Raises:
            RuntimeError: it failed.
        """
        self.cloud.world.storage.queues[QUEUE] = sum(not each.done() for each in self.queue)
        answer = self.ticking.submit(invoke).result()
        if answer.error:
            raise RuntimeError(f"a tick failed: {answer.error}")
        self._note_memory("ticks", answer)
        self.ticks += 1
        for message in answer.sent:
            self._send(message, 1)
        self.deepest = max(self.deepest, sum(not each.done() for each in self.queue))
        return answer

    def until_served(self, messages: int) -> None:
        """Wait until this number of further messages was served, or none is left."""
        goal = self.served + messages
        while self.queue and self.served < goal:
            for done in wait(self.queue, return_when=FIRST_COMPLETED).done:
                self._served(*self.queue.pop(done), done.result())

    def _send(self, message: str, attempt: int) -> None:
        self.sent.append(json.loads(message)["job"])
        self.queue[self.workers.submit(invoke, message, attempt)] = message, attempt

    def _served(self, message: str, attempt: int, answer: Answer) -> None:
        self._note_memory("messages", answer)
        self.served += 1
        self.results["failed" if answer.error else _field(answer, "message ", "result")] += 1
        if answer.error and attempt < ATTEMPTS:
            self._send(message, attempt + 1)
        elif answer.error:
            self.poison += 1

    def _note_memory(self, what: str, answer: Answer) -> None:
        process, core = self.memory.get(what, (0.0, 0.0))
        self.memory[what] = max(process, answer.process_mib), max(core, answer.wandb_core_mib)


def measured(
    accounts: int, jobs: int, pending: int, *, running: int, instances: int, failing: int = 0, latency: float = 0.0
) -> Figures:
    """Create the world, measure an idle tick, then start `running` jobs, remove other jobs from W&B, and measure the backfill.

    Args:
        accounts: the number of accounts.
        jobs: the number of jobs in each account.
        pending: the number of jobs that W&B lacks when the backfill begins, including the running ones.
        running: the number of these that are still running.
        instances: the number of instances that serve the queue.
        failing: the number of ended jobs that fail at every attempt.
        latency: seconds that each listing and each W&B query takes.

    Raises:
        RuntimeError: a tick, or the first job, failed.
    """
    with ExitStack() as stack:
        cloud = stack.enter_context(Cloud(crowd.scenario(accounts, jobs, running, latency)))
        environment = crowd.environment(cloud, accounts)
        ticking, workers = (stack.enter_context(_processes(count, environment)) for count in (1, instances))
        host = Host(cloud, ticking, workers)
        host.mirror_first()
        crowd.settle(cloud, accounts, jobs, running)
        host.tick()  # the first tick of a process signs in
        idle = _idle(cloud, host)
        cloud.clock.advance(3600)
        ended = crowd.forget(cloud, pending - running, accounts, jobs)
        going = {crowd.job_id(account, jobs - 1) for account in range(running)}
        bad = sorted(ended)[:: len(ended) // failing][:failing] if failing else []
        crowd.spoil(cloud, bad)
        backfill = _caught_up(cloud, host, ended - {*bad}, going, len(bad))
    memory = "; ".join(
        f"memory for {what}: {process:.0f} MiB and wandb-core's {core:.0f}"
        for what, (process, core) in host.memory.items()
    )
    return Figures(accounts, accounts * jobs, pending, idle, backfill, memory)


def _processes(count: int, environment: Mapping[str, str]) -> ProcessPoolExecutor:
    """Return instances of the app, each a new process."""
    return ProcessPoolExecutor(count, get_context("spawn"), begin, (environment,))


def _sum(idle: Idle, operations: Sequence[str]) -> int:
    return sum(idle.requests.get(each, 0) for each in operations)


def _idle(cloud: Cloud, host: Host) -> Idle:
    before = Counter(cloud.counts)
    answer = host.tick()
    return Idle(answer.seconds, answer.cpu_seconds, dict(Counter(cloud.counts) - before), _line(answer, "tick "))


def _caught_up(cloud: Cloud, host: Host, ended: set[str], going: set[str], failing: int) -> BackfillResult:
    before, started, ticks = Counter(cloud.counts), time.monotonic(), host.ticks
    while int(_field(host.tick(), "tick ", "pending")) > len(going) + failing:
        host.until_served(_TICK_AFTER)
        cloud.clock.advance(TICK_EVERY)
    host.until_served(sys.maxsize)
    runs = cloud.world.wandb.store.project(ENTITY, PROJECT)
    assert runs is not None
    arrived = {run.id for run in runs.runs.values() if '"rule":' in run.config.get(MARKS, "") or run.id in going}
    return BackfillResult(
        time.monotonic() - started,
        host.ticks - ticks,
        host.served,
        dict(host.results),
        host.poison,
        host.deepest,
        failing,
        sorted((ended | going) - arrived),
        [host.sent.index(job) for job in sorted(going & set(host.sent))],
        dict(Counter(cloud.counts) - before),
    )


def _line(answer: Answer, event: str) -> str:
    return next(line for line in answer.lines if line.startswith(event))


def _field(answer: Answer, event: str, name: str) -> str:
    return _line(answer, event).partition(f" {name}=")[2].partition(" ")[0]


def main() -> int:
    """Measure and print. The exit status is 0 if every job arrived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=100, help="in each account")
    parser.add_argument("--pending", type=int, default=200, help="jobs that W&B does not show")
    parser.add_argument("--failing", type=int, default=0, help="of the pending jobs, those that fail at every attempt")
    given = parser.parse_args()
    figures = measured(
        given.accounts, given.jobs, given.pending, running=10, instances=4, failing=given.failing, latency=0.1
    )
    print("\n".join(table(figures)))
    return int(not figures.good)


def table(figures: Figures) -> Iterator[str]:
    """Return the figures as text, with a summary as the last line."""
    idle, backfill = figures.idle, figures.backfill
    yield f"{figures.jobs:,} jobs in {figures.accounts} accounts, {figures.pending} of them pending\n"
    yield f"{'':28}{'idle tick':>12}{'backfill':>12}"
    yield f"{'seconds':28}{idle.seconds:12.1f}{backfill.seconds:12.1f}"
    yield f"{'of them at work':28}{idle.cpu_seconds:12.1f}"
    for operation in sorted(idle.requests.keys() | backfill.requests.keys()):
        yield f"{operation:28}{idle.requests.get(operation, 0):12,}{backfill.requests.get(operation, 0):12,}"
    results = ", ".join(f"{number} {result}" for result, number in sorted(backfill.results.items()))
    yield f"\nbackfill: {backfill.ticks} ticks, {backfill.messages} messages ({results})"
    yield f"queue: {backfill.deepest} messages at most, bound {BOUND}; poison {backfill.poison}"
    if backfill.waited:
        yield f"a running job's first message came after {max(backfill.waited)} others at most"
    yield figures.memory
    if backfill.missing:
        yield f"missing: {', '.join(backfill.missing)}"
    good = figures.pending - backfill.failing
    yield (
        f"idle tick: {_sum(idle, ['FineTuning_List'])} lists, {_sum(idle, ['Runs'])} W&B queries, "
        f"{_sum(idle, SINGLE_JOBS)} requests for single jobs; "
        f"{good - len(backfill.missing)} of {good} pending jobs arrived, {backfill.failing} failed as intended, "
        f"{backfill.poison} given up, "
        f"queue {backfill.deepest} of {BOUND} deep"
    )


if __name__ == "__main__":
    sys.exit(main())
