"""Start a fine-tuning job: upload missing files, wait until they are processed, and create the job unless it exists.

If the account already has a file with the same name and content, it is not uploaded again. If a job exists that looks
like the requested one, that job is shown and no other is created. So a command that was killed can be run again. Two
commands at the same moment do not see each other, because the API offers no way to claim a job.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
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
from function_app.authoring.twins import matching_job
from function_app.azure.openai import Account
from function_app.engine.retry import Patience
from function_app.errors import AccountError, SyncError
from function_app.models import MOVING, Event, Job

PATIENCE = 1800.0
"""The time limit for processing a file, in seconds."""
FOLLOW_EVERY = 30.0
"""The shortest time between two polls of a job that is followed, in seconds."""


class UnusableFileError(SyncError):
    """The account cannot use an uploaded file, or has not finished processing it within half an hour."""


@dataclass(frozen=True)
class SubmissionResult:
    """A job, and how it was found or created.

    Attributes:
        created: whether this command created it; False if it already existed.
        lost: whether the answer to its creation was lost and the job was found afterwards.
        uploaded: the files that this command uploaded; the others existed.
    """

    job: Job
    created: bool
    lost: bool = False
    uploaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalFile:
    """A file to train with.

    Attributes:
        size: in bytes.
        held: the account's files with the same name and content.
    """

    path: Path
    size: int
    held: tuple[RemoteFile, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of those files."""
        return tuple(each.id for each in self.held)


@dataclass(frozen=True)
class SubmissionPlan:
    """The effects of a submission.

    Attributes:
        request: the job, without the ids of its files.
        twin: a job that exists already and matches the request, so no other is created.
    """

    request: JobRequest
    training: LocalFile
    validation: LocalFile | None = None
    twin: Job | None = None


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

    def plan(
        self, request: JobRequest, training: Path, validation: Path | None, *, again: bool = False
    ) -> SubmissionPlan:
        """Look for the files and for a job like the requested one. Writes nothing.

        Args:
            request: the job, without the ids of its files.
            training: the training file.
            validation: the validation file.
            again: create the job even if a similar one exists.

        Raises:
            AccountError: the account refuses.
            OSError: a file cannot be read.
        """
        jobs = self.account.jobs()  # this also finds the API version that the account accepts
        held = files(self.account)
        trained = self._local(training, held)
        validated = self._local(validation, held) if validation else None
        planned = SubmissionPlan(request, trained, validated)
        return planned if again else replace(planned, twin=self._twin(planned, jobs))

    def run(self, planned: SubmissionPlan, *, again: bool = False) -> SubmissionResult:
        """Upload the missing files, wait until all are processed, and create the job unless one like it exists.

        Raises:
            AccountError: the account refuses.
            UnusableFileError: the account cannot use a file.
            OSError: a file cannot be read.
        """
        if planned.twin and not again:
            return SubmissionResult(planned.twin, created=False)
        trained = self._uploaded_file(planned.training)
        validated = trained if planned.validation == planned.training else None
        if planned.validation and not validated:
            validated = self._uploaded_file(planned.validation)
        for each in filter(None, (trained, validated)):
            self._wait(each)
        request = replace(
            planned.request, training_file=trained.id, validation_file=validated.id if validated else None
        )
        planned = replace(planned, request=request)
        before = self.account.jobs()
        if not again and (twin := self._twin(planned, before)):
            return SubmissionResult(twin, created=False, uploaded=tuple(self._uploaded))
        self.tell("Creating the job.")
        try:
            job, lost = create_job(self.account, planned.request), False
        except LostAnswerError as error:
            job, lost = self._find(planned.request, before, error), True
        return SubmissionResult(job, created=True, lost=lost, uploaded=tuple(self._uploaded))

    def follow(self, job: Job) -> Job:
        """Wait until the job has ended or waits for somebody, and return it. Report each new last line of its log.

        Raises:
            AccountError: the account refuses, or has failed too often in a row (`Patience`).
        """
        self.tell(f"Waiting for {job.id}, which continues without this command, too.")
        before, patience = "", Patience()
        while True:
            try:
                job = self.account.job(job.id)
                news = _news(job, self.account.events(job.id))
            except AccountError as error:
                if not patience.outlasts(error):
                    hint = f"The job exists. Run the same command again to wait for it. {error.hint}"
                    raise AccountError(f"Waiting for {job.id} failed: {error.message}", hint.strip()) from error
                news = f"{error.message.rstrip('.')}. Trying again."
            else:
                patience.reset()
                if job.status not in MOVING and not job.resumes:
                    self.tell(news)
                    return job
            if news != before:
                self.tell(news)
            before = news
            self.sleep(max(self.interval, FOLLOW_EVERY))

    def _twin(self, planned: SubmissionPlan, jobs: Sequence[Job]) -> Job | None:
        validation = planned.validation.ids if planned.validation else ()
        if planned.validation and not validation and not planned.request.validation_file:
            return None  # a file that the account does not have yet
        return matching_job(planned.request, jobs, planned.training.ids, validation)

    def _local(self, path: Path, held: Sequence[RemoteFile]) -> LocalFile:
        """Return a file, with the account's files that have the same name and content."""
        size = path.stat().st_size
        alike = [each for each in held if (each.name, each.size) == (path.name, size) and each.status not in FAILED]
        digest = _digest(path) if alike else ""
        return LocalFile(path, size, tuple(each for each in alike if self._has_content(each, digest)))

    def _uploaded_file(self, local: LocalFile) -> RemoteFile:
        """Return the account's file. Upload it if there is none."""
        if local.held:
            return local.held[0]
        self.tell(f"Uploading {local.path.name} ({local.size:,} bytes).")
        uploaded = upload(self.account, local.path)
        self._uploaded.append(uploaded.id)
        return uploaded

    def _has_content(self, there: RemoteFile, digest: str) -> bool:
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
        if job := matching_job(request, [job for job in self.account.jobs() if job.id not in known]):
            return job
        raise error


def _news(job: Job, events: Sequence[Event]) -> str:
    """Return a job's status with the reason for its failure, or else the last line of its log."""
    reason = job.error.message if job.error else events[-1].message if events else ""
    return f"{job.status}: {reason}" if reason else job.status


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
