"""Choose which pending jobs a tick enqueues, so that the queue stays bounded and every job gets its turn. Pure.

A tick knows how many messages the queue holds, but not for which jobs. A superfluous message only costs one check of its job.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

BOUND = 128
"""The maximum number of messages in the queue: about three for each of the 40 instances that infra/ allows, so that no
instance is idle between two ticks, but few enough that a running job waits minutes, not hours, behind a backfill."""

_SHARE = 1 / 8
_GOLDEN = 5**0.5 / 2 - 0.5
_SILVER = 2**0.5 - 1

Each = TypeVar("Each", bound=Hashable)


def top_up(running: Sequence[Each], ended: Sequence[Each], *, depth: int, turn: int, bound: int = BOUND) -> list[Each]:
    """Return the jobs to enqueue now: first those that still run, then those that have ended, the newest first.

    If more jobs run than there is room for, they take turns. The first `depth` of the ended jobs are skipped, because the
    queue probably still holds these: finished jobs leave the list at its front. An eighth of the room is reserved for ended
    jobs that take turns. This covers three cases: more jobs run than can be handled, the newest jobs fail
    repeatedly, or the queue holds other messages than expected.

    Args:
        running: pending jobs that still run, in the same order in every tick.
        ended: pending jobs that have ended, the newest first.
        depth: how many messages the queue holds.
        turn: a number that increases with every tick.
        bound: the maximum number of messages in the queue.
    """
    room = max(0, bound - depth)
    share = min(len(ended), int(room * _SHARE + turn * _SILVER % 1))  # the average share is exact, even if room is 1
    first = running if len(running) <= room - share else _in_turn(running, turn)[: room - share]
    room -= len(first)
    in_turn = _in_turn(ended, turn)[:share]
    chosen = set(in_turn)
    newest = [each for each in ended[depth:] if each not in chosen][: room - share]
    return [*first, *newest, *in_turn]


def _in_turn(jobs: Sequence[Each], turn: int) -> list[Each]:
    """Rotate the jobs so that the list starts with the one whose turn it is.

    The start moves by the golden ratio of the list's length. Whatever number of jobs is taken each time, they are spread evenly
    over the list, and none is skipped for long (three-gap theorem).
    """
    start = int(turn * _GOLDEN % 1 * len(jobs))
    return [*jobs[start:], *jobs[:start]]
