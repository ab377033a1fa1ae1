"""The server: finds the service by host name and the operation by path, and adds faults, counts and the trace."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from sandbox.runtime.events import Events
from sandbox.runtime.faults import Do, Faults, Gate, refusal
from sandbox.runtime.http import Call, MalformedBodyError, Operation, Reply, Service, ServiceError
from sandbox.runtime.trace import Exchange, Trace, masked_request, masked_response

_DESCRIBED = ("arm", "keyvault", "openai")  # services with an official description: their bodies are kept whole


class World(Protocol):
    """The part of the world that the server uses."""

    faults: Faults
    events: Events
    gate: Gate
    latency: float
    trace: Trace
    unmodelled: list[str]

    @property
    def services(self) -> Iterable[Service]:
        """Every stand-in, found by host name."""

    def virtual_time(self) -> str:
        """Now, as ISO."""

    def local(self, call: Call) -> Reply | None:
        """The answer to a plain request on loopback: token endpoints, control, pages. None: not one of these."""


class ConnectionBroken(Exception):  # noqa: N818 - not an error: the connection is to be broken
    """The connection must be broken now."""


class Server:
    """An ASGI application for both listeners: TLS (behind the relay) and plain HTTP on loopback."""

    def __init__(self, world: Callable[[], World], abort: Callable[[int], None]) -> None:
        self._world = world
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        world = self._world()
        world.events.run_due()
        call = _call(request, body)
        if scope["scheme"] == "http":
            reply = world.local(call)
            if reply is not None:
                await _send(reply.status, reply.headers, _bytes(reply), send)
                return
        try:
            await self._exchange(world, call, send)
        except ConnectionBroken:
            port = scope["client"][1]
            self._abort(port)

    async def _exchange(self, world: World, call: Call, send: Send) -> None:
        service = next((s for s in world.services if s.serves(call.host)), None)
        if service is None:
            await _send(421, {}, [b""], send)
            return
        gate = world.gate
        held = gate.meet(_name(service, call))
        if held and not gate.acted:
            await gate.hold()
            raise ConnectionBroken
        started = time.monotonic()
        if world.latency:
            await asyncio.sleep(world.latency)
        name, write, call, reply, do = await _answer(world, service, call)
        reply = replace(reply, headers={"date": _http_date(world.virtual_time()), **reply.headers})
        keep = service.name in _DESCRIBED
        chunks = _bytes(reply)
        known = b"".join(chunks) if isinstance(chunks, list) else None
        lost = held or (do is not None and (do.reset or do.lost_response))
        world.trace.add(
            Exchange(
                service=service.name,
                operation=name,
                write=write,
                caller=call.caller.name if call.caller else "",
                at=world.virtual_time(),
                seconds=time.monotonic() - started,
                request=masked_request(call, keep=keep),
                fault=do is not None,
                response=masked_response(0 if lost else reply.status, reply.headers, known, call.host, keep=keep),
            )
        )
        if held:
            await gate.hold()
        if lost:
            raise ConnectionBroken
        await self._reply(reply, chunks, do, send)

    async def _reply(self, reply: Reply, chunks: Iterable[bytes], do: Do | None, send: Send) -> None:
        if do is not None and do.malformed_json:
            chunks = [b'{"value": [']
        if do is not None and do.cut_body is not None:
            whole = b"".join(chunks)
            headers = {**reply.headers, "content-length": str(len(whole))}
            await _send(reply.status, headers, [whole[: do.cut_body]], send, more=True)
            await asyncio.sleep(0.02)  # so that the client has the first part before the connection breaks
            raise ConnectionBroken
        await _send(reply.status, reply.headers, chunks, send, drip=do.drip if do is not None else 0.0)


def _http_date(iso: str) -> str:
    """The Date header, by the virtual clock. A program that reads the service's time from it gets the time of its bodies."""
    return format_datetime(datetime.fromisoformat(iso).astimezone(UTC), usegmt=True)


def _call(request: Request, body: bytes) -> Call:
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1")
    headers = {k.lower(): v for k, v in request.headers.items()}
    host = headers.get("host", "").removesuffix(":443").lower()
    return Call(
        method=request.method,
        host=host,
        path=path,
        query={k.lower(): v for k, v in parse_qsl(query, keep_blank_values=True)},
        headers=headers,
        body=body,
        url=f"{request.scope['scheme']}://{host}{path}" + (f"?{query}" if query else ""),
    )


def _find(service: Service, call: Call) -> tuple[Operation, dict[str, str]] | None:
    for operation in service.operations:
        if operation.method == call.method and (match := operation.pattern.fullmatch(call.path)):
            return operation, {k: unquote(v) for k, v in match.groupdict().items()}
    return None


def _name(service: Service, call: Call) -> str:
    """Return the name under which a request is counted, for any sender."""
    found = _find(service, call)
    if found is None:
        return "Unmodelled"
    try:
        return service.identify(found[0], call)[0]
    except MalformedBodyError:
        return found[0].id


async def _answer(world: World, service: Service, call: Call) -> tuple[str, bool, Call, Reply, Do | None]:
    """Return the operation's name, whether it writes, the call with its caller, the reply, and the fault that was met."""
    found = _find(service, call)
    if found is None:
        world.unmodelled.append(f"{call.method} {call.host}{call.path}")
        return "Unmodelled", False, call, service.unknown(call), None
    operation, params = found
    call = replace(call, params=params)
    name, write = operation.id, operation.writes
    try:
        call = replace(call, caller=service.authenticate(call))
        name, write = service.identify(operation, call)
    except ServiceError as refused:
        return name, write, call, refused.reply, None
    except MalformedBodyError as error:
        return name, write, call, service.malformed(call, str(error)), None
    world.events.before(name, call)
    if not service.serves(call.host):
        raise ConnectionBroken  # an event removed the host
    do = world.faults.meet(name, call)
    reply = await _act(service, operation, call, do)
    if isinstance(reply.body, (dict, list)):
        reply = replace(reply, body=_json(reply.body))  # the state as it was before the events that follow
    if not write:
        reply = world.faults.answer(do, call, reply)
    world.events.after(name, call)
    return name, write and not (do is not None and do.reset), call, reply, do


async def _act(service: Service, operation: Operation, call: Call, do: Do | None) -> Reply:
    """The service's reply, or the fault's in its place."""
    if do is not None and do.delay:
        await asyncio.sleep(do.delay)
    if do is not None and (do.status is not None or do.reset):
        return refusal(do)
    try:
        return operation.handle(call)
    except ServiceError as refused:
        return refused.reply
    except MalformedBodyError as error:
        return service.malformed(call, str(error))


def _bytes(reply: Reply) -> list[bytes] | Iterator[bytes]:
    if reply.body is None:
        return [b""]
    if isinstance(reply.body, bytes):
        return [reply.body]
    if isinstance(reply.body, (dict, list)):
        return [_json(reply.body)]
    return reply.body


def _json(body: dict[str, Any] | list[Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


async def _send(
    status: int,
    headers: Mapping[str, str],
    chunks: Iterable[bytes],
    send: Callable[..., Awaitable[None]],
    *,
    more: bool = False,
    drip: float = 0.0,
) -> None:
    pairs = {"content-type": "application/json; charset=utf-8"} | {k.lower(): v for k, v in headers.items()}
    if isinstance(chunks, list):
        pairs.setdefault("content-length", str(sum(map(len, chunks))))
    encoded = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    for chunk in chunks if not drip else (bytes([byte]) for part in chunks for byte in part):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(drip)
    if not more:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
