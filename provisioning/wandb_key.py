"""Where the W&B key comes from, and whether W&B knows it. The key is a SecretStr from the first byte."""

import getpass
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pydantic import SecretStr, ValidationError

from provisioning.errors import (
    EntityRefusedError,
    KeyNotGivenError,
    KeyRefusedError,
    MalformedKeyError,
    ProvisioningError,
    ServiceError,
    UnreachableError,
    UsageError,
)
from provisioning.models import WandbAccount

TIMEOUT = 10
"""Seconds that one question to W&B may take, unless WANDB_HTTP_TIMEOUT says otherwise. wandb-core retries within them."""

ENDING = 15
"""Seconds that wandb-core gets to end."""


@dataclass(frozen=True)
class Key:
    """A W&B key and where it came from."""

    value: SecretStr
    origin: str


def taken(environ: MutableMapping[str, str]) -> SecretStr | None:
    """What WANDB_API_KEY holds, which is then no longer there: the programs that are started from here inherit no key."""
    value = environ.pop("WANDB_API_KEY", "")
    return SecretStr(value) if value else None


def given(environment: SecretStr | None, file: str | None, stdin: TextIO) -> Key | None:
    """The key from --wandb-key-file ("-" is stdin), else the one taken from WANDB_API_KEY, else none.

    A terminal is no stdin to read a key from, because it would show it: there it is asked for, hidden.

    Raises:
        MalformedKeyError: what was found cannot be a key.
        UsageError: the file cannot be read.
    """
    if file == "-":
        return None if stdin.isatty() else _read(stdin.read, "stdin")
    if file:
        return _read(lambda: Path(file).read_text(encoding="utf-8-sig"), file)  # Windows marks its text files
    return _key(environment, "WANDB_API_KEY") if environment else None


def _read(read: Callable[[], str], origin: str) -> Key:
    try:
        return _key(SecretStr(read()), origin)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"The W&B key cannot be read from {origin}: {reason}.",
            hint="--wandb-key-file names a text file that holds the key and nothing else; - is stdin.",
        ) from None  # a UnicodeDecodeError shows what it could not decode


def asked(stdin: TextIO, base_url: str | None) -> Key:
    """The key from a hidden prompt.

    Raises:
        KeyNotGivenError: there is no terminal to ask on, or no answer.
        MalformedKeyError: the answer is not one word.
    """
    where = f"{base_url.rstrip('/')}/authorize" if base_url else "https://wandb.ai/authorize"
    hint = "Give it as WANDB_API_KEY, with --wandb-key-file FILE, or on stdin with --wandb-key-file -."
    if not stdin.isatty():
        raise KeyNotGivenError("No W&B key was given, and there is no terminal to ask for it.", hint=hint)
    try:
        answer = SecretStr(getpass.getpass(f"W&B API key ({where}), hidden: "))
    except EOFError:
        answer = SecretStr("")
    if not answer.get_secret_value().strip():
        raise KeyNotGivenError("No W&B key was given.", hint=hint)
    return _key(answer, "the prompt")


def _key(raw: SecretStr, origin: str) -> Key:
    value = raw.get_secret_value().strip()
    what = ""
    if not value:
        what = "nothing"
    elif len(value.split()) != 1:
        what = "more than one word"
    elif not (value.isascii() and value.isprintable()):
        what = "characters that no key has"
    if what:
        raise MalformedKeyError(
            f"{origin} holds {what}, not a W&B key.", hint="A key is one word of 40 characters or more."
        )
    return Key(SecretStr(value), origin)


