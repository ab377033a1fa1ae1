"""The client for starting a job: files, uploads and job creation. Requests that write are never retried automatically.

The API has no idempotency keys: a request whose answer was lost may have succeeded. Therefore the SDK's retries are
disabled for writes, and `submit` checks the account before it writes again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import openai

from function_app.azure.jobs import job_from
from function_app.azure.openai import Account
from function_app.errors import AccessError, AccountBusyError, AccountError
from function_app.models import OPENAI, Job, Method

PROCESSED, FAILED = "processed", frozenset({"error", "deleted"})
"""The statuses of a file that is ready for training, and of one that failed. All others are temporary
(Azure OpenAI's API description: pending, running; OpenAI: uploaded)."""

_PURPOSE: Final = "fine-tune"
_UPLOAD = httpx2.Timeout(600.0, connect=10.0)  # seconds; the service stores up to half a gigabyte before it answers
_LONGEST_MESSAGE = 300  # characters of the service's message about a refusal
_MODELS = "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models#fine-tuning-models"
_BUSY = frozenset({408, 409, 429})
_QUOTA = (
    "Azure limits the queued, running and stored jobs and the files of an account (Microsoft, Azure OpenAI quotas and limits):"
    " wait until a job ends, delete old ones, or request a higher quota. `python -m provisioning doctor` shows the account's"
    " own limits."
)


@dataclass(frozen=True)
class RemoteFile:
    """A file of an account. `size` is in bytes; `details` is the service's explanation if it cannot use the file."""

    id: str
    name: str
    size: int | None
    status: str
    details: str = ""


@dataclass(frozen=True)
class JobRequest:
    """A job to be created.

    Attributes:
        hyperparameters: the chosen ones; the service chooses the others.
        grader: the grader for reinforcement, as the API defines it.
        training_type: Azure's `trainingType` ("Standard", "GlobalStandard", "Developer").
    """

    model: str
    training_file: str
    method: Method
    validation_file: str | None = None
    hyperparameters: Mapping[str, str | int | float] = field(default_factory=dict)
    suffix: str | None = None
    seed: int | None = None
    grader: Mapping[str, Any] | None = None
    training_type: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the body of the request. Supervised hyperparameters are where every API version reads them. Other methods are
        only known to preview versions and v1, in the form that OpenAI describes (UNVERIFIED on Azure)."""
        body: dict[str, Any] = {"model": self.model, "training_file": self.training_file}
        body |= {"validation_file": self.validation_file, "suffix": self.suffix, "seed": self.seed}
        hyperparameters = dict(self.hyperparameters) or None
        if self.method is Method.SUPERVISED:
            body["hyperparameters"] = hyperparameters
        else:
            options = {"hyperparameters": hyperparameters, "grader": self.grader}
            chosen = {name: value for name, value in options.items() if value is not None}
            body["method"] = {"type": self.method.value, self.method.value: chosen}
        if self.training_type:
            body["extra_body"] = {"trainingType": self.training_type}  # specific to Azure, unknown to the SDK
        return {name: value for name, value in body.items() if value is not None}


class LostAnswerError(AccountBusyError):
    """The answer to a request did not arrive, so it may or may not have succeeded."""


def files(account: Account) -> list[RemoteFile]:
    """List the account's files that were uploaded for fine-tuning.

    Raises:
        AccountError: the account refuses.
    """
    with account.asking("list files") as client:
        # Read one page and do not iterate: Azure's classic list has no pages, and the SDK would never stop reading.
        return [_file(found.to_dict()) for found in client.files.list(purpose=_PURPOSE).data]


def file(account: Account, file_id: str) -> RemoteFile:
    """Read one file with its status.

    Raises:
        NotThereError: it was deleted.
    """
    with account.asking(f"read file {file_id}") as client:
        return _file(client.files.retrieve(file_id).to_dict())


def digest_of(account: Account, file_id: str) -> str:
    """Compute the SHA-256 of a file's content from a stream.

    Raises:
        AccountError: it cannot be read.
    """
    digest = hashlib.sha256()
    with account.content(file_id) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def upload(account: Account, path: Path) -> RemoteFile:
    """Upload a file, streamed from disk.

    Raises:
        LostAnswerError: the answer was lost, so the request may have succeeded.
        AccountError: the account refuses.
    """
    doing = f"upload {path.name}"
    once = account.asking(doing, max_retries=0, timeout=_UPLOAD)
    with once as client, _writing(account, doing), path.open("rb") as content:
        return _file(client.files.create(file=(path.name, content), purpose=_PURPOSE).to_dict())


def create_job(account: Account, request: JobRequest) -> Job:
    """Create a job.

    Raises:
        LostAnswerError: the answer was lost, so the request may have succeeded.
        AccountError: the account refuses; the hint gives the usual cause.
    """
    doing = "create the job"
    with account.asking(doing, max_retries=0) as client, _writing(account, doing):
        create = cast("Callable[..., Any]", client.fine_tuning.jobs.create)
        return job_from(account.name, create(**request.body()).to_dict(), account.region)


def _file(shown: Mapping[str, Any]) -> RemoteFile:
    return RemoteFile(
        id=str(shown["id"]),
        name=str(shown.get("filename") or ""),
        size=shown.get("bytes"),
        status=str(shown.get("status") or "unknown"),
        details=str(shown.get("status_details") or ""),
    )


@contextmanager
def _writing(account: Account, doing: str) -> Iterator[None]:
    """Translate refusals of a write. They quote the service's message, which names the wrong parameter."""
    try:
        yield
    except openai.APIStatusError as error:
        if error.status_code >= 500:
            raise _lost(account, doing, f"HTTP {error.status_code}") from error
        raise _refused(account, doing, error) from error
    except openai.APIConnectionError as error:
        raise _lost(account, doing, type(error.__cause__ or error).__name__) from error


def _lost(account: Account, doing: str, why: str) -> LostAnswerError:
    return LostAnswerError(
        f"{account.name} did not answer the request to {doing}, which may have succeeded ({why}).",
        "Run the same command again: it first checks what exists.",
    )


def _refused(account: Account, doing: str, error: openai.APIStatusError) -> AccountError:
    body = error.body if isinstance(error.body, dict) else {}
    reason = " ".join(str(body.get("message") or error.message).split())[:_LONGEST_MESSAGE]
    code, status = str(body.get("code") or ""), error.status_code
    if status in (401, 403) and account.name != OPENAI and code == "PermissionDenied":
        return AccessError(
            f"{account.name} does not let this identity {doing}, because it lacks the role.",
            "Assign it 'Cognitive Services OpenAI Contributor' on the account. New roles take up to ten minutes to work.",
        )
    message = f"{account.name} refused to {doing}: {reason} (HTTP {status}{f' {code}' if code else ''})"
    kind = AccountBusyError if status in _BUSY else AccountError
    return kind(message, _hint(code, reason.lower(), status))


def _hint(code: str, reason: str, status: int) -> str:
    """Return a hint for the usual cause of a refusal. Azure's wording is not documented; the phrases are from public reports."""
    if code == "quotaExceeded" or "quota" in reason or "limit" in reason:
        return _QUOTA
    if "does not support fine-tuning" in reason or ("model" in reason and ("not" in reason or "unknown" in reason)):
        return (
            f"For the models and regions that support fine-tuning, see {_MODELS}. Azure also answers like this if it requires a"
            " training type: --training-type Standard, GlobalStandard or Developer (BerriAI/litellm#24687)."
        )
    if code == "jsonlValidationFailed":
        return "`python -m function_app check FILE` lists the wrong lines."
    return "Try again in some minutes." if status in _BUSY else ""
