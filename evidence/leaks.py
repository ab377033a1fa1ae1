"""Looks for secrets in everything that a command leaves or shows: streams, files, processes, requests."""

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
from urllib.parse import quote

from sandbox.runtime.http import Call, Caller, Operation, Reply, Service
from sandbox.world import World

from .processes import lineage

_PIECE = 16
"""Characters: so much of a secret is taken for the secret."""

_LOOK_EVERY = 0.02  # seconds, at processes and files


@dataclass(frozen=True)
class Secret:
    """Something that may be in requests where `may` says so, and nowhere else.

    `inherited`: the person puts it into the command's environment, whose children get it without our doing.
    """

    name: str
    value: str
    may: Callable[[Call, bytes], bool] = lambda call, part: False
    inherited: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """All its forms."""
        return re.compile(b"|".join(re.escape(form) for form in self.forms()))

    def forms(self) -> Iterator[bytes]:
        """How it may be written: any piece of it, quoted, in base64 at any offset, as in basic auth with any short name."""
        value = self.value.encode()
        for start in range(max(1, len(value) - _PIECE + 1)):
            yield value[start : start + _PIECE]
        yield quote(self.value, safe="").encode()
        for offset in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                # Without the characters that depend on what stands before and after it.
                yield encode(b"\0" * offset + value)[4 if offset else 0 :][: len(value) // 3 * 4 - 4]


@dataclass
class Leaks:
    """What was found, each once, and the secrets that are looked for."""

    secrets: tuple[Secret, ...]
    found: set[str] = field(default_factory=set)
    looked_at: int = 0
    """Bytes."""

    def look(self, data: bytes, where: str, but: Callable[[Secret], bool] = lambda secret: False) -> None:
        """Look into some bytes for all secrets but some."""
        self.looked_at += len(data)
        for secret in self.secrets:
            if secret.pattern.search(data) and not but(secret):
                self.found.add(f"{secret.name} in {where}")


class Watched:
    """A service of the sandbox that has its requests looked at as they come, before anything is masked."""

    def __init__(self, service: Service, leaks: Leaks) -> None:
        self._service = service
        self._leaks = leaks
        self.name = service.name
        self.operations = service.operations

    def serves(self, host: str) -> bool:
        """See Service."""
        return self._service.serves(host)

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """See Service."""
        return self._service.identify(operation, call)

    def authenticate(self, call: Call) -> Caller | None:
        """See Service; every request to an operation comes by here."""
        self._look(call)
        return self._service.authenticate(call)

    def unknown(self, call: Call) -> Reply:
        """See Service; every other request comes by here."""
        self._look(call)
        return self._service.unknown(call)

    def malformed(self, call: Call, why: str) -> Reply:
        """See Service."""
        return self._service.malformed(call, why)

    def _look(self, call: Call) -> None:
        where = f"a request: {call.method} {call.host}{call.path}"
        self._leaks.look(call.url.encode(), f"{where}, its address")
        for name, value in call.headers.items():
            part = name.encode()
            self._leaks.look(_readable(value), f"{where}, header {name}", lambda s, part=part: s.may(call, part))  # type: ignore[misc] # bound at once
        self._leaks.look(call.body, f"{where}, its body", lambda s: s.may(call, b""))


def _readable(header: str) -> bytes:
    """A header with what basic auth says, whatever stands before it."""
    scheme, _, value = header.partition(" ")
    said = b""
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            said = base64.b64decode(value)
    return header.encode("latin-1") + b" " + said


def watch_requests(world: World, leaks: Leaks) -> None:
    """Have every request to a world looked at."""
    world.services = [Watched(each, leaks) for each in world.services]


class Watch:
    """Looks at a process, all its descendants and some directories for as long as the process lives.

    Children are looked at by their arguments and their environment, the process itself by its arguments: its environment
    is what the person gave it. `given` says of which children that is true, too.
    """

    def __init__(
        self, pid: int, directories: Iterable[Path], leaks: Leaks, given: Callable[[str], bool] = lambda name: False
    ) -> None:
        self._given = given
        self._pid = pid
        self._directories = tuple(directories)
        self._leaks = leaks
        self._seen: dict[Path, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.processes: dict[int, str] = {}

    def __enter__(self) -> "Watch":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        """End, with one more look at the files."""
        self._stop.set()
        self._thread.join()
        self._files()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._processes()
            self._files()
            self._stop.wait(max(_LOOK_EVERY, time.monotonic() - began))  # half of the time at most

    def _processes(self) -> None:
        for root in {self._pid, *self.processes}:  # one whose parent has gone is still ours
            for pid in lineage(root):
                # Read first: a child that has not become another program yet is still its parent, environment and all.
                arguments = _content(Path(f"/proc/{pid}/cmdline"))
                environment = _content(Path(f"/proc/{pid}/environ"))
                if arguments:
                    self._process(pid, arguments, environment)

    def _process(self, pid: int, arguments: bytes, environment: bytes) -> None:
        name = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
        self.processes[pid] = name
        self._leaks.look(arguments, f"the arguments of {name[:80]}")
        if name != self.processes.get(self._pid) and not self._given(name):
            self._leaks.look(environment, f"the environment of {name[:80]}", lambda secret: secret.inherited)

    def _files(self) -> None:
        for path in (
            Path(folder, name) for each in self._directories for folder, _, names in os.walk(each) for name in names
        ):
            with contextlib.suppress(OSError):  # it has just gone
                about = path.stat()
                now = (about.st_mtime_ns, about.st_size)
                if stat.S_ISREG(about.st_mode) and self._seen.get(path) != now:
                    self._seen[path] = now
                    self._leaks.look(path.read_bytes(), f"the file {path.name}")
                    if path.name in (".netrc", "_netrc"):
                        self._leaks.found.add(f"a {path.name}")


def _content(path: Path) -> bytes:
    """A file's bytes; none of one that has just gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
