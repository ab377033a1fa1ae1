"""What a tick asks for: a simulation of ticks and workers, with as many jobs and as slow workers as one likes."""

import itertools
from collections import deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from function_app.engine.backlog import BOUND, top_up

SMALL = 16  # a bound, small so that the examples are


@dataclass
class Simulation:
    """Workers that take `pace` messages between two ticks. Jobs are numbers; the ended ones go down, newest first."""

    running: list[int]
    ended: list[int]
    pace: int
    bound: int = SMALL
    broken: frozenset[int] = frozenset()  # fail whenever they are looked at
    queue: deque[int] = field(default_factory=deque)
    served: list[int] = field(default_factory=list)
    deepest: int = 0

    def tick(self, turn: int) -> list[int]:
        asked = top_up(self.running, self.ended, depth=len(self.queue), turn=turn, bound=self.bound)
        self.queue += asked
        self.deepest = max(self.deepest, len(self.queue))
        for _ in range(min(self.pace, len(self.queue))):
            job = self.queue.popleft()
            self.served.append(job)
            if job in self.ended and job not in self.broken:
                self.ended.remove(job)
        return asked


counts = st.integers(0, 60)
paces = st.integers(1, 40)
turns = st.integers(0, 30_000_000)


@given(running=counts, ended=counts, pace=paces, start=turns, stride=st.sampled_from([1, 2, 5, 15]))
def test_a_queue_is_bounded_and_every_job_arrives(running: int, ended: int, pace: int, start: int, stride: int) -> None:
    """Even if many jobs never end and the workers are slow. A tick's turn is the minute of its schedule."""
    world = Simulation(list(range(1000, 1000 + running)), list(range(ended, 0, -1)), pace)
    everybody = {*world.running, *world.ended}
    ticks = 0
    while not everybody <= set(world.served):
        world.tick(start + stride * ticks)
        ticks += 1
        assert ticks <= 100 + 40 * len(everybody)
    assert world.deepest <= SMALL


@given(running=counts, ended=counts, depth=st.integers(0, 40), turn=turns)
def test_a_tick_enqueues_each_pending_job_once_and_no_other(running: int, ended: int, depth: int, turn: int) -> None:
    on, over = list(range(1000, 1000 + running)), list(range(ended, 0, -1))
    asked = top_up(on, over, depth=depth, turn=turn, bound=SMALL)
    assert len(asked) == len(set(asked)) <= max(0, SMALL - depth)
    assert {*asked} <= {*on, *over}
    assert asked == sorted(asked, key=lambda job: job < 1000), "those that go on come first"


@given(running=st.integers(1, 8), ended=st.integers(0, 300), pace=st.integers(1, 20), start=turns)
def test_a_running_job_is_not_starved_by_a_backfill(running: int, ended: int, pace: int, start: int) -> None:
    """Between two attempts at it: one SMALL until there is room, one until it is its turn, one in front of its message."""
    world = Simulation(list(range(1000, 1000 + running)), list(range(ended, 0, -1)), pace)
    for turn in range(start, start + 60):
        world.tick(turn)
    for job in world.running:
        attempts = [-1, *(at for at, served in enumerate(world.served) if served == job), len(world.served)]
        assert max(b - a for a, b in itertools.pairwise(attempts)) <= 3 * SMALL


@given(broken=st.integers(0, 40), ended=st.integers(1, 40), pace=paces, start=turns)
def test_jobs_that_always_fail_do_not_block_older_ones(broken: int, ended: int, pace: int, start: int) -> None:
    newest_first = list(range(broken + ended, 0, -1))
    world = Simulation([], newest_first, pace, broken=frozenset(newest_first[:broken]))
    for turn in range(start, start + 100 + 40 * len(newest_first)):
        world.tick(turn)
    assert set(world.ended) == world.broken
    assert world.deepest <= SMALL


def test_a_backfill_enqueues_the_newest_jobs_first_and_rarely_any_job_twice() -> None:
    world = Simulation([], list(range(1000, 0, -1)), pace=100, bound=BOUND)
    turn = 1
    first = world.tick(turn)
    assert first[:112] == list(range(1000, 888, -1))
    assert len(first) == BOUND
    while world.ended:
        turn += 1
        world.tick(turn)
    assert turn <= 1000 / 100 + 5
    assert len(world.served) <= 1000 * 1.25
