"""Build the accounts that the settings name, and treat several addresses of one account as one."""

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

import httpx2
import openai
from azure.core.credentials import TokenCredential

from function_app.azure.answers import RETRIES
from function_app.azure.openai import TIMEOUT, Account
from function_app.data.addresses import Endpoint
from function_app.errors import AccountError, NotThereError, SettingsError
from function_app.models import OPENAI, Checkpoint, Event, File, Job, ModelEnds
from function_app.settings import V1, Settings

_T = TypeVar("_T")
_PLATFORM = "https://api.openai.com/v1"


class _Tokens:
    """Entra tokens for the first scope. When the service rejects a token, `switch` changes to the next scope, and after the last
    one back to the first, because the rejection may have had another reason. If tokens of several threads are rejected at the
    same time, only one thread switches.
    """

    def __init__(self, identity: TokenCredential, scopes: Sequence[str]) -> None:
        self._identity = identity
        self._scopes = [*scopes]
        self._lock = threading.Lock()
        self._thread = threading.local()

    def __call__(self) -> str:
        self._thread.scope = scope = self._scopes[0]
        return self._identity.get_token(scope).token

    def switch(self) -> bool:
        """Use the scope after the one of this thread's last token; return False if there is only one."""
        with self._lock:
            if self._scopes[0] == self._thread.scope:
                self._scopes = [*self._scopes[1:], self._scopes[0]]
        return len(self._scopes) > 1


def accounts_from(settings: Settings, credential: Callable[[], TokenCredential]) -> list[Account]:
    """Return the addresses of the settings, several of which may belong to one account.

    `credential` is called only if they use Entra ID.
    """
    if not settings.azure_openai_endpoints:
        return [_platform(settings)]
    trust = httpx2.create_ssl_context()
    key = settings.azure_openai_api_key.get_secret_value() if settings.azure_openai_api_key else None
    return [azure_account(each, settings.api_versions, key or credential(), trust) for each in settings.endpoints]


def azure_account(
    endpoint: Endpoint,
    versions: Sequence[str],
    access: str | TokenCredential,
    trust: ssl.SSLContext,
    *,
    discovered: bool = False,
) -> Account:
    """Return the account, or the project in it, at an address.

    Args:
        endpoint: the address.
        versions: the API versions to try. A project's address supports v1 only.
        access: an API key, or the identity that gets tokens.
        trust: the trusted certificates.
        discovered: the account was found in a subscription; nobody named it.
    """
    tokens = access if isinstance(access, str) else _Tokens(access, endpoint.scopes)
    known = (V1,) if endpoint.project else versions
    return Account(
        endpoint.name,
        *(partial(_client, endpoint.url, tokens, version) for version in known),
        trust=trust,
        project=endpoint.project,
        discovered=discovered,
        switch_token=tokens.switch if isinstance(tokens, _Tokens) else None,
    )


def _client(url: str, tokens: str | _Tokens, version: str, http: httpx2.Client) -> openai.OpenAI:
    made: openai.OpenAI = (
        openai.OpenAI(
            base_url=f"{url}openai/v1/", api_key=tokens, http_client=http, timeout=TIMEOUT, max_retries=RETRIES
        )
        if version == V1
        else openai.AzureOpenAI(
            azure_endpoint=url.rstrip("/"),
            api_version=version,
            api_key=tokens if isinstance(tokens, str) else None,
            azure_ad_token_provider=None if isinstance(tokens, str) else tokens,
            http_client=http,
            timeout=TIMEOUT,
            max_retries=RETRIES,
        )
    )
    made.organization = made.project = None  # OPENAI_ORG_ID and OPENAI_PROJECT_ID are for OpenAI's own platform
    return made


def _platform(settings: Settings) -> Account:
    if settings.openai_api_key is None:
        raise SettingsError("Neither AZURE_OPENAI_ENDPOINTS nor OPENAI_API_KEY is set.")
    key = settings.openai_api_key.get_secret_value()

    def client(http: httpx2.Client) -> openai.OpenAI:  # its address is fixed: OPENAI_BASE_URL would get the key
        return openai.OpenAI(api_key=key, base_url=_PLATFORM, http_client=http, timeout=TIMEOUT, max_retries=RETRIES)

    return Account(OPENAI, client)


def merged(accounts: Sequence[Account]) -> "list[Account | SeveralAddresses]":
    """Return each account once, even if the settings have both its own address and those of its projects."""
    by_name: dict[str, list[Account]] = {}
    for account in accounts:
        by_name.setdefault(account.name, []).append(account)
    return [each[0] if len(each) == 1 else SeveralAddresses(each) for each in by_name.values()]


class SeveralAddresses:
    """One account at its own address and at those of its projects, see `engine.accounts.JobSource`.

    It is not known whether the account's address lists the jobs of all projects, so all addresses are asked, and jobs
    with the same id are one job.
    """

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.name = accounts[0].name
        self.discovered = all(account.discovered for account in accounts)
        self._accounts = tuple(accounts)
        self._homes: dict[str, Account] = {}

    def now(self) -> float:
        """See `Account.now`."""
        return self._accounts[0].now()

    def jobs(self) -> list[Job]:
        """Return the jobs of all addresses, newest first.

        Raises:
            AccountError: an address refuses; the error has the jobs of the others.
        """
        found: dict[str, tuple[Job, Account]] = {}
        refusal: AccountError | None = None
        for account in self._accounts:
            try:
                for job in account.jobs():
                    found.setdefault(job.id, (job, account))
            except AccountError as error:
                refusal = refusal or error
        self._homes = {job_id: account for job_id, (_, account) in found.items()}
        jobs = sorted((job for job, _ in found.values()), key=lambda job: (job.created_at, job.id), reverse=True)
        if refusal:
            refusal.listed = jobs
            raise refusal
        return jobs

    def job(self, job_id: str) -> Job:
        """See `Account.job`."""
        found, self._homes[job_id] = self._ask(job_id, lambda account: (account.job(job_id), account))
        return found

    def events(self, job_id: str, *, known_step: int = -1) -> list[Event]:
        """See `Account.events`."""
        return self._ask(job_id, lambda account: account.events(job_id, known_step=known_step))

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """See `Account.checkpoints`."""
        return self._ask(job_id, lambda account: account.checkpoints(job_id))

    def ends(self, model: str) -> ModelEnds:
        """See `Account.ends`."""
        return next((ends for account in self._accounts if (ends := account.ends(model)) != ModelEnds()), ModelEnds())

    def file(self, file_id: str) -> File:
        """See `Account.file`."""
        return self._ask("", lambda account: account.file(file_id))

    @contextmanager
    def content(self, file_id: str) -> Iterator[Iterator[bytes]]:
        """See `Account.content`."""
        with ExitStack() as stack:
            yield self._ask("", lambda account: stack.enter_context(account.content(file_id)))

    def close(self) -> None:
        """Close the connections."""
        for account in self._accounts:
            account.close()

    def _ask(self, job_id: str, question: Callable[[Account], _T]) -> _T:
        """Ask the address that has the job, then the others until one of them answers.

        If it is only busy, no other is asked: whether another one answers with an empty listing is UNVERIFIED.

        Raises:
            AccountBusyError: the address that has the job is busy.
            AccountError: every address refuses, or does not have it; NotThereError only if none has it.
        """
        home = self._homes.get(job_id)
        refusals: list[AccountError] = []
        for account in sorted(self._accounts, key=lambda account: account is not home):
            try:
                return question(account)
            except AccountError as error:
                if account is home and error.retry:
                    raise
                refusals.append(error)
        raise next((each for each in refusals if not isinstance(each, NotThereError)), refusals[0])
