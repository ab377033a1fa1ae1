"""The other half of the door to Azure OpenAI, or OpenAI: what starts a job. Nothing here is asked twice by itself.

The API has no idempotency keys: a request whose answer got lost may have been carried out. So the SDK's own retries are
off for what writes, and `submit` looks before it writes again.
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
"""The statuses of a file that can be trained with, and of one that never will be; all others pass (Azure OpenAI's API
description: pending, running; OpenAI: uploaded)."""

_PURPOSE: Final = "fine-tune"
_UPLOAD = httpx2.Timeout(600.0, connect=10.0)  # seconds; half a gigabyte is stored before it is answered
_LONGEST_SAID = 300  # characters of what the service says of a refusal
_MODELS = "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models#fine-tuning-models"
_BUSY = frozenset({408, 409, 429})
_QUOTA = (
    "An account has so many jobs waiting, running and kept, and so many files (Microsoft, Azure OpenAI quotas and limits):"
    " wait for one to end, delete old ones, or ask for more."
)


@dataclass(frozen=True)
class RemoteFile:
    """A file of an account. `size` is in bytes; `details` is what the service says of one that it cannot use."""

    id: str
    name: str
    size: int | None
    status: str
    details: str = ""


@dataclass(frozen=True)
class JobRequest:
    """A job to be created.

    Attributes:
        hyperparameters: those that were chosen; the service chooses the others.
        grader: of reinforcement, as its API has it.
        training_type: Azure's trainingType ("Standard", "GlobalStandard", "Developer").
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
        """What the API takes. Supervised hyperparameters stand where every version of it looks for them; other methods are
        known to preview versions and v1, and what they take stands as OpenAI describes it (on Azure UNVERIFIED)."""
        said: dict[str, Any] = {"model": self.model, "training_file": self.training_file}
        said |= {"validation_file": self.validation_file, "suffix": self.suffix, "seed": self.seed}
        hyperparameters = dict(self.hyperparameters) or None
        if self.method is Method.SUPERVISED:
            said["hyperparameters"] = hyperparameters
        else:
            options = {"hyperparameters": hyperparameters, "grader": self.grader}
            chosen = {name: value for name, value in options.items() if value is not None}
            said["method"] = {"type": self.method.value, self.method.value: chosen}
        if self.training_type:
            said["extra_body"] = {"trainingType": self.training_type}  # Azure's own, unknown to the SDK
        return {name: value for name, value in said.items() if value is not None}


class LostAnswerError(AccountBusyError):
    """A request may have been carried out or not: its answer did not arrive."""


def files(account: Account) -> list[RemoteFile]:
    """The files that were uploaded to train with, as the account lists them.

    Raises:
        AccountError: the account refuses.
    """
    with account.asking("list files") as client:
        # The page's data, not the iteration: Azure's classic list has no pages, and the SDK would read on for ever.
        return [_file(found.to_dict()) for found in client.files.list(purpose=_PURPOSE).data]


def file(account: Account, file_id: str) -> RemoteFile:
    """One file, with its status.

    Raises:
        NotThereError: it was deleted.
    """
    with account.asking(f"read file {file_id}") as client:
        return _file(client.files.retrieve(file_id).to_dict())


def digest_of(account: Account, file_id: str) -> str:
    """The SHA-256 of a file's content, streamed.

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
        LostAnswerError: it may be there or not.
        AccountError: the account refuses.
    """
    doing = f"upload {path.name}"
    with account.asking(doing) as client, _writing(account, doing), path.open("rb") as content:
        uploads = client.with_options(max_retries=0, timeout=_UPLOAD).files
        return _file(uploads.create(file=(path.name, content), purpose=_PURPOSE).to_dict())


def create_job(account: Account, request: JobRequest) -> Job:
    """Create a job.

    Raises:
        LostAnswerError: it may be there or not.
        AccountError: the account refuses; the hint says what that mostly means.
    """
    doing = "create the job"
    with account.asking(doing) as client, _writing(account, doing):
        create = cast("Callable[..., Any]", client.with_options(max_retries=0).fine_tuning.jobs.create)
        return job_from(account.name, create(**request.body()).to_dict(), account.region)


def _file(said: Mapping[str, Any]) -> RemoteFile:
    return RemoteFile(
        id=str(said["id"]),
        name=str(said.get("filename") or ""),
        size=said.get("bytes"),
        status=str(said.get("status") or "unknown"),
        details=str(said.get("status_details") or ""),
    )


@contextmanager
def _writing(account: Account, doing: str) -> Iterator[None]:
    """Refusals of what writes, in the service's own words: they name the parameter that is wrong."""
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
        f"{account.name} was asked to {doing}, and did not say whether it did ({why}).",
        "Run the same command again: it looks first for what is there.",
    )


def _refused(account: Account, doing: str, error: openai.APIStatusError) -> AccountError:
    body = error.body if isinstance(error.body, dict) else {}
    said = " ".join(str(body.get("message") or error.message).split())[:_LONGEST_SAID]
    code, status = str(body.get("code") or ""), error.status_code
    if status in (401, 403) and account.name != OPENAI and code == "PermissionDenied":
        return AccessError(
            f"{account.name} does not let this identity {doing}: it lacks the role.",
            "Assign it 'Cognitive Services OpenAI Contributor' on the account. New roles take up to ten minutes to count.",
        )
    message = f"{account.name} refused to {doing}: {said} (HTTP {status}{f' {code}' if code else ''})"
    kind = AccountBusyError if status in _BUSY else AccountError
    return kind(message, _hint(code, said.lower(), status))


def _hint(code: str, said: str, status: int) -> str:
    """What a refusal mostly means. Azure's wording is not documented: what is looked for is from public reports."""
    if code == "quotaExceeded" or "quota" in said or "limit" in said:
        return _QUOTA
    if "does not support fine-tuning" in said or ("model" in said and ("not" in said or "unknown" in said)):
        return (
            f"Which models can be fine-tuned in which region: {_MODELS}. Azure says this also when it wants to be told how"
            " to train: --training-type Standard, GlobalStandard or Developer (BerriAI/litellm#24687)."
        )
    if code == "jsonlValidationFailed":
        return "`python -m function_app check FILE` says which lines are wrong."
    return "Try again in some minutes." if status in _BUSY else ""
