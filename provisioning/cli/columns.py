"""Lines for people, in columns: on a terminal wrapped between words, anywhere else one line a thing, as grep likes it."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_NARROW = 72
"""Columns of a terminal below which names get no column of their own."""
_LEAST = 20  # columns that a text gets, however narrow the terminal is


@dataclass(frozen=True)
class Row:
    """One thing that is told.

    Attributes:
        sign: what the line means, in one or two words; `style` is rich's, for it alone.
        about: whose line it is.
        why: said after the text, in parentheses.
        danger: said after that, where somebody should look twice.
        command: what to run next; on its own line and never wrapped, so that it can be copied.
    """

    sign: str
    about: str
    text: str
    why: str = ""
    danger: str = ""
    command: str = ""
    style: str = ""


@dataclass(frozen=True)
class Columns:
    """Widths in characters: blanks before the sign, the sign, whose line it is."""

    lead: int
    sign: int
    about: int = 0


def lines(row: Row, columns: Columns, console: Console) -> Iterator[Text]:
    """The row as it is printed there, line by line."""
    width = console.width if console.is_terminal else None
    padding = columns.about if width is None or width >= _NARROW else 0
    about = f"{row.about:<{padding}}  " if row.about else ""
    margin = columns.lead + columns.sign
    start = Text.assemble(" " * columns.lead, (f"{row.sign:<{columns.sign}}", row.style))
    parts = [(about + row.text, "")]
    parts += [(f"({row.why})", "dim")] if row.why else []
    parts += [(f"! {row.danger}", "bold yellow")] if row.danger else []
    whole = start + Text("  ").join(Text(*part) for part in parts)
    if width is None or whole.cell_len <= width:
        yield whole
    else:
        for text, style in parts:
            for each in wrapped(text, width - margin):
                yield start + Text(each, style)
                start = Text(" " * margin)
    if row.command:
        yield Text.assemble(" " * margin, ("next  ", "bold"), row.command)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of this width. A word that is longer, such as a resource's id, stays whole."""
    return textwrap.wrap(text, max(width, _LEAST), break_long_words=False, break_on_hyphens=False)
