"""The state of an Azure OpenAI account at a moment: jobs and files, from its script and from callers' requests."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from sandbox.azure.openai.course import Action
from sandbox.azure.openai.jobs import Job, job_of
from sandbox.azure.openai.script import JobCourse, JobScript, Moment, Script, digest, epoch
from sandbox.azure.openai.training_files import FileScript, TrainingFile

PROCESSING_SECONDS = 5.0  # recorded: pending at upload, processed within six seconds
PLATFORM_HOST = "api.openai.com"
MODELS = {
    "gpt-4.1 2025-04-14": {"chatCompletion": "true", "globalFineTune": "true", "devTierFineTune": "true"},
    "gpt-4o-mini 2024-07-18": {"chatCompletion": "true", "fineTune": "true", "globalFineTune": "true"},
    "gpt-oss-20b 1": {"chatCompletion": "true", "fineTune": "false", "FineTuneTokensMaxValue": "2000000000"},
}
"""Base models and their capabilities in ARM, as recorded in 2026: no flag alone shows whether a region can train a model."""


class OpenAIAccount(Script):
    """An Azure OpenAI account of a scenario; with `platform`, an organization on OpenAI's own platform.

    `endpoint` is a host or a URL. `new_jobs` is the script of jobs that are created through the API. A job of one of the
    `projects` is only at that project's address; whether Azure keeps them apart is UNVERIFIED. Project addresses accept
    tokens for `project_audience` only, though Microsoft's own clients use two audiences there.
    """

    name: str = Field(min_length=1)
    resource_id: str = ""
    endpoint: str | None = None
    custom_subdomain: bool = True
    location: str = "swedencentral"
    api_key: SecretStr | None = None
    local_auth: bool = True
    firewall: bool = False
    public_network: bool = True
    platform: bool = False
    jobs: list[JobScript] = Field(default_factory=list)
    files: list[FileScript] = Field(default_factory=list)
    new_jobs: JobCourse = JobCourse()
    kind: Literal["OpenAI", "AIServices", "FormRecognizer"] = "OpenAI"
    projects: list[str] = Field(default_factory=list)
    limits: dict[str, int] = Field(default_factory=dict)
    training_ends: dict[str, Moment] = Field(default_factory=dict)
    models: dict[str, dict[str, str]] = Field(default_factory=lambda: dict(MODELS))
    project_audience: str = "https://ai.azure.com"

    @property
    def host(self) -> str:
        """The host name that serves the account, lower case."""
        default = PLATFORM_HOST if self.platform else f"{self.name}.openai.azure.com"
        endpoint = self.endpoint or default
        return (urlsplit(endpoint).hostname if "://" in endpoint else endpoint.strip("/").lower()) or default

    @property
    def hosts(self) -> list[str]:
        """All host names. An AI Services account has three (an ARM answer of 2026-03); of the others one is known."""
        name, dot, rest = self.host.partition(".openai.")
        if self.kind != "AIServices" or not dot or not self.custom_subdomain:
            return [self.host]
        return [self.host, f"{name}.cognitiveservices.{rest}", f"{name}.services.ai.{rest}"]


@dataclass(frozen=True)
class File:
    """The current state of a file; `size` is in bytes. `content` creates the bytes, whole or in pieces."""

    id: str
    filename: str
    purpose: str
    created: float
    status: str
    size: int
    content: Callable[[], bytes | Iterator[bytes]]
    details: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the file as the service shows it."""
        details = {"status_details": self.details} if self.details else {}
        return details | {
            "status": self.status,
            "bytes": self.size,
            "purpose": self.purpose,
            "filename": self.filename,
            "id": self.id,
            "created_at": int(self.created),
            "object": "file",
        }


