"""Start a fine-tuning job: upload missing files, wait until they are processed, and create the job unless it exists.

If the account already has a file with the same name and content, it is not uploaded again. If a job exists that looks
like the requested one, that job is shown and no other is created. So a command that was killed can be run again. Two
commands at the same moment do not see each other, because the API offers no way to claim a job.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from function_app.authoring.job_creation import (
    FAILED,
    PROCESSED,
    JobRequest,
    LostAnswerError,
    RemoteFile,
    create_job,
    digest_of,
    file,
    files,
    upload,
)
from function_app.azure.openai import Account
from function_app.errors import AccountError, SyncError
from function_app.models import Job

PATIENCE = 1800.0
"""The time limit for processing a file, in seconds."""

_ENDED_BADLY = frozenset({"failed", "cancelled"})  # such jobs are not reused for a new request
_DATED = re.compile(r"-\d[\d-]*")  # the service shows gpt-4o-mini as gpt-4o-mini-2024-07-18


class UnusableFileError(SyncError):
    """The account cannot use an uploaded file, or has not finished processing it within half an hour."""


@dataclass(frozen=True)
class Submitted:
    """A job, and how it was found or created.

    Attributes:
        created: whether this command created it; False if it existed.
        lost: whether the answer to its creation was lost and the job was found afterwards.
        uploaded: the files that this command uploaded; the others existed.
    """

    job: Job
    created: bool
    lost: bool = False
    uploaded: tuple[str, ...] = ()


@dataclass
class Submission:
    """One attempt to start a job.

    Attributes:
        account: the account to start the job in.
        tell: called with one sentence for each step of the progress.
        interval: seconds between two polls of a file that is being processed.
        clock, sleep: the time functions of the machine.
    """

    account: Account
    tell: Callable[[str], None]
    interval: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _uploaded: list[str] = field(default_factory=list)

    def run(self, request: JobRequest, training: Path, validation: Path | None, *, again: bool = False) -> Submitted:
        """Start the job of `request`, whose files are `training` and `validation`.

        Args:
            again: create the job even if a similar one exists.

        Raises:
            AccountError: the account refuses.
            UnusableFileError: the account cannot use a file.
            OSError: a file cannot be read.
        """
        self.account.jobs()  # finds the API version that the account accepts
        held = files(self.account)
        trained = self._there(training, held)
        validated = self._there(validation, [trained, *held]) if validation else None
        for each in filter(None, (trained, validated)):
            self._wait(each)
        request = replace(request, training_file=trained.id, validation_file=validated.id if validated else None)
        before = self.account.jobs()
        if not again and (twin := like(request, before)):
            return Submitted(twin, created=False, uploaded=tuple(self._uploaded))
        self.tell("Creating the job.")
        try:
            job, lost = create_job(self.account, request), False
        except LostAnswerError as error:
            job, lost = self._find(request, before, error), True
        return Submitted(job, created=True, lost=lost, uploaded=tuple(self._uploaded))

    def _there(self, path: Path, held: Sequence[RemoteFile]) -> RemoteFile:
        """Return the account's file with this name and content. Upload it if there is none."""
        size = path.stat().st_size
        alike = [each for each in held if (each.name, each.size) == (path.name, size) and each.status not in FAILED]
        if alike:
            digest = _digest(path)
            for each in alike:
                if self._has(each, digest):
                    self.tell(f"The account already has {path.name} with the same content: {each.id}.")
                    return each
        self.tell(f"Uploading {path.name} ({size:,} bytes).")
        uploaded = upload(self.account, path)
        self._uploaded.append(uploaded.id)
        return uploaded

    def _has(self, there: RemoteFile, digest: str) -> bool:
        """Return whether a file has this content. Name and size alone would miss a corrected word."""
        try:
            return digest_of(self.account, there.id) == digest
        except AccountError:  # deleted in the meantime or unreadable, so it cannot be compared
            return False

    def _wait(self, there: RemoteFile) -> None:
        ends = self.clock() + PATIENCE
        while there.status != PROCESSED:
            if there.status in FAILED:
                why = f": {there.details}" if there.details else ""
                raise UnusableFileError(
                    f"{self.account.name} cannot use {there.name} ({there.id}){why}",
                    f"`python -m function_app check {there.name}` may show the reason. Delete the file if you do not need it.",
                )
            if self.clock() >= ends:
                raise UnusableFileError(
                    f"{there.name} ({there.id}) is still {there.status} after {PATIENCE / 60:g} minutes.",
                    "Run the same command again: it continues with this file.",
                )
            self.tell(f"{there.name} is {there.status}.")
            self.sleep(self.interval)
            there = file(self.account, there.id)

    def _find(self, request: JobRequest, before: Sequence[Job], error: LostAnswerError) -> Job:
        """Find the job whose creation was not answered, or raise the error."""
        known = {job.id for job in before}
        if job := like(request, [job for job in self.account.jobs() if job.id not in known]):
            return job
        raise error


def like(request: JobRequest, jobs: Sequence[Job]) -> Job | None:
    """Return the newest of `jobs` that matches `request` in everything that the service shows, except failed or cancelled jobs.

    A value that the request leaves open matches anything, because the service chose it. A value that the service does not show
    also matches: a wrong match only costs the user a look, but a duplicate job costs money.
    """
    alike = [job for job in jobs if job.status not in _ENDED_BADLY and _is_like(job, request)]
    return max(alike, key=lambda job: job.created_at, default=None)


def _is_like(job: Job, request: JobRequest) -> bool:
    same_files = (job.training_file, job.validation_file) == (request.training_file, request.validation_file)
    return (
        same_files
        and _same_model(job.model, request.model)
        and job.suffix == request.suffix
        and (request.seed is None or job.seed in (None, request.seed))
        and job.method in (None, request.method)
        and (request.training_type is None or job.training_type in (None, request.training_type))
        and (request.grader is None or job.method_options.get("grader") in (None, request.grader))
        and _same_hyperparameters(job.hyperparameters, request.hyperparameters)
    )


def _same_model(shown: str, asked: str) -> bool:
    return shown == asked or (shown.startswith(asked) and _DATED.fullmatch(shown[len(asked) :]) is not None)


def _same_hyperparameters(shown: Mapping[str, object], asked: Mapping[str, object]) -> bool:
    return all(shown.get(name) in (None, value) for name, value in asked.items() if value != "auto")


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