def check(key: Key, base_url: str | None, entity: str | None) -> WandbAccount:
    """Ask W&B whose key this is and whether it may write to the entity (default: the user's own default).

    W&B tells "may write" as `readOnly` of the entity; that it is set for view-only seats is UNVERIFIED, so only a
    plain yes counts as a refusal.

    Raises:
        KeyRefusedError: W&B does not know the key.
        EntityRefusedError: the key's user does not belong to the entity or may only look.
        MalformedKeyError: no key looks like this.
        UnreachableError: W&B gave no answer.
        ServiceError: W&B gave an answer that makes no sense.
        UsageError: the base URL is none.
    """
    import wandb  # a third of a second that no other command should pay
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    with _alone():
        try:
            overrides = {"base_url": base_url} if base_url else {}
            api = wandb.Api(
                overrides=overrides, timeout=wandb.env.get_http_timeout(TIMEOUT), api_key=key.value.get_secret_value()
            )
            return _account(api, entity, WandbApiFailedError)
        except AuthenticationError as error:
            cause = error.__cause__
            raise _refusal(key, str(error) if cause is None else None, cause) from None
        except WandbApiFailedError as error:
            raise _refusal(key, None, error) from None
        except ValidationError:
            raise UsageError(
                f"{base_url!r} is not the URL of a W&B server.", hint="Check --wandb-base-url (WANDB_BASE_URL)."
            ) from None
        finally:
            _end(wandb.teardown)


def _end(teardown: Callable[[], None]) -> None:
    """End wandb-core, which keeps files open in the temporary directory.

    The SDK waits for it without limit, and it may go on asking a server that gives no answer; it ends with us anyway.
    """
    ending = threading.Thread(target=teardown, name="wandb-teardown", daemon=True)
    ending.start()
    ending.join(ENDING)


def _account(api: Any, wanted: str | None, failed: type[Exception]) -> WandbAccount:
    viewer = api.viewer
    username, teams = str(viewer.username), tuple(viewer.teams)
    entity = wanted or viewer.entity or username
    if entity == username:
        return WandbAccount(username, entity, teams, may_write=True)
    if entity not in teams:
        raise EntityRefusedError(
            f"W&B knows the key (user {username}), which does not belong to {entity}.",
            hint=f"It belongs to: {', '.join(dict.fromkeys((*teams, username)))}. Name one with --wandb-entity.",
        )
    try:
        read_only = api.team(entity).read_only
    except (failed, ValueError, KeyError, AttributeError):  # the SDK's model of a team is strict about all its fields
        return WandbAccount(username, entity, teams, may_write=None)
    if read_only:
        raise EntityRefusedError(
            f"W&B knows the key (user {username}), which may only look at {entity}.",
            hint=f"Ask an admin of {entity} for a member's seat, or use a service account's key.",
        )
    return WandbAccount(username, entity, teams, may_write=None if read_only is None else True)


def _refusal(key: Key, malformed: str | None, cause: BaseException | None) -> ProvisioningError:
    """What W&B's refusal means. The HTTP status is in the response, if there was one: its text never says."""
    if malformed:
        return MalformedKeyError(f"What {key.origin} holds cannot be a W&B key: {malformed}", hint=_NEW_KEY)
    status = getattr(getattr(cause, "response", None), "http_status", None)
    if status in (401, 403):
        return KeyRefusedError(f"W&B does not know the key from {key.origin}. Nothing was written.", hint=_NEW_KEY)
    if not status:
        return UnreachableError(
            "W&B gave no answer, so the key could not be checked. Nothing was written.",
            hint="Check the network, HTTPS_PROXY and --wandb-base-url (WANDB_BASE_URL), then run the command again.",
        )
    return ServiceError(
        f"W&B answered with {status}, so the key could not be checked. Nothing was written.",
        hint="Run the command again; if it stays, check that --wandb-base-url (WANDB_BASE_URL) is a W&B server.",
    )


_NEW_KEY = "Get a key at https://wandb.ai/authorize (or your server's /authorize) and give that one."


@contextmanager
def _alone() -> Iterator[None]:
    """Let the SDK read and write nothing of the person's: settings, caches and logs go to a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="wandb-check-", ignore_cleanup_errors=True) as directory:
        names = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
        own = {**dict.fromkeys(names, directory), "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
