"""A command on a pseudo terminal.

`python -m tests.provisioning.terminal PATH MODULE …` makes a terminal this process's own and runs the command there.
"""

import fcntl
import os
import pty
import runpy
import select
import struct
import sys
import termios
from collections.abc import Mapping

from evidence.processes import Processes


class Terminal:
    """A command on a pseudo terminal: stdin, stdout and stderr."""

    def __init__(self, processes: Processes, env: Mapping[str, str], *argv: str, columns: int = 200) -> None:
        self._fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # pytest sets COLUMNS, which takes precedence over the terminal's width.
        env = {"TERM": "xterm", **env, "COLUMNS": ""}
        command = ["tests.provisioning.terminal", os.ttyname(theirs), *argv]
        self._process = processes.start(command, env)
        self.seen = ""
        self.until("\a")  # from here on the command is all that has the other end
        os.close(theirs)
        self.seen = self.seen.partition("\a")[2]

    def until(self, words: str) -> None:
        """Read until these words appear."""
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
        """Type the text."""
        os.write(self._fd, text.encode())

    def interrupt(self, *, hidden: bool = False) -> None:
        """Ctrl-C, and again if nothing happens: one that comes just before CPython blocks in a read waits for it.

        A `hidden` prompt does not show it.
        """
        self.type("\x03")
        if not hidden:
            self.until("^C")
        while not select.select([self._fd], [], [], 15)[0]:  # a second one during the exit would change its status
            self.type("\x03")

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self._process.ended(60).status

    def close(self) -> None:
        """Hang up."""
        self._process.kill()
        os.close(self._fd)


def main(path: str, module: str, *argv: str) -> None:
    terminal = os.open(path, os.O_RDWR)  # the first that a session opens becomes its controlling terminal
    for descriptor in range(3):
        os.dup2(terminal, descriptor)
    # A terminal's streams cannot be sought, and are written line by line.
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(each, "w" if each else "r", 1, closefd=False) for each in range(3))
    os.write(terminal, b"\a")
    sys.argv[1:] = argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
