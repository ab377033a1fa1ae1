"""The W&B SDK: its setup, the translation of its errors, and the restart of its process after a crash."""

import contextvars
import functools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress

import wandb
from pydantic import SecretStr
from wandb.errors import AuthenticationError
from wandb.errors import Error as SdkError

from function_app.errors import WandbBusyError
from function_app.text import duration
from function_app.tracking.wandb.client import LATER, LIMITS, Limits, refusal
from function_app.tracking.wandb.core.internals import (
    CORE_FAILED,
    ApiFailedError,
    core_is_gone,
    current_core,
    kill_core,
    session_login,
    signed_in_key,
)
from function_app.tracking.wandb.core.scratch import scratch

log = logging.getLogger(__name__)

_LONGEST_TRANSFER = 600.0
"""Seconds for one attempt to upload a file: 512 MB, the largest training file, at 1 MB/s. By itself wandb-core waits without
limit."""

_TEARDOWN_TIMEOUT = 10.0
"""Seconds for the teardown of a dead wandb-core."""

_HANGS = 3
"""Time-outs in a row after which wandb-core is killed although it has open runs."""

_WAIT_MIN, _WAIT_MAX = 1.0, 8.0  # seconds, doubled each time; for less than 1 s wandb-core takes 2 s (0.31)

_STATUS = re.compile(r"\breturned error (\d{3})\b")
_REQUEST = re.compile(r"^(?:[A-Z]+ \S+ )?giving up after \d+ attempt\(s\): (?:[A-Z][a-z]+ \"[^\"]*\": )?")
_SIGNING_IN = "[wandb.login()]"
_preparing = threading.Lock()
_reviving = threading.Lock()
_timeouts: list[object] = []
"""The wandb-core of each time-out since a run was opened."""


_DIRECTORIES = frozenset({"WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"})
_KEPT = _DIRECTORIES | {
    *("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_SECRET_NAME", "WANDB_ROUTES"),
    *("WANDB_REGISTRY", "WANDB_MODEL_ARTIFACT_NAME", "WANDB_MODEL_ARTIFACT_TYPE"),
    *("WANDB_APP_URL", "WANDB_ERROR_REPORTING"),
}
"""The variables of our settings, and the SDK's directories. Others change or redirect the SDK's runs (WANDB_LAUNCH gives them
another id, WANDB_SERVICE another process), or have wandb-core log the key (WANDB_DEBUG, 0.31)."""


class WarningCounter:
    """Counts the warnings and errors that the SDK would print. wandb-core warns when it gives up on a run's rows and
    summary, which `wandb.Run.finish` does not report (0.31). The warning does not name the run.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def info(self, msg: str) -> None:
        """Ignore information."""

    def warning(self, msg: str) -> None:
        """Count a warning, unless it is the usual one about a given key."""
        log.debug("%s", msg)
        if _SIGNING_IN not in msg:
            with self._lock:
                self.count += 1

    def error(self, msg: str) -> None:
        """Count an error."""
        self.warning(msg)


warning_counter = WarningCounter()
"""Counts for this process."""


def prepare() -> None:
    """Prepare the SDK in this process, once."""
    with _preparing:
        _prepare()


@functools.cache
def _prepare() -> None:
    """Put the SDK's files into a directory that is removed with the process, turn its telemetry off, and keep the shell's
    variables for the SDK out of our runs.

    Functions has a read-only working directory. Settings without an argument are environment variables; existing
    variables are kept. The telemetry takes a third of the time of a sync and sends data about this process to W&B.
    """
    for name in [*os.environ]:
        if name.startswith("WANDB_") and name not in _KEPT:
            del os.environ[name]
    for name in _DIRECTORIES:
        os.environ.setdefault(name, str(scratch()))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    logging.getLogger("wandb").propagate = False  # it logs every run's config at INFO
    _set_up()


@contextmanager
def as_a_guest(server: str) -> Iterator[None]:
    """Restore the SDK's state in the caller's process afterwards. During the block the SDK prints nothing."""
    with session_login(server):
        listen()
        yield


def settings(key: str, server: str, limits: Limits = LIMITS) -> wandb.Settings:
    """Return the SDK's common settings. The key is passed only here."""
    return wandb.Settings(
        api_key=key,
        base_url=server,
        silent=True,
        # Few retries: the next tick is a better retry, and the SDK also retries the 409 of a deleted run.
        x_graphql_retry_max=limits.retries,
        x_graphql_retry_wait_min_seconds=_WAIT_MIN,
        x_graphql_retry_wait_max_seconds=4,
        x_graphql_timeout_seconds=limits.read,
        # Rows get half a minute, and so does a file. By default wandb-core retries rows for seven days, and a file for
        # a quarter of an hour (0.31): the job would be blocked all that time, and Ctrl-C would wait for it.
        x_file_stream_retry_max=limits.retries + 1,
        x_file_stream_retry_wait_min_seconds=_WAIT_MIN,
        x_file_stream_retry_wait_max_seconds=_WAIT_MAX,
        x_file_stream_timeout_seconds=limits.read,
        x_file_transfer_timeout_seconds=_LONGEST_TRANSFER,
        x_file_transfer_retry_max=limits.retries + 1,
        x_file_transfer_retry_wait_min_seconds=_WAIT_MIN,
        x_file_transfer_retry_wait_max_seconds=_WAIT_MAX,
    )


