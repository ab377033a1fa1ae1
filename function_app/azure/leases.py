"""At most one worker writes a job's run: a lease that ends by itself when its holder dies, and is renewed while it works.

What the lease is made of is the caller's choice (`storage.BlobLock` in Azure). This module says when it is renewed and when it
counts as lost. The lease also carries how often the job failed and when it is tried next.
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
"""Seconds until a lease ends that nobody renews: the longest that the Blob service has (Microsoft, Lease Blob)."""

RENEW_EVERY = 15.0
"""Seconds between renewals: two may fail before the third has to arrive, and most jobs are done before the first."""

_JOIN = 15.0
"""Seconds for the renewing thread to end."""

STOP_BEFORE = 10.0
"""Seconds before its end that a lease counts as lost: what is on its way to W&B by then arrives before another begins."""


@dataclass(frozen=True)
class Failures:
    """How often a job failed in a row, and the time (seconds since the epoch) before which it is not tried again."""

    count: int = 0
    not_before: float = 0.0


NO_FAILURES = Failures()


class Lock(Protocol):
    """Something that one holder has at a time, for TERM seconds from when it was acquired or renewed."""

    def acquire(self) -> Failures:
        """Take it; return what its last holder left in it.

        Raises:
            TakenError: another has it.
            StorageError: nobody can say.
        """

    def renew(self) -> None:
        """Have it for another TERM.

        Raises:
            TakenError: it is gone.
            StorageError: nobody can say.
        """

    def release(self, failures: Failures) -> None:
        """Give it back, and leave `failures` for the next holder. Raises as `renew`."""


def never() -> bool:
    """Return False: of a lease that cannot be lost."""
    return False


@dataclass
class Lease:
    """A lease that is held.

    Attributes:
        lost: returns whether the lease is lost, so that its holder has to stop; once it is, it stays so.
        failures: of the job; its holder replaces them, and they stay with the lease.
        left: returns for how many seconds it is good.
        exclusive: whether it keeps others away; there is none on the command line.
    """

    lost: Callable[[], bool] = never
    failures: Failures = NO_FAILURES
    left: Callable[[], float] = lambda: math.inf
    exclusive: bool = True


NO_LEASE = Lease(exclusive=False)
"""For reading, and for a single worker that keeps nothing."""

Leases = Callable[[str], AbstractContextManager[Lease]]
"""The lease of a job, by its id: `with leases(job) as lease`. Entering raises as `Lock.acquire`."""


def no_lease(job: str) -> AbstractContextManager[Lease]:
    """Return a lease for a single worker, as on the command line: never lost, and nothing is kept in it."""
    return nullcontext(Lease(exclusive=False))


@contextmanager
def held(
    lock: Lock, name: str, *, renew_every: float = RENEW_EVERY, clock: Callable[[], float] = time.monotonic
) -> Iterator[Lease]:
    """Hold a lock as long as the block runs.

    Args:
        lock: what to hold.
        name: what it is for, in the log.
        renew_every: seconds.
        clock: seconds, steadily going forward.

    Raises:
        TakenError, StorageError: it was not to be had; the block does not run.
    """
    keeper = _Keeper(lock, name, clock)
    lease = Lease(keeper.lost, keeper.found, keeper.left)
    over = threading.Event()
    here = contextvars.copy_context()  # what it asks for belongs to the job, too
    renewer = threading.Thread(
        target=here.run, args=(keeper.keep, over, renew_every), name=f"lease {name}", daemon=True
    )
    renewer.start()
    try:
        yield lease
    finally:
        over.set()
        renewer.join(_JOIN)  # one request long; a token request may hang for minutes
        keeper.release(lease.failures)


class _Keeper:
    """A lock that is held. Time counts from before a request was sent: the service's own count cannot have begun earlier."""

    def __init__(self, lock: Lock, name: str, clock: Callable[[], float]) -> None:
        self._lock = lock
        self._name = name
        self._clock = clock
        self._guard = threading.Lock()
        self._lost = False
        asked = clock()
        self.found = lock.acquire()
        self._good_until = asked + TERM - STOP_BEFORE

    def lost(self) -> bool:
        with self._guard:
            if not self._lost and self._clock() >= self._good_until:
                self._lose("it was not renewed in time")
            return self._lost

    def left(self) -> float:
        """Return for how many seconds it is good."""
        return 0.0 if self.lost() else self._good_until - self._clock()

    def keep(self, over: threading.Event, every: float) -> None:
        """Renew until it is `over` or lost."""
        while not over.wait(every) and not self.lost():
            asked = self._clock()
            try:
                self._lock.renew()
            except TakenError as error:
                with self._guard:
                    self._lose(error.message)
            except StorageError as error:
                log.warning("lease not renewed job=%s reason=%s", self._name, error.message)
            else:
                with self._guard:
                    self._good_until = asked + TERM - STOP_BEFORE

    def release(self, failures: Failures) -> None:
        """Give it back; one that cannot be given back ends by itself."""
        try:
            self._lock.release(failures)
        except (TakenError, StorageError) as error:
            log.info("lease not released job=%s reason=%s", self._name, error.message)

    def _lose(self, why: str) -> None:
        if not self._lost:
            log.warning("lease lost job=%s reason=%s", self._name, why)
        self._lost = True
