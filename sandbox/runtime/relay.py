"""A CONNECT proxy that connects known host names to the sandbox and refuses all others, so nothing reaches the internet."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

_REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UNKNOWN = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_READY = b"HTTP/1.1 200 Connection established\r\n\r\n"
_CHUNK = 64 * 1024
_IMDS = "//169.254.169.254/"  # every credential chain tries this address, even outside virtual machines, so this is not a leak


class Relay:
    """Listens on loopback. Tunnels to the TLS port that `port_of` returns for a host, and records the names of other hosts."""

    def __init__(self, port_of: Callable[[str], int | None], denied: list[str]) -> None:
        self._port_of = port_of
        self._tunnels: dict[int, tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None
        self._denied = denied
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every tunnel."""
        if self._server:
            self._server.close()
        for port in list(self._tunnels):
            self.abort(port)

    def abort(self, client_port: int) -> None:
        """Break the tunnel whose sandbox end sees this client port, with a TCP reset on both sides."""
        for writer in self._tunnels.pop(client_port, ()):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.close()
            return
        method, where, *_ = [*head.split("\r\n", 1)[0].split(), "", ""]
        host = where.rsplit(":", 1)[0].lower()
        port = self._port_of(host) if method == "CONNECT" else None
        if port is None:
            if _IMDS not in where:
                self._denied.append(host if method == "CONNECT" else where)
            writer.write(_UNKNOWN if method == "CONNECT" else _REFUSED)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
            return
        await self._splice(reader, writer, port)

    async def _splice(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        port = far_writer.get_extra_info("sockname")[1]
        self._tunnels[port] = (writer, far_writer)
        writer.write(_READY)
        await asyncio.gather(_pump(reader, far_writer, writer), _pump(far_reader, writer, far_writer))
        self._tunnels.pop(port, None)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: asyncio.StreamWriter) -> None:
    """Carry bytes from `reader` to `writer`; `source` is the other half of the connection that is read."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            _acknowledge(source)
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        writer.close()


def _acknowledge(source: asyncio.StreamWriter) -> None:
    """Acknowledge at once: clients that write head and body apart, with Nagle on, would wait 40 ms for it each time."""
    raw = source.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_QUICKACK"):  # Linux
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
