"""Azure OpenAI's data plane: the fine-tuning jobs that the caller may list, and when their models end. Read only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError

from provisioning import shell
from provisioning.azure.transport.errors import code, text, translated
from provisioning.azure.transport.pipeline import Waiting
from provisioning.azure.transport.rest import Rest
from provisioning.errors import (
    AccountUnreachableError,
    MissingRightsError,
    NotFoundError,
    NotSignedInError,
    ProvisioningError,
    WrongAccountError,
)
from provisioning.models import Account, Caller

_NETWORK = ("virtual network", "firewall", "private endpoint", "public access is disabled")
"""Words of a 403 that is about the network (public reports). Foundry documents 403 for a missing role, too."""
_JOBS = "/openai/fine_tuning/jobs?api-version=2024-10-21&limit=100"
_MODELS = "/openai/models?api-version=2024-10-21"
_PAGES_AT_MOST = 20
_NEVER = 3_786_912_000  # 2090: dates after it are placeholders (recorded in ARM's list of models)


@dataclass(frozen=True)
class Jobs:
    """The account's fine-tuning jobs: their number, and the names of their base models and of the models that they made."""

    count: int
    base_models: frozenset[str]
    models: frozenset[str]


@dataclass(frozen=True)
class ModelEnd:
    """When a model can no longer be trained, or with `answers` when it no longer answers."""

    model: str
    answers: bool
    at: datetime


class FineTuningJobs:
    """The fine-tuning jobs of one account, read with tokens for `scope`."""

    def __init__(self, account: Account, credential: TokenCredential, scope: str, waiting: Waiting) -> None:
        self._account = account
        self._rest = Rest(account.endpoint.rstrip("/"), credential, scope, waiting)

    def read(self, caller: Caller) -> Jobs:
        """Return what the account's list of jobs has.

        Raises:
            MissingRightsError: no role of the caller has the data action.
            NotSignedInError: the service rejected the token.
            WrongAccountError: the account accepts no tokens, because it has no custom subdomain.
            AccountUnreachableError: the account's network rules refuse this machine.
            NotFoundError: the endpoint offers no fine-tuning.
            ProvisioningError: from Azure.
        """
        with translated(f"Listing the fine-tuning jobs of {self._account.name}"):
            try:
                jobs = [*self._listed()]
            except HttpResponseError as error:
                self._raise_refusal(caller, error)
                raise
        models, made = ({str(job[name]) for job in jobs if job.get(name)} for name in ("model", "fine_tuned_model"))
        return Jobs(len(jobs), frozenset(each.partition(".ft-")[0] for each in models), frozenset(made))

    def ends(self, jobs: Jobs) -> list[ModelEnd]:
        """Return when training of the jobs' base models ends, and when the models that they made no longer answer.

        Empty if the account does not say. These are the dates of Azure's classic API. Those of training are for customers that
        never used the base model (Microsoft, model retirement).
        """
        try:
            with translated(f"Listing the models of {self._account.name}"):
                shown = self._rest.get(_MODELS).get("data")
        except ProvisioningError:
            return []
        found = []
        for each in shown if isinstance(shown, list) else []:
            name, dates = str(each.get("id")), each.get("deprecation") or {}
            at = dates.get("inference" if name in jobs.models else "fine_tune")
            if name in jobs.models | jobs.base_models and isinstance(at, int) and at < _NEVER:
                found.append(ModelEnd(name, name in jobs.models, datetime.fromtimestamp(at, UTC)))
        return sorted(found, key=lambda end: end.at)

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        path = _JOBS
        for _ in range(_PAGES_AT_MOST):
            page = self._rest.get(path)
            jobs = page.get("data") or []
            yield from jobs
            if not page.get("has_more") or not jobs:
                return
            path = f"{_JOBS}&after={quote(str(jobs[-1].get('id')), safe='')}"

    def _raise_refusal(self, caller: Caller, error: HttpResponseError) -> None:
        """Raise our error for a known refusal. A missing role is 401 or 403; only code and words differ."""
        account, message = self._account, text(error)
        match error.status_code:
            case 403 if any(words in message.lower() for words in _NETWORK):
                raise _network_refusal(account, message) from error
            case 403 if code(error) != "PermissionDenied":
                role = shell.assign_role(caller.object_id, caller.kind, "Cognitive Services OpenAI User", account.id)
                raise MissingRightsError(
                    "You have no role that may list the jobs, the role is too new to work, or the account's network rules "
                    f"refuse this machine (403): {message}",
                    hint=f"{role}; check the network rules: {shell.az_account(account, 'network-rule', 'list')}",
                ) from error
            case (401 | 403) as status if status == 403 or code(error) == "PermissionDenied":
                raise MissingRightsError(
                    "You have no role that may list the jobs, or the role is too new to work "
                    f"({status} PermissionDenied): {message}",
                    hint=shell.assign_role(caller.object_id, caller.kind, "Cognitive Services OpenAI User", account.id),
                ) from error
            case 401:
                raise NotSignedInError(
                    f"The token was rejected (401 without PermissionDenied, so no role is missing): {message}",
                    hint=f"Sign in to the tenant of the subscription: az login --tenant {caller.tenant_id}; "
                    "check --cloud (AZURE_CLOUD).",
                ) from error
            case 400 if "custom subdomain" in message.lower():
                raise WrongAccountError(
                    f"The account accepts no tokens (400): {message}", hint=subdomain_hint(account)
                ) from error
            case 404:
                raise NotFoundError(
                    f"{account.endpoint} has no fine-tuning API (404): {message}",
                    hint="Check that the account's region offers fine-tuning, and that its endpoint is "
                    f"{account.endpoint}: {shell.az_account(account, 'show')}",
                ) from error


def subdomain_hint(account: Account) -> str:
    """The command that gives the account a custom subdomain."""
    return shell.az_account(account, "update", "--custom-domain", account.name.lower())


def _network_refusal(account: Account, message: str) -> AccountUnreachableError:
    """The error for a 403 of the data plane. The wordings are from public reports; the codes are UNVERIFIED."""
    if "private endpoint" in message.lower() or "public access is disabled" in message.lower():
        return AccountUnreachableError(
            f"The account has no public endpoint (403): {message}",
            hint="Run this from a network with a private endpoint to the account. A function app needs virtual network "
            "integration.",
        )
    return AccountUnreachableError(
        f"The account's firewall refuses this machine (403): {message}",
        hint="Allow this machine's address, and the function app's network: "
        f"{shell.az_account(account, 'network-rule', 'add')} --ip-address ADDRESS",
    )
