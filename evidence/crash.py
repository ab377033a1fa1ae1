"""The crash matrix: a command is killed before and after every HTTP request that it makes, and run again.

The sandbox holds one request, before the service acts or after it acted and before it answers. The whole process is killed
with SIGKILL (or with SIGTERM, as the case says), and the same command runs again to its end. The state must then be the same as
after an undisturbed run. Requests are identified by operation and number, because threads may change their order.
"""

from collections import Counter
from functools import partial

from evidence.commands.case import Case
from evidence.stage import ATTEMPTS, UNSENT, Failed, Point, Stage, Undisturbed
from sandbox.runtime.faults import Gate

GOOD = "same end"


def points(stage: Stage, case: Case) -> list[Point]:
    """Return every request of an undisturbed run, before and after."""
    whole = stage.undisturbed(case)
    seen: Counter[str] = Counter()
    requests = []
    for operation in whole.operations:
        seen[operation] += 1
        requests.append((operation, seen[operation]))
    return [
        Point({"at": f"{operation}#{nth}", "when": when}, partial(kill_and_finish, case, whole, operation, nth, when))
        for when in ("before", "after")
        for operation, nth in requests
    ]


def kill_and_finish(case: Case, whole: Undisturbed, operation: str, nth: int, when: str, stage: Stage) -> str:
    """Kill the case's command at its n-th request of an operation, run it again, and compare.

    Raises:
        Failed: the final state differs, or a run fails.
    """
    killed = any(_killed(case, Gate(operation, nth, acted=when == "after"), stage) for _ in range(ATTEMPTS))
    stage.repeat(case)
    stage.compare(case, whole.later, "the final state is another one:")
    return GOOD if killed else UNSENT


def _killed(case: Case, gate: Gate, stage: Stage) -> bool:
    """Start the case's command and kill it at the gate. Return False if it succeeds without that request."""
    stage.set(case)
    stage.world.gate = gate
    try:
        running = stage.start(case)
        if not running.ends_before(gate.reached.is_set):
            running.kill(case.stop)
            return True
        if status := running.ended().status:
            raise Failed(f"it ended with {status} before request {gate.operation}#{gate.nth}")
        return False
    finally:
        gate.opened.set()
        stage.world.gate = Gate()
