"""Limit the time that an answer's body takes: httpx only limits each read of it, so a slow server could hold a worker."""

import time
from collections.abc import Callable, Iterator

import httpx2

from function_app.text import duration


def limit_body(response: httpx2.Response, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Limit the time that an answer's body takes; httpx limits each read of it. Call it in a response hook."""
    stream = response.stream
    assert isinstance(stream, httpx2.SyncByteStream)  # noqa: S101 (the client is synchronous)
    response.stream = _TimedStream(stream, seconds, clock)


class _TimedStream(httpx2.SyncByteStream):
    """A body that ends with an error if its bytes take longer than `seconds` to arrive. The reader's time is not counted."""

    def __init__(self, stream: httpx2.SyncByteStream, seconds: float, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._seconds = seconds
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks.

        Raises:
            ReadTimeout: they arrive too slowly.
        """
        waited, chunks = 0.0, iter(self._stream)
        while True:
            began = self._clock()
            chunk = next(chunks, None)
            waited += self._clock() - began
            if chunk is None:
                return
            if waited > self._seconds:
                raise httpx2.ReadTimeout(f"the answer did not arrive within {duration(self._seconds)}")
            yield chunk

    def close(self) -> None:
        """Close the body."""
        self._stream.close()
