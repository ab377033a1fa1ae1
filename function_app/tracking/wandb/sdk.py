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
from wandb.sdk import wandb_setup
from wandb.sdk.lib import wbauth
from wandb.sdk.lib.service.service_connection import WandbApiFailedError
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

from function_app.errors import KeyRefusedError, RunDeletedError, WandbBusyError, WandbError
from function_app.tracking.wandb.scratch import scratch

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one query, the SDK's own retries included
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
def as_a_guest(base_url: str | None) -> Iterator[None]:
    """In a process that is somebody else's: the SDK keeps its messages to itself meanwhile, and they stay signed in as they
    were. A run that is opened with a key signs the whole process in with it (wandb 0.31).
    """
    theirs = wandb_setup.singleton().settings
    before = wbauth.session_credentials(host=base_url or theirs.base_url)
    listen()
    try:
        yield
    finally:
        if before is None:
            wbauth.unauthenticate_session()
        else:
            wbauth.use_explicit_auth(before, source="function_app")
        wandb.termsetup(theirs, None)


def settings(key: str, base_url: str | None) -> wandb.Settings:
    """The SDK's settings that everything here shares; the key goes in here and nowhere else."""
    chosen = wandb.Settings(
        api_key=key,
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
    if base_url:
        chosen.base_url = base_url
    return chosen


def signed_in_key(base_url: str | None) -> SecretStr | None:
    """The API key of whoever is signed in to W&B here, found where the SDK finds it: `wandb.login()` in this process,
    WANDB_API_KEY, or the netrc file that `wandb login` writes. None when nobody is; nobody is asked.

    Raises:
        KeyRefusedError: what is there cannot be a key.
    """
    with errors(base_url):
        host = base_url or wandb.Settings().base_url
        found = wbauth.authenticate_session(host=host, source="function_app", prompt=False, update_session=False)
    return SecretStr(found.api_key) if isinstance(found, wbauth.AuthApiKey) else None


@contextmanager
def errors(base_url: str | None) -> Iterator[None]:
    """Turn the SDK's errors into ours, by status where there is one, else by W&B's own words."""
    try:
        yield
    except WandbApiFailedError as error:
        status = error.response.http_status if error.response else 0
        raise _meaning(str(error), status, base_url) from error
    except AuthenticationError as error:
        raise _meaning(str(error), 401, base_url) from error
    except (MailboxClosedError, HandleAbandonedError, ConnectionError) as error:
        _revive()
        raise WandbBusyError("wandb-core, the SDK's own process, had stopped. It was started anew.") from error
    except SdkError as error:
        raise _meaning(str(error), 0, base_url) from error


def _meaning(said: str, status: int, base_url: str | None) -> WandbError:
    where = base_url or wandb.Settings().base_url
    words = said.lower()
    if "previously created and deleted" in words:
        return RunDeletedError("The run was deleted in W&B, which never gives an id out again.")
    if status == 401 or any(sign in words for sign in ("401", "not logged in", "unauthorized", "invalid api key")):
        return KeyRefusedError(
            f"W&B at {where} does not take the API key.",
            "Run `python -m provisioning rotate-key`, or set a WANDB_API_KEY that works; check WANDB_BASE_URL.",
        )
    if status == 403 or "permission denied" in words or "403" in words:
        return WandbError(
            "The W&B API key may not do this in this project.",
            "Use the key of a member or service account of the team in WANDB_ENTITY who may write to WANDB_PROJECT.",
        )
    if status == 404 or "not found" in words or "404" in words:
        return WandbError(
            f"W&B at {where} does not know the entity or project.", "Check WANDB_ENTITY and WANDB_PROJECT."
        )
    return WandbBusyError(
        f"W&B at {where} cannot be reached or failed: {said_briefly(said)}",
        "Check the network (DNS, proxy, firewall) and WANDB_BASE_URL. Nothing is lost: the next sync goes on from here.",
    )


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
    """Start wandb-core again if it is gone; without this a worker that lost it fails at everything until it is restarted."""
    with _reviving:
        try:
            wandb_setup.singleton().ensure_service().api_init_request(wandb.Settings().to_proto())
        except (MailboxClosedError, HandleAbandonedError, WandbApiFailedError, ConnectionError):
            log.warning("wandb-core is gone; starting it again")
            with suppress(ConnectionError):
                wandb.teardown()
            _set_up()
