"""Reads the W&B key and checks it with W&B. The key is a SecretStr from the start."""

import getpass
import os
import shlex
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pydantic import SecretStr, ValidationError

from function_app.shared_rules import DEFAULT_SERVER
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

TIMEOUT = 10
"""Seconds for one request to W&B, including retries by wandb-core, unless WANDB_HTTP_TIMEOUT is set."""

SHUTDOWN_TIMEOUT = 15
"""Seconds to wait for wandb-core to exit."""


@dataclass(frozen=True)
class WandbAccount:
    """The owner of a W&B key. `may_write` is None if W&B does not say."""

    username: str
    entity: str
    teams: tuple[str, ...]
    may_write: bool | None


@dataclass(frozen=True)
class Key:
    """A W&B key and its source."""

    value: SecretStr
    origin: str


def pop_from_environment(environ: MutableMapping[str, str]) -> SecretStr | None:
    """Remove WANDB_API_KEY from the environment and return it, so that child processes do not inherit it."""
    value = environ.pop("WANDB_API_KEY", "")
    return SecretStr(value) if value else None


def provided(environment: SecretStr | None, file: str | None, stdin: TextIO) -> Key | None:
    """The key from --wandb-key-file ("-" is stdin), else from WANDB_API_KEY, else None.

    A key is never read from a terminal's stdin, because the terminal would show it; `prompt` asks for it instead.

    Raises:
        MalformedKeyError: the text cannot be a key.
        UsageError: the file cannot be read.
    """
    if file == "-":
        return None if stdin.isatty() else _read(stdin.read, "stdin")
    if file:
        return _read(lambda: _read_file(Path(file)), file)
    return _key(environment, "WANDB_API_KEY") if environment else None


def _read_file(path: Path) -> str:
    """The text of a key file.

    Raises:
        UsageError: others may write the file and so choose the key. ssh checks its key files in the same way.
    """
    with path.open(encoding="utf-8-sig") as file:  # Windows writes a byte order mark
        if os.name == "posix":
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and (found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid())):
                raise UsageError(
                    f"Others may write the key file {path} (mode {stat.S_IMODE(found.st_mode):04o}), so it is not used.",
                    hint=f"Remove their access: {shlex.join(['chmod', '600', str(path)])}, and check the key in it.",
                )
        return file.read()


def _read(read: Callable[[], str], origin: str) -> Key:
    try:
        return _key(SecretStr(read()), origin)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"The W&B key cannot be read from {origin}: {reason}.",
            hint="--wandb-key-file names a text file that contains only the key; - is stdin.",
        ) from None  # a UnicodeDecodeError would quote the bytes of the key


def prompt(stdin: TextIO, base_url: str | None) -> Key:
    """The key from a hidden prompt.

    Raises:
        KeyNotGivenError: there is no terminal, or no answer.
        MalformedKeyError: the answer cannot be a key.
    """
    where = f"{base_url.rstrip('/')}/authorize" if base_url else "https://wandb.ai/authorize"
    hint = "Set WANDB_API_KEY, or pass --wandb-key-file FILE, or --wandb-key-file - for stdin."
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
        what = "characters that a key never contains"
    if what:
        raise MalformedKeyError(
            f"{origin} contains {what}, not a W&B key.", hint="A key is one word of 40 characters or more."
        )
    return Key(SecretStr(value), origin)


def check(key: Key, base_url: str | None, entity: str | None) -> WandbAccount:
    """Ask W&B for the key's user and whether it may write to the entity (by default the user's own default entity).

    W&B returns `readOnly` for an entity. It is UNVERIFIED that view-only seats have true, so other values are accepted.

    Raises:
        KeyRefusedError: W&B does not accept the key.
        EntityRefusedError: the key's user is not a member of the entity, or has a view-only seat.
        MalformedKeyError: the SDK rejects the format of the key.
        UnreachableError: W&B did not answer.
        ServiceError: W&B answered with an unexpected status.
        UsageError: the base URL is not valid.
    """
    import wandb  # imported here, because it takes a third of a second, which other commands do not need
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    with _isolated_settings():
        try:
            api = wandb.Api(  # name the server: otherwise a settings file in the working directory could choose another
                overrides={"base_url": base_url or DEFAULT_SERVER},
                timeout=wandb.env.get_http_timeout(TIMEOUT),
                api_key=key.value.get_secret_value(),
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
            _stop(wandb.teardown)


def _stop(teardown: Callable[[], None]) -> None:
    """Stop wandb-core, which keeps files open in the temporary directory.

    The SDK waits for it without a limit, while wandb-core may still be retrying. It exits with this process in any case.
    """
    stopping = threading.Thread(target=teardown, name="wandb-teardown", daemon=True)
    stopping.start()
    stopping.join(SHUTDOWN_TIMEOUT)


def _account(api: Any, entity: str | None, failed: type[Exception]) -> WandbAccount:
    viewer = api.viewer
    username, teams = str(viewer.username), tuple(viewer.teams)
    entity = entity or viewer.entity or username
    if entity == username:
        return WandbAccount(username, entity, teams, may_write=True)
    if entity not in teams:
        raise EntityRefusedError(
            f"W&B accepts the key, but its user {username} is not a member of {entity}.",
            hint=f"{username} may write to: {', '.join(dict.fromkeys((*teams, username)))}. Pass one as --wandb-entity.",
        )
    try:
        read_only = api.team(entity).read_only
    except (failed, ValueError, KeyError, AttributeError):
        # The SDK validates fields of a team that are not needed here.
        return WandbAccount(username, entity, teams, may_write=None)
    if read_only:
        raise EntityRefusedError(
            f"W&B accepts the key, but its user {username} may only view {entity}.",
            hint=f"Ask an admin of {entity} for a member seat, or use a service account's key.",
        )
    return WandbAccount(username, entity, teams, may_write=None if read_only is None else True)


def _refusal(key: Key, malformed: str | None, cause: BaseException | None) -> ProvisioningError:
    """The error for a refusal by W&B. The HTTP status is only in the response object, if there is one."""
    if malformed:
        return MalformedKeyError(f"{key.origin} does not contain a W&B key: {malformed}", hint=_NEW_KEY)
    status = getattr(getattr(cause, "response", None), "http_status", None)
    if status in (401, 403):
        return KeyRefusedError(f"W&B does not accept the key from {key.origin}. Nothing was written.", hint=_NEW_KEY)
    if not status:
        return UnreachableError(
            "W&B did not answer, so the key could not be checked. Nothing was written.",
            hint="Check the network, HTTPS_PROXY, SSL_CERT_FILE (for a private authority) and --wandb-base-url (WANDB_BASE_URL), "
            "then run the command again.",
        )
    return ServiceError(
        f"W&B answered with {status}, so the key could not be checked. Nothing was written.",
        hint="Run the command again. If the error stays, check that --wandb-base-url (WANDB_BASE_URL) is a W&B server.",
    )


_NEW_KEY = "Get a new key at https://wandb.ai/authorize (or /authorize on your own server)."


@contextmanager
def _isolated_settings() -> Iterator[None]:
    """Keep the SDK away from the user's settings, caches and logs: point them to a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="wandb-check-", ignore_cleanup_errors=True) as directory:
        names = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
        isolated = {**dict.fromkeys(names, directory), "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
        before = {name: os.environ.get(name) for name in isolated}
        os.environ.update(isolated)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
