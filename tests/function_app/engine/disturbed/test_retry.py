"""The retry policy."""

from itertools import pairwise

import pytest

from function_app.azure.leases import NO_FAILURES, Failures
from function_app.engine.retry import FIRST_WAIT, LONGEST_WAIT, LONGEST_WAIT_BUSY, after, waiting
from function_app.models import Outcome, Result

REFUSED = Outcome("ftjob-1", "a", Result.FAILED, final=True)
BUSY = Outcome("ftjob-1", "a", Result.FAILED)


@pytest.mark.parametrize(("outcome", "longest", "most"), [(REFUSED, LONGEST_WAIT, 6), (BUSY, LONGEST_WAIT_BUSY, 8)])
def test_a_job_that_always_fails_gets_few_attempts_an_hour(outcome: Outcome, longest: float, most: int) -> None:
    failures, now, attempts = NO_FAILURES, 0.0, []
    while now < 6 * 3600:
        if not waiting(failures, now):
            attempts.append(now)
            failures = after(outcome, failures, now)
        now += FIRST_WAIT
    assert sum(at < 3600 for at in attempts) <= most
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= longest + FIRST_WAIT


@pytest.mark.parametrize("result", [result for result in Result if result is not Result.FAILED])
def test_any_other_outcome_resets_the_failures(result: Result) -> None:
    assert after(Outcome("ftjob-1", "a", result), Failures(9, 9e9), 0.0) == NO_FAILURES


def test_a_recorded_time_too_far_in_the_future_is_ignored() -> None:
    assert waiting(Failures(1, LONGEST_WAIT), 0.0)
    assert not waiting(Failures(1, LONGEST_WAIT + 1), 0.0)
    assert not waiting(Failures(10**6, 5.0), 5.0)
    assert after(REFUSED, Failures(10**6, 0.0), 0.0).not_before == LONGEST_WAIT
