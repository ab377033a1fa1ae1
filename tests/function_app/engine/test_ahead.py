"""Requests that are sent before their answers are needed."""

import threading
from contextlib import ExitStack

from function_app.engine.ahead import started


def test_leaving_the_scope_waits_for_a_call_whose_result_nobody_asked_for() -> None:
    """Its client is closed afterwards: a request that is still on its way would leave a connection open."""
    answered, ended = threading.Event(), threading.Event()

    def call() -> None:
        answered.wait(60)
        ended.set()

    with ExitStack() as scope:
        started(scope, call)
        scope.callback(answered.set)
    assert ended.is_set()
