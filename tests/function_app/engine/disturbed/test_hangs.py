"""A service that never answers: the job fails within a limit, its lease is released, and the next attempt makes it whole."""

import socket
from collections.abc import Iterator
from contextlib import nullcontext

import httpx2
import openai
import pytest
from pydantic import SecretStr

from function_app.azure.key_vault import VaultKey
from function_app.azure.leases import Lease
from function_app.azure.openai import Account
from function_app.azure.storage import Connection, Storage
from function_app.errors import AccountBusyError, StorageError, VaultBusyError
from function_app.models import Result
from function_app.tracking.wandb.client import Limits
from tests.conftest import Run
from tests.function_app.conftest import JOB, SETTINGS, STEPS, Bench, SignedIn, a_job

SHORT = Limits(connect=1.0, read=0.5, give_up=1.0, opening=4.0, closing=4.0, upload=3.0, retries=1)


@pytest.mark.parametrize(
    "operation",
    ["Run", "RunResumeStatus", "UpsertBucket", "FileStream", "CreateArtifact", "UploadFile", "UseArtifact"],
)
def test_an_unanswered_request_to_wandb_is_a_temporary_failure(bench: Bench, run: Run, operation: str) -> None:
    bench.world(a_job(), faults=[{"op": operation, "do": {"delay": 86_400.0}}])
    engine, lease = bench.engine(SHORT), Lease()
    released = []

    class Held(nullcontext[Lease]):
        def __exit__(self, *_: object) -> None:
            released.append(True)

    engine.leases = lambda job: Held(lease)
    outcome = engine.sync_job("aoai-ml", JOB)
    assert (outcome.result, outcome.final, bool(outcome.hint)) == (Result.FAILED, False, True)
    assert (released, lease.failures.count) == ([True], 1)
    bench.cloud.world.faults.faults.clear()
    bench.cloud.clock.advance(300)
    synced = run("function_app", "sync", env=SETTINGS | {"SYNC_DATASETS": "full"})  # a wandb-core that does not wait
    assert synced.returncode == 0, synced.stderr
    assert bench.steps() == STEPS
    assert bench.state() == "finished"


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        ({"op": "FineTuning_List", "do": {"drip": 0.2}}, "ANSWER_WITHIN"),
        ({"op": "Files_GetContent", "do": {"drip": 0.2}}, "ANSWER_WITHIN"),
        ({"op": "FineTuning_List", "do": {"status": 429, "headers": {"retry-after": "100"}}}, ""),
        ({"op": "FineTuning_List", "do": {"status": 503, "headers": {"retry-after-ms": "100000"}}}, ""),
    ],
)
def test_a_slow_account_is_a_temporary_failure(
    bench: Bench, fault: dict[str, object], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends one byte at a time, or asks to wait for minutes."""
    bench.world(a_job(), faults=[fault])
    with monkeypatch.context() as short:
        short.setattr("function_app.azure.answers.SLOWEST_DOWNLOAD", 1 << 60)
        if limit:
            short.setattr(f"function_app.azure.answers.{limit}", 0.5)
        [outcome] = bench.engine().sync()
    assert (outcome.result, outcome.final) == (Result.FAILED, False)
    bench.cloud.world.faults.faults.clear()
    bench.cloud.clock.advance(300)
    assert [each.final for each in bench.engine().sync()] == [True]


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


def test_a_vault_that_never_answers_is_a_temporary_error(silent: str) -> None:
    limits = {"connection_timeout": 0.2, "read_timeout": 0.2, "retry_total": 1, "retry_backoff_factor": 0}
    with pytest.raises(VaultBusyError):
        VaultKey(silent, "wandb-api-key", SignedIn(), limits=limits).get()


def test_storage_that_never_answers_is_a_temporary_error(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"connection_timeout": 0.2, "read_timeout": 0.2, "retry_total": 0}
    monkeypatch.setattr("function_app.azure.storage._OPTIONS", short)
    where = f"AccountName=a;AccountKey=a2V5;BlobEndpoint={silent}/a;QueueEndpoint={silent}/a"
    storage = Storage(Connection("AzureWebJobsStorage", SecretStr(where)))
    with pytest.raises(StorageError, match="Cannot reach"), storage.lease(JOB):
        raise AssertionError("began without the lease")
    storage.close()


def test_an_account_that_never_answers_is_an_error_for_later(silent: str) -> None:
    def client(http: httpx2.Client) -> openai.OpenAI:
        return openai.OpenAI(api_key="key", base_url=silent, http_client=http, timeout=0.2, max_retries=1)

    account = Account("aoai-ml", client)
    reads = (account.jobs, lambda: account.job(JOB), lambda: account.events(JOB), lambda: account.file("file-1"))
    for read in reads:
        with pytest.raises(AccountBusyError):
            read()
    with pytest.raises(AccountBusyError), account.content("file-1"):
        pass
