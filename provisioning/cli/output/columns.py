"""Lines in columns. On a terminal they are wrapped between words; in a file or pipe each item is one line, for grep."""

import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

_NARROW = 72
"""The least width of a terminal at which resource names have a column."""
_LEAST = 20  # columns for text on any terminal


@dataclass(frozen=True)
class Row:
    """One item of output.

    Attributes:
        sign: the kind of the item in one or two words; `style` is rich's style for it.
        about: the resource.
        why: a reason, shown in parentheses after the text.
        danger: a warning, shown last.
        command: the next command, on its own line and never wrapped, so that it can be copied.
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
    """Widths in characters: the indent, the sign, the resource."""

    lead: int
    sign: int
    about: int = 0


def lines(row: Row, columns: Columns, console: Console) -> Iterator[Text]:
    """The printed lines of a row."""
    row = replace(
        row,
        about=one_line(row.about),
        text=one_line(row.text),
        why=one_line(row.why),
        danger=one_line(row.danger),
        command=one_line(row.command),
    )
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


def printable(text: str) -> str:
    """Escape control characters: names come from Azure and may contain terminal sequences."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _CONTROL else f"\\x{ord(c):02x}" for c in text)


def one_line(text: str) -> str:
    """Put the text on one line and escape control characters."""
    return " ".join(printable(text).splitlines())


_CONTROL = ("Cc", "Cf", "Zl", "Zp")
"""Unicode categories of characters that a terminal may act on: control, format (direction), line and paragraph separators."""


def wrapped(text: str, width: int) -> list[str]:
    """Split the text into lines of this width. A longer word, such as a resource id, is not split."""
    return textwrap.wrap(text, max(width, _LEAST), break_long_words=False, break_on_hyphens=False)
