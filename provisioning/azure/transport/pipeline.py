"""The HTTP pipeline of all clients: timeouts, bounded retries, logging, and waiting for long-running operations."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.paging import ItemPaged
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    CustomHookPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.polling import LROPoller
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

from function_app.shared_rules import untrusted
from provisioning.durations import spell
from provisioning.errors import ServiceError, ThrottledError, TimedOutError

Waiting = Callable[[str, timedelta, timedelta], None]
"""Called during a wait with the subject of the wait, the elapsed time and the limit."""

TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}
"""Timeouts in seconds, as options of azure-core's transport, whose defaults are 300."""
OPERATION_LIMIT = timedelta(minutes=10)
"""How long a long-running operation may take."""
PAUSE_LIMIT = timedelta(minutes=2)
"""The longest Retry-After that is respected within one command."""
_REPORT_AFTER = timedelta(seconds=3)
ENDLESS = "A listing from Azure does not end: a page repeats."
_Result = TypeVar("_Result")

_http_log = logging.getLogger("provisioning.http")


def log_response(response: PipelineResponse[Any, Any]) -> None:
    """Log method, URL without its query, and status, for -v. A `raw_response_hook` of SDK clients.

    Never bodies, headers or tokens. Queries are left out because URLs of long-running operations carry signatures.
    """
    request, answer = response.http_request, response.http_response
    parts = urlsplit(request.url)
    _http_log.info("%s %s://%s%s → %s", request.method, parts.scheme, parts.netloc, parts.path, answer.status_code)


class BoundedRetryPolicy(RetryPolicy[Any, Any]):
    """azure-core's retries, with a limit for the service's Retry-After and progress during a pause.

    Raises:
        ThrottledError: the service asks for a longer pause than PAUSE_LIMIT.
    """

    def __init__(self, waiting: Waiting) -> None:
        super().__init__()
        self._waiting = waiting

    def increment(self, settings: dict[str, Any], response: Any = None, error: Exception | None = None) -> bool:
        """Count an attempt, and return whether another one may follow. An untrusted certificate is not tried again."""
        return not untrusted(error) and super().increment(settings, response, error)

    def sleep(
        self, settings: dict[str, Any], transport: Any, response: PipelineResponse[Any, Any] | None = None
    ) -> None:
        """Pause before a retry. See RetryPolicy.sleep."""
        retry_after = self.get_retry_after(response) if response else None
        pause = timedelta(seconds=retry_after or self.get_backoff_time(settings))
        if pause > PAUSE_LIMIT:
            why = f"HTTP {response.http_response.status_code}" if response else "no answer"
            if response:
                response.http_response.close()  # a streamed answer would otherwise keep its connection
            raise ThrottledError(
                f"Azure asks for a pause of {spell(pause)} ({why}).",
                hint=f"Run the same command again in {spell(pause)}: it continues where it stopped.",
            )
        left = pause
        while left > timedelta(0):
            if pause - left >= _REPORT_AFTER:
                self._waiting("Azure, which is throttling or unavailable", pause - left, pause)
            nap = min(left, timedelta(seconds=1))
            transport.sleep(nap.total_seconds())
            left -= nap


def policies(
    credential: TokenCredential,
    scope: str,
    waiting: Waiting,
    hook: Callable[[PipelineResponse[Any, Any]], None] = log_response,
) -> list[Any]:
    """The pipeline policies of a client for Azure Resource Manager or another service with Entra tokens.

    The generated clients would add ARMAutoResourceProviderRegistrationPolicy, which changes the subscription
    during a read, and waits for that without a limit.
    """
    return [
        RequestIdPolicy(),
        UserAgentPolicy(),
        ContentDecodePolicy(),
        BoundedRetryPolicy(waiting),
        ARMChallengeAuthenticationPolicy(credential, scope, enable_cae=True),
        CustomHookPolicy(raw_response_hook=hook),
    ]


def result(poller: LROPoller[_Result], doing: str, waiting: Waiting) -> _Result:
    """The result of a long-running operation.

    Raises:
        TimedOutError: it did not end within the limit.
        azure.core.exceptions.HttpResponseError: it failed.
    """
    started = time.monotonic()
    while not poller.done():
        poller.wait(0.2)
        elapsed = timedelta(seconds=time.monotonic() - started)
        if elapsed >= OPERATION_LIMIT:
            raise TimedOutError(
                f"{doing} did not end within {spell(OPERATION_LIMIT)}. Azure may still complete it.",
                hint="Run the same command again: it waits for the operation that is in progress, or reports its result.",
            )
        if elapsed >= _REPORT_AFTER:
            waiting(f"Azure: {doing[0].lower()}{doing[1:]}", elapsed, OPERATION_LIMIT)
    return poller.result()


def items(listed: Iterable[_Result]) -> Iterator[_Result]:
    """The items of an SDK's listing. The SDK itself would follow a repeated link without end.

    Raises:
        ServiceError: a page links to one that was already read.
    """
    pages: Any = listed.by_page() if isinstance(listed, ItemPaged) else iter([listed])
    seen: set[str] = set()
    for page in pages:
        yield from page
        if link := getattr(pages, "continuation_token", None):
            if link in seen:
                raise ServiceError(ENDLESS, hint="Run the same command again.")
            seen.add(link)


def silent(what: str, elapsed: timedelta, limit: timedelta) -> None:
    """A `Waiting` that reports nothing."""
