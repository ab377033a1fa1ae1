"""Requests that are sent before their answers are needed, so that a job waits for several services at the same time."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def started(call: Callable[[], _T]) -> Callable[[], _T]:
    """Call a function in another thread. The returned function waits for the result, and raises the function's error.

    Nobody has to wait: then the result or error is dropped. The requests are counted for the caller (`traffic`).
    """
    result: Future[_T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 (raised where the result is used)
            result.set_exception(error)

    threading.Thread(target=work, name="ahead", daemon=True).start()
    return result.result
