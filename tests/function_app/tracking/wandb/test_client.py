"""W&B's GraphQL endpoint: refusals by status and code, waits that end, and a key that goes to one host."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from function_app.azure.leases import STOP_BEFORE
from function_app.errors import KeyRefusedError, RunDeletedError, WandbBusyError, WandbError
from function_app.tracking.wandb.client import BY_HAND, LIMITS, ROWS_TIMEOUT, Limits, WandbClient

SERVER = "https://wandb.contoso.example"
Answer = Callable[[httpx2.Request], httpx2.Response]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def client(answer: Answer, clock: Clock | None = None, limits: Limits = LIMITS) -> WandbClient:
    """A client whose requests are answered here."""
    clock = clock or Clock()
    transport = httpx2.MockTransport(answer)
    return WandbClient(SERVER, limits=limits, transport=transport, sleep=clock.sleep, clock=lambda: clock.now)


def refused(status: int, message: str = "", code: str | None = None, **headers: str) -> Answer:
    error = {"message": message, "extensions": {"code": code}}
    return lambda _: httpx2.Response(status, json={"errors": [error], "data": None}, headers=headers)


def ask(answer: Answer, clock: Clock | None = None, limits: Limits = LIMITS) -> dict[str, Any]:
    return client(answer, clock, limits).graphql("k" * 40, "query Q { viewer { entity } }", {"a": 1})


def test_the_answers_data_is_returned_and_the_key_is_sent_as_basic_password() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert (str(request.url), json.loads(request.content)["variables"]) == (f"{SERVER}/graphql", {"a": 1})
        assert request.headers["authorization"].startswith("Basic ")
        return httpx2.Response(200, json={"data": {"viewer": {"entity": "acme"}}})

    assert ask(answer) == {"viewer": {"entity": "acme"}}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refused(401, "user is not logged in"), KeyRefusedError, "does not accept the API key"),
        (refused(403, "permission denied"), WandbError, "may not do this"),
        (refused(200, "permission denied", "PERMISSION_ERROR"), WandbError, "may not do this"),
        (refused(404, "entity acme not found"), WandbError, "does not know the entity or project"),
        (refused(409, "run was previously created and deleted"), RunDeletedError, "deleted in W&B"),
        (refused(400, "Cannot query field 'x'"), WandbError, "Cannot query field 'x'"),
        # Digits and words in a message must not decide: these are the job's name, not the refusal.
        (refused(400, "invalid run name 'not found 401 permission denied'"), WandbError, "HTTP 400"),
        (refused(200, "something broke"), WandbBusyError, "something broke"),
        (lambda _: httpx2.Response(403, json={"error": "the quota is used up"}), WandbError, "the quota is used up"),
        (lambda _: httpx2.Response(400, json={"errors": ["bad filter"]}), WandbError, "bad filter"),
        (lambda _: httpx2.Response(400, text="bad filter"), WandbError, "bad filter"),
    ],
)
def test_a_refusal_is_classified_by_status_and_code(answer: Answer, kind: type[WandbError], words: str) -> None:
    with pytest.raises(WandbError, match=words) as caught:
        ask(answer)
    assert type(caught.value) is kind
    assert caught.value.hint or kind is RunDeletedError


def test_a_busy_server_is_retried_a_few_times_and_then_left_to_the_next_tick() -> None:
    clock = Clock()
    with pytest.raises(WandbBusyError) as caught:
        ask(refused(503, "later"), clock)
    assert caught.value.retry
    assert clock.slept == sorted(clock.slept) != []
    assert clock.now < LIMITS.give_up


def test_a_sync_by_hand_waits_until_a_window_of_rate_limits_is_over() -> None:
    clock = Clock()
    answers: Iterator[int] = iter((429, 429, 200))
    wait = {"retry-after": "60"}
    found = ask(lambda _: httpx2.Response(next(answers), json={"data": {"ok": True}}, headers=wait), clock, BY_HAND)
    assert found == {"ok": True}
    assert clock.slept == [60.0, 60.0]


def test_a_long_retry_after_is_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(WandbBusyError):
        ask(refused(429, **{"retry-after": "3600"}), clock)
    assert clock.now == 0


def test_a_server_that_does_not_answer_is_given_up_after_some_attempts() -> None:
    def hangs(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("timed out", request=request)

    with pytest.raises(WandbBusyError, match="cannot be reached") as caught:
        ask(hangs)
    assert caught.value.retry


class Drips(httpx2.SyncByteStream):
    """A body without an end, one byte a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self._clock.now += 1
            yield b" "


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_never_ends_is_given_up(status: int) -> None:
    clock = Clock()
    with pytest.raises(WandbBusyError, match="did not arrive within 1 min"):
        ask(lambda _: httpx2.Response(status, stream=Drips(clock)), clock)


def test_an_attempt_to_send_rows_ends_before_another_worker_can_hold_the_lease() -> None:
    """Its waits, one after the other: TCP and TLS have the same limit, and a body may take one more read after its limit."""
    clock, limits = Clock(), {}

    def answer(request: httpx2.Request) -> httpx2.Response:
        limits.update(request.extensions["timeout"])
        return httpx2.Response(200, stream=Drips(clock))

    with pytest.raises(WandbBusyError, match="did not arrive"):
        client(answer, clock, Limits(give_up=0)).file_stream("k" * 40, "acme/p/r", b"{}", before=lambda: None)
    waits = limits["pool"] + 2 * limits["connect"] + limits["write"] + 2 * limits["read"]
    assert clock.now + waits <= ROWS_TIMEOUT + STOP_BEFORE


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff", b"{}", b'{"data": null}'])
def test_a_successful_answer_without_data_is_a_failure(body: bytes) -> None:
    with pytest.raises(WandbBusyError, match=r"not JSON|without any data"):
        ask(lambda _: httpx2.Response(200, content=body))


@pytest.mark.parametrize("errors", ["x", {}, [], [None], [{"message": None, "extensions": []}], 7])
def test_errors_of_any_shape_are_a_refusal(errors: object) -> None:
    with pytest.raises(WandbError):
        ask(lambda _: httpx2.Response(400, json={"errors": errors}))


def test_text_from_outside_is_reduced_to_one_short_printable_line() -> None:
    with pytest.raises(WandbError) as caught:
        ask(refused(400, "\x1b[31mred\nline " + "x" * 1000))
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("date", ["now", "Mon, 30 Nov 2026 19:00:00 +99999999999999"])
def test_an_answer_with_an_unusable_date_is_used(date: str) -> None:
    assert ask(lambda _: httpx2.Response(200, json={"data": {"ok": True}}, headers={"date": date})) == {"ok": True}


def test_a_redirect_is_not_followed_so_that_the_key_stays_with_its_host() -> None:
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers={"location": "https://elsewhere.example/graphql"})

    with pytest.raises(WandbError):
        ask(answer)
    assert seen == ["wandb.contoso.example"]
