"""When a lease is renewed and when it is lost, with a fake lock and a clock that the test moves."""

import threading
from contextvars import ContextVar

import pytest

from function_app.azure.leases import NO_FAILURES, RENEW_EVERY, STOP_BEFORE, TERM, Failures, held
from function_app.errors import StorageError, SyncError, TakenError

SOON = 0.001  # seconds between renewals here
LONG = 30.0  # seconds to wait at most for the renewing thread
INVOCATION: ContextVar[str] = ContextVar("invocation", default="")  # as the Functions worker has one


class Lock:
    """Answers each renewal with the next given answer, and then always with the last. It counts renewals."""

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
            answer = self._says.pop(0) if len(self._says) > 1 else self._says[0]
            self._told.notify_all()
        if answer:
            raise answer

    def release(self, failures: Failures) -> None:
        self.released += 1
        self.failures = failures
        if self._back:
            raise self._back

    def renewed(self, times: int = 0) -> None:
        """Wait until it was asked so often and, from now on, twice: the first request may have begun before. Then wait for one
        more, so that the answers before were heard.
        """
        with self._told:
            enough = max(times, self.renewals + 2)
            assert self._told.wait_for(lambda: self.renewals > enough, LONG)


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_is_renewed_several_times_before_it_could_end() -> None:
    """Two renewals may fail before one has to arrive."""
    assert 3 * RENEW_EVERY <= TERM - STOP_BEFORE


def test_without_the_lock_the_work_does_not_begin() -> None:
    for refusal in (TakenError("another worker holds the lease"), StorageError("storage is down")):
        lock = Lock(taken=refusal)
        with pytest.raises(type(refusal)), held(lock, "ftjob-1"):
            raise AssertionError("began without the lock")
        assert (lock.renewals, lock.released) == (0, 0)


def test_a_lease_is_held_as_long_as_it_is_renewed() -> None:
    lock, clock = Lock(), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        for _ in range(5):
            clock.now += TERM - STOP_BEFORE - 1
            assert not lease.lost()
            lock.renewed()
    assert lock.released == 1


def test_a_lease_that_is_not_renewed_counts_as_lost_before_another_worker_can_acquire_it() -> None:
    lock, clock = Lock(StorageError("storage is down")), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        clock.now += TERM - STOP_BEFORE - 1
        lock.renewed(2)
        assert not lease.lost()
        clock.now += 1
        assert lease.lost()


def test_a_successful_renewal_after_failed_ones_keeps_the_lease() -> None:
    down = StorageError("storage is down")
    lock, clock = Lock(down, down, None), Clock()
    with held(lock, "ftjob-1", renew_every=SOON, clock=clock) as lease:
        clock.now += TERM - STOP_BEFORE - 1
        lock.renewed(3)
        clock.now += TERM - STOP_BEFORE - 1
        assert not lease.lost()


def test_a_refused_renewal_loses_the_lease_at_once_and_is_not_repeated() -> None:
    lock = Lock(TakenError("the lease is gone"))
    with held(lock, "ftjob-1", renew_every=SOON, clock=Clock()) as lease:
        pause = threading.Event()
        assert any(lease.lost() or pause.wait(0.01) for _ in range(int(LONG / 0.01)))
    assert lock.renewals == 1


@pytest.mark.parametrize("refusal", [TakenError("the lease is gone"), StorageError("storage is down")])
def test_a_failed_release_of_the_lock_hides_neither_the_result_nor_the_error_of_the_work(refusal: SyncError) -> None:
    with held(Lock(back=refusal), "ftjob-1") as lease:
        assert not lease.lost()
    with pytest.raises(ZeroDivisionError), held(Lock(back=refusal), "ftjob-1"):
        raise ZeroDivisionError


def test_failures_that_a_holder_recorded_are_passed_to_the_next_one() -> None:
    lock = Lock()
    with held(lock, "ftjob-1") as lease:
        assert lease.failures == NO_FAILURES
        lease.failures = Failures(2, 5.0)
    with held(lock, "ftjob-1") as lease:
        assert lease.failures == Failures(2, 5.0)


def test_a_hanging_renewal_holds_nothing_up_and_logs_for_the_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("function_app.azure.leases._JOIN", SOON)
    begun, answer, seen = threading.Event(), threading.Event(), []

    class Hanging(Lock):
        def renew(self) -> None:
            seen.append(INVOCATION.get())
            begun.set()
            answer.wait(LONG)

    lock, token = Hanging(), INVOCATION.set("i-1")
    with held(lock, "ftjob-1", renew_every=SOON):
        assert begun.wait(LONG)
    answer.set()
    INVOCATION.reset(token)
    assert (lock.released, seen) == (1, ["i-1"])
