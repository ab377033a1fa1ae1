"""The storage account through Microsoft's SDKs, in the sandbox and in Azurite: leases, their loss and renewal, and how deep
a queue is."""

import base64
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

import sandbox.azure.storage
import tests.storage.azurite
from function_app.azure.leases import NO_FAILURES, Failures, Lease, held
from function_app.azure.storage import LEASES, BlobLock, Connection, Storage
from function_app.errors import SettingsError, StorageError, TakenError
from function_app.functions import QUEUE, STORAGE
from sandbox.cloud import Cloud
from tests.storage.azurite import Azurite, connection

LONG = 30.0  # seconds to wait at most for what another thread is about to do
JOB = "ftjob-7"
BLOB = f"{JOB}.lease"


class InSandbox:
    """The sandbox's own account, seen from outside the app."""

    account = sandbox.azure.storage.ACCOUNT

    def __init__(self, cloud: Cloud) -> None:
        self._storage = cloud.world.storage

    def blobs(self) -> list[str]:
        return [*self._storage.containers[LEASES]]

    def end_lease(self) -> None:
        """Break the lease on JOB off, as a person can do in the portal."""
        self._storage.break_lease(LEASES, BLOB)

    def remove(self) -> None:
        """Delete the blob of JOB, or without one the container."""
        if not self._storage.containers[LEASES].pop(BLOB, None):
            del self._storage.containers[LEASES]


class InAzurite:
    """Azurite's, with its key."""

    account = tests.storage.azurite.ACCOUNT

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def blobs(self) -> list[str]:
        return [*self._container.list_blob_names()]

    def end_lease(self) -> None:
        BlobLeaseClient(self._container.get_blob_client(BLOB)).break_lease(0)

    def remove(self) -> None:
        try:
            self._container.delete_blob(BLOB)
        except ResourceNotFoundError:
            self._container.delete_container()


Place = InSandbox | InAzurite


@pytest.fixture(params=["sandbox", "azurite"])
def place(request: pytest.FixtureRequest, cloud: Cloud) -> Iterator[Place]:
    """Microsoft's emulator and ours. If they differ, ours is wrong."""
    if request.param == "sandbox":
        yield InSandbox(cloud)
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as account:
        container = account.get_container_client(LEASES)
        with suppress(ResourceExistsError):
            container.create_container()
        yield InAzurite(container)
        for blob in container.list_blob_names():
            with suppress(ResourceExistsError):
                BlobLeaseClient(container.get_blob_client(blob)).break_lease(0)
            container.delete_blob(blob)


@pytest.fixture
def connect(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Storage]:
    """Each call is another worker, as the app's managed identity."""
    inside = cloud.environment("function-app")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, inside[name])
    return lambda account: Storage(Connection.read(STORAGE, inside | connection(account)))


@pytest.fixture
def storage(place: Place, connect: Callable[[str], Storage]) -> Iterator[Storage]:
    with closing(connect(place.account)) as storage:
        yield storage


@pytest.fixture
def other(place: Place, connect: Callable[[str], Storage]) -> Iterator[Storage]:
    with closing(connect(place.account)) as storage:
        yield storage


@pytest.fixture
def queue(azurite: Azurite, cloud: Cloud) -> Iterator[QueueClient]:
    """The queue as the host sees it."""
    encode = TextBase64EncodePolicy()
    with QueueClient.from_connection_string(azurite.connection_string, QUEUE, message_encode_policy=encode) as queue:
        queue.create_queue()
        yield queue
        queue.delete_queue()


def lock_of(storage: Storage) -> BlobLock:
    return BlobLock(storage._leases, storage._leases.get_blob_client(BLOB), storage._errors)


def eventually(lease: Lease) -> bool:
    """Whether it is lost soon, asked again and again as a writer does between rows."""
    pause = threading.Event()
    return any(lease.lost() or pause.wait(0.02) for _ in range(int(LONG / 0.02)))


