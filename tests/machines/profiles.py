"""How the state machines run: the same few examples, or deeply with `--hypothesis-profile deep`, in parts that run at once."""

import hypothesis
from hypothesis import HealthCheck, Phase, settings

DEEP = "deep"
_PARTS = 25
_COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),  # a step is a whole tick or command: slowness is expected
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.register_profile(DEEP, _COMMON, max_examples=250 // _PARTS, stateful_step_count=40)


def parts() -> range:
    """The parts of a machine in this profile. Each draws its own examples."""
    return range(_PARTS if hypothesis.settings.get_current_profile_name() == DEEP else 1)


def how(examples: int, steps: int) -> settings:
    """The settings of one machine in this profile."""
    profile = hypothesis.settings.get_current_profile_name()
    if profile == DEEP:
        return settings.get_profile(DEEP)
    return settings(_COMMON, derandomize=profile != "random", max_examples=examples, stateful_step_count=steps)
