"""How the machines are run, quickly or deeply, in how many parts, and what they ran: counted over a session."""

from collections.abc import Mapping
from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant

DEEP = "deep"
"""The profile for who has an hour: `python -m pytest tests/machines --hypothesis-profile deep -n 6`."""
_PARTS = 25
"""A machine waits more than it computes, so that the deep profile has it run in parts, which go on at once."""

_COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),  # a step is a whole tick or command: all that is slow here is meant to be
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


def register() -> None:
    """Have pytest know the profile by its name."""
    settings.register_profile(DEEP, _COMMON, max_examples=250 // _PARTS, stateful_step_count=40)


def _deep() -> bool:
    return hypothesis.settings.get_current_profile_name() == DEEP


def parts() -> range:
    """The parts of a machine. Each draws examples of its own."""
    return range(_PARTS if _deep() else 1)


def how(examples: int, steps: int) -> settings:
    """The settings of one machine: the deep profile where that was asked for, else the same few examples every time."""
    if _deep():
        return settings.get_profile(DEEP)
    return settings(_COMMON, derandomize=True, max_examples=examples, stateful_step_count=steps)


@dataclass
class Figures:
    """What ran in this session, over all machines."""

    examples: int = 0
    steps: int = 0
    clean: int = 0  # ticks or commands after which everything was compared

    def add(self, other: Mapping[str, int]) -> None:
        """What ran in another process of this session, as `dataclasses.asdict` has it."""
        self.examples += other["examples"]
        self.steps += other["steps"]
        self.clean += other["clean"]

    def line(self, *, broken: bool) -> str:
        """For people."""
        ran = f"{self.examples:,} examples, {self.steps:,} rule steps, everything compared {self.clean:,} times"
        return f"{ran}: {'an invariant is broken' if broken else 'no invariant broken'}"


FIGURES = Figures()


class Counted(RuleBasedStateMachine):
    """A machine whose examples and steps are counted."""

    def __init__(self) -> None:
        super().__init__()
        FIGURES.examples += 1
        FIGURES.steps -= 1  # invariants are looked at before the first step, too

    @invariant()
    def counted(self) -> None:
        """Not to be broken: runs after each step."""
        FIGURES.steps += 1
