"""A whole answer of Azure OpenAI: its limits, and the object in it.

The openai SDK limits each read of an answer, but not the answer. It also waits for up to two minutes if the service asks for
that with Retry-After, before each of its attempts (openai 3, `_base_client.py`).
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from function_app.slow_answers import limit_body

RETRIES = 2
"""Repetitions of a request after the first attempt. The next tick is the better retry."""

LONGEST_WAIT = 20.0
"""The longest Retry-After, in seconds, that is respected. Longer waits are left to the next tick."""

ANSWER_WITHIN = 120.0
"""Seconds within which a whole answer must arrive. Answers of 100 events take some seconds."""

SLOWEST_DOWNLOAD = 512 * 1024
"""The lowest speed of a download in bytes per second, which allows additional time for a file's content: 512 MB, the largest
training file, may take 17 minutes, and a worker has 20 (`functions.STOP_AFTER`)."""

LISTING_WITHIN = 300.0
"""Seconds after which a listing asks for no further page."""

_LARGEST_FILE = 512 * 1024 * 1024
_CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"
_environment = threading.Lock()


def limit_answer(response: httpx2.Response) -> None:
    """Limit the time of an answer's body and the wait before the next attempt. This is a response hook of httpx."""
    seconds = ANSWER_WITHIN
    if response.request.url.path.endswith("/content"):
        seconds += float(response.headers.get("content-length", _LARGEST_FILE)) / SLOWEST_DOWNLOAD
    limit_body(response, seconds)
    if _retry_after(response.headers) > LONGEST_WAIT:
        response.headers["x-should-retry"] = "false"  # the SDK treats it like the service's own header


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the service asks to wait, in any of the forms that the SDK knows; 0 without a usable value."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers.get(name, "")) * unit
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time()
    except ValueError:
        return 0.0


def object_of(response: Any) -> dict[str, Any]:
    """Return the object in an answer.

    Raises:
        ValueError, TypeError: the answer contains something else.
    """
    content = response.http_response.content
    try:
        answer = json.loads(content)
    except ValueError:
        # Such as a number with more digits than Python reads. A bad value must not affect the whole listing.
        answer = json.loads(content, parse_int=_whole)
    if not isinstance(answer, dict):
        raise TypeError("the answer is not an object")
    return answer


def _whole(digits: str) -> float:
    return int(digits) if len(digits) < 100 else math.inf


@contextmanager
def without_custom_headers() -> Iterator[None]:
    """Create a client of the SDK as if OPENAI_CUSTOM_HEADERS were not set.

    The SDK sends those headers with every request, and one named Authorization would replace ours.
    """
    with _environment:
        value = os.environ.pop(_CUSTOM_HEADERS, None)
        try:
            yield
        finally:
            if value is not None:
                os.environ[_CUSTOM_HEADERS] = value
