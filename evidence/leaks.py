"""Searches for secrets in everything that a command leaves or shows: files, processes, requests."""

import base64
import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote

from evidence.processes import lineage
from sandbox.runtime.http import Call, Caller, Reply, Service
from sandbox.world import World

_PIECE = 16
"""Characters of a secret that count as the secret."""

_INTERVAL = 0.02  # seconds between two scans of processes and files


@dataclass(frozen=True)
class Secret:
    """A secret that may only be in requests that `may` allows.

    `may` gets the request and the name of a header, or nothing for the body. `inherited`: the caller puts the secret into
    the command's environment, and child processes inherit it without the command's doing.
    """

    name: str
    value: str
    may: Callable[[Call, bytes], bool] = lambda call, part: False
    inherited: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """A pattern for all its forms."""
        return re.compile(b"|".join(re.escape(form) for form in self.forms()))

    def forms(self) -> Iterator[bytes]:
        """Yield its possible forms: any piece of it, quoted, and in base64 at any offset, as in basic authentication."""
        value = self.value.encode()
        for start in range(max(1, len(value) - _PIECE + 1)):
            yield value[start : start + _PIECE]
        yield quote(self.value, safe="").encode()
        for offset in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                # Without the characters that depend on the bytes before and after it.
                yield encode(b"\0" * offset + value)[4 if offset else 0 :][: len(value) // 3 * 4 - 4]


@dataclass
class Leaks:
    """The secrets that are searched for, and what was found, each once."""

    secrets: tuple[Secret, ...]
    found: set[str] = field(default_factory=set)

    def search(self, data: bytes, where: str, but: Callable[[Secret], bool] = lambda secret: False) -> None:
        """Search some bytes for all secrets except those that `but` names."""
        for secret in self.secrets:
            if secret.pattern.search(data) and not but(secret):
                self.found.add(f"{secret.name} in {where}")


class _SearchedService:
    """A service of the sandbox whose requests are searched as they arrive, before anything is masked."""

    def __init__(self, service: Service, leaks: Leaks) -> None:
        self._service = service
        self._leaks = leaks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def authenticate(self, call: Call) -> Caller | None:
        """Search a request to an operation."""
        self._search(call)
        return self._service.authenticate(call)

    def unknown(self, call: Call) -> Reply:
        """Search any other request."""
        self._search(call)
        return self._service.unknown(call)

    def _search(self, call: Call) -> None:
        where = f"a request: {call.method} {call.host}{call.path}"
        self._leaks.search(call.url.encode(), f"{where}, its address")
        for name, value in call.headers.items():
            part = name.encode()
            self._leaks.search(_decoded(value), f"{where}, header {name}", lambda s, part=part: s.may(call, part))  # type: ignore[misc] # bound at once
        self._leaks.search(call.body, f"{where}, its body", lambda s: s.may(call, b""))


def _decoded(header: str) -> bytes:
    """Return a header, with the plain text of basic authentication."""
    scheme, _, value = header.partition(" ")
    plain = b""
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            plain = base64.b64decode(value)
    return header.encode("latin-1") + b" " + plain


def watch_requests(world: World, leaks: Leaks) -> None:
    """Search every request to a world."""
    world.services = [cast("Service", _SearchedService(each, leaks)) for each in world.services]


class Watch:
    """Searches a process, its descendants and some directories while the process lives.

    It searches the arguments and the environment of children, but only the arguments of the process itself, because the caller
    chose its environment.
    """

    def __init__(self, pid: int, directories: Iterable[Path], leaks: Leaks) -> None:
        self._pid = pid
        self._directories = tuple(directories)
        self._leaks = leaks
        self._seen: dict[Path, tuple[int, int]] = {}
        self.processes: dict[int, str] = {}  # their names, by process id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, after a last search of the files."""
        self._stop.set()
        self._thread.join()
        self._files()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            for root in {self._pid, *self.processes}:  # a child whose parent has ended is also searched
                for pid in lineage(root):
                    self._process(pid)
            self._files()
            self._stop.wait(max(_INTERVAL, time.monotonic() - began))  # search at most half of the time

    def _process(self, pid: int) -> None:
        # Read the arguments first: until a child becomes another program, it has its parent's arguments and
        # environment.
        arguments, environment = (_content(Path(f"/proc/{pid}/{each}")) for each in ("cmdline", "environ"))
        if not arguments:
            return
        name = self.processes[pid] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        self._leaks.search(arguments, f"the arguments of {name[:80]}")
        if name != self.processes.get(self._pid):
            self._leaks.search(environment, f"the environment of {name[:80]}", lambda secret: secret.inherited)

    def _files(self) -> None:
        for path in (
            Path(folder, name) for each in self._directories for folder, _, names in os.walk(each) for name in names
        ):
            with contextlib.suppress(OSError):  # the file was deleted just now
                about = path.stat()
                now = (about.st_mtime_ns, about.st_size)
                if stat.S_ISREG(about.st_mode) and self._seen.get(path) != now:
                    self._seen[path] = now
                    self._leaks.search(path.read_bytes(), f"the file {path.name}")
                    if path.name in (".netrc", "_netrc"):
                        self._leaks.found.add(f"a {path.name}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended just now
        return b""