def test_a_name_recorded_by_one_worker_is_visible_to_others(storage: Storage, other: Storage, place: Place) -> None:
    names = ["api.wandb.ai/acme/a%20b/ftjob-7", "api.wandb.ai/acme/ü/ftjob-7"]
    with storage.lease(JOB):
        assert storage.deleted.known() == frozenset(), "a lease is none"
        for name in (*names, names[0]):
            storage.deleted.note(name)
    assert other.deleted.known() == {*names}
    assert len(place.blobs()) == 2


def test_a_missing_container_has_no_names_and_is_created_for_a_lease(storage: Storage, place: Place) -> None:
    place.remove()
    assert storage.deleted.known() == frozenset()
    with storage.lease(JOB) as lease:
        assert (lease.lost(), place.blobs()) == (False, [BLOB])
        storage.deleted.note("a")
        storage.finished.note("b")
    assert [*storage.deleted.known(), *storage.finished.known()] == ["a", "b"]


# --- leases


def test_of_two_workers_one_gets_a_job_and_the_other_afterwards(storage: Storage, other: Storage, place: Place) -> None:
    with storage.lease(JOB) as lease:
        with pytest.raises(TakenError, match="another worker"), other.lease(JOB):
            raise AssertionError("two have it")
        with other.lease("ftjob-8") as lease_too:
            assert not lease_too.lost()
        assert not lease.lost()
    with other.lease(JOB) as lease:
        assert not lease.lost()


def test_no_lease_remains_even_if_the_work_fails(storage: Storage, place: Place) -> None:
    with storage.lease(JOB):
        assert place.blobs() == [BLOB]
    with pytest.raises(ZeroDivisionError), storage.lease(JOB):
        raise ZeroDivisionError
    assert place.blobs() == []


def test_failures_stay_with_the_lease_until_an_attempt_succeeds(storage: Storage, other: Storage, place: Place) -> None:
    with storage.lease(JOB) as lease:
        lease.failures = Failures(3, 1_900_000_000)
        assert other.failures() == {}
    assert other.failures() == {JOB: Failures(3, 1_900_000_000)}
    with other.lease(JOB) as lease:
        assert lease.failures == Failures(3, 1_900_000_000)
        lease.failures = NO_FAILURES
    assert storage.failures() == {}
    assert place.blobs() == []


def test_a_lease_ends_by_itself_when_its_holder_was_killed(storage: Storage, other: Storage, place: Place) -> None:
    """The service ends it after a minute. Here it is broken, which has the same effect."""
    lock_of(storage).acquire()
    with pytest.raises(TakenError), other.lease(JOB):
        raise AssertionError("two have it")
    place.end_lease()
    with other.lease(JOB) as lease:
        assert not lease.lost()


def test_a_lease_taken_by_another_is_lost_and_not_released(storage: Storage, other: Storage, place: Place) -> None:
    with held(lock_of(storage), JOB, renew_every=0.05) as lease:
        place.end_lease()
        with other.lease(JOB) as others:
            assert eventually(lease)
            assert not others.lost()
            with pytest.raises(TakenError, match="LeaseIdMismatch"):
                lock_of(storage).release(NO_FAILURES)
            assert place.blobs() == [BLOB]


def test_a_lease_whose_blob_somebody_deleted_is_lost(storage: Storage, place: Place) -> None:
    with held(lock_of(storage), JOB, renew_every=0.05) as lease:
        place.end_lease()
        place.remove()
        assert eventually(lease)


@pytest.mark.parametrize("job", ["../escape", "a/b", "..", "naïve job?x=1#y", "%2e"])
def test_every_id_gives_a_unique_valid_name(job: str, storage: Storage, other: Storage, place: Place) -> None:
    with storage.lease(job):
        assert len(place.blobs()) == 1
        with pytest.raises(TakenError), other.lease(job):
            raise AssertionError("two have it")


def test_the_depth_of_the_queue_is_read_from_the_account(cloud: Cloud, connect: Callable[[str], Storage]) -> None:
    cloud.world.storage.queues[QUEUE] = 77
    with closing(connect(sandbox.azure.storage.ACCOUNT)) as storage:
        assert storage.depth(QUEUE) == 77
    assert cloud.counts["Queue_GetProperties"] == 1


