"""Requests that are sent before their answers are needed."""

import threading
from contextlib import ExitStack

from function_app.engine.prefetch import prefetched


def test_leaving_the_scope_waits_for_a_call_whose_result_nobody_asked_for() -> None:
    """Its client is closed afterwards: a request in flight would leave a connection open."""
    answered, ended = threading.Event(), threading.Event()

    def call() -> None:
        answered.wait(60)
        ended.set()

    with ExitStack() as scope:
        prefetched(scope, call)
        scope.callback(answered.set)
    assert ended.is_set()
