"""What `submit` was asked for: do the files and all else fit together, and in which account does the job start?"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import model_validator

from function_app.authoring.check import Checked, Question, check_file
from function_app.authoring.job_creation import JobRequest
from function_app.authoring.rules import Service, Severity, fields_of_grader
from function_app.authoring.tokens import estimating
from function_app.azure.openai import Account
from function_app.errors import SyncError
from function_app.models import OPENAI, Method
from function_app.settings import AUTO, V1, Settings
from function_app.wiring import open_accounts

_COMMON = frozenset({"n_epochs", "batch_size", "learning_rate_multiplier"})
HYPERPARAMETERS = {
    Method.SUPERVISED: _COMMON,
    # l2_multiplier is Microsoft's own (Direct preference optimization); the others are OpenAI's, too.
    Method.DPO: _COMMON | {"beta", "l2_multiplier"},
    Method.REINFORCEMENT: _COMMON | {"eval_interval", "eval_samples", "compute_multiplier", "reasoning_effort"},
}
"""What each method takes (OpenAI's API description; Microsoft, Reinforcement fine-tuning). A name that the service does not
know might be passed over in silence."""

_SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")  # (Azure OpenAI's API description)
_SAID = 3  # findings that a refusal quotes


class SubmitSettings(Settings):
    """The same settings for a command that asks W&B for nothing: without a W&B key, and with v1 first, as only v1 is known
    to take every method and Azure's trainingType."""

    @property
    def api_versions(self) -> tuple[str, ...]:
        """v1, then those of a sync, unless one is set."""
        versions = super().api_versions
        return tuple(dict.fromkeys((V1, *versions))) if self.azure_openai_api_version == AUTO else versions

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.azure_openai_endpoints and not self.openai_api_key:
            raise ValueError("AZURE_OPENAI_ENDPOINTS is not set: the endpoint of the Azure OpenAI account")
        return self


class RequestError(SyncError):
    """The options do not fit together, or not the account or the training method."""


class InvalidFileError(SyncError):
    """The service would refuse a file."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for; with `guess` the method is to be seen from the training file.

    The ids of files in `request` are still to be filled in.
    """

    request: JobRequest
    training: Path
    validation: Path | None
    guess: bool
    unchecked: bool


@contextmanager
def account_of(settings: Settings, name: str | None) -> Iterator[Account]:
    """The account to start the job in.

    Raises:
        RequestError: none is called so, or there are several and nobody says which.
    """
    with open_accounts(settings) as accounts:
        names = ", ".join(each.name for each in accounts)
        chosen = [each for each in accounts if name in (None, each.name)]
        if not chosen:
            raise RequestError(f"--account {name}: the settings have {names}.")
        if len(chosen) > 1:
            raise RequestError(f"--account: which one of {names}?")
        yield chosen[0]


def checked_request(wanted: Wanted, account: Account, tell: Callable[[str], None]) -> JobRequest:
    """The request with its method, when the files and all else that is asked for fit together.

    Raises:
        InvalidFileError: the service would refuse a file.
        RequestError: the method needs something else.
    """
    request = wanted.request
    if not wanted.guess:
        _check_method(request, wanted)
    fields = fields_of_grader(request.grader)
    service = Service.OPENAI if account.name == OPENAI else Service.AZURE
    question = Question(
        None if wanted.guess else request.method, grader_fields=fields, service=service, model=request.model
    )
    found = _checked_file(wanted.training, question, tell, unchecked=wanted.unchecked)
    request = replace(request, method=found.method or request.method)
    _check_method(request, wanted)
    if wanted.validation:
        question = replace(question, method=request.method, validation=True)
        _checked_file(wanted.validation, question, tell, unchecked=wanted.unchecked)
    return request


def _checked_file(path: Path, question: Question, tell: Callable[[str], None], *, unchecked: bool) -> Checked:
    found = check_file(path, question, estimating())
    errors = [finding for finding in found.findings if finding.severity is Severity.ERROR]
    if not found.ok and not unchecked:
        told = [f"line {each.line} {each.message}" if each.line else f"it {each.message}" for each in errors[:_SAID]]
        hidden = found.counts[Severity.ERROR] - len(told)
        more = f"; and {hidden:,} more" if hidden > 0 else ""
        raise InvalidFileError(
            f"{path} would be refused: {'; '.join(told)}{more}.",
            f"`python -m function_app check {path}` lists everything; --unchecked uploads it anyway.",
        )
    verdict = "no errors" if found.ok else "errors found, uploaded anyway"
    tell(f"{path.name}: {found.examples:,} example{'s' * (found.examples != 1)}, {verdict}.")
    return found


def check_suffix(suffix: str | None, account: Account) -> None:
    """Azure takes shorter suffixes than OpenAI does.

    Raises:
        RequestError: it does not take this one.
    """
    if suffix is not None and account.name != OPENAI and not _SUFFIX.fullmatch(suffix):
        raise RequestError(f"--suffix {suffix!r}: 1 to 40 of A-Z, a-z, 0-9, - and _.")


def _check_method(request: JobRequest, wanted: Wanted) -> None:
    """What a method needs and takes (Microsoft, Reinforcement fine-tuning)."""
    unknown = sorted(request.hyperparameters.keys() - HYPERPARAMETERS[request.method])
    if unknown:
        takes = ", ".join(sorted(HYPERPARAMETERS[request.method]))
        raise RequestError(f"--hyperparameters {', '.join(unknown)}: {request.method} takes {takes}.")
    if request.method is not Method.REINFORCEMENT:
        if request.grader is not None:
            raise RequestError(f"--grader is for reinforcement, and this is {request.method}.")
    elif request.grader is None or wanted.validation is None:
        why = " (the training file's first example ends with the user's turn)" if wanted.guess else ""
        raise RequestError(f"reinforcement{why} needs --grader and --validation.")
