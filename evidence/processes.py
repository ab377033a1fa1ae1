"""Whole commands as child processes, which are waited for, or killed together with everything that they started."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
TIMEOUT = 700.0
"""Seconds after which a command hangs. A sync by hand waits 600 s for an upload."""


class HungError(Exception):
    """The command did not end in time and was killed."""


@dataclass(frozen=True)
class ExitedCommand:
    """How a command ended. `status` is its exit status, or minus the signal that ended it, as in subprocess."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Running:
    """A running command. `wait` returns its status, or None if it still runs after that many seconds."""

    pid: int
    wait: Callable[[float], int | None]
    out: Path
    err: Path

    def ended(self, timeout: float = TIMEOUT) -> ExitedCommand:
        """Wait for its end.

        Raises:
            HungError: it does not end.
        """
        status = self.wait(timeout)
        if status is None:
            self.kill()
            raise HungError(f"no end after {timeout:.0f} s")
        return ExitedCommand(status, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))

    def ends_before(self, happens: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
        """Return whether it ends before something happens; returns at once in both cases.

        Raises:
            HungError: neither.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if happens():
                return False
            if self.wait(0.005) is not None:
                return not happens()
        self.kill()
        raise HungError(f"neither an end nor the request after {timeout:.0f} s")

    def kill(self, first: signal.Signals = signal.SIGKILL) -> None:
        """Kill it and its descendants with SIGKILL, as a power failure would. Returns when all of them are gone.

        With another signal first, it may end by itself, as where a platform stops an instance.
        """
        family = lineage(self.pid)
        if first is not signal.SIGKILL:
            kill([self.pid], first)
            self.wait(TIMEOUT)
        kill(family, signal.SIGSTOP)  # so that none can start another one
        family += lineage(self.pid)
        kill(family)
        self.wait(TIMEOUT)
        while any(_alive(each) for each in family):
            time.sleep(0.001)


class Processes:
    """Starts commands, one at a time: forked from a process that has imported the SDKs, or (`fork` false) from scratch."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, fork: bool = True) -> None:
        self._out, self._err = directory / "command-stdout", directory / "command-stderr"
        self._environment = dict(environment)
        self._fork = fork

    def __enter__(self) -> Self:
        """Start the process to fork from."""
        if self._fork:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._parent = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-m", "evidence.forks", str(theirs.fileno())],
                    env=self._environment,
                    cwd=ROOT,
                    pass_fds=[theirs.fileno()],
                )
            self._talk = self._socket.makefile("rw")
            if self._talk.readline() != "ready\n":
                raise RuntimeError("the process to fork from did not start")
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._fork:
            self._talk.close()
            self._socket.close()
            self._parent.wait()

    def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT, *, fork: bool = True) -> Running:
        """Start `python -m ARGV` with exactly this environment; without `fork` from scratch in any case."""
        pid, wait = (self._forked if self._fork and fork else self._spawned)(list(argv), dict(env), cwd)
        return Running(pid, wait, self._out, self._err)

    def _forked(self, argv: list[str], env: dict[str, str], cwd: Path) -> tuple[int, Callable[[float], int | None]]:
        request = {"argv": argv, "env": env, "cwd": str(cwd), "out": str(self._out), "err": str(self._err)}
        self._talk.write(json.dumps(request) + "\n")
        self._talk.flush()
        status: list[int] = []

        def wait(timeout: float) -> int | None:
            if not status and select.select([self._socket], [], [], timeout)[0]:
                status.append(os.waitstatus_to_exitcode(int(self._talk.readline())))
            return status[0] if status else None

        return int(self._talk.readline()), wait

    def _spawned(self, argv: list[str], env: dict[str, str], cwd: Path) -> tuple[int, Callable[[float], int | None]]:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            began = subprocess.Popen(  # noqa: S603 - a case's command, which is ours
                [sys.executable, "-m", *argv],
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

        def wait(timeout: float) -> int | None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return began.wait(timeout)
            return None

        return began.pid, wait


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to those of these processes that exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def lineage(pid: int) -> list[int]:
    """Return a process and its descendants: wandb-core has its own session, so no process group has them all."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*"):
        if stat := _stat(int(each.name)):
            children.setdefault(int(stat[1]), []).append(int(each.name))
    family = [pid]
    for each_pid in family:
        family += children.get(each_pid, [])
    return family


def _alive(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat[0] != "Z"


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, …; nothing if the process is gone (Linux only)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []
