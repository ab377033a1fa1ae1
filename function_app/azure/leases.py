"""Leases, by which at most one worker writes a job's run. A lease is renewed during the work, and ends if its holder dies.

The caller supplies the lock (`storage.BlobLock` in Azure). This module decides when a lease is renewed and when it
counts as lost. The lease also records how often the job failed and when it is tried next.
"""

import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from function_app.errors import StorageError, TakenError

log = logging.getLogger(__name__)

TERM = 60
"""Seconds until a lease ends without a renewal: the maximum of the Blob service (Microsoft, Lease Blob)."""

RENEW_EVERY = 15.0
"""Seconds between renewals: two may fail before the lease ends, and most jobs are done before the first renewal."""

_JOIN = 15.0
"""Seconds to wait for the renewing thread to end."""

STOP_BEFORE = 10.0
"""A lease counts as lost this many seconds before it ends, so that requests in flight arrive before another holder begins."""


@dataclass(frozen=True)
class Failures:
    """How often a job failed in a row, and the time (seconds since the epoch) before which it is not tried again."""

    count: int = 0
    not_before: float = 0.0


NO_FAILURES = Failures()


class Lock(Protocol):
    """A lock with one holder at a time, valid for TERM seconds after it was acquired or renewed."""

    def acquire(self) -> Failures:
        """Acquire the lock; return the failures that its last holder recorded.

        Raises:
            TakenError: another worker holds it.
            StorageError: the state is unknown.
        """

    def renew(self) -> None:
        """Renew the lock for another TERM.

        Raises:
            TakenError: the lock is lost.
            StorageError: the state is unknown.
        """

    def release(self, failures: Failures) -> None:
        """Release the lock, and record `failures` for the next holder. Raises the errors of `renew`."""


def never() -> bool:
    """Return False, for a lease that cannot be lost."""
    return False


@dataclass
class Lease:
    """A lease that is currently held.

    Attributes:
        lost: returns whether the lease is lost and its holder must stop. A lost lease stays lost.
        failures: the failures of the job; the holder may replace them, and they are kept with the lease.
        left: returns the remaining seconds of the lease.
        exclusive: whether it excludes other workers; False on the command line, which has no leases.
    """

    lost: Callable[[], bool] = never
    failures: Failures = NO_FAILURES
    left: Callable[[], float] = lambda: math.inf
    exclusive: bool = True


NO_LEASE = Lease(exclusive=False)
"""For reading, and for a single worker that keeps nothing."""

Leases = Callable[[str], AbstractContextManager[Lease]]
"""The lease of a job, by its id: `with leases(job) as lease`. Entering raises the errors of `Lock.acquire`."""


def no_lease(job: str) -> AbstractContextManager[Lease]:
    """Return a lease for a single worker, as on the command line. It is never lost and records nothing."""
    return nullcontext(Lease(exclusive=False))


@contextmanager
def held(
    lock: Lock, name: str, *, renew_every: float = RENEW_EVERY, clock: Callable[[], float] = time.monotonic
) -> Iterator[Lease]:
    """Hold a lock during the block.

    Args:
        lock: the lock to hold.
        name: the name of the job, for the log.
        renew_every: seconds between renewals.
        clock: a monotonic clock, in seconds.

    Raises:
        TakenError, StorageError: the lock could not be acquired; the block does not run.
    """
    keeper = _Keeper(lock, name, clock)
    lease = Lease(keeper.lost, keeper.found, keeper.left)
    over = threading.Event()
    here = contextvars.copy_context()  # its requests count as requests of the job
    renewer = threading.Thread(
        target=here.run, args=(keeper.keep, over, renew_every), name=f"lease {name}", daemon=True
    )
    renewer.start()
    try:
        yield lease
    finally:
        over.set()
        renewer.join(_JOIN)  # long enough for one request; a token request may hang for minutes
        keeper.release(lease.failures)


class _Keeper:
    """Keeps a lock. Time is counted from before a request was sent, because the service cannot have started earlier."""

    def __init__(self, lock: Lock, name: str, clock: Callable[[], float]) -> None:
        self._lock = lock
        self._name = name
        self._clock = clock
        self._guard = threading.Lock()
        self._lost = False
        sent_at = clock()
        self.found = lock.acquire()
        self._good_until = sent_at + TERM - STOP_BEFORE

    def lost(self) -> bool:
        with self._guard:
            if not self._lost and self._clock() >= self._good_until:
                self._mark_lost("it was not renewed in time")
            return self._lost

    def left(self) -> float:
        """Return the remaining seconds of the lease."""
        return 0.0 if self.lost() else self._good_until - self._clock()

    def keep(self, stopped: threading.Event, every: float) -> None:
        """Renew the lock until the work is `stopped` or the lock is lost."""
        while not stopped.wait(every) and not self.lost():
            sent_at = self._clock()
            try:
                self._lock.renew()
            except TakenError as error:
                with self._guard:
                    self._mark_lost(error.message)
            except StorageError as error:
                log.warning("lease not renewed job=%s reason=%s", self._name, error.message)
            else:
                with self._guard:
                    self._good_until = sent_at + TERM - STOP_BEFORE

    def release(self, failures: Failures) -> None:
        """Release the lock. If that fails, the lease ends by itself."""
        try:
            self._lock.release(failures)
        except (TakenError, StorageError) as error:
            log.info("lease not released job=%s reason=%s", self._name, error.message)

    def _mark_lost(self, why: str) -> None:
        if not self._lost:
            log.warning("lease lost job=%s reason=%s", self._name, why)
        self._lost = True
