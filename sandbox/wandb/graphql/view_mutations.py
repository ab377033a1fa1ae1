"""W&B's mutation on saved views. Field names: see wandb_graphql.py."""

import json
from dataclasses import dataclass
from typing import Any

from sandbox.wandb.graphql.inputs import UpsertViewInput
from sandbox.wandb.graphql.run_mutations import Writer
from sandbox.wandb.graphql.views import ViewNode
from sandbox.wandb.rules import RefusedError, invalid, not_found
from sandbox.wandb.store import View


@dataclass(frozen=True)
class UpsertViewPayload:
    """The view, and whether it is new."""

    view: ViewNode
    inserted: bool


class ViewMutations(Writer):
    """What writes views."""

    def upsert_view(self, given: UpsertViewInput) -> UpsertViewPayload:
        """Save a new view, or over the one with this id."""
        entity = self.writable(given.entity_name, "upsertView")
        project = self.context.store.project(entity.name, given.project_name or "")
        if project is None:
            raise not_found(f"project {entity.name}/{given.project_name}")
        spec = _checked(given.spec)
        if given.id:
            view = next((each for each in project.views if ViewNode(each).id == given.id), None)
            if view is None:
                raise not_found(f"view {given.id}")
            view.display_name, view.spec = given.display_name or view.display_name, spec
            return UpsertViewPayload(ViewNode(view), inserted=False)
        if not given.name:
            raise invalid("a view needs a name")
        if any(each.name == given.name for each in project.views):
            raise RefusedError(409, f"view {given.name} already exists")
        view = View(
            number=self.context.store.next_number(),
            name=given.name,
            type=given.type or "runs",
            display_name=given.display_name or given.name,
            description=given.description or "",
            spec=spec,
            created_by=self.context.user,
        )
        project.views.append(view)
        return UpsertViewPayload(ViewNode(view), inserted=True)


def _checked(spec: str | None) -> str:
    """What the app could show: a workspace with sections of panels."""
    try:
        read: Any = json.loads(spec or "")
        sections = read["section"]["panelBankConfig"]["sections"]
        named = all(isinstance(section["name"], str) and section["panels"] is not None for section in sections)
    except (ValueError, KeyError, TypeError) as error:
        raise invalid(f"invalid view spec: {error}") from error
    if not named:
        raise invalid("invalid view spec: a section without a name")
    return spec or ""
