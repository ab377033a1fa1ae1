"""The only place where the command line writes. It makes text from outside safe, so that callers do not have to."""

import io
import json
import logging
import shutil
import sys
import textwrap
from typing import Any

import click

from function_app.text import lines, one_line

USUAL_WIDTH = 100
"""The width in columns if there is no terminal."""
_SIGN = 9  # columns of the word before an error and its hint


def replace_unencodable() -> None:
    """Write ? for a character that stdout cannot encode: on Windows, a file or a pipe lacks many."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def echo(text: str, *, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Write one line to stdout, or to stderr. Escape sequences and line breaks in the text are removed."""
    click.secho(one_line(text), err=err, fg=fg, bold=bold, reset=bool(fg or bold))


def echo_error(message: str, hint: str = "") -> None:
    """Write what happened and what to do next to stderr, in the words that `python -m provisioning` uses."""
    first, *others = lines(message).split("\n")
    echo(f"{'error':<{_SIGN}}{first}", err=True, fg="red")
    for line in others:
        echo(f"{'':<{_SIGN}}{line}", err=True, fg="red")
    if hint:
        echo(f"{'next':<{_SIGN}}{hint}", err=True)


def echo_json(document: Any) -> None:
    """Write one JSON document to stdout in ASCII. JSON escapes everything that a terminal could interpret as a command."""
    click.echo(json.dumps(document, indent=2))


def width() -> int:
    """Return the terminal's width in columns."""
    return shutil.get_terminal_size((USUAL_WIDTH, 24)).columns


def wrapped(text: str, *, first: str, other: str) -> list[str]:
    """Return a text as lines of the terminal's width, indented by `first` and then by `other`."""
    return textwrap.wrap(one_line(text), width(), initial_indent=first, subsequent_indent=other)


class LogFormatter(logging.Formatter):
    """Formats log records so that a value in a message cannot pretend to be another record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the record's first line; a traceback follows it."""
        return one_line(super().formatMessage(record))


class Progress:
    """One line on stderr that is rewritten in place; nothing if stderr is not a terminal."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._live = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._live:
            sys.stderr.write(f"\r{one_line(text)[: self._columns - 1]}\x1b[K")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
