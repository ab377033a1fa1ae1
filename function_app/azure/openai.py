"""The client for fine-tuning jobs, their events, checkpoints and files: Azure OpenAI, or OpenAI's own platform."""

import logging
import math
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import httpx2
import openai
from azure.core.exceptions import AzureError

from function_app.azure.answers import LISTING_WITHIN, limit_answer, object_of, without_custom_headers
from function_app.azure.jobs import checkpoint_from, ends_in, event_from, job_from
from function_app.azure.refusals import refusal, refuses_version
from function_app.connections import TRUST, untrusted
from function_app.data.fields import Fields, text, whole
from function_app.errors import AccessError, AccountBusyError, AccountError, NotThereError, first_line
from function_app.models import Checkpoint, Event, File, Job, ModelEnds
from function_app.text import duration
from function_app.traffic import AZURE, count_request

_T = TypeVar("_T")
log = logging.getLogger(__name__)

_PAGES_AT_MOST = 200
"""The maximum number of pages of one listing: 20,000 entries. An account has at most 100 jobs; a long job has 1,000 events."""

_PAGE = 100  # OpenAI's documented maximum; Azure documents only its defaults, 20 and 10
_CHUNK = 1 << 16
_FILES_ONE_BY_ONE = 4
"""Files whose properties are read one by one, before all are listed. Azure lists all in one answer, which may be large (1.4 MB
recorded)."""
_DAY = 86_400.0  # seconds
OLDER_FOR = 3600.0
"""Seconds for which an API version that was accepted is expected to be accepted again, and after which a refused version is tried
again: the refusal may be temporary, and an older version does not show which jobs log to W&B by themselves."""
TIMEOUT = httpx2.Timeout(60.0, connect=10.0)


