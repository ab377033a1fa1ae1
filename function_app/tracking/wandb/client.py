"""W&B's GraphQL endpoint and file stream over HTTP, with limits on every wait and errors by status and code.

The SDK's client (`ServiceApi`) uses wandb-core, which reports errors as text and obeys any Retry-After. It is also
private. The operations here are the SDK's, with its names.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx2

from function_app.connections import TRUST, untrusted
from function_app.data.wandb_server import DEFAULT_SERVER as DEFAULT_SERVER
from function_app.data.wandb_server import pages_of
from function_app.errors import (
    KeyRefusedError,
    RunDeletedError,
    WandbBusyError,
    WandbError,
    first_line,
)
from function_app.slow_answers import limit_body
from function_app.text import excerpt
from function_app.traffic import WANDB, count_request

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long each wait for W&B may take, in seconds.

    Attributes:
        connect: to establish a connection; long enough for slow DNS, and for TLS through a proxy.
        read: without a byte of the answer. W&B's slowest answers, listings of 1,000 runs, take some seconds.
        answer: for the body of an answer, however slowly its bytes arrive.
        give_up: after which no further attempt begins, because the next tick is the better retry.
        longest_wait: the longest Retry-After that is respected. W&B may ask for minutes, which are left to the next tick.
        opening: for the SDK to open a run, attempts included.
        closing: for the SDK to close a run, whose artifacts have been uploaded before.
        upload: for W&B to accept a run's artifacts of any size: five requests each, repeated for half a minute.
        retries: how often the SDK repeats a request, with pauses of 1, 2, 4, 4 seconds; a file or rows once more.
    """

    connect: float = 10.0
    read: float = 30.0
    answer: float = 60.0
    give_up: float = 45.0
    longest_wait: float = 8.0
    opening: float = 60.0
    closing: float = 120.0
    upload: float = 180.0
    retries: int = 4


LIMITS = Limits()

BY_HAND = Limits(give_up=180.0, longest_wait=65.0, opening=150.0, closing=180.0, upload=600.0)
"""For a sync by hand, which has no next tick: it waits until a window of W&B's rate limits, a minute, is over."""

ROWS_TIMEOUT = 25.0
"""Seconds that the job's lease must last when an attempt to send rows begins. A lease counts as lost 10 s before another worker
can hold it (`azure.leases`), and the attempt ends within these 35 s: 1 s for a free connection, 4 s each for TCP and TLS, 5 s
for sending, 7 s for the answer's headers, 5 s and one more read of 7 s for its body.

httpx limits each operation. So a server with several addresses that do not answer, a server that receives rows or sends
headers byte by byte, or an equally slow proxy could exceed the 35 s.
"""

_ROWS_BODY = 5.0
_ROWS_LIMITS = httpx2.Timeout(connect=4.0, read=7.0, write=5.0, pool=1.0)
_CONNECTIONS = httpx2.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=30.0)
"""By default, httpx keeps 20 connections, for 5 s. A sync works on up to 64 jobs at the same time, each of which sends nothing
while its files are uploaded. A new connection takes two round trips, or three through a proxy."""
_WAITS = (1.0, 2.0, 4.0)
"""Seconds between attempts."""

_STREAM = "/file_stream"
_PAUSED = frozenset({408, 429})
_NOT_ALLOWED = "PERMISSION_ERROR"

_RIGHTS = "Use the key of a member or service account of the team in WANDB_ENTITY who may write to WANDB_PROJECT."
LATER = (
    "Check the network (DNS, proxy, firewall) and WANDB_BASE_URL. Nothing is lost: the next sync continues from here."
)


