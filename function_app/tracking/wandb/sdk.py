"""The W&B SDK: how it is set up, what its errors mean, and what to do when its own process has died."""

import functools
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import wandb
from pydantic import SecretStr
from wandb.errors import AuthenticationError
from wandb.errors import Error as SdkError

from function_app.errors import WandbBusyError
from function_app.tracking.wandb.client import LATER, refusal
from function_app.tracking.wandb.internals import (
    CORE_FAILED,
    ApiFailedError,
    core_is_gone,
    session_login,
    signed_in_key,
)
from function_app.tracking.wandb.scratch import scratch

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds for one request of wandb-core: as long as our own (`client.READ_TIMEOUT`)."""

_TEARDOWN_TIMEOUT = 10.0
"""Seconds for a dead wandb-core to be cleared away."""

_RETRIES = 5
_WAIT_MIN, _WAIT_MAX = 1.0, 8.0  # seconds, doubled each time; for less than 1 s wandb-core takes 2 s (0.31)

_REQUEST = re.compile(r"^(?:[A-Z]+ \S+ )?giving up after \d+ attempt\(s\): (?:[A-Z][a-z]+ \"[^\"]*\": )?")
_SIGNING_IN = "[wandb.login()]"
_reviving = threading.Lock()


class Complaints:
    """What the SDK would print: how many warnings and errors. wandb-core warns when it gives up on a run's rows and summary,
    of which `wandb.Run.finish` says nothing (0.31); of which run that is, it does not say.
    """

    def __init__(self) -> None:
        self.heard = 0
        self._lock = threading.Lock()

    def info(self, msg: str) -> None:
        """Nothing to worry about."""

    def warning(self, msg: str) -> None:
        """One more, unless it is that a key was given, which is told of every run."""
        log.debug("%s", msg)
        if _SIGNING_IN not in msg:
            with self._lock:
                self.heard += 1

    def error(self, msg: str) -> None:
        """One more."""
        self.warning(msg)


complaints = Complaints()
"""The process's."""


@functools.cache
def prepare() -> None:
    """Keep the SDK's files in a directory that goes away with the process, and its telemetry off.

    Functions has a read-only working directory. The settings that it has no argument for are environment variables; what
    is already set stays. The telemetry costs a third of the time of a sync and reports to W&B what happens here.
    """
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ.setdefault(name, str(scratch()))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    for name in ("WANDB_DEBUG", "WANDB_CORE_DEBUG"):  # with either on, wandb-core's log has the key in it (0.31)
        os.environ.pop(name, None)
    logging.getLogger("wandb").propagate = False  # it tells every run's config at INFO
    _set_up()


@contextmanager
def as_a_guest(server: str) -> Iterator[None]:
    """Leave somebody else's process as it was: its SDK prints nothing meanwhile, and it stays signed in."""
    with session_login(server):
        listen()
        yield


def settings(key: str, server: str) -> wandb.Settings:
    """The SDK's settings that everything here shares; the key goes in here and nowhere else."""
    return wandb.Settings(
        api_key=key,
        base_url=server,
        silent=True,
        # Few retries: the next tick is the better one, and a deleted run's 409 is retried like any other.
        x_graphql_retry_max=4,
        x_graphql_retry_wait_min_seconds=_WAIT_MIN,
        x_graphql_retry_wait_max_seconds=4,
        x_graphql_timeout_seconds=TIMEOUT,
        # Half a minute for rows, and for a file. By itself wandb-core sends rows again for seven days, and a file for a
        # quarter of an hour (0.31): the job would be at work all that time, and Ctrl-C would wait for it.
        x_file_stream_retry_max=_RETRIES,
        x_file_stream_retry_wait_min_seconds=_WAIT_MIN,
        x_file_stream_retry_wait_max_seconds=_WAIT_MAX,
        x_file_stream_timeout_seconds=TIMEOUT,
        x_file_transfer_retry_max=_RETRIES,
        x_file_transfer_retry_wait_min_seconds=_WAIT_MIN,
        x_file_transfer_retry_wait_max_seconds=_WAIT_MAX,
    )


def found_key(server: str) -> SecretStr | None:
    """Return the API key of the person who is signed in to this server: `wandb.login()` in this process, WANDB_API_KEY, or
    the netrc file that `wandb login` writes. None when nobody is.

    Raises:
        KeyRefusedError: what is there cannot be a key.
    """
    with errors(server):
        return signed_in_key(server)


@contextmanager
def errors(server: str) -> Iterator[None]:
    """Turn the SDK's errors into ours: by class, and by HTTP status where the SDK tells it."""
    try:
        yield
    except ApiFailedError as error:
        status = error.response.http_status if error.response else 0
        raise refusal(server, status, [{"message": said_briefly(str(error))}]) from error
    except AuthenticationError as error:
        raise refusal(server, 401, None) from error
    except CORE_FAILED as error:
        _revive()
        raise WandbBusyError("wandb-core, the SDK's own process, had stopped. It was started again.") from error
    except SdkError as error:
        raise UnclearError(f"W&B at {server} cannot be reached or failed: {said_briefly(str(error))}", LATER) from error


class UnclearError(WandbBusyError):
    """The SDK failed without saying how: ask W&B itself (`runs.open_run` does)."""


def said_briefly(text: str) -> str:
    """The first line of what the SDK says, without the request that it repeats and the response's body that it quotes."""
    first = (text.strip().splitlines() or ["no word why"])[0]
    return _REQUEST.sub("", first).partition("{")[0].strip(": ")[:200]


def _set_up() -> None:
    wandb.setup(wandb.Settings(silent=True, console="off"))
    listen()


@functools.cache
def _quiet() -> wandb.Settings:
    return wandb.Settings(silent=True)


def listen() -> None:
    """Hear what the SDK would print, which it prints nowhere then. Whoever else sets it up in this process ends that."""
    wandb.termsetup(_quiet(), complaints)


def _revive() -> None:
    """Start wandb-core again if it is gone; without this a worker that lost it fails at everything until it is restarted.

    The SDK's own teardown waits for wandb-core without limit, and exits the process where wandb-core died badly: it runs in
    a thread that may be left behind.
    """
    with _reviving:
        if not core_is_gone():
            return
        log.warning("wandb-core is gone; starting it again")
        os.environ.pop("WANDB_SERVICE", None)  # the address of the dead one
        ending = threading.Thread(target=_tear_down, name="wandb teardown", daemon=True)
        ending.start()
        ending.join(_TEARDOWN_TIMEOUT)
        if not ending.is_alive():
            _set_up()


def _tear_down() -> None:
    with suppress(ConnectionError, SystemExit):
        wandb.teardown()
