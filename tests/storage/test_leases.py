"""When a lease is renewed and when it is lost, on a lock of the test's own and a clock that the test moves."""

import threading

import pytest

from function_app.azure.leases import NO_FAILURES, RENEW_EVERY, STOP_BEFORE, TERM, Failures, held
from function_app.errors import StorageError, SyncError, TakenError

SOON = 0.001  # seconds between renewals here
LONG = 30.0  # seconds to wait at most for the renewing thread


class Lock:
    """Says what it is told to say to each renewal, the last of it for ever; counts and can be waited for."""

    def __init__(self, *says: SyncError | None, taken: SyncError | None = None, back: SyncError | None = None) -> None:
        self._says = [*says] or [None]
        self._taken = taken
        self._back = back
        self._told = threading.Condition()
        self.renewals = self.released = 0
        self.failures = NO_FAILURES

    def acquire(self) -> Failures:
        if self._taken:
            raise self._taken
        return self.failures

    def renew(self) -> None:
        with self._told:
            self.renewals += 1
            said = self._says.pop(0) if len(self._says) > 1 else self._says[0]
            self._told.notify_all()
        if said:
            raise said

    def release(self, failures: Failures) -> None:
        self.released += 1
        self.failures = failures
        if self._back:
            raise self._back

    def renewed(self, times: int) -> None:
        """Wait until it was asked so often, and once more, so that the answers before were heard."""
        with self._told:
            assert self._told.wait_for(lambda: self.renewals > times, LONG)


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_is_renewed_several_times_before_it_could_end() -> None:
    """Two renewals may fail before one has to arrive, and a writer that stops has time for what is under way."""
    assert 3 * RENEW_EVERY <= TERM - STOP_BEFORE
    assert STOP_BEFORE > 0


def test_who_does_not_get_the_lock_does_not_begin() -> None:
    for refusal in (TakenError("another worker holds the lease"), StorageError("storage is down")):
        lock = Lock(taken=refusal)
        with pytest.raises(type(refusal)), held(lock, "ftjob-1"):
            raise AssertionError("began without the lock")
        assert (lock.renewals, lock.released) == (0, 0)


def test_as_long_as_it_is_renewed_it_is_held_however_long_that_takes() -> None:
    lock, clock = Lock(), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        for _ in range(5):
            clock.now += TERM - STOP_BEFORE - 1
            assert not lease.lost()
            lock.renewed(lock.renewals + 1)
    assert lock.released == 1


def test_not_renewed_in_time_it_is_lost_a_while_before_another_could_have_it() -> None:
    lock, clock = Lock(StorageError("storage is down")), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        clock.now += TERM - STOP_BEFORE - 1
        lock.renewed(2)
        assert not lease.lost()
        clock.now += 1
        assert lease.lost()


def test_a_renewal_that_comes_through_after_failures_keeps_it() -> None:
    down = StorageError("storage is down")
    lock, clock = Lock(down, down, None), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        clock.now += TERM - STOP_BEFORE - 1
        lock.renewed(3)
        clock.now += TERM - STOP_BEFORE - 1
        assert not lease.lost()


def test_a_refused_renewal_is_a_lost_lease_at_once_and_is_not_asked_again() -> None:
    lock = Lock(TakenError("the lease is gone"))
    with held(lock, "ftjob-1", renew_every=SOON, clock=Clock()) as lease:
        pause = threading.Event()
        assert any(lease.lost() or pause.wait(0.01) for _ in range(int(LONG / 0.01)))
    assert lock.renewals == 1


@pytest.mark.parametrize("refusal", [TakenError("the lease is gone"), StorageError("storage is down")])
def test_a_lock_that_cannot_be_given_back_hides_neither_the_work_nor_its_error(refusal: SyncError) -> None:
    with held(Lock(back=refusal), "ftjob-1") as lease:
        assert not lease.lost()
    with pytest.raises(ZeroDivisionError), held(Lock(back=refusal), "ftjob-1"):
        raise ZeroDivisionError


def test_what_the_holder_says_of_failures_is_there_for_the_next_one() -> None:
    lock = Lock()
    with held(lock, "ftjob-1") as lease:
        assert lease.failures == NO_FAILURES
        lease.failures = Failures(2, 5.0)
    with held(lock, "ftjob-1") as lease:
        assert lease.failures == Failures(2, 5.0)