class WandbClient:
    """One W&B server. Safe to use from several threads."""

    def __init__(
        self,
        server: str,
        *,
        limits: Limits = LIMITS,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.limits = limits
        self._sleep = sleep
        self._clock = clock
        self._skew = 0.0
        # Redirects are not followed: the key goes to this host alone.
        self._http = httpx2.Client(
            base_url=server,
            timeout=httpx2.Timeout(limits.read, connect=limits.connect),
            follow_redirects=False,
            limits=_CONNECTIONS,
            transport=transport,
            event_hooks={"response": [self._bound]},
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _bound(self, response: httpx2.Response) -> None:
        rows = response.request.url.path.endswith(_STREAM)
        limit_body(response, _ROWS_BODY if rows else self.limits.answer, self._clock)

    def graphql(self, key: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Send a query or mutation; return the `data` of the answer.

        A mutation may be sent twice if its answer is lost. All mutations of the callers are idempotent.

        Raises:
            KeyRefusedError, RunDeletedError, WandbBusyError, WandbError: from W&B.
        """
        body = json.dumps({"query": query, "variables": dict(variables)}).encode()
        response = self._post("/graphql", key, body)
        answer = _json_object(response, self.server)
        if response.is_success and not answer.get("errors"):
            if isinstance(data := answer.get("data"), dict):
                return data
            raise WandbBusyError(f"W&B at {self.server} answered without any data.", LATER)
        raise refusal(self.server, response.status_code, _errors_in(response))

    def file_stream(self, key: str, run: str, body: bytes, *, before: Callable[[], None]) -> None:
        """Post to the file stream of a run: rows, its summary, its end. Every post is a heartbeat.

        Args:
            key: the API key.
            run: the run's path, entity/project/id.
            body: the request.
            before: called before each attempt; it raises to prevent it.

        Raises:
            KeyRefusedError, RunDeletedError, WandbBusyError, WandbError: from W&B.
        """
        path = f"/files/{quote(run)}{_STREAM}"
        response = self._post(path, key, body, timeout=_ROWS_LIMITS, before=before)
        if response.status_code == 404:
            raise refusal(self.server, 409, None)
        if not response.is_success:
            raise refusal(self.server, response.status_code, _errors_in(response))

    def now(self) -> float:
        """Return the time in seconds since the epoch by the server's clock, from the Date header of its last answer."""
        return time.time() + self._skew

    def _post(
        self,
        path: str,
        key: str,
        body: bytes,
        *,
        timeout: httpx2.Timeout | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> httpx2.Response:
        """Post until W&B gives a final answer."""
        limits: Any = timeout or httpx2.USE_CLIENT_DEFAULT
        headers = {"content-type": "application/json"}
        began = self._clock()
        for wait in (*_WAITS, None):
            before()
            try:
                count_request(WANDB)
                response = self._http.post(path, content=body, auth=("api", key), headers=headers, timeout=limits)
            except httpx2.HTTPError as error:
                reason = excerpt(first_line(error))
                hint = TRUST if untrusted(error) else LATER
                failure: WandbError = WandbBusyError(f"W&B at {self.server} cannot be reached: {reason}", hint)
                failure.__cause__ = error
            else:
                self._note_time(response)
                if response.status_code < 500 and response.status_code not in _PAUSED:
                    return response
                failure = refusal(self.server, response.status_code, _errors_in(response))
                wait = _wait(response, wait, self.limits.longest_wait)  # noqa: PLW2901 (the server's wait takes precedence)
            if wait is None or self._clock() - began + wait > self.limits.give_up:
                break
            log.info("W&B does not answer or limits requests, next attempt in %.0f s", wait)
            self._sleep(wait)
        raise failure

    def _note_time(self, response: httpx2.Response) -> None:
        with suppress(KeyError, ValueError, OverflowError):  # no valid Date header: the local clock is good enough
            self._skew = parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()


def _wait(response: httpx2.Response, usual: float | None, longest: float) -> float | None:
    """Return the seconds to wait before the next attempt; None to give up."""
    try:
        requested = float(response.headers.get("retry-after", ""))
    except ValueError:
        return usual
    return None if usual is None or not 0 <= requested <= longest else max(usual, requested)


def _json_object(response: httpx2.Response, server: str) -> dict[str, Any]:
    """Return the object in the answer; an empty one for an error without JSON.

    Raises:
        WandbBusyError: a successful answer is not a JSON object, for example from a proxy or a login page.
    """
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    if response.is_success:
        raise WandbBusyError(f"W&B at {server} sent an answer that is not JSON.", LATER)
    return {}


def _errors_in(response: httpx2.Response) -> object:
    """Return the errors of an answer: GraphQL's list, an `error` (wandb 0.31, `parse_backend_error_messages`), or a text."""
    if response.headers.get("content-type", "").startswith("text/plain"):
        return response.text
    answer = _json_object(response, "")
    return answer.get("errors") or answer.get("error")


def refusal(server: str, status: int, errors: object) -> WandbError:
    """Return the error for a refusal, by HTTP status and W&B's code. The message contains W&B's text."""
    words, code = _first(errors)
    stated = f" W&B says: {words.rstrip('.')}." if words else ""
    words = words or "no reason given"
    if status == 401:
        return KeyRefusedError(
            f"W&B at {server} does not accept the API key.",
            "Run `python -m provisioning rotate-key`, or set a WANDB_API_KEY that works; check WANDB_BASE_URL.",
        )
    if status == 403 or code == _NOT_ALLOWED:
        return WandbError(f"The W&B API key may not do this in this project.{stated}", _RIGHTS)
    if status == 404:
        return WandbError(
            f"W&B at {server} does not know the entity or project.{stated}", "Check WANDB_ENTITY and WANDB_PROJECT."
        )
    if status == 409:  # the only conflict of UpsertBucket (wandb#4948)
        return RunDeletedError("The run was deleted in W&B, which never reuses an id.")
    if status in (400, 422):
        return WandbError(
            f"W&B at {server} refused a request (HTTP {status}): {words}",
            "If it names an unknown field, the W&B server is older than the required version 0.70.",
        )
    return WandbBusyError(f"W&B at {server} is busy or failed (HTTP {status}): {words}", LATER)


def _first(errors: object) -> tuple[str, str]:
    """Return the message and the code of the first error, which is an object or a text; empty if there is none."""
    first = errors[0] if isinstance(errors, list) and errors else errors
    if isinstance(first, str):
        return excerpt(first), ""
    if not isinstance(first, Mapping):
        return "", ""
    extensions = first.get("extensions")
    code = extensions.get("code") if isinstance(extensions, Mapping) else None
    return excerpt(str(first.get("message") or "")), str(code or "")


def project_page(entity: str, project: str, server: str) -> str:
    """Return the address of a project's page. Runs are below it, under `/runs/`. WANDB_APP_URL overrides the server's pages,
    as in the SDK, which takes half a second to import and is not needed for this.
    """
    pages = os.environ.get("WANDB_APP_URL") or pages_of(server)
    return f"{pages.rstrip('/')}/{quote(entity)}/{quote(project)}"
