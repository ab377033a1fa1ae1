"""Artifacts of a run on their way to W&B, several at a time."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

import wandb
from wandb.sdk.mailbox import MailboxHandle

from function_app.errors import WandbBusyError, WandbError
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.runs import OpenRun
from function_app.tracking.wandb.scratch import scratch
from function_app.tracking.wandb.sdk import errors, said_briefly

ON_DISK = 64 * 1024 * 1024
"""Bytes that may wait there to be uploaded: with more, the next artifact is made only when W&B has these."""


class Uploads:
    """What one run uploads. Leaving it waits until W&B has all that was sent, and raises WandbError when it has not.

    Attributes:
        inputs: versions that the run was made from, uploaded now or there before. W&B is to be told (`wandb_versions.use`).
    """

    def __init__(self, api: WandbApi, run: OpenRun, *, on_disk: int = ON_DISK) -> None:
        self.inputs: list[str] = []
        self._api = api
        self._run = run
        self._sent: list[tuple[MailboxHandle[Any], Callable[[str], object]]] = []
        self._files = ExitStack()
        self._held = ExitStack()
        self._size = 0
        self._on_disk = on_disk

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait; the files go then. An error of the block's own says more than those of what it had sent."""
        with self._held, suppress(WandbError) if error else nullcontext():
            self.wait()

    def directory(self) -> Path:
        """A new directory, which is there until W&B has what was sent from it."""
        return Path(self._files.enter_context(tempfile.TemporaryDirectory(prefix="artifact-", dir=scratch())))

    def hold(self, what: AbstractContextManager[object]) -> None:
        """Leave this only when all is done."""
        self._held.push(what)

    def send(
        self,
        artifact: wandb.Artifact,
        aliases: Sequence[str],
        *,
        used: bool = False,
        taken: Callable[[str], object] = lambda version_id: None,
    ) -> None:
        """Log a draft as an output of the run, or with `used` as an input, and go on while it is uploaded. Once W&B has it,
        the version's id is among `inputs`, or, of an output, `taken` hears it.

        What `run.log_artifact(…)` does, without what it asks around that (wandb 0.31): who the key belongs to, the type of
        the collection, and the version that was just written, three requests for each artifact. Versions of one collection
        get their numbers in the order of the calls.

        Raises:
            WandbError: not taken, or one of those before.
        """
        artifact.finalize()
        interface = self._run.handle._interface  # noqa: SLF001 (the SDK's own channel to wandb-core has no public name)
        if interface is None:
            raise WandbBusyError("The run was closed while an artifact was on its way.")
        with errors(self._api.base_url):
            handle = interface.deliver_artifact(
                self._run.handle, artifact, aliases, is_user_created=used, use_after_commit=False, finalize=True
            )
        self._sent.append((handle, self.inputs.append if used else taken))
        self._size += artifact.size
        if self._size > self._on_disk:
            self.wait()

    def wait(self) -> None:
        """Until W&B has all that was sent.

        Raises:
            WandbError: it has not taken something; what it has taken stays.
        """
        refused: list[WandbError] = []
        for handle, taken in self._sent:
            try:
                taken(self._version(handle))
            except WandbError as error:
                refused.append(error)
        self._sent.clear()
        self._files.close()
        self._size = 0
        if refused:
            raise refused[0]

    def _version(self, handle: MailboxHandle[Any]) -> str:
        with errors(self._api.base_url):
            answer = handle.wait_or(timeout=None).response.log_artifact_response
        if answer.error_message:
            raise WandbBusyError(f"W&B did not take an artifact: {said_briefly(answer.error_message)}")
        return str(answer.artifact_id)
