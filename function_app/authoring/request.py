"""Check the options of `submit` and its files, and choose the account for the job."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import model_validator

from function_app.authoring.checking.check import CheckedFile, Question, check_file
from function_app.authoring.checking.rules import Service, Severity, fields_of_grader
from function_app.authoring.checking.tokens import Tokenizer
from function_app.authoring.job_creation import JobRequest
from function_app.azure.openai import Account
from function_app.errors import SyncError
from function_app.models import OPENAI, Method
from function_app.settings import AUTO, V1, Settings
from function_app.wiring import open_accounts

_COMMON = frozenset({"n_epochs", "batch_size", "learning_rate_multiplier"})
HYPERPARAMETERS = {
    # prompt_loss_weight is in Microsoft's REST examples only.
    Method.SUPERVISED: _COMMON | {"prompt_loss_weight"},
    # l2_multiplier exists at Microsoft only (Direct preference optimization); OpenAI has the others, too.
    Method.DPO: _COMMON | {"beta", "l2_multiplier"},
    Method.REINFORCEMENT: _COMMON | {"eval_interval", "eval_samples", "compute_multiplier", "reasoning_effort"},
}
"""The hyperparameters of each method (OpenAI's API description; Microsoft, Reinforcement fine-tuning). The service might
silently ignore a name that it does not know."""

_LONGEST_SUFFIX = 64
"""OpenAI's API and Azure's v1 allow 64 characters; Azure's pages name 18 and 40, too."""
_TRAINING_TYPES = {
    "standard": "standard",
    "globalstandard": "globalStandard",
    "datazonestandard": "datazoneStandard",
    "developer": "developerTier",
    "developertier": "developerTier",
}
"""Training types as recorded jobs spell them. The spelling of the data zone type is a guess by analogy (UNVERIFIED)."""
_SUFFIX = re.compile(r"[A-Za-z0-9_-]+")  # (Azure OpenAI's API description)
_SHOWN = 3  # findings that an error message contains


class SubmitSettings(Settings):
    """Settings for a command that does not use W&B. They need no W&B key and try v1 first, because only v1 is known
    to support every method and Azure's trainingType."""

    @property
    def api_versions(self) -> tuple[str, ...]:
        """Return v1, then the versions of a sync, unless one is set."""
        versions = super().api_versions
        return tuple(dict.fromkeys((V1, *versions))) if self.azure_openai_api_version == AUTO else versions

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.azure_openai_endpoints and not self.openai_api_key:
            raise ValueError("AZURE_OPENAI_ENDPOINTS is not set. Set it to the endpoint of the Azure OpenAI account")
        self._require_entra_hosts()
        return self


class RequestError(SyncError):
    """The options contradict each other, or do not fit the account or the training method."""


class InvalidFileError(SyncError):
    """The service would refuse a file."""


@dataclass(frozen=True)
class RequestedJob:
    """The requested job. With `guess`, the training file determines the method. `request` gets its file ids later."""

    request: JobRequest
    training: Path
    validation: Path | None
    guess: bool
    unchecked: bool


@contextmanager
def account_of(settings: Settings, name: str | None) -> Iterator[Account]:
    """Yield the account to start the job in.

    Raises:
        RequestError: no account has this name, or there are several and none was named.
    """
    with open_accounts(settings) as accounts:
        names = ", ".join(each.address for each in accounts)
        chosen = [each for each in accounts if name in (None, each.name, each.address)]
        if not chosen:
            raise RequestError(f"There is no account {name}; the settings name {names}.")
        if len(chosen) > 1:
            raise RequestError(f"The settings name several accounts. Pass one with --account: {names}.")
        yield chosen[0]


def checked_request(
    requested: RequestedJob, account: Account, tokenizer: Tokenizer
) -> tuple[JobRequest, CheckedFile, CheckedFile | None]:
    """Return the request with its method, and what is known about the files, after checking files and options.

    Raises:
        InvalidFileError: the service would refuse a file.
        RequestError: the options do not fit the method.
    """
    request = requested.request
    if not requested.guess:
        _check_method(request, requested)
    fields = fields_of_grader(request.grader)
    service = Service.OPENAI if account.name == OPENAI else Service.AZURE
    epochs = request.hyperparameters.get("n_epochs")
    question = Question(
        None if requested.guess else request.method,
        epochs=epochs if isinstance(epochs, int) and epochs > 0 else None,
        grader_fields=fields,
        service=service,
        model=request.model,
    )
    found = _checked_file(requested.training, question, tokenizer, unchecked=requested.unchecked)
    request = replace(request, method=found.method or request.method)
    _check_method(request, requested)
    if not requested.validation:
        return request, found, None
    question = replace(question, method=request.method, validation=True)
    return request, found, _checked_file(requested.validation, question, tokenizer, unchecked=requested.unchecked)


def _checked_file(path: Path, question: Question, tokenizer: Tokenizer, *, unchecked: bool) -> CheckedFile:
    found = check_file(path, question, tokenizer)
    errors = [finding for finding in found.findings if finding.severity is Severity.ERROR]
    if not found.ok and not unchecked:
        shown = [f"line {each.line} {each.message}" if each.line else f"it {each.message}" for each in errors[:_SHOWN]]
        hidden = found.counts[Severity.ERROR] - len(shown)
        more = f"; and {hidden:,} more" if hidden > 0 else ""
        raise InvalidFileError(
            f"The service would refuse {path}: {'; '.join(shown)}{more}.",
            f"`python -m function_app check {path}` lists everything; --unchecked uploads the file anyway.",
        )
    return found


def check_suffix(suffix: str | None, account: Account) -> None:
    """Check the suffix.

    Raises:
        RequestError: the service does not allow this suffix.
    """
    if suffix is None:
        return
    if not 1 <= len(suffix) <= _LONGEST_SUFFIX:
        raise RequestError(f"--suffix has {len(suffix)} characters; 1 to {_LONGEST_SUFFIX} are allowed.")
    if account.name != OPENAI and not _SUFFIX.fullmatch(suffix):
        raise RequestError(f"--suffix {suffix!r} is invalid: use A-Z, a-z, 0-9, - and _.")


def base_model_of(account: Account, source: str) -> str:
    """Return the model to train further: that of a job, or `source` itself if it is not a job's id.

    Raises:
        AccountError: the account has no such job.
        RequestError: the job has no model.
    """
    if not source.startswith("ftjob-"):
        return source
    job = account.job(source)
    if job.fine_tuned_model is None:
        raise RequestError(f"{source} has no model to continue from: it is {job.status}.")
    return job.fine_tuned_model


def training_type_of(given: str | None) -> str | None:
    """Return Azure's training type in the spelling that jobs show; an unknown one is returned unchanged."""
    return given and _TRAINING_TYPES.get(given.lower(), given)


def _check_method(request: JobRequest, requested: RequestedJob) -> None:
    """Check the options that a method requires or allows (Microsoft, Reinforcement fine-tuning)."""
    unknown = sorted(request.hyperparameters.keys() - HYPERPARAMETERS[request.method])
    if unknown:
        takes = ", ".join(sorted(HYPERPARAMETERS[request.method]))
        raise RequestError(f"--hyperparameters {', '.join(unknown)} is unknown: {request.method} has {takes}.")
    if request.method is not Method.REINFORCEMENT:
        if request.grader is not None:
            raise RequestError(f"--grader is for reinforcement, but the method is {request.method}.")
    elif request.grader is None or requested.validation is None:
        why = " (most examples of the training file end with the user's turn)" if requested.guess else ""
        raise RequestError(f"reinforcement{why} needs --grader and --validation.")
