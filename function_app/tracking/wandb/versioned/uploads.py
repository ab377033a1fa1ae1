"""Uploads of a run's artifacts to W&B, several at a time."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Self

import wandb

from function_app.errors import WandbBusyError, WandbError
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.core.internals import ArtifactHandle, deliver_artifact
from function_app.tracking.wandb.core.scratch import scratch
from function_app.tracking.wandb.core.sdk import errors, refused_with, short_message
from function_app.tracking.wandb.runs import OpenRun

ON_DISK = 64 * 1024 * 1024
"""Bytes that may wait on the disk for their upload. With more, the next artifact is created only when W&B has these."""

SLOWEST_UPLOAD = 1024 * 1024
"""The lowest speed of an upload in bytes per second, which allows it additional time: 512 MB, the largest training file, may take
nine minutes, and a worker has 20 (`functions.STOP_AFTER`)."""


class Uploads:
    """The uploads of one run. Leaving the context waits until W&B has everything, and raises WandbError if something failed.

    Attributes:
        inputs: versions that the run was made from, uploaded now or before. They must still be recorded (`versions.use`).
        warnings: problems with artifacts that do not fail the job.
    """

    def __init__(self, api: WandbApi, run: OpenRun, *, on_disk: int = ON_DISK) -> None:
        self.inputs: list[str] = []
        self.warnings: list[str] = []
        self._api = api
        self._run = run
        self._sent: list[tuple[ArtifactHandle, Callable[[], ArtifactHandle], Callable[[str], object]]] = []
        self._files = ExitStack()
        self._held = ExitStack()
        self._size = 0
        self._began = 0.0
        self._on_disk = on_disk

    def __enter__(self) -> Self:
        """Return the uploads."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for the uploads, then remove the files. An error of the block takes precedence over errors of uploads."""
        with self._held, suppress(WandbError) if error else nullcontext():
            self.wait()

    def directory(self) -> Path:
        """Return a new directory, which is kept until W&B has the artifact that was sent from it."""
        return Path(self._files.enter_context(tempfile.TemporaryDirectory(prefix="artifact-", dir=scratch())))

    def hold(self, what: AbstractContextManager[object]) -> None:
        """Exit this context manager only when all uploads are done."""
        self._held.push(what)

    def send(
        self,
        artifact: wandb.Artifact,
        aliases: Sequence[str],
        *,
        used: bool = False,
        step: int | None = None,
        taken: Callable[[str], object] = lambda version_id: None,
    ) -> None:
        """Log a draft as an output of the run, or with `used` as an input, and return during the upload. Once W&B has it,
        `taken` is called with the version's id, and the id of an input is added to `inputs`.

        With `step` W&B shows the run's metrics of that step on the version's page.

        Versions of one collection get their numbers in the order of the calls.

        Raises:
            WandbError: W&B refused this artifact or an earlier one.
        """

        def deliver() -> ArtifactHandle:
            with errors(self._api.base_url):
                return deliver_artifact(self._run.handle, artifact, aliases, used=used, step=step)

        def accepted(version_id: str) -> None:
            if used:
                self.inputs.append(version_id)
            taken(version_id)

        self._sent.append((deliver(), deliver, accepted))
        if not self._size:
            self._began = time.monotonic()
        self._size += artifact.size
        if self._size > self._on_disk:
            self.wait()

    def wait(self) -> None:
        """Wait until W&B has everything that was sent.

        Raises:
            WandbError: W&B refused something; what it accepted is kept.
        """
        refused: list[WandbError] = []
        for handle, deliver, taken in self._sent:
            try:
                taken(self._version(handle, deliver))
            except WandbError as error:
                refused.append(error)
        self._sent.clear()
        self._files.close()
        self._size = 0
        if refused:
            raise refused[0]

    def _version(self, handle: ArtifactHandle, deliver: Callable[[], ArtifactHandle]) -> str:
        """Return the id of a version that W&B has. A version that met a conflict is sent once more: of two processes that
        commit the same file at the same time, W&B refuses one, and then has the file (wandb/wandb#4260)."""
        version, refused = self._answer(handle)
        if refused_with(refused) == HTTPStatus.CONFLICT:
            version, refused = self._answer(deliver())
        if refused:
            raise WandbBusyError(f"W&B did not accept an artifact: {short_message(refused)}")
        return version

    def _answer(self, handle: ArtifactHandle) -> tuple[str, str]:
        limit = self._began + self._api.client.limits.upload + self._size / SLOWEST_UPLOAD - time.monotonic()
        try:
            with errors(self._api.base_url):
                return handle.wait(max(limit, 0))
        except TimeoutError:
            raise WandbBusyError(
                f"W&B did not accept {self._size:,} bytes of artifacts in time.",
                "Nothing is lost: the next sync sends them again. Check the network to W&B's object store.",
            ) from None
