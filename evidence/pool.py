"""So many places, each for one piece of work at a time."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, Self, TypeVar

_Place = TypeVar("_Place")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Pool(Generic[_Place]):
    """Places that `make` gives, entered and left with the pool; `jobs` of them."""

    def __init__(self, make: Callable[[], AbstractContextManager[_Place]], jobs: int) -> None:
        self._make = make
        self._jobs = jobs
        self._free: queue.SimpleQueue[_Place] = queue.SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start them."""
        for _ in range(self._jobs):
            self._free.put(self._stack.enter_context(self._make()))
        self._threads = self._stack.enter_context(ThreadPoolExecutor(self._jobs, thread_name_prefix="evidence"))
        return self

    def __exit__(self, *ended: object) -> None:
        """Stop them, after what is at work."""
        self._threads.shutdown(cancel_futures=True)
        self._stack.close()

    def each(self, do: Callable[[_Place, _Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
        """What `do` gives for every item, in order."""

        def at_a_place(item: _Item) -> _Result:
            place = self._free.get()
            try:
                return do(place, item)
            finally:
                self._free.put(place)

        return self._threads.map(at_a_place, items)