def found_key(server: str) -> SecretStr | None:
    """Return the API key of the person who is signed in to this server: `wandb.login()` in this process, WANDB_API_KEY, or
    the netrc file that `wandb login` writes. None if nobody is signed in.

    Raises:
        KeyRefusedError: the value cannot be a key.
    """
    with errors(server):
        return signed_in_key(server)


@contextmanager
def errors(server: str) -> Iterator[None]:
    """Translate the SDK's errors to ours, by class, and by HTTP status if the SDK has it."""
    try:
        yield
    except ApiFailedError as error:
        status = error.response.http_status if error.response else 0
        raise refusal(server, status, [{"message": short_message(str(error))}]) from error
    except AuthenticationError as error:
        raise refusal(server, 401, None) from error
    except CORE_FAILED as error:
        _revive()
        raise WandbBusyError("wandb-core, the SDK's own process, had stopped. It was started again.") from error
    except SdkError as error:
        raise UnclearError(
            f"W&B at {server} cannot be reached or failed: {short_message(str(error))}", LATER
        ) from error


class UnclearError(WandbBusyError):
    """The SDK failed without a clear reason."""


def opened(open_run: Callable[[], wandb.Run], limit: float) -> wandb.Run:
    """Open a run in a thread, which is abandoned after `limit` seconds: wandb.init waits without a limit for a wandb-core that
    does not answer (0.31). Then wandb-core is restarted, see `_replace`. A run that opens later is closed, so that the next
    attempt can open it.

    Raises:
        WandbBusyError: wandb-core does not answer.
    """
    future: Future[wandb.Run] = Future()
    here = contextvars.copy_context()  # its log lines belong to the caller's invocation
    core = current_core()

    def work() -> None:
        try:
            future.set_result(here.run(open_run))
        except BaseException as error:  # noqa: BLE001 (raised in the caller's thread)
            future.set_exception(error)

    threading.Thread(target=work, name="wandb init", daemon=True).start()
    try:
        wait([future], limit)
    except BaseException:  # an interruption, such as Ctrl-C
        future.add_done_callback(_close)
        raise
    if future.done():
        _timeouts.clear()
        return future.result()
    future.add_done_callback(_close)
    ending = (
        "It was started again." if _replace(core) else "It was not started again, because other runs are open in it."
    )
    raise WandbBusyError(
        f"wandb-core, the SDK's own process, did not open the run within {duration(limit)}. {ending}", LATER
    )


def _close(future: "Future[wandb.Run]") -> None:
    with suppress(Exception):
        future.result().finish()


def refused_with(text: str) -> int | None:
    """Return the HTTP status of W&B's refusal. wandb-core (0.31) passes it on only as a part of its message."""
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def short_message(text: str) -> str:
    """Return the first line of the SDK's message, without the request and the response's body that it quotes."""
    first = (text.strip().splitlines() or ["no reason given"])[0]
    return _REQUEST.sub("", first).partition("{")[0].strip(": ")[:200]


def _set_up() -> None:
    wandb.setup(wandb.Settings(silent=True, console="off"))
    listen()


@functools.cache
def _quiet() -> wandb.Settings:
    return wandb.Settings(silent=True)


def listen() -> None:
    """Receive what the SDK would print, until other code in this process sets it up again."""
    wandb.termsetup(_quiet(), warning_counter)


def _revive() -> None:
    """Restart wandb-core if it has died. Without this, a worker would fail at everything until it is restarted.

    The SDK's teardown waits for wandb-core without a limit, and exits the process if wandb-core crashed. Therefore it runs in
    a thread that may be abandoned.
    """
    with _reviving:
        if core_is_gone():
            _start_again()


def _replace(core: object) -> bool:
    """Kill and restart a wandb-core that did not open a run in time; otherwise it could send the run's old marks later, when
    another worker has the job. Return whether it was restarted.

    Open runs of this process would be lost with it. If there are any, it is only killed after several time-outs in a row, with
    no run opened in between: then it no longer answers at all.
    """
    with _reviving:
        if core not in (None, current_core()):
            return True  # by another thread
        _timeouts.append(core)
        if not kill_core(despite_runs=_timeouts.count(core) >= _HANGS):
            return False
        _start_again()
        return True


def _start_again() -> None:
    log.warning("wandb-core is gone; starting it again")
    _timeouts.clear()
    os.environ.pop("WANDB_SERVICE", None)  # the address of the dead process
    ending = threading.Thread(target=_tear_down, name="wandb teardown", daemon=True)
    ending.start()
    ending.join(_TEARDOWN_TIMEOUT)
    if not ending.is_alive():
        _set_up()


def _tear_down() -> None:
    with suppress(ConnectionError, SystemExit):
        wandb.teardown()