class Store:
    """One account. It stores only creations, uploads, deletions, cancels, pauses and resumes; the rest follows from the time."""

    def __init__(self, account: OpenAIAccount, origin: float) -> None:
        self.account = account
        self._origin = origin
        self._jobs = {script.id: job_of(self._in_style(script), origin) for script in account.jobs}
        self._actions: dict[str, list[Action]] = {}
        self._files = {script.id: TrainingFile(script, origin) for script in account.files}
        self._uploads: dict[str, File] = {}  # with the future result of their validation
        self._deleted_files: set[str] = {script.id for script in account.files if script.deleted}
        self._made = 0

    def _in_style(self, script: JobScript) -> JobScript:
        if not self.account.platform:
            return script
        results = script.results.model_copy(update={"base64": True})
        return script.model_copy(update={"style": "openai", "results": results})

    def training_ends(self) -> Iterator[tuple[str, float]]:
        """Base models, and when they can no longer be trained."""
        for model, ends in self.account.training_ends.items():
            yield model, epoch(ends, self._origin)

    # -- jobs

    def jobs(self, now: float, project: str | None = None) -> list[Job]:
        """The jobs of the account, or of a project, that were created by `now`, newest first."""
        there = [job for job in self._jobs.values() if job.created <= now and job.script.project == project]
        return sorted(there, key=lambda job: (job.created, job.id), reverse=True)

    def job(self, job_id: str, now: float, project: str | None = None) -> Job | None:
        """The job with this id, if the account or the project has it and it was created by `now`."""
        job = self._jobs.get(job_id)
        return job if job and job.created <= now and job.script.project == project else None

    def create(self, fields: dict[str, Any], now: float, project: str | None = None) -> Job:
        """Create a job that follows the script of the account's `new_jobs`."""
        course = {name: getattr(self.account.new_jobs, name) for name in JobCourse.model_fields}
        fields = fields | {"id": f"ftjob-{self._new_id('job')}", "created": now - self._origin, "project": project}
        script = JobScript(**course, **fields)
        return self._jobs.setdefault(script.id, job_of(self._in_style(script), self._origin))

    def act(self, job: Job, verb: Literal["cancel", "pause", "resume"], now: float) -> Job:
        """Return the job after a caller's cancel, pause or resume."""
        actions = self._actions.setdefault(job.id, [])
        actions.append(Action(now, verb))
        self._jobs[job.id] = job_of(job.script, self._origin, actions)
        return self._jobs[job.id]

    def delete_job(self, job_id: str) -> None:
        """Remove a job if it exists."""
        self._jobs.pop(job_id, None)

    # -- files

    def files(self, now: float) -> list[File]:
        """Every file at `now`, newest first."""
        ids = [*self._files, *self._uploads, *(job.script.results_file for job in self._jobs.values())]
        there = [file for file_id in dict.fromkeys(ids) if (file := self.file(file_id, now))]
        return sorted(there, key=lambda file: (file.created, file.id), reverse=True)

    def file(self, file_id: str, now: float) -> File | None:
        """The file with this id, if there is one at `now`."""
        if file_id in self._deleted_files:
            return None
        if (scripted := self._files.get(file_id)) and scripted.created <= now:
            return _scripted(scripted, now)
        if upload := self._uploads.get(file_id):
            return _validated(upload, now)
        return self._results(file_id, now)

    def _results(self, file_id: str, now: float) -> File | None:
        job = next((job for job in self._jobs.values() if job.script.results_file == file_id), None)
        if job is None or not job.has_results(now):
            return None
        content = job.results(now)
        return File(
            file_id, "results.csv", "fine-tune-results", job.course.training, "processed", len(content), lambda: content
        )

    def upload(self, filename: str, purpose: str, data: bytes, now: float) -> File:
        """Store a file that a caller sent."""
        wrong = _why_invalid(data) if purpose == "fine-tune" else None
        name = f"file-{self._new_id('file')}"
        file = self._uploads[name] = File(name, filename, purpose, now, "pending", len(data), lambda: data, wrong)
        return _validated(file, now)

    def delete_file(self, file_id: str, now: float) -> bool:
        """Delete a file; return whether it existed."""
        there = self.file(file_id, now) is not None
        if there:
            self._deleted_files.add(file_id)
        return there

    def _new_id(self, kind: str) -> str:
        self._made += 1
        return digest(self.account.name, kind, self._made)


def _validated(upload: File, now: float) -> File:
    """Return an uploaded file at `now`: pending first, then with the result of its validation."""
    if now < upload.created + PROCESSING_SECONDS:
        return replace(upload, details=None)
    return replace(upload, status="error" if upload.details else "processed")


def _scripted(file: TrainingFile, now: float) -> File:
    script = file.script
    ready = now >= file.created + script.processing
    return File(
        script.id,
        script.filename,
        script.purpose,
        file.created,
        script.status if ready else "pending",
        file.size,
        file.content,
        script.status_details if ready else None,
    )


def _why_invalid(data: bytes) -> str | None:
    """Return the error of the service's validation of a training file (recorded wording); None if the file is valid."""
    for number, line in enumerate(data.splitlines()):
        try:
            valid = not line.strip() or isinstance(json.loads(line), dict)
        except ValueError:
            valid = False
        if not valid:
            return f"Validation of jsonl file failed: Deserialization of line #{number} failed."
    return None


def multipart(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """The parts of a multipart/form-data body by name: (file name if it has one, content).

    Raises:
        ValueError: the header names no boundary, or the body does not have it.
    """
    message = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart():
        raise ValueError("the body is not multipart/form-data")
    named = ((part, part.get_param("name", header="content-disposition")) for part in message.walk())
    return {
        str(name): (part.get_filename(), bytes(part.get_payload(decode=True) or b"")) for part, name in named if name
    }
