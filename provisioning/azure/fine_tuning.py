"""Azure OpenAI's data plane, as far as one asks whether it lets the caller see fine-tuning jobs. Reads only."""

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError

from provisioning.azure.errors import code, text, translated
from provisioning.azure.rest import Rest
from provisioning.errors import (
    AccountUnreachableError,
    MissingRightsError,
    NotFoundError,
    NotSignedInError,
    WrongAccountError,
)
from provisioning.models import Account, Caller

_ONE_JOB = "/openai/fine_tuning/jobs?api-version=2024-10-21&limit=1"


class FineTuningJobs:
    """The fine-tuning jobs of one account, with tokens for `scope`."""

    def __init__(self, account: Account, credential: TokenCredential, scope: str) -> None:
        self._account = account
        self._rest = Rest(account.endpoint.rstrip("/"), credential, scope)

    def any(self, caller: Caller) -> bool:
        """Whether there are jobs to see.

        Raises:
            MissingRightsError: the caller has no role with the data action.
            NotSignedInError: the token is none of this service's.
            WrongAccountError: the account takes no tokens, because it has no custom subdomain.
            AccountUnreachableError: its firewall, or its lack of a public endpoint, keeps this machine out.
            NotFoundError: no Azure OpenAI answers there.
            ProvisioningError: as sdk_errors translates.
        """
        with translated(f"Listing the fine-tuning jobs of {self._account.name}"):
            try:
                return bool(self._rest.get(_ONE_JOB).get("data"))
            except HttpResponseError as error:
                self._explain(caller, error)
                raise

    def _explain(self, caller: Caller, error: HttpResponseError) -> None:
        """Raise ours for the refusals that are known. A missing role is a 401, too: only the code tells."""
        account, said = self._account, text(error)
        match error.status_code:
            case 401 if code(error) == "PermissionDenied":
                raise MissingRightsError(
                    f"No role lets you see the jobs, or it is too new to work (401 PermissionDenied): {said}",
                    hint=f"az role assignment create --assignee {caller.object_id} "
                    f'--role "Cognitive Services OpenAI User" --scope {account.id}',
                ) from error
            case 401:
                raise NotSignedInError(
                    f"The token was not taken (401 without PermissionDenied, so it is no missing role): {said}",
                    hint=f"Sign in to the tenant of the subscription: az login --tenant {caller.tenant_id}; "
                    "check --cloud (AZURE_CLOUD).",
                ) from error
            case 400 if "custom subdomain" in said.lower():
                raise WrongAccountError(
                    f"The account takes no tokens (400): {said}", hint=subdomain_hint(account)
                ) from error
            case 403:
                raise _shut_out(account, said) from error
            case 404:
                raise NotFoundError(
                    f"{account.endpoint} knows no fine-tuning jobs (404): {said}",
                    hint="Check that the region of the account offers fine-tuning, and that its endpoint is "
                    f"{account.endpoint}: az cognitiveservices account show {az_name(account)}",
                ) from error


def subdomain_hint(account: Account) -> str:
    """How an account gets a custom subdomain."""
    return f"az cognitiveservices account update {az_name(account)} --custom-domain {account.name.lower()}"


def az_name(account: Account) -> str:
    """The options by which `az cognitiveservices account` knows the account."""
    return f"-g {account.id.split('/')[4]} -n {account.name}"


def _shut_out(account: Account, said: str) -> AccountUnreachableError:
    """A 403 of the data plane is about the network; wordings from public reports, codes UNVERIFIED."""
    if "private endpoint" in said.lower() or "public access is disabled" in said.lower():
        return AccountUnreachableError(
            f"The account has no public endpoint (403): {said}",
            hint="Run this from a network with a private endpoint to it; a function app needs virtual network "
            "integration to get there.",
        )
    return AccountUnreachableError(
        f"The account's firewall keeps this machine out (403): {said}",
        hint=f"az cognitiveservices account network-rule add {az_name(account)} --ip-address … "
        "with this machine's address; the function app needs a way in, too.",
    )
