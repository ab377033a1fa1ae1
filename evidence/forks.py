"""Starts `python -m …` without the time for its imports: forks it from this process, which has imported the SDKs.

A forked command is a process like any other: its own session, environment, arguments, folder and files, its real entry point,
the interpreter's usual end. What an SDK reads from the environment at its import was read before the fork. processes.py starts
this program, with one end of a socket pair as its argument.
"""

import contextlib
import importlib
import json
import os
import runpy
import socket
import sys
import tempfile
import threading
from typing import Any, TextIO

_MODULES = """
provisioning.cli.commands provisioning.cli.doctor provisioning.cli.setup function_app.cli.commands
function_app.engine.engine function_app.tracking.wandb.versioned.attachments wandb.apis.public wandb.sdk.wandb_run
azure.identity azure.mgmt.authorization azure.mgmt.cognitiveservices azure.mgmt.keyvault httpcore2
openai.resources.files openai.resources.fine_tuning.jobs
"""
_IMPORTS = _MODULES.split()


def main(descriptor: int) -> None:
    """Fork and wait, one command after the other, until the other end closes.

    A request is a line with `{argv, env, cwd, out, err}`. Two lines answer it: the process id, and its status from `os.waitpid`.
    """
    for name in _IMPORTS:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("an import started a thread, which a fork would lose")
    command = None
    with contextlib.suppress(BrokenPipeError), socket.socket(fileno=descriptor) as other_end:
        command = _serve(other_end)
    if command:
        _become(**command)


def _serve(other_end: socket.socket) -> dict[str, Any] | None:
    """Return in each child the command to run; return None in this process, once the other end has closed.

    A child returns from here in the same way as this process, so it also closes the socket.
    """
    with other_end.makefile("rw") as stream:
        _send(stream, "ready")
        for line in stream:
            child = os.fork()
            if child == 0:
                command: dict[str, Any] = json.loads(line)
                return command
            _send(stream, child)
            _send(stream, os.waitpid(child, 0)[1])
    return None


def _send(stream: TextIO, word: object) -> None:
    stream.write(f"{word}\n")
    stream.flush()


def _become(argv: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> None:
    os.setsid()
    os.chdir(cwd)
    for descriptor, path, how in ((0, os.devnull, "rb"), (1, out, "wb"), (2, err, "wb")):
        with open(path, how) as opened:  # noqa: PTH123 - as a shell redirects
            os.dup2(opened.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # from TMPDIR again
    module, *sys.argv[1:] = argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