class Account:
    """One Azure OpenAI account, or OpenAI's own platform.

    Every method may raise AccessError, NotThereError, AccountBusyError or AccountError, each with the next step.
    """

    def __init__(
        self,
        name: str,
        client: Callable[[httpx2.Client], openai.OpenAI],
        *others: Callable[[httpx2.Client], openai.OpenAI],
        trust: ssl.SSLContext | bool = True,
        project: str | None = None,
        discovered: bool = False,
        switch_token: Callable[[], bool] | None = None,
    ) -> None:
        """Create the account.

        Args:
            name: its name in W&B and in queue messages.
            client: creates its SDK client from an HTTP client.
            others: the same for other API versions, for an account that refuses the previous ones.
            trust: the trusted certificates, shared by all accounts. Reading them takes 30 ms and 0.8 MB.
            project: the Foundry project, if it is a project's address.
            discovered: it was found in a subscription; nobody named it.
            switch_token: changes to another kind of token when the service rejects one; returns whether there is another.
        """
        self.name = name
        self.project = project
        self.discovered = discovered
        self._switch_token = switch_token
        self.region: str | None = None
        self._skew = 0.0
        self._files: dict[str, File] = {}
        self._files_asked = 0
        self._ends: dict[str, tuple[float, ModelEnds]] = {}
        self._asking_ends: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._listing_files = threading.Lock()
        # Redirects are not followed: the key or token goes to this host alone, and httpx passes an `api-key` on to any other.
        http = openai.DefaultHttpxClient(
            event_hooks={"request": [_count], "response": [self._note, limit_answer]},
            verify=trust,
            follow_redirects=False,
        )
        with without_custom_headers():
            self._clients = self._all_clients = [make(http) for make in (client, *others)]
        self._older_at, self._newer_at = 0.0, -math.inf

    @property
    def address(self) -> str:
        """Its name, followed by a slash and the project's name if it is a project's address."""
        return f"{self.name}/{self.project}" if self.project else self.name

    def now(self) -> float:
        """Return the time in seconds since the epoch by the account's clock (the Date header of its answers), as in its jobs."""
        return time.time() + self._skew

    def jobs(self) -> list[Job]:
        """Return all jobs, newest first, in whatever order the service lists them. Each page of 100 takes one request.

        An entry without a usable id is skipped and logged.
        """
        jobs: dict[str, Job] = {}
        for page in self._pages("list fine-tuning jobs", lambda client: client.fine_tuning.jobs.with_raw_response.list):
            for entry in page:
                try:
                    job = job_from(self.name, entry, self.region)
                except ValueError as error:
                    log.warning("job not readable account=%s reason=%s", self.name, error)
                else:
                    jobs.setdefault(job.id, job)
        return sorted(jobs.values(), key=lambda job: (job.created_at, job.id), reverse=True)

    def job(self, job_id: str) -> Job:
        """Return one job."""
        with self._reading(f"read job {job_id}"):
            found = self._ask(lambda client: client.fine_tuning.jobs.with_raw_response.retrieve(job_id))
            job = job_from(self.name, object_of(found), self.region)
            if job.id != job_id:  # as from a cache; the caller has the lease of one job
                raise ValueError("the answer is about another job")
            return job

    def events(self, job_id: str, *, known_step: int = -1) -> list[Event]:
        """Return a job's events, oldest first: all of them, or those that are needed to continue after `known_step`.

        Azure lists events newest first but does not guarantee it, so reading stops early only if the order confirms it.
        """
        events: list[Event] = []
        pages = self._pages(
            f"read the events of job {job_id}",
            lambda client: partial(client.fine_tuning.jobs.with_raw_response.list_events, job_id),
            tail_may_be_missing=True,
        )
        for page in pages:
            events += map(event_from, page)
            if _reaches_back(events, known_step):
                break
        return sorted(events, key=lambda event: event.created_at)

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Return the job's checkpoints, by step."""
        pages = self._pages(
            f"read the checkpoints of job {job_id}",
            lambda client: partial(client.fine_tuning.jobs.checkpoints.with_raw_response.list, job_id),
        )
        found = [checkpoint for page in pages for entry in page if (checkpoint := checkpoint_from(entry))]
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def ends(self, model: str) -> ModelEnds:
        """Return when a model ends, as far as the service says so. The answer is kept for a day; a refusal leaves it unknown.

        Azure says it in its classic API (`deprecation`), OpenAI's platform by date (`shutdown_date`). No answer of Azure for a
        fine-tuned model has been recorded, and whether v1 has the field is UNVERIFIED.
        """
        with self._asking_ends[model]:  # jobs with the same base model share one request
            kept = self._ends.get(model)
            if kept and time.monotonic() - kept[0] < _DAY:
                return kept[1]
            return self._read_ends(model)

    def _read_ends(self, model: str) -> ModelEnds:
        found = ModelEnds()
        # v1 may lack the dates that an older version has, and no older version has more than the one before.
        clients = self._clients if self._client.base_url.path.endswith("/v1/") else self._clients[:1]
        for client in clients:
            try:
                with suppress(NotThereError), self._reading(f"read model {model}"):
                    found = ends_in(Fields(object_of(client.models.with_raw_response.retrieve(model))))
            except AccountError:
                return found
            if found != ModelEnds():
                break
        self._ends[model] = time.monotonic(), found
        return found

    def file(self, file_id: str) -> File:
        """Return the properties of a file without reading its content. When several files have been asked for, all are listed
        in one request; its answer is kept, because these properties do not change.
        """
        with self._listing_files:
            self._files_asked += 1
            if self._files_asked == _FILES_ONE_BY_ONE + 1:
                with suppress(AccountError, NotThereError):
                    self._list_files()
            known = self._files.get(file_id)
        if known:
            return known
        with self._reading(f"read file {file_id}"):
            return _file(file_id, self._client.files.retrieve(file_id).to_dict())

    def _list_files(self) -> None:
        with self._reading("list files"):
            entries = object_of(self._client.files.with_raw_response.list(purpose="fine-tune")).get("data")
        for entry in entries if isinstance(entries, list) else []:
            if file_id := Fields(entry).read("id", text):
                self._files[file_id] = _file(file_id, entry)

    @contextmanager
    def content(self, file_id: str) -> Iterator[Iterator[bytes]]:
        """Yield a file's bytes, streamed in chunks."""
        with (
            self._errors(f"read the content of file {file_id}"),
            self._client.files.with_streaming_response.content(file_id) as response,
        ):
            yield response.iter_bytes(_CHUNK)

    @contextmanager
    def asking(self, doing: str, **options: Any) -> Iterator[openai.OpenAI]:
        """Yield the SDK's client for starting a job (`authoring.job_creation`), and translate its errors. `options` are those of
        `openai.OpenAI.with_options`.
        """
        with without_custom_headers():
            client = self._client.with_options(**options) if options else self._client
        with self._reading(doing):
            yield client

    def close(self) -> None:
        """Close its connections."""
        self._client.close()  # they share one HTTP client

    @property
    def _client(self) -> openai.OpenAI:
        """The client for the API version that the account is assumed to support. The first request, for jobs, verifies it."""
        return self._clients[0]

    def _ask(self, question: Callable[[openai.OpenAI], _T], *, further: bool = False) -> _T:
        """Send a request, with another kind of token if the service rejects the first one: see `addresses.Endpoint.scopes`.

        A `further` page is asked for in the API version of the first one.
        """
        ask = (lambda question: question(self._client)) if further else self._ask_in_versions
        try:
            return ask(question)
        except openai.AuthenticationError as error:
            if error.code == "PermissionDenied" or self._switch_token is None or not self._switch_token():
                raise
            log.warning("token of another audience account=%s project=%s", self.name, self.project)
            return ask(question)

    def _ask_in_versions(self, question: Callable[[openai.OpenAI], _T]) -> _T:
        """Send a request in the newest API version that the account accepts. A refused version is not tried again for a while.

        Raises:
            AccountBusyError: an older version answers, but the refused one was accepted until now.
        """
        again = time.monotonic() - self._older_at > OLDER_FOR
        *newer, oldest = self._all_clients if again else self._clients
        for number, client in enumerate(newer):
            try:
                answer = question(client)
            except openai.APIStatusError as error:
                if not refuses_version(error):
                    raise
            else:
                self._newer_at = time.monotonic()
                if number or again:
                    self._use([*newer[number:], oldest])
                return answer
        answer = question(oldest)
        if newer:
            if time.monotonic() - self._newer_at < OLDER_FOR:
                raise AccountBusyError(
                    f"{self.name} refuses the API version that it accepted until now.",
                    f"If it still does after {duration(OLDER_FOR)}, an older one is used, which shows less of each job.",
                )
            log.warning("older api-version account=%s which may not show everything", self.name)
            self._use([oldest])
        return answer

    def _use(self, clients: list[openai.OpenAI]) -> None:
        self._clients, self._older_at = clients, time.monotonic()

    def _note(self, response: httpx2.Response) -> None:
        # Recorded on Azure as "Sweden Central"; az and ARM write swedencentral. It is UNVERIFIED that it is always the
        # account's region.
        if region := response.headers.get("x-ms-region"):
            self.region = region.replace(" ", "").lower()
        try:
            self._skew = parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()
        except (KeyError, ValueError, OverflowError):  # no valid Date header: the local clock is good enough
            self._skew = 0.0

    def _pages(
        self, doing: str, listing: Callable[[openai.OpenAI], Callable[..., Any]], *, tail_may_be_missing: bool = False
    ) -> Iterator[list[Any]]:
        """Yield a listing page by page, with unparsed entries.

        With `tail_may_be_missing`, a refused page after the first one ends the listing: Azure has answered 400 or 404 to an
        `after` value that it had returned (openai-python#938).

        Raises:
            AccountBusyError: the listing makes no progress.
        """
        after: str | None = None
        seen: set[str] = set()
        until = time.monotonic() + LISTING_WITHIN
        for _ in range(_PAGES_AT_MOST):
            cursor = {"after": after} if after else {}
            try:
                with self._reading(doing):
                    answer = object_of(self._ask(partial(_page, listing, cursor), further=bool(after)))
                    entries = answer.get("data")
                    if not isinstance(entries, list):
                        raise TypeError("data is not a list")
            except (AccountError, NotThereError) as error:
                if after and tail_may_be_missing and not error.retry:
                    log.info("events are incomplete account=%s reason=%s", self.name, error.message)
                    return
                raise
            yield entries
            if not entries or answer.get("has_more") is False:
                return
            last = entries[-1]
            after = text(last.get("id")) if isinstance(last, Mapping) else None
            if after is None:
                raise AccountBusyError(f"{self.name} returned an entry without a valid id for the request to {doing}.")
            if after in seen:
                break
            seen.add(after)
            if time.monotonic() > until:
                raise AccountBusyError(
                    f"{self.name} took more than {duration(LISTING_WITHIN)} for the request to {doing}."
                )
        raise AccountBusyError(
            f"{self.name} returns the same page again and again for the request to {doing}.",
            "A gateway in front of it may drop the parameter `after`.",
        )

    @contextmanager
    def _reading(self, doing: str) -> Iterator[None]:
        """Translate the errors of a whole answer: those of `_errors`, and answers of an unexpected form."""
        try:
            with self._errors(doing):
                yield
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = type(error).__name__
            raise AccountBusyError(
                f"{self.name} returned an unexpected answer ({what}) for the request to {doing}."
            ) from error

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except openai.APIStatusError as error:
            raise refusal(error, self.name, doing) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            quoting = isinstance(cause, httpx2.LocalProtocolError)  # it quotes the header, which may be a key
            reason = "a header is not valid, probably the key" if quoting else first_line(cause)
            raise AccountBusyError(
                f"Cannot reach {self.name} to {doing}: {reason}",
                TRUST
                if untrusted(error)
                else "Check the endpoint's name, DNS and the network (proxy, firewall, private endpoint).",
            ) from error
        except httpx2.HTTPError as error:  # while a body was being streamed
            raise AccountBusyError(
                f"{self.name} closed the connection during the request to {doing}: {first_line(error)}"
            ) from error
        except openai.OpenAIError as error:
            raise AccountError(f"Cannot {doing} of {self.name}: {error}") from error
        except AzureError as error:
            raise AccessError(
                f"No token for {self.name}: {first_line(error)}",
                "On a laptop: `az login`. In Azure: give the app an identity, and AZURE_CLIENT_ID if it is user-assigned.",
            ) from error


def _page(listing: Callable[[openai.OpenAI], Callable[..., Any]], cursor: dict[str, str], client: openai.OpenAI) -> Any:
    return listing(client)(limit=_PAGE, **cursor)


def _file(file_id: str, entry: object) -> File:
    fields = Fields(entry)
    return File(file_id, fields.read("filename", text) or "", fields.read("bytes", whole))


def _count(_: httpx2.Request) -> None:
    count_request(AZURE)


def _reaches_back(events: list[Event], known_step: int) -> bool:
    """Return whether events that are listed newest first have reached one that was already known."""
    times = [event.created_at for event in events]
    newest_first = all(earlier >= later for earlier, later in pairwise(times))
    steps = (event.data.get("step") for event in events if event.type == "metrics")
    return (
        known_step >= 0 and newest_first and any(isinstance(step, int | float) and step <= known_step for step in steps)
    )
