"""Chooses which pending jobs a tick enqueues, so that the queue stays bounded and no job waits without limit. Pure.

A tick knows how many messages the queue holds, but not for which jobs. A message too many costs one check of its job.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

BOUND = 128
"""Messages in the queue at most: three for each instance that infra/ lets work at once (40), so that none idles between
two ticks, and few enough that a job which goes on is some minutes behind a backfill, not hours."""

_SHARE = 1 / 8
_GOLDEN = 5**0.5 / 2 - 0.5
_SILVER = 2**0.5 - 1

Each = TypeVar("Each", bound=Hashable)


def top_up(going: Sequence[Each], ended: Sequence[Each], *, depth: int, turn: int, bound: int = BOUND) -> list[Each]:
    """Return the jobs to enqueue now: those that still run, then those that have ended, the newest first.

    Where more go on than there is room for, each gets its turn. The first `depth` of the ended ones are left out, as these
    are what the queue most probably still holds: what is done leaves the list at its front. An eighth is kept for ended
    ones whose turn it is, whatever else there is: for the case that more go on than are ever done, that the newest fail
    again and again, or that the queue holds other messages than it seems.

    Args:
        going: pending jobs that still run, in the same order in every tick.
        ended: pending jobs that have ended, the newest first.
        depth: how many messages the queue holds.
        turn: a number that goes up from tick to tick.
        bound: how many messages the queue may hold.
    """
    room = max(0, bound - depth)
    share = min(len(ended), int(room * _SHARE + turn * _SILVER % 1))  # right in the long run, also where room is 1
    first = going if len(going) <= room - share else _in_turn(going, turn)[: room - share]
    room -= len(first)
    some = _in_turn(ended, turn)[:share]
    chosen = set(some)
    newest = [each for each in ended[depth:] if each not in chosen][: room - share]
    return [*first, *newest, *some]


def _in_turn(jobs: Sequence[Each], turn: int) -> list[Each]:
    """The jobs from where it is their turn, and round.

    The start moves by the golden section of the list. So, whatever number is taken each time, what is taken falls evenly
    over the list, and none is left out for long (three-gap theorem).
    """
    start = int(turn * _GOLDEN % 1 * len(jobs))
    return [*jobs[start:], *jobs[:start]]
