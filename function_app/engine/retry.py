"""The retry policy for failed jobs, which is only defined here. Pure.

* The SDKs and our W&B client repeat a request for at most three quarters of a minute.
* A job that fails ends its queue message normally. The lease records how often it failed in a row, and when it is next tried:
  two minutes later, then twice as long each time. Until then ticks do not enqueue the job,
  and workers skip it.
* The host repeats a message only if the process died. After five deaths the message is poison.
* A command that waits for jobs to end (`sync --follow`, `submit --wait`, `sync(wait_for_job_success=True)`) outlasts an
  outage, see Patience.
"""

from function_app.azure.leases import NO_FAILURES, Failures
from function_app.errors import SyncError
from function_app.models import Outcome, Result

FIRST_WAIT = 120.0
"""Seconds after the first failure: one tick."""

LONGEST_WAIT = 3600.0
"""The longest time between attempts, in seconds: a job that always fails has six attempts in its first hour, then one an hour."""

LONGEST_WAIT_BUSY = 900.0
"""The same for errors that waiting may solve: outages end, and jobs should not wait an hour after that."""

PATIENCE = 30
"""Failed passes in a row after which a waiting command gives up: half an hour at one pass a minute, as of `sync --follow`."""


class Patience:
    """Counts the failed passes in a row of a command that waits for jobs to end."""

    def __init__(self) -> None:
        self._failed = 0

    def outlasts(self, error: SyncError) -> bool:
        """Count a failed pass; return whether the command should try again."""
        self._failed += 1
        return error.retry and self._failed < PATIENCE

    def reset(self) -> None:
        """Forget the failures: a pass succeeded."""
        self._failed = 0


def after(outcome: Outcome, failures: Failures, now: float) -> Failures:
    """Return the failures to record for a job after this outcome.

    Args:
        outcome: the outcome of the attempt.
        failures: the recorded failures.
        now: seconds since the epoch.
    """
    if outcome.result is not Result.FAILED:
        return NO_FAILURES
    longest = LONGEST_WAIT if outcome.final else LONGEST_WAIT_BUSY
    wait = min(FIRST_WAIT * 2 ** min(failures.count, 20), longest)
    return Failures(failures.count + 1, now + wait)


def waiting(failures: Failures, now: float) -> bool:
    """Return whether it is too early for another attempt. A time that is too far ahead, as from a wrong clock, is
    ignored.
    """
    return 0 < failures.not_before - now <= LONGEST_WAIT
