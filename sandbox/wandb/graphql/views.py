"""Saved views of a project's workspace, as wandb-workspaces saves and loads them. Field names: see wandb_graphql.py.

The names of fields and arguments are what wandb-workspaces 0.4.13 sends; what W&B does with them besides is UNVERIFIED.
"""

from dataclasses import dataclass, field

from sandbox.wandb.graphql.paging import Connection, page
from sandbox.wandb.store import Project, View, encoded_id


@dataclass(frozen=True)
class ViewNode:
    """A saved view."""

    view: View = field(repr=False)

    @property
    def id(self) -> str:
        """By number."""
        return encoded_id("View", self.view.number)

    @property
    def name(self) -> str:
        """Unique in its project; a workspace's address has the middle of it."""
        return self.view.name

    @property
    def display_name(self) -> str:
        """What people call it."""
        return self.view.display_name

    @property
    def description(self) -> str:
        """What people say of it."""
        return self.view.description

    @property
    def type(self) -> str:
        """A saved workspace is a "project-view"."""
        return self.view.type

    @property
    def spec(self) -> str:
        """Its sections and panels as JSON."""
        return self.view.spec


def views_of(
    project: Project, view_type: str | None, view_name: str | None, user_name: str | None
) -> "Connection[ViewNode]":
    """A project's views of a type, by name if one is given; whose they are only if somebody asks."""
    found = [
        ViewNode(view)
        for view in project.views
        if view.type == (view_type or "runs")
        and view_name in (None, view.name)
        and user_name in (None, view.created_by.username)
    ]
    return page(found)
