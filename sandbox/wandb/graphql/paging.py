"""Pages of GraphQL connections."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.wandb.rules import invalid


@dataclass(frozen=True)
class PageInfo:
    """Whether there are more nodes, and after which cursor."""

    end_cursor: str | None
    has_next_page: bool


@dataclass(frozen=True)
class Edge:
    """One node of a page."""

    node: Any
    cursor: str


@dataclass(frozen=True)
class Connection:
    """One page of nodes; `total_count` is that of the whole listing."""

    edges: Sequence[Edge]
    page_info: PageInfo
    total_count: int


def page(
    nodes: Sequence[Any], first: int | None = None, after: str | None = None, listing: str = "stable"
) -> Connection:
    """Cut the `first` nodes (all when None) after a cursor; `listing` is as in ServerOptions.

    Raises:
        RefusedError: the cursor is not one of ours.
    """
    start = _number(after) if after else 0
    begin = start
    if listing == "repeating":
        begin = start = 0
    elif listing == "endless" and nodes:
        begin = start % len(nodes)
    elif listing == "shifting" and start:
        begin -= 1
    shown = nodes[begin : None if first is None else begin + first]
    if listing == "shifting" and begin < start:
        shown = shown[: len(nodes) - start]  # the right number of nodes, so that the last one is never shown
    edges = [Edge(node, _cursor(number)) for number, node in enumerate(shown, start=start)]
    more = start + len(shown) < len(nodes) or listing in ("repeating", "endless")
    return Connection(edges, PageInfo(edges[-1].cursor if edges else None, has_next_page=more), len(nodes))


def _cursor(offset: int) -> str:
    """Return a cursor like W&B's: the node's offset, which is wrong once the listing has changed (wandb#6614)."""
    return base64.b64encode(f"arrayconnection:{offset}".encode()).decode()


def _number(cursor: str) -> int:
    """The offset of the first node after a cursor."""
    try:
        kind, _, offset = base64.b64decode(cursor, validate=True).decode().partition(":")
        if kind == "arrayconnection":
            return int(offset) + 1
    except ValueError:
        pass
    raise invalid(f"invalid cursor {cursor!r}")
