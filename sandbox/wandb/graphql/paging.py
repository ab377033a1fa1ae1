"""What all GraphQL nodes share: who asks, how times are written, and pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sandbox.wandb.runs import Run
from sandbox.wandb.store import Project, Store
from sandbox.wandb.users import Entity, User

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """Who asks, of what state, and under which address they reach the object store."""

    store: Store
    user: User
    storage_url: str
    # Nodes that nodes of a lower module lead back to: an artifact to the run that logged it, and to its project.
    run_node: "Callable[[Run, Context], object]"
    project_node: "Callable[[Project, Context], object]"

    def visible(self, name: str | None) -> Entity | None:
        """The entity (the caller's default one when not named), None when the caller may not see into it."""
        entity = self.store.entities.get(name or self.user.default_entity)
        return entity if entity and entity.may_read(self.user) else None

    def project(self, entity: str, name: str) -> object:
        """The node of a project that is known to exist."""
        project = self.store.project(entity, name)
        if project is None:
            raise LookupError(f"{entity}/{name}")
        return self.project_node(project, self)

    def signed(self, method: str, path: str) -> str:
        """An address for one object."""
        return self.store.storage.signed(self.storage_url, method, path)


def when(seconds: float) -> str:
    """A time as W&B writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class PageInfo:
    """Whether there is more, and from where."""

    end_cursor: str | None
    has_next_page: bool


@dataclass(frozen=True)
class Edge(Generic[T]):
    """One node of a page. The cursor is the number of nodes up to and including this one."""

    node: T
    cursor: str


@dataclass(frozen=True)
class Connection(Generic[T]):
    """One page of nodes."""

    edges: Sequence[Edge[T]]
    page_info: PageInfo
    total_count: int


def page(nodes: Sequence[T], first: int | None = None, after: str | None = None) -> Connection[T]:
    """The `first` nodes (all when None) behind a cursor."""
    start = int(after or 0)
    shown = nodes[start : None if first is None else start + first]
    edges = [Edge(node, str(number)) for number, node in enumerate(shown, start=start + 1)]
    end = start + len(shown)
    return Connection(edges, PageInfo(str(end) if shown else None, has_next_page=end < len(nodes)), len(nodes))
