"""Collect a sample of a training file's rows, and counts of all rows, while the file is read once. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from math import inf
from typing import Any

from function_app.data.formats import ROLES
from function_app.models import Cell, Malformed, TableRow

MALFORMED_KEPT = 1000
"""The maximum number of a file's malformed lines that are listed. All are counted."""

_MALFORMED_SHOWN = 20  # in the metadata


class Sample:
    """A random choice of rows. For the same `seed` (the file id) it is always the same, regardless of the order of the rows.

    Holds at most `rows` rows and `size` bytes, but at least one row. A larger sample contains every row of a smaller one.
    """

    def __init__(self, rows: int, size: int, *, seed: str) -> None:
        self._rows = rows
        self._size = size
        self._seed = seed
        self._held: list[
            tuple[int, int, bytes]
        ] = []  # the rows with the lowest ranks; the highest of these is dropped first
        self._bytes = 0
        self._limit = inf if rows else 0  # rows with this rank or a higher one are not chosen

    def offer(self, line: int, encoded: Callable[[], bytes]) -> None:
        """Add a row if it is chosen. Only chosen rows are encoded."""
        rank = int.from_bytes(blake2b(f"{self._seed} {line}".encode(), digest_size=8).digest())
        if rank >= self._limit:
            return
        data = encoded()
        heappush(self._held, (-rank, line, data))
        self._bytes += len(data)
        while len(self._held) > self._rows or (self._bytes > self._size and len(self._held) > 1):
            out, _, gone = heappop(self._held)
            self._limit = -out
            self._bytes -= len(gone)

    def __len__(self) -> int:
        """Return how many rows are chosen."""
        return len(self._held)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the chosen rows in the order of the file."""
        return (data for _, data in sorted((line, data) for _, line, data in self._held))


@dataclass
class Tally:
    """Counts of a file, collected while its rows are read.

    Attributes:
        format: the file's format; empty without any example.
        malformed: the number of lines that are not examples; `shown` lists the first of them.
        messages: number of messages by role; the outputs of preference files are not counted.
    """

    format: str = ""
    examples: int = 0
    malformed: int = 0
    shown: list[Malformed] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)
    tool_calls: int = 0
    images: int = 0
    with_tools: int = 0

    def rows(self, items: Iterable[TableRow | Malformed]) -> Iterator[TableRow]:
        """Yield the rows and count them."""
        for item in items:
            if isinstance(item, Malformed):
                self.malformed += 1
                if len(self.shown) < MALFORMED_KEPT:
                    self.shown.append(item)
                continue
            self._count(item)
            yield item

    def _count(self, row: TableRow) -> None:
        self.format = row.format
        self.examples += 1
        # A role is text from the file: an unknown one is counted, not quoted.
        roles = str(row.cells.get("roles", "")).split()
        self.messages.update(role if role in ROLES else "other" for role in roles)
        self.tool_calls += _whole(row.cells.get("tool_calls"))
        self.images += _whole(row.cells.get("images"))
        self.with_tools += bool(row.cells.get("tools"))

    def metadata(self) -> dict[str, Any]:
        """Describe the file without quoting it. Zero and empty values are omitted."""
        counts = {
            "format": self.format,
            "examples": self.examples,
            "malformed_lines": self.malformed,
            "malformed": [f"line {each.line} {each.message}" for each in self.shown[:_MALFORMED_SHOWN]],
            "messages": self.messages.total(),
            "messages_by_role": dict(self.messages.most_common()),
            "tool_calls": self.tool_calls,
            "examples_with_tools": self.with_tools,
            "images": self.images,
        }
        return {name: value for name, value in counts.items() if value or name in ("examples", "malformed_lines")}


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0
