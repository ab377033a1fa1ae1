"""Whole commands as processes of their own, to be waited for or killed together with whatever they started."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]
TIMEOUT = 240.0
"""Seconds after which a command hangs."""


class Hangs(Exception):  # noqa: N818 - it is what the command does
    """The command did not end in time; it was killed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. `status`: its exit status; negative, the signal that ended it, as in subprocess."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Running:
    """A command at work. `wait` gives its status, or None when it goes on after so many seconds."""

    pid: int
    wait: Callable[[float], int | None]
    out: Path
    err: Path

    def ended(self) -> Ended:
        """How it ended; waits for that.

        Raises:
            Hangs: it does not end.
        """
        status = self.wait(TIMEOUT)
        if status is None:
            self.kill()
            raise Hangs(f"no end after {TIMEOUT:.0f} s")
        return Ended(status, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))

    def ends_before(self, happens: Callable[[], bool]) -> bool:
        """Whether it ends by itself before something happens; returns at once in both cases.

        Raises:
            Hangs: neither.
        """
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if happens():
                return False
            if self.wait(0.005) is not None:
                return not happens()
        self.kill()
        raise Hangs(f"neither an end nor the request after {TIMEOUT:.0f} s")

    def kill(self) -> None:
        """kill -9, its descendants too: what a machine does that loses power. Returns when all of them are gone."""
        for each in lineage(self.pid):  # nobody starts another one meanwhile
            _signal(each, signal.SIGSTOP)
        family = lineage(self.pid)
        for each in family:
            _signal(each, signal.SIGKILL)
        self.wait(TIMEOUT)
        while any(_alive(each) for each in family):
            time.sleep(0.001)


class Processes:
    """Starts commands, one at a time: forked from a process that has imported the SDKs, or (`fork` false) anew."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, fork: bool = True) -> None:
        self._out, self._err = directory / "command-stdout", directory / "command-stderr"
        self._environment = dict(environment)
        self._fork = fork

    def __enter__(self) -> Self:
        """Have ready what is to be forked."""
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go."""
        if self._fork:
            self._talk.close()
            self._socket.close()
            self._parent.wait()

    def start(self, argv: Sequence[str], env: Mapping[str, str]) -> Running:
        """`python -m ARGV` with exactly this environment."""
        start = self._forked if self._fork else self._anew
        pid, wait = start(list(argv), dict(env))
        return Running(pid, wait, self._out, self._err)

    def _forked(self, argv: list[str], env: dict[str, str]) -> tuple[int, Callable[[float], int | None]]:
        ask = {"argv": argv, "env": env, "out": str(self._out), "err": str(self._err)}
        self._talk.write(json.dumps(ask) + "\n")
        self._talk.flush()
        told: list[int] = []

        def wait(timeout: float) -> int | None:
            if not told and select.select([self._socket], [], [], timeout)[0]:
                told.append(os.waitstatus_to_exitcode(int(self._talk.readline())))
            return told[0] if told else None

        return int(self._talk.readline()), wait

    def _anew(self, argv: list[str], env: dict[str, str]) -> tuple[int, Callable[[float], int | None]]:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            began = subprocess.Popen(  # noqa: S603 - a case's command, which is ours
                [sys.executable, "-m", *argv],
                env=env,
                cwd=ROOT,
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


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def lineage(pid: int) -> list[int]:
    """A process and its descendants (wandb-core has a session of its own, so that no process group has them all)."""
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
    """What Linux's /proc says of a process after its name: its state, its parent, …; nothing of one that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []
