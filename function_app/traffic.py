"""How many requests a piece of work makes: each door counts its own, and who tells of the work says how many they were."""

import contextvars
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

AZURE = "azure"
"""Requests to Azure OpenAI, repeated ones among them."""
WANDB = "wandb"
"""Queries and small writes to W&B. What wandb-core sends while a run is open goes out of another process, unseen."""
STORAGE = "storage"
"""Requests to the app's own storage account: leases, the depth of the queue."""
VAULT = "vault"
"""Requests to Key Vault."""
SERVICES = (AZURE, WANDB, STORAGE, VAULT)


class Traffic:
    """The requests of one piece of work, those of its parts among them. Safe to use from several threads."""

    def __init__(self, whole: "Traffic | None" = None) -> None:
        self._whole = whole
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, service: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[service] += 1
        if self._whole:
            self._whole.add(service)

    def counts(self) -> dict[str, int]:
        """How many so far, by service."""
        with self._lock:
            return {service: self._counts[service] for service in SERVICES}


_current: contextvars.ContextVar[Traffic | None] = contextvars.ContextVar("traffic", default=None)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count what is asked while the block runs, by this thread and those that run in a copy of its context."""
    traffic = Traffic(_current.get())
    token = _current.set(traffic)
    try:
        yield traffic
    finally:
        _current.reset(token)


def asked(service: str) -> None:
    """A request goes out."""
    if traffic := _current.get():
        traffic.add(service)