@pytest.mark.parametrize("place", ["azurite"], indirect=True)
def test_the_depth_includes_waiting_and_processed_messages(storage: Storage, queue: QueueClient) -> None:
    assert storage.depth(QUEUE) == 0
    for number in range(40):
        queue.send_message(f"m{number}")
    assert storage.depth(QUEUE) == 40
    for taken in queue.receive_messages(max_messages=5, visibility_timeout=600):
        queue.delete_message(taken)
        break
    assert storage.depth(QUEUE) == 39
    queue.send_message("later", visibility_timeout=600)
    assert storage.depth(QUEUE) == 40


# --- what goes wrong


def test_a_missing_connection_is_an_error_that_says_how_to_set_it() -> None:
    with pytest.raises(SettingsError, match="AzureWebJobsStorage is not set") as caught:
        Connection.read(STORAGE, {"AzureWebJobsStorage__blobServiceUri": "https://st.blob.core.windows.net"})
    assert "UseDevelopmentStorage=true" in caught.value.hint


@pytest.mark.parametrize("string", ["AccountKey=c2VjcmV0", "nonsense", "AccountName=a;AccountKey=c2VjcmV0;Blob"])
def test_the_error_for_a_malformed_connection_string_does_not_contain_its_key(string: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Storage(Connection.read(STORAGE, {STORAGE: string}))
    assert "c2VjcmV0" not in str(caught.value) + caught.value.hint
    assert "c2VjcmV0" not in repr(Connection.read(STORAGE, {STORAGE: string}))


def test_the_ways_to_name_an_account() -> None:
    """As the Functions host reads them."""
    with closing(Storage(Connection.read(STORAGE, {STORAGE: "UseDevelopmentStorage=true"}))) as local:
        assert local._leases.url == f"http://127.0.0.1:10000/devstoreaccount1/{LEASES}"
    named = Connection.read(STORAGE, {"AzureWebJobsStorage__accountName": "st", "AzureWebJobsStorage__clientId": "me"})
    assert (named.blobs, named.queues) == ("https://st.blob.core.windows.net", "https://st.queue.core.windows.net")
    assert (named.managed_identity, named.client_id) == (False, "me")


def test_a_connection_string_works_too(azurite: Azurite, cloud: Cloud, queue: QueueClient) -> None:
    with closing(Storage(Connection.read(STORAGE, {STORAGE: azurite.connection_string}))) as storage:
        assert storage.depth(QUEUE) == 0
        with storage.lease(JOB) as lease:
            assert not lease.lost()


def test_a_refusal_of_storage_is_temporary_and_no_work_happens_without_a_lease(azurite: Azurite, cloud: Cloud) -> None:
    other_key = base64.b64encode(bytes(32)).decode()
    wrong = re.sub("AccountKey=[^;]+", f"AccountKey={other_key}", azurite.connection_string)
    with (
        closing(Storage(Connection.read(STORAGE, {STORAGE: wrong}))) as storage,
        pytest.raises(StorageError, match="Storage refuses the lease ftjob-7") as caught,
        storage.lease(JOB),
    ):
        raise AssertionError("worked without a lease")
    assert caught.value.retry


def test_an_identity_without_a_token_has_its_own_error(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "of another app")
    with pytest.raises(StorageError, match="sign in") as caught:
        lock_of(storage).renew()  # which is tried once; the others take ten seconds to give up
    assert "identity" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AuthorizationPermissionMismatch", "'Storage Blob Data Owner' and 'Storage Queue Data Contributor'"),
        ("AuthorizationFailure", "network rules"),
        ("KeyBasedAuthenticationNotPermitted", "Set AzureWebJobsStorage__blobServiceUri"),
    ],
)
def test_a_refusal_that_azurite_does_not_know_has_its_remedy(code: str, remedy: str, storage: Storage) -> None:
    """The codes are Microsoft's (Blob Storage, error codes); they reach people through the same words."""
    refusal = HttpResponseError("This request is not authorized.")
    refusal.status_code = 403
    refusal.error_code = code  # type: ignore[attr-defined] # as the storage SDK sets it
    with pytest.raises(StorageError, match=code) as caught, storage._errors("the lease of ftjob-7"):
        raise refusal
    assert remedy in caught.value.hint
