"""The identity behind all clients: its requests end, go to no proxy, are made once, and a broken credential is replaced."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError

from function_app.azure.identity import FAILURES, Identity, identity
from tests.function_app.conftest import SignedIn

SCOPE = "https://vault.azure.net/.default"
SHORT = {"connection_timeout": 0.2, "read_timeout": 0.2, "retry_total": 1, "retry_backoff_factor": 0, "timeout": 5}
GOOD = {"access_token": "token", "expires_on": "2147483648", "expires_in": "86400", "token_type": "Bearer"}
ANSWER = (200, json.dumps(GOOD | {"resource": SCOPE}))


class Endpoint(ThreadingHTTPServer):
    """The identity endpoint of a function app, with the answer that is set."""

    answer: tuple[int, str] = ANSWER

    def __init__(self) -> None:
        this = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = this.answer
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        yield server
        server.shutdown()


@pytest.mark.parametrize("managed", [True, False], ids=["the app", "a virtual machine"])
def test_no_proxy_is_asked_for_a_token(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, *, managed: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    if not managed:
        monkeypatch.delenv("IDENTITY_ENDPOINT")
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{endpoint.server_port}")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
    assert identity(managed=managed, limits=SHORT).get_token(SCOPE).token == "token"


def test_an_identity_endpoint_that_never_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        with pytest.raises(AzureError):
            identity(managed=True, limits=SHORT).get_token(SCOPE)


@pytest.mark.parametrize("answer", [(500, "<html>busy</html>"), (200, "<html>busy</html>"), (429, "{}")])
def test_a_page_instead_of_a_token_is_an_error_and_heals(endpoint: Endpoint, answer: tuple[int, str]) -> None:
    found = identity(managed=True, limits=SHORT)
    endpoint.answer = answer
    for _ in range(FAILURES):
        with pytest.raises(AzureError):
            found.get_token(SCOPE)
    endpoint.answer = ANSWER
    assert found.get_token(SCOPE).token == "token"


class Broken(SignedIn):
    """Never works again."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        raise ClientAuthenticationError("stale")


class Working(SignedIn):
    """Counts how often it is asked."""

    asked = 0

    def get_token(self, *_: str, **__: object) -> AccessToken:
        self.asked += 1
        return super().get_token()


@pytest.mark.parametrize("times", [[], [1_800_000_000.0]], ids=["", "the clock is set back after the first failure"])
def test_a_credential_that_keeps_failing_is_created_again(times: list[float]) -> None:
    created, clock = iter([Broken(), Working()]), iter(times)
    found = Identity(lambda: next(created), now=lambda: next(clock, 1_700_000_000.0))
    for _ in range(FAILURES):
        with pytest.raises(ClientAuthenticationError):
            found.get_token(SCOPE)
    assert found.get_token(SCOPE).token == "token"


def test_threads_share_a_token_of_one_service_and_a_challenge_gets_a_new_one() -> None:
    working = Working()
    found = Identity(lambda: working)
    threads = [threading.Thread(target=found.get_token, args=(SCOPE,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert working.asked == 1
    found.get_token("https://cognitiveservices.azure.com/.default")
    found.get_token(SCOPE, claims="{}")
    assert working.asked == 3


def test_a_thread_that_waited_for_a_failure_does_not_ask_again() -> None:
    waiting = threading.Event()
    errors: list[AzureError] = []

    def now() -> float:
        if threading.current_thread() is not threading.main_thread():
            waiting.set()
        return 0.0

    class Once(Broken):
        asked = 0

        def get_token(self, *_: str, **__: Any) -> AccessToken:
            self.asked += 1
            second.start()
            assert waiting.wait(30)
            raise ClientAuthenticationError("not signed in")

    def ask() -> None:
        with pytest.raises(ClientAuthenticationError) as caught:
            found.get_token(SCOPE)
        errors.append(caught.value)

    once = Once()
    found = Identity(lambda: once, clock=now)
    second = threading.Thread(target=ask)
    ask()
    second.join()
    assert (once.asked, len(errors)) == (1, 2)
