"""Standard streams as they are found: one may be closed, and its encoding may lack the signs that are written here."""

import codecs
import errno
import io
import os
import sys
from pathlib import Path
from typing import TextIO

_SPELLED = {"→": "->", "…": "..."}
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def stdin() -> TextIO:
    """What the command was given to read; nothing where it was started without any, as services are."""
    return sys.stdin or io.StringIO()


def spell_out() -> None:
    """Let a sign that a stream cannot encode be written in others: a locale of "C" is no reason to stop half way."""
    codecs.register_error("provisioning.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="provisioning.spelled")


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (sign := _SPELLED.get(error.object[error.start])):
        return sign, error.start + 1
    return codecs.backslashreplace_errors(error)


def unwritable(error: OSError) -> bool:
    """Whether the error is that of a stream which leads to a full disk, or to a terminal that is gone."""
    return error.errno in _UNWRITABLE


def abandon() -> None:
    """Write no more: what a stream still holds would fail once again when Python ends, and change the exit status."""
    with Path(os.devnull).open("wb") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
