"""Standard streams, which may be closed or have an encoding that lacks characters we write."""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

_ASCII = {"→": "->", "…": "..."}
_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def stdin() -> TextIO:
    """Standard input; empty for a process that was started without one, such as a service."""
    return sys.stdin or io.StringIO()


def replace_unencodable() -> None:
    """Write ASCII instead of characters that a stream cannot encode, so that commands work in the locale "C"."""
    codecs.register_error("provisioning.ascii", _to_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="provisioning.ascii")


def _to_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (sign := _ASCII.get(error.object[error.start])):
        return sign, error.start + 1
    return codecs.backslashreplace_errors(error)


def is_write_error(error: OSError) -> bool:
    """Whether a stream failed because of a full disk or a closed terminal."""
    return error.errno in _WRITE_ERRORS


def report_write_error(error: OSError) -> None:
    """Report on stderr that stdout cannot be written, and discard the rest of the output. Flushing it when Python exits would
    fail again and change the exit status.
    """
    with suppress(OSError):
        click.echo(f"error    The output cannot be written: {error.strerror}.", err=True)
        click.echo(
            "next     Free some disk space and run the same command again: it continues where it stopped.", err=True
        )
    with Path(os.devnull).open("wb") as null:
        for stream in (1, 2):
            os.dup2(null.fileno(), stream)
