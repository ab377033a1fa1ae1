"""At most one worker writes a job's run: a lease that ends by itself when its holder dies, renewed while he works.

What the lease is made of is the caller's (`storage.BlobLock` in Azure); here is when to renew it and when to call it lost.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from function_app.errors import StorageError, TakenError

log = logging.getLogger(__name__)

TERM = 60
"""Seconds until a lease ends that nobody renews: the longest that the Blob service has (Microsoft, Lease Blob)."""

RENEW_EVERY = 15.0
"""Seconds between renewals: two may fail before the third has to arrive, and most jobs are done before the first."""

STOP_BEFORE = 10.0
"""Seconds before its end that a lease counts as lost: what is on its way to W&B by then arrives before another begins."""


class Lock(Protocol):
    """Something that one holder has at a time, for TERM seconds from when it was acquired or renewed."""

    def acquire(self) -> None:
        """Take it.

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

    def release(self) -> None:
        """Give it back. Raises as `renew`."""


Lost = Callable[[], bool]
"""Whether the lease is lost, so that its holder has to stop; once it is, it stays so."""

Leases = Callable[[str], AbstractContextManager[Lost]]
"""The lease of a job, by its id: `with leases(job) as lost`. Entering raises as `Lock.acquire`."""


def never() -> bool:
    """Of a lease that cannot be lost."""
    return False


def no_lease(job: str) -> AbstractContextManager[Lost]:
    """For who works alone, as the command line does."""
    return nullcontext(never)


@contextmanager
def held(
    lock: Lock, name: str, *, renew_every: float = RENEW_EVERY, clock: Callable[[], float] = time.monotonic
) -> Iterator[Lost]:
    """Hold a lock as long as the block runs.

    Args:
        lock: what to hold.
        name: what it is for, in the log.
        renew_every: seconds.
        clock: seconds, steadily going forward.

    Raises:
        TakenError, StorageError: it was not to be had; the block does not run.
    """
    lease = _Lease(lock, name, clock)
    over = threading.Event()
    here = contextvars.copy_context()  # what it asks for belongs to the job, too
    renewer = threading.Thread(target=here.run, args=(lease.keep, over, renew_every), name=f"lease {name}", daemon=True)
    renewer.start()
    try:
        yield lease.lost
    finally:
        over.set()
        renewer.join()  # at most one request long
        lease.release()


class _Lease:
    """A lock that is held. Time counts from before a request was sent: the service's own count cannot have begun earlier."""

    def __init__(self, lock: Lock, name: str, clock: Callable[[], float]) -> None:
        self._lock = lock
        self._name = name
        self._clock = clock
        self._guard = threading.Lock()
        self._lost = False
        asked = clock()
        lock.acquire()
        self._good_until = asked + TERM - STOP_BEFORE

    def lost(self) -> bool:
        with self._guard:
            if not self._lost and self._clock() >= self._good_until:
                self._lose("it was not renewed in time")
            return self._lost

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

    def release(self) -> None:
        """Give it back; one that cannot be given back ends by itself."""
        try:
            self._lock.release()
        except (TakenError, StorageError) as error:
            log.info("lease not released job=%s reason=%s", self._name, error.message)

    def _lose(self, why: str) -> None:
        if not self._lost:
            log.warning("lease lost job=%s reason=%s", self._name, why)
        self._lost = True
