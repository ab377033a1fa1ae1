"""Requests that are sent before their answers are needed, so that a job waits for several services at the same time."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TypeVar

_T = TypeVar("_T")


def prefetched(scope: ExitStack, call: Callable[[], _T]) -> Callable[[], _T]:
    """Call a function in another thread. The returned function waits for the result, and raises the function's error.

    If nobody asks for the result, it is dropped, and so is an error. Leaving the scope waits for the end of the call, because
    its client may be closed afterwards. The requests count as requests of the caller (`traffic`).
    """
    result: Future[_T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 (raised where the result is used)
            result.set_exception(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    scope.callback(thread.join)
    return result.result
