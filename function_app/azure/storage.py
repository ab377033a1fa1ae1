"""The client for the app's own storage account: leases on jobs, records of deleted and of complete runs, and the number
of messages in a queue.

It uses the connection of the Functions host and reads its settings as the host does, so it needs no configuration.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient
from pydantic import SecretStr

from function_app.azure.identity import identity
from function_app.azure.leases import NO_FAILURES, TERM, Failures, Lease, held
from function_app.errors import SettingsError, StorageError, TakenError, first_line
from function_app.traffic import STORAGE, count_request

LEASES = "finetune-leases"
"""The container for leases and for the blobs of DELETED and FINISHED."""
DELETED = "deleted-runs/"
"""The prefix of blobs that record a run that was deleted in W&B."""
FINISHED = "finished-runs/"
"""The prefix of blobs that record a job whose run is complete."""

_OPTIONS: dict[
    str, Any
] = {  # times in seconds: with the SDK's defaults, one request could take longer than a lease lasts
    "connection_timeout": 5,
    "read_timeout": 10,
    "initial_backoff": 1,
    "increment_base": 2,
    "random_jitter_range": 1,
    "raw_request_hook": lambda _: count_request(STORAGE),
}
_LEASE = ".lease"  # the end of the names of lease blobs
_COUNT, _NOT_BEFORE = "failures", "notbefore"  # names of metadata
_MAKE_AND_TAKE = 3  # attempts, as another holder may delete the blob
_HINTS = {
    "AuthorizationPermissionMismatch": (
        "Assign its identity 'Storage Blob Data Owner' and 'Storage Queue Data Contributor' on the storage account (infra/"
        " does); a new role takes up to ten minutes to work."
    ),
    "AuthorizationFailure": "Allow the app's subnet in the storage account's network rules.",
    "KeyBasedAuthenticationNotPermitted": "Set {name}__blobServiceUri and {name}__queueServiceUri instead of {name}.",
}

Client = TypeVar("Client", BlobServiceClient, QueueServiceClient)


@dataclass(frozen=True)
class Connection:
    """A connection of the Functions host: one setting with a connection string, or for an identity several with one prefix.

    (Microsoft, "Configure an identity-based connection") The credential "managedidentity" is the app's identity, and the
    client id selects it. Without that credential, azure-identity searches for one, as on a laptop.
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
            SettingsError: the connection is not set.
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
                f"{name} is not set: it names the storage of the host's state and the app's queue and leases",
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
        self.finished = BlobNames(self._leases, FINISHED, self._errors)

    def close(self) -> None:
        """Close its connections."""
        self._resources.close()

    def lease(self, job: str) -> AbstractContextManager[Lease]:
        """Hold the lease of a job, see `leases.held`. The job id is a sufficient name: it is unique, all runs of a
        job have one writer, and one app uses this queue.

        Raises:
            TakenError: another worker has it.
            StorageError: the account does not answer; no worker writes without a lease.
        """
        blob = self._leases.get_blob_client(f"{quote(job, safe='')}{_LEASE}")
        return held(BlobLock(self._leases, blob, self._errors), job)

    def failures(self) -> dict[str, Failures]:
        """Return which jobs failed in a row, and when they are tried next, with one request for each 5,000 leases.

        Raises:
            StorageError: the leases cannot be listed.
        """
        with self._errors("the leases"):
            try:
                blobs = [*self._leases.list_blobs(include=["metadata"])]
            except ResourceNotFoundError:  # the container is created with the first lease
                return {}
        kept = {unquote(blob.name.removesuffix(_LEASE)): _failures(blob.metadata) for blob in blobs if blob.metadata}
        return {job: failures for job, failures in kept.items() if failures != NO_FAILURES}

    def depth(self, queue: str) -> int:
        """Return the number of messages in a queue, including those in progress and those that wait for another attempt.

        The number may be too high, but not too low (Microsoft, Get Queue Metadata).

        Raises:
            StorageError: the account does not answer.
        """
        with self._errors(f"queue {queue}"):
            try:
                return self._queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:  # the host creates it with the first message
                return 0

    def _signed_in(self) -> TokenCredential:
        credential = identity(managed=self._connection.managed_identity, client_id=self._connection.client_id)
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
                f"{self._connection.name} is not a connection to a storage account",
                "Set it to a connection string or UseDevelopmentStorage=true, or set the addresses of the account's services.",
            ) from None  # the SDK's message may quote a key
        self._resources.callback(client.close)
        return client

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Translate SDK errors to ours."""
        where = f"{what} of {self._connection.name}"
        try:
            yield
        except HttpResponseError as error:
            raise self._refused(error, where) from error
        except AzureError as error:
            raise StorageError(
                f"Cannot reach {where}: {first_line(error)}", "Check the storage account's name and network rules."
            ) from error

    def _refused(self, error: HttpResponseError, where: str) -> StorageError:
        code = code_of(error)
        if isinstance(error, ClientAuthenticationError) and not code:  # the request did not reach storage
            return StorageError(
                f"Cannot sign in to {where}: {first_line(error)}",
                f"Give the app an identity, and {self._connection.name}__clientId if it is user-assigned.",
            )
        hint = _HINTS.get(code, "").format(name=self._connection.name)
        return StorageError(f"Storage refuses {where}: {code or first_line(error)} ({error.status_code}).", hint)


class BlobNames:
    """A set of names, each an empty blob. Several instances can add names at the same time without coordination.

    Attributes:
        prefix: the prefix of its blobs' names.
    """

    def __init__(
        self, container: ContainerClient, prefix: str, errors: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._container = container
        self.prefix = prefix
        self._errors = errors

    def known(self) -> frozenset[str]:
        """Return all names, with one request for each 5,000 (Microsoft, List Blobs).

        Raises:
            StorageError: the blobs cannot be listed.
        """
        with self._errors(f"the blobs {self.prefix}"):
            try:
                names = [*self._container.list_blob_names(name_starts_with=self.prefix)]
            except ResourceNotFoundError:  # the container is created with the first lease
                return frozenset()
        return frozenset(name.removeprefix(self.prefix) for name in names)

    def note(self, name: str) -> None:
        """Add a name. The container exists, because the caller has had a lease.

        Raises:
            StorageError: the blob cannot be written.
        """
        blob = self._container.get_blob_client(f"{self.prefix}{name}")
        with self._errors(f"the blob {blob.blob_name}"):
            blob.upload_blob(b"", overwrite=True)


class BlobLock:
    """A lease on an empty blob that exists while the lease is held. Deleting the blob releases the lease and leaves nothing.

    While a job fails its blob stays, and its metadata say how often it failed and when it is tried next. They may be lost.

    Only the holder can delete a leased blob, so no other lease is released by mistake. The lease id is chosen here, so
    that a request that is repeated after a lost answer is for the same lease.
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
        """Acquire the lease; see `leases.Lock`."""
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
                        raise TakenError("another worker holds the lease") from None
                    raise
                else:
                    return NO_FAILURES if made else _failures(self._blob.get_blob_properties().metadata)
        raise TakenError(
            "other workers held the lease just now"
        )  # and released it between our creating and acquiring it

    def renew(self) -> None:
        """Renew the lease for another TERM; see `leases.Lock`. There is no retry, because the caller knows when to try again."""
        with self._errors(f"the lease {self._blob.blob_name}"), _lease_errors():
            self._lease.renew(retry_total=0)

    def release(self, failures: Failures) -> None:
        """Release the lease; see `leases.Lock`."""
        with self._errors(f"the lease {self._blob.blob_name}"), _lease_errors():
            if failures == NO_FAILURES:
                self._blob.delete_blob(lease=self._lease)
                return
            kept = {_COUNT: str(failures.count), _NOT_BEFORE: str(int(failures.not_before))}
            self._blob.set_blob_metadata(kept, lease=self._lease)
            self._lease.release()

    def _make(self, *, container: bool) -> None:
        try:
            if container:  # infra/ creates it; on a laptop it may be missing
                self._container.create_container()
            self._blob.upload_blob(b"", overwrite=False)
        except HttpResponseError as error:
            if error.status_code not in (409, 412):  # another worker created it, and may hold it already
                raise


def _failures(metadata: object) -> Failures:
    """Read the metadata that a holder left. Anything else counts as no failure."""
    kept = metadata if isinstance(metadata, Mapping) else {}
    try:
        return Failures(max(0, int(kept.get(_COUNT, 0))), max(0, int(kept.get(_NOT_BEFORE, 0))))
    except (TypeError, ValueError):
        return NO_FAILURES


@contextmanager
def _lease_errors() -> Iterator[None]:
    """Translate the refusal of a request that names a lease: the blob is gone or has another lease, or the lease was broken."""
    try:
        yield
    except HttpResponseError as error:
        if error.status_code in (404, 409, 412):
            raise TakenError(f"the lease is gone: {code_of(error)}") from None
        raise


def code_of(error: AzureError) -> str:
    """Return storage's error code; empty if storage did not answer."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))
