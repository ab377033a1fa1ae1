"""Starts `python -m …` without its imports: forks it from this process, which has imported the SDKs and done nothing else.

What is forked is a process like any other: a session of its own, its own environment, arguments and files, the command's
real entry point, the interpreter's usual end. processes.py starts this one, with the end of a socket pair as its argument.
"""

import contextlib
import importlib
import json
import os
import runpy
import socket
import sys
import threading
from typing import Any, TextIO

_IMPORTS = (
    "provisioning.cli.commands",
    "function_app.cli.commands",
    "function_app.engine.engine",
    "wandb.apis.public",
    "wandb.sdk.wandb_run",
    "azure.mgmt.authorization",
    "azure.mgmt.cognitiveservices",
    "azure.mgmt.keyvault",
    "httpcore2",
    "openai.resources.files",
    "openai.resources.fine_tuning.jobs",
)


def main(descriptor: int) -> None:
    """Fork and wait, one command after the other, until the other end hangs up.

    A line asks for `{argv, env, out, err}`. Two answer it: the process id, and in the end its status as `os.waitpid` has it.
    """
    for name in _IMPORTS:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("an import started a thread, which a fork would lose")
    ask = None
    with contextlib.suppress(BrokenPipeError), socket.socket(fileno=descriptor) as other_end:
        ask = _asked(other_end)
    if ask:
        _become(**ask)


def _asked(other_end: socket.socket) -> dict[str, Any] | None:
    """In each child what it is to do; None in this process, when the other end has hung up.

    The child returns from here like this process, so that it lets go of the socket as this process would.
    """
    with other_end.makefile("rw") as talk:
        _tell(talk, "ready")
        for line in talk:
            child = os.fork()
            if child == 0:
                told: dict[str, Any] = json.loads(line)
                return told
            _tell(talk, child)
            _tell(talk, os.waitpid(child, 0)[1])
    return None


def _tell(talk: TextIO, word: object) -> None:
    talk.write(f"{word}\n")
    talk.flush()


def _become(argv: list[str], env: dict[str, str], out: str, err: str) -> None:
    os.setsid()
    for descriptor, path, how in ((0, os.devnull, "rb"), (1, out, "wb"), (2, err, "wb")):
        with open(path, how) as opened:  # noqa: PTH123 - as a shell redirects
            os.dup2(opened.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(env)
    module, *sys.argv[1:] = argv
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
