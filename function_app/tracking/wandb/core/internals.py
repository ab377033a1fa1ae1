"""Every private part of the wandb SDK that this package uses. Nothing else imports `wandb.sdk`, `wandb.proto` or `_interface`.

No part has a public replacement in wandb 0.31, or the replacement costs too much. The savings were measured with 0.31.0.
tests/function_app/tracking/wandb/test_internals.py shows for each part what breaks if the SDK changes it.

| part | reason | saving |
|---|---|---|
| `LeaveRunning` | letting go of a run that could not be opened must not end it | correctness |
| `deliver_artifact` | `log_artifact().wait()` sends three more queries | 3 requests per artifact |
| `release_run` | a failed `wandb.init` leaves the run "in use" for the life of the process | correctness |
| `core_is_gone` | distinguishes a dead wandb-core from a busy one | correctness |
| `current_core`, `kill_core` | a wandb-core that hangs would otherwise block every job until the process ends | correctness |
| `add_local_file` | `Artifact.add_file` maps the whole file into memory to hash it | 300 MiB for a file of 300 MB |
| `session_login` | a run opened with a key signs the whole process in with it | a notebook stays signed in |
| exceptions | failures of wandb-core are not subclasses of `wandb.Error` | correctness |
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from pydantic import SecretStr
from wandb.sdk import wandb_setup
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.interface.interface_sock import InterfaceSock
from wandb.sdk.lib import wbauth
from wandb.sdk.lib.asyncio_manager import AlreadyJoinedError, ForkedError, RunCancelledError
from wandb.sdk.lib.paths import LogicalPath
from wandb.sdk.lib.service.service_connection import WandbApiFailedError, WandbAttachFailedError
from wandb.sdk.lib.service.service_token import WandbServiceConnectionError
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

CORE_FAILED = (
    MailboxClosedError,
    HandleAbandonedError,
    ConnectionError,
    AlreadyJoinedError,
    RunCancelledError,
    ForkedError,
    WandbServiceConnectionError,
)
"""wandb-core, the SDK's process, has died or was replaced."""

ApiFailedError = WandbApiFailedError
"""W&B refused a request of wandb-core; `response.http_status` is the status."""

InUseError = ServerResponseError
"""The run is already open in this process."""

SOURCE = "function_app"

_RELEASE_TIMEOUT = 10.0
"""Seconds for wandb-core to release a run that could not be opened and has nothing to send."""


class LeaveRunning(InterfaceSock):
    """A channel to wandb-core whose exit record does not end the run."""

    def __init__(self, own: Any) -> None:
        super().__init__(own._asyncer, own._client, own._stream_id)  # noqa: SLF001 (another way into the same stream)

    def _make_exit(self, exit_code: int | None) -> Any:
        record = super()._make_exit(exit_code)
        record.not_complete = True
        return record


class ArtifactHandle:
    """An artifact that is being uploaded."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def wait(self, timeout: float) -> tuple[str, str]:
        """Wait until W&B has the artifact. Return its id, or the message of W&B's refusal.

        Raises:
            TimeoutError: W&B has not answered.
        """
        answer = self._handle.wait_or(timeout=timeout).response.log_artifact_response
        return str(answer.artifact_id), str(answer.error_message)


def deliver_artifact(
    run: wandb.Run, artifact: wandb.Artifact, aliases: Sequence[str], *, used: bool, step: int | None = None
) -> ArtifactHandle:
    """Log a draft like `Run.log_artifact`, but without its queries for the key's owner, the collection's type and the version.

    W&B's history step of a version is the step after the one whose metrics belong to it (wandb 0.31, `Artifact.history_step`).

    Raises:
        ConnectionError: the run was closed.
    """
    artifact.finalize()
    interface = run._interface  # noqa: SLF001 (as above)
    if interface is None:
        raise ConnectionError("the run was closed")
    handle = interface.deliver_artifact(
        run,
        artifact,
        aliases,
        history_step=None if step is None else step + 1,
        is_user_created=used,
        use_after_commit=False,
        finalize=True,
    )
    return ArtifactHandle(handle)


def add_local_file(artifact: wandb.Artifact, path: Path, name: str) -> None:
    """Add a file that is hashed in chunks and not copied."""
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).digest()
    digest = b64encode(md5).decode()
    entry = ArtifactManifestEntry(
        path=LogicalPath(name), digest=digest, size=path.stat().st_size, local_path=str(path), skip_cache=True
    )
    artifact.manifest.add_entry(entry)


def release_run(run_id: str) -> None:
    """Make wandb-core release a run that could not be opened.

    An exit record must be sent first. Without it, wandb-core stops answering all requests.
    """
    with suppress(WandbAttachFailedError, TimeoutError, *CORE_FAILED):
        service = wandb_setup.singleton().ensure_service()
        _, interface = service.inform_attach(run_id)
        LeaveRunning(interface).deliver_exit(1).wait_or(timeout=_RELEASE_TIMEOUT)
        service.inform_finish(run_id=run_id)


def core_is_gone() -> bool:
    """Return whether wandb-core has died. A slow wandb-core is alive and may have other open runs."""
    try:
        wandb_setup.singleton().ensure_service().api_init_request(wandb.Settings().to_proto())
    except CORE_FAILED:
        return True
    except WandbApiFailedError:
        return False
    return False


def current_core() -> object:
    """Return what identifies the running wandb-core; None before its start."""
    return wandb_setup.singleton()._connection  # noqa: SLF001 (ensure_service would start one)


def kill_core(*, despite_runs: bool) -> bool:
    """Kill wandb-core, so that it cannot send its data later. Return whether it was killed.

    It is left alone if it is not this process's own (WANDB_SERVICE), or has open runs that are not to be lost.
    """
    setup = wandb_setup.singleton()
    connection = setup._connection  # noqa: SLF001 (as above; wandb has no public way to end a wandb-core that hangs)
    if connection is None or connection._proc is None:  # noqa: SLF001
        return False
    if setup._active_runs and not despite_runs:  # noqa: SLF001
        return False
    connection._proc._process.kill()  # noqa: SLF001
    connection._proc.join()  # noqa: SLF001
    return True


@contextmanager
def session_login(host: str) -> Iterator[None]:
    """Restore the process's W&B sign-in after the block."""
    theirs = wandb_setup.singleton().settings
    before = wbauth.session_credentials(host=host)
    try:
        yield
    finally:
        if before is None:
            wbauth.unauthenticate_session()
        else:
            wbauth.use_explicit_auth(before, source=SOURCE)
        wandb.termsetup(theirs, None)


def signed_in_key(host: str) -> SecretStr | None:
    """Return the API key of the person who is signed in to this server, from the SDK's sources and without a prompt."""
    found = wbauth.authenticate_session(host=host, source=SOURCE, prompt=False, update_session=False)
    return SecretStr(found.api_key) if isinstance(found, wbauth.AuthApiKey) else None


def server_in_force() -> str:
    """Return the address of the W&B server that the SDK would use, from environment, settings files, or its default."""
    return str(wandb_setup.singleton().settings.base_url)


def automation_input(automation: Any, name: str, description: str) -> dict[str, Any]:
    """Return the input of the mutation that creates an automation; `Api.create_automation` asks for server features first."""
    from wandb.automations._inputs import prepare_to_create

    return prepare_to_create(automation, name=name, description=description).model_dump()
