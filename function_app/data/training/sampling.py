"""Collect a sample of a training file's rows, and counts of all rows, while the file is read once. Pure.

A file has the format of most of its examples, which is only known once the whole file has been read. Until then samples and
counts are kept for each format. In the end, examples of the other formats count as malformed lines.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from math import inf
from typing import Any

from function_app.data.training.formats import ROLES
from function_app.models import Cell, Malformed, TableRow

MALFORMED_KEPT = 1000
"""The maximum number of a file's malformed lines that are listed. All are counted."""

_MALFORMED_SHOWN = 20  # in the metadata


class Sample:
    """A random choice of rows of each format. For the same `seed` (the file id) it is always the same, regardless of the
    order of the rows.

    Holds at most `rows` rows of each format, and `size` bytes of all formats, but at least one row. A larger sample contains
    every row of a smaller one.
    """

    def __init__(self, rows: int, size: int, *, seed: str) -> None:
        self._rows = rows
        self._size = size
        self._seed = seed
        # By format, the rows with the lowest ranks; the highest of these is dropped first.
        self._held: dict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
        self._bytes = 0
        # Rows with this rank or a higher one are not chosen.
        self._limits: dict[str, float] = defaultdict(lambda: inf if rows else 0)

    def offer(self, line: int, encoded: Callable[[], bytes], form: str = "") -> None:
        """Add a row of a format if it is chosen. Only chosen rows are encoded."""
        rank = int.from_bytes(blake2b(f"{self._seed} {line}".encode(), digest_size=8).digest())
        if rank >= self._limits[form]:
            return
        data = encoded()
        heappush(self._held[form], (-rank, line, data))
        self._bytes += len(data)
        if len(self._held[form]) > self._rows:
            self._drop(form)
        while self._bytes > self._size and sum(map(len, self._held.values())) > 1:
            self._drop(min((form for form, held in self._held.items() if held), key=lambda each: self._held[each][0]))

    def _drop(self, form: str) -> None:
        out, _, gone = heappop(self._held[form])
        self._limits[form] = -out
        self._bytes -= len(gone)

    def of(self, form: str = "") -> list[bytes]:
        """Return the chosen rows of a format in the order of the file."""
        return [data for _, data in sorted((line, data) for _, line, data in self._held[form])]


@dataclass
class _Counts:
    """Counts of a file's examples of one format. `others` are the first lines to list if the file has another format."""

    examples: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    tool_calls: int = 0
    images: int = 0
    with_tools: int = 0
    others: list[int] = field(default_factory=list)

    def add(self, row: TableRow) -> None:
        self.examples += 1
        # A role is text from the file: an unknown one is counted, not quoted.
        roles = str(row.cells.get("roles", "")).split()
        self.messages.update(role if role in ROLES else "other" for role in roles)
        self.tool_calls += _whole(row.cells.get("tool_calls"))
        self.images += _whole(row.cells.get("images"))
        self.with_tools += bool(row.cells.get("tools"))
        if len(self.others) < MALFORMED_KEPT:
            self.others.append(row.line)


@dataclass
class Tally:
    """Counts of a file, collected while its rows are read. They are right when all rows are read."""

    _formats: dict[str, _Counts] = field(default_factory=dict)
    _unusable: int = 0
    _shown: list[Malformed] = field(default_factory=list)

    def rows(self, items: Iterable[TableRow | Malformed]) -> Iterator[TableRow]:
        """Yield the rows, of any format, and count them."""
        for item in items:
            if isinstance(item, TableRow):
                self._formats.setdefault(item.format, _Counts()).add(item)
                yield item
                continue
            self._unusable += 1
            if len(self._shown) < MALFORMED_KEPT:
                self._shown.append(item)

    @property
    def format(self) -> str:
        """The format of most examples, the first of equally frequent ones; empty without any example."""
        return max(self._formats, key=lambda each: self._formats[each].examples, default="")

    @property
    def examples(self) -> int:
        """The number of examples of the file's format."""
        return self._of_format.examples

    @property
    def malformed(self) -> int:
        """The number of lines that are not examples of the file's format."""
        return self._unusable + sum(counts.examples for counts in self._formats.values()) - self.examples

    @property
    def shown(self) -> list[Malformed]:
        """The first malformed lines."""
        form = self.format
        others = (
            Malformed(line, f"is a {other} example in a {form} file")
            for other, counts in self._formats.items()
            if other != form
            for line in counts.others
        )
        return sorted([*self._shown, *others], key=lambda each: each.line)[:MALFORMED_KEPT]

    @property
    def _of_format(self) -> _Counts:
        return self._formats.get(self.format, _Counts())

    def metadata(self) -> dict[str, Any]:
        """Describe the file without quoting it. Zero and empty values are omitted."""
        found = self._of_format
        counts = {
            "format": self.format,
            "examples": found.examples,
            "malformed_lines": self.malformed,
            "malformed": [f"line {each.line} {each.message}" for each in self.shown[:_MALFORMED_SHOWN]],
            "messages": found.messages.total(),
            "messages_by_role": dict(found.messages.most_common()),
            "tool_calls": found.tool_calls,
            "examples_with_tools": found.with_tools,
            "images": found.images,
        }
        return {name: value for name, value in counts.items() if value or name in ("examples", "malformed_lines")}


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0
