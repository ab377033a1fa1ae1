"""A command on a pseudo terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

from sandbox.cloud import Cloud
from tests.conftest import ROOT


class Terminal:
    """A command on a pseudo terminal: stdin, stdout and stderr."""

    def __init__(self, cloud: Cloud, *argv: str, env: Mapping[str, str], columns: int = 200) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._fd = ours
        clean = {
            "TERM": "xterm",
            "COLUMNS": "",
        }  # pytest sets COLUMNS, which takes precedence over the terminal's width
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *argv],
            env=cloud.environment("operator") | clean | dict(env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def until(self, words: str) -> None:
        """Read until these words are seen."""
        while words not in self.seen:
            assert self._read(), f"ended without {words!r}:\n{self.seen}"

    def _read(self) -> bool:
        assert select.select([self._fd], [], [], 60)[0], self.seen
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # Linux's end of file on a terminal
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def type(self, text: str) -> None:
        """As if typed."""
        os.write(self._fd, text.encode())

    def interrupt(self, *, hidden: bool = False) -> None:
        """Ctrl-C, and again if nothing happens: one that comes just before CPython blocks in a read waits for it.

        A `hidden` prompt does not show it.
        """
        self.type("\x03")
        if not hidden:
            self.until("^C")
        while not select.select([self._fd], [], [], 2)[0]:
            self.type("\x03")

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self._process.wait()

    def close(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.wait()
        os.close(self._fd)


_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""
