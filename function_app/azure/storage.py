"""The one door to the app's own storage account: the leases on jobs, the runs that W&B said were deleted, and how many
messages a queue holds.

It is reached through the host's connection, read as the host reads it, so that there is nothing more to configure.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient
from pydantic import SecretStr

from function_app.azure.leases import NO_FAILURES, TERM, Failures, Lease, held
from function_app.errors import SettingsError, StorageError, TakenError
from function_app.traffic import STORAGE, asked

LEASES = "finetune-leases"
"""The container of the leases, and of DELETED."""
DELETED = "deleted-runs/"
"""What the names of blobs begin with which note a run that was deleted in W&B."""

_OPTIONS: dict[str, Any] = {  # times in seconds: the SDK's own would let one request take longer than a lease lasts
    "connection_timeout": 5,
    "read_timeout": 10,
    "initial_backoff": 1,
    "increment_base": 2,
    "random_jitter_range": 1,
    "raw_request_hook": lambda _: asked(STORAGE),
}
_COUNT, _NOT_BEFORE = "failures", "notbefore"  # names of metadata
_MAKE_AND_TAKE = 3  # attempts at a blob that its holders delete
_HINTS = {
    "AuthorizationPermissionMismatch": (
        "Assign its identity 'Storage Blob Data Owner' and 'Storage Queue Data Contributor' on the storage account (infra/"
        " does); a new role takes up to ten minutes to count."
    ),
    "AuthorizationFailure": "Let the app's subnet through the storage account's network rules.",
    "KeyBasedAuthenticationNotPermitted": "Set {name}__blobServiceUri and {name}__queueServiceUri in place of {name}.",
}

Client = TypeVar("Client", BlobServiceClient, QueueServiceClient)


@dataclass(frozen=True)
class Connection:
    """A connection of the Functions host: one setting, a connection string; or, with an identity, several of one prefix.

    (Microsoft, "Configure an identity-based connection") The credential "managedidentity" is the app's identity, the
    client id says which; without it whatever azure-identity finds, as on a laptop.
    """

    name: str
    string: SecretStr | None = None
    blobs: str = ""
    queues: str = ""
    managed_identity: bool = False
    client_id: str | None = None

    @classmethod
    def read(cls, name: str, environment: Mapping[str, str]) -> Self:
        """Read the settings of a connection.

        Raises:
            SettingsError: there are none.
        """
        given = {key.lower(): value for key, value in environment.items() if value}

        def setting(suffix: str) -> str:
            return given.get(f"{name}__{suffix}".lower(), "")

        string = given.get(name.lower())
        account = setting("accountName")
        blobs = setting("blobServiceUri") or (account and f"https://{account}.blob.core.windows.net")
        queues = setting("queueServiceUri") or (account and f"https://{account}.queue.core.windows.net")
        if not string and not (blobs and queues):
            raise SettingsError(
                f"{name} is not set: where the host keeps its state, and the app its queue and leases",
                f"Set {name}__blobServiceUri and {name}__queueServiceUri (infra/ does);"
                f" on a laptop {name}=UseDevelopmentStorage=true, which is Azurite.",
            )
        return cls(
            name,
            SecretStr(string) if string else None,
            blobs,
            queues,
            setting("credential").lower() == "managedidentity",
            setting("clientId") or None,
        )


class Storage:
    """The account behind a connection. Safe to use from several threads.

    Raises:
        SettingsError: the connection is malformed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._resources = ExitStack()
        self._credential = self._signed_in() if connection.string is None else None
        self._leases = self._client(BlobServiceClient, connection.blobs).get_container_client(LEASES)
        self._queues = self._client(QueueServiceClient, connection.queues)
        self.deleted = BlobNames(self._leases, DELETED, self._errors)

    def close(self) -> None:
        """Close its connections."""
        self._resources.close()

    def lease(self, job: str) -> AbstractContextManager[Lease]:
        """The lease of a job, see `leases.held`. Its own id is enough of a name: no two jobs share one, all runs of a
        job have one writer, and an account has one app, whose queue this is.

        Raises:
            TakenError: another worker has it.
            StorageError: the account cannot be asked; without a lease nobody writes.
        """
        blob = self._leases.get_blob_client(f"{quote(job, safe='')}.lease")
        return held(BlobLock(self._leases, blob, self._errors), job)

    def depth(self, queue: str) -> int:
        """How many messages a queue holds, those at work and those that wait for another attempt among them.

        The service may say too many, but not too few (Microsoft, Get Queue Metadata).

        Raises:
            StorageError: it cannot be asked.
        """
        with self._errors(f"queue {queue}"):
            try:
                return self._queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:  # the host makes it with the first message
                return 0

    def _signed_in(self) -> TokenCredential:
        named = self._connection.client_id
        credential = (
            ManagedIdentityCredential(client_id=named)
            if self._connection.managed_identity
            else DefaultAzureCredential()
        )
        self._resources.callback(credential.close)
        return credential

    def _client(self, kind: type[Client], address: str) -> Client:
        string = self._connection.string
        try:
            client = (
                kind.from_connection_string(string.get_secret_value(), **_OPTIONS)
                if string
                else kind(address, self._credential, **_OPTIONS)
            )
        except ValueError:
            raise SettingsError(
                f"{self._connection.name} is no connection of a storage account",
                "It is a connection string, UseDevelopmentStorage=true, or the addresses of its services.",
            ) from None  # the SDK's own words may quote a key
        self._resources.callback(client.close)
        return client

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """SDK errors → ours."""
        where = f"{what} of {self._connection.name}"
        try:
            yield
        except HttpResponseError as error:
            raise self._refused(error, where) from error
        except AzureError as error:
            raise StorageError(
                f"Cannot reach {where}: {_first_line(error)}", "Check the storage account's name and network rules."
            ) from error

    def _refused(self, error: HttpResponseError, where: str) -> StorageError:
        code = code_of(error)
        if isinstance(error, ClientAuthenticationError) and not code:  # it did not get as far as storage
            return StorageError(
                f"Cannot sign in to {where}: {_first_line(error)}",
                f"Give the app an identity, and {self._connection.name}__clientId if it is user-assigned.",
            )
        hint = _HINTS.get(code, "").format(name=self._connection.name)
        return StorageError(f"Storage refuses {where}: {code or _first_line(error)} ({error.status_code}).", hint)


class BlobNames:
    """A set of names, each an empty blob: instances add to it at once, and none has to know of the others.

    Attributes:
        prefix: what the names of its blobs begin with.
    """

    def __init__(
        self, container: ContainerClient, prefix: str, errors: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._container = container
        self.prefix = prefix
        self._errors = errors

    def known(self) -> frozenset[str]:
        """All of them, by one request for each 5,000 (Microsoft, List Blobs).

        Raises:
            StorageError: they cannot be listed.
        """
        with self._errors(f"the blobs {self.prefix}"):
            try:
                names = [*self._container.list_blob_names(name_starts_with=self.prefix)]
            except ResourceNotFoundError:  # the container is made with the first lease
                return frozenset()
        return frozenset(name.removeprefix(self.prefix) for name in names)

    def note(self, name: str) -> None:
        """One more. The container is there: who has something to note has had a lease.

        Raises:
            StorageError: it cannot be written.
        """
        blob = self._container.get_blob_client(f"{self.prefix}{name}")
        with self._errors(f"the blob {blob.blob_name}"):
            blob.upload_blob(b"", overwrite=True)


class BlobLock:
    """A lease on an empty blob that is there as long as it is held: deleting it gives it back, and leaves nothing behind.

    While a job fails its blob stays, and its metadata say how often it failed and when it is tried next. They may be lost.

    Only the holder can delete a leased blob, so that no other's goes by mistake. The lease's id is chosen here: a request
    that is sent again because its answer got lost is for the same lease.
    """

    def __init__(
        self,
        container: ContainerClient,
        blob: BlobClient,
        errors: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._container = container
        self._blob = blob
        self._errors = errors
        self._lease = BlobLeaseClient(blob)

    def acquire(self) -> Failures:
        """Take it, see `leases.Lock`."""
        made = False
        with self._errors(f"the lease {self._blob.blob_name}"):
            for _ in range(_MAKE_AND_TAKE):
                try:
                    self._lease.acquire(TERM)
                except ResourceNotFoundError as error:
                    self._make(container=code_of(error) == "ContainerNotFound")
                    made = True
                except HttpResponseError as error:
                    if code_of(error).startswith("Lease"):
                        raise TakenError("another worker is at it") from None
                    raise
                else:
                    return NO_FAILURES if made else _failures(self._blob.get_blob_properties().metadata)
        raise TakenError("other workers were at it just now")  # and gave it back between making and taking it

    def renew(self) -> None:
        """Have it for another TERM, see `leases.Lock`. Tried once: who renews knows when to try again."""
        with self._errors(f"the lease {self._blob.blob_name}"), _mine():
            self._lease.renew(retry_total=0)

    def release(self, failures: Failures) -> None:
        """Give it back, see `leases.Lock`."""
        with self._errors(f"the lease {self._blob.blob_name}"), _mine():
            if failures == NO_FAILURES:
                self._blob.delete_blob(lease=self._lease)
                return
            kept = {_COUNT: str(failures.count), _NOT_BEFORE: str(int(failures.not_before))}
            self._blob.set_blob_metadata(kept, lease=self._lease)
            self._lease.release()

    def _make(self, *, container: bool) -> None:
        try:
            if container:  # infra/ makes it; on a laptop nobody did
                self._container.create_container()
            self._blob.upload_blob(b"", overwrite=False)
        except HttpResponseError as error:
            if error.status_code not in (409, 412):  # another made it, and may hold it already
                raise


def _failures(metadata: object) -> Failures:
    """Read what a holder left; anything else counts as nothing."""
    kept = metadata if isinstance(metadata, Mapping) else {}
    try:
        return Failures(max(0, int(kept.get(_COUNT, 0))), max(0, int(kept.get(_NOT_BEFORE, 0))))
    except (TypeError, ValueError):
        return NO_FAILURES


@contextmanager
def _mine() -> Iterator[None]:
    """For requests that name a lease: its blob is gone, has another lease, or that one was broken."""
    try:
        yield
    except HttpResponseError as error:
        if error.status_code in (404, 409, 412):
            raise TakenError(f"the lease is gone: {code_of(error)}") from None
        raise


def code_of(error: AzureError) -> str:
    """Storage's word for what is wrong; empty where storage did not answer."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
