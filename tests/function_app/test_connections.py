"""What the errors of the SDKs say about a connection: its cause in words, and whether a certificate is not trusted."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from azure.core import PipelineClient
from azure.core.exceptions import AzureError, ServiceRequestError
from azure.core.pipeline.policies import RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.keyvault.secrets import SecretClient
from requests.exceptions import InvalidURL
from urllib3 import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, IncompleteRead, LocationParseError, ReadTimeoutError

from function_app.connections import cause_of, untrusted
from sandbox.cloud import Cloud
from tests.function_app.conftest import SignedIn

POOL = HTTPSConnectionPool("kv-ml.vault.azure.net")


def secret() -> None:
    SecretClient("https://kv-ml.vault.azure.net", SignedIn(), retry_total=0).get_secret("wandb-api-key")


def jobs() -> None:
    client = openai.OpenAI(base_url="https://aoai-ml.openai.azure.com/openai/v1/", api_key="key", max_retries=0)
    client.fine_tuning.jobs.list()


def wandb() -> None:
    httpx2.post("https://api.wandb.ai/graphql")


@pytest.mark.parametrize("request_", [secret, jobs, wandb], ids=lambda each: each.__name__)
@pytest.mark.usefixtures("cloud")
def test_an_untrusted_authority_is_recognized(monkeypatch: pytest.MonkeyPatch, request_: Callable[[], None]) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name)
    with pytest.raises((AzureError, openai.APIConnectionError, httpx2.HTTPError)) as failed:
        request_()
    assert untrusted(failed.value)


def test_other_failures_are_not_recognized_as_such(cloud: Cloud) -> None:
    with pytest.raises(httpx2.HTTPError) as failed:
        httpx2.get("https://nobody.example/")
    cloud.denied.clear()
    assert not untrusted(failed.value)


def failure(address: str) -> AzureError:
    """What azure-core raises for a request."""
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(address, retry_policy=RetryPolicy(retry_total=0))
    with client, pytest.raises(AzureError) as failed:
        client.send_request(HttpRequest("GET", address))
    return failed.value


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("", "Tunnel connection failed: 502 Bad Gateway"),
        ("http://127.0.0.1:9", "Failed to establish a new connection: [Errno 111] Connection refused"),
        ("http://proxy.invalid:9", "Failed to resolve 'proxy.invalid'"),
    ],
)
def test_the_cause_is_a_sentence(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, proxy: str, words: str) -> None:
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert cause_of(failure("https://nobody.example/")).startswith(words)
    cloud.denied.clear()


def test_a_connection_that_is_closed_without_an_answer_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        pool.submit(lambda: server.accept()[0].close())  # noqa: PLW0108 (accepts in the thread)
        words = cause_of(failure(f"http://127.0.0.1:{server.getsockname()[1]}/"))
    assert words in ("Remote end closed connection without response", "[Errno 104] Connection reset by peer")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IncompleteRead(30, 12), "IncompleteRead(30 bytes read, 12 more expected)"),
        (InvalidURL(LocationParseError("'me:hunter2'")), "an address, such as that of a proxy, is not valid"),
        (ValueError(), "ValueError"),
        (ConnectTimeoutError(POOL, "timed out"), "timed out"),
        (ReadTimeoutError(POOL, "/secrets", "timed out"), "timed out"),
    ],
)
def test_the_cause_is_no_number_no_password_and_not_empty(error: Exception, words: str) -> None:
    assert cause_of(ServiceRequestError(error, error=error)) == words
