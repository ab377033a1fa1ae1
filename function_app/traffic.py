"""Count the requests of a piece of work. Each client counts its requests; the log line about the work has the numbers."""

import contextvars
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

AZURE = "azure"
"""Requests to Azure OpenAI, including retries."""
WANDB = "wandb"
"""Queries and small writes to W&B. Requests by wandb-core, which is another process, are not counted."""
STORAGE = "storage"
"""Requests to the app's own storage account: leases, the depth of the queue."""
VAULT = "vault"
"""Requests to Key Vault."""
SERVICES = (AZURE, WANDB, STORAGE, VAULT)


class Traffic:
    """The requests of one piece of work, including those of its parts. Safe to use from several threads."""

    def __init__(self, whole: "Traffic | None" = None) -> None:
        self._whole = whole
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, service: str) -> None:
        """Count a request."""
        with self._lock:
            self._counts[service] += 1
        if self._whole:
            self._whole.add(service)

    def counts(self) -> dict[str, int]:
        """Return the number of requests so far, by service."""
        with self._lock:
            return {service: self._counts[service] for service in SERVICES}


_current: contextvars.ContextVar[Traffic | None] = contextvars.ContextVar("traffic", default=None)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count the requests during the block, from this thread and threads that run in a copy of its context."""
    traffic = Traffic(_current.get())
    token = _current.set(traffic)
    try:
        yield traffic
    finally:
        _current.reset(token)


def count_request(service: str) -> None:
    """Count a request to the service."""
    if traffic := _current.get():
        traffic.add(service)
