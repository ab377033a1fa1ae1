"""Save the dashboard of fine-tuning runs as a saved view of a W&B project. Saving again updates the same view.

wandb-workspaces gives every new view a random name, so saving again would create another view. Here the name is derived
from the project, so that everybody who saves the dashboard finds the existing view. W&B documents that links to a saved view
work for other users. It is UNVERIFIED that other users also find the view by its name.
"""

import hashlib
import json
import string
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from function_app.authoring.dashboards.view_spec import UnknownSpecError, replace_sections, sections_in
from function_app.errors import WandbError
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.client import project_page

_NAME_LENGTH = 11  # in the form of wandb-workspaces' own names
_VIEW = """
query View($entity: String!, $project: String!, $view: String!) {
  project(name: $project, entityName: $entity) {
    allViews(viewType: "project-view", viewName: $view) { edges { node { id displayName spec } } }
  }
}
"""
_SAVE = """
mutation UpsertView2($input: UpsertViewInput!) {
  upsertView(input: $input) { view { id } inserted }
}
"""


class DashboardError(WandbError):
    """The dashboard cannot be saved."""


class Saved(StrEnum):
    """How the dashboard was saved."""

    CREATED = "created"
    UPDATED = "updated"
    CURRENT = "current"


@dataclass(frozen=True)
class Dashboard:
    """A saved dashboard: what was done, and its address."""

    saved: Saved
    url: str


def save(api: WandbApi, *, overwrite: bool = False) -> Dashboard:
    """Save the dashboard in the project of `api`.

    An existing view of this edition is left as people have changed it, unless `overwrite` is set. In a view of another edition
    our sections are replaced. Sections with other names, which people have added, stay below them.

    Raises:
        DashboardError: wandb-workspaces is not installed, the project has no runs yet, or the view is of an unknown form.
        KeyRefusedError, WandbBusyError, WandbError: W&B refuses, or cannot be reached.
    """
    if find_spec("wandb_workspaces") is None:  # an optional extra that the function app does not need
        raise DashboardError(
            "wandb-workspaces is not installed.", "Install the extra: pip install 'azure-openai-wandb[dashboard]'"
        )
    found = api.query(_VIEW, {"view": _internal_name(api)}).get("project")
    if found is None:
        raise DashboardError(
            f"There is no project {api.entity}/{api.project} in W&B yet, or the key may not see it.",
            "`python -m function_app sync` makes it with the first run; check WANDB_ENTITY and WANDB_PROJECT.",
        )
    views = [edge["node"] for edge in (found.get("allViews") or {}).get("edges") or []]
    return _save(api, views[0] if views else None, overwrite=overwrite)


def view_id(entity: str, project: str) -> str:
    """Return the id at the end of the dashboard's address."""
    number = int.from_bytes(hashlib.blake2b(f"{entity}/{project}".encode(), digest_size=16).digest())
    digits = string.digits + string.ascii_lowercase
    name = ""
    for _ in range(_NAME_LENGTH):
        number, digit = divmod(number, len(digits))
        name += digits[digit]
    return name


def _internal_name(api: WandbApi) -> str:
    """Return W&B's internal name of the view. Its address contains the middle part (wandb-workspaces 0.4.13)."""
    return f"nw-{view_id(api.entity, api.project)}-v"


def _save(api: WandbApi, there: dict[str, str] | None, *, overwrite: bool) -> Dashboard:
    from function_app.authoring.dashboards.panels import EDITION, NAME, edition_of, sections_of, spec_of

    page = project_page(api.entity, api.project, api.base_url)
    url = f"{page}?nw={view_id(api.entity, api.project)}"
    whole = spec_of(api.entity, api.project, page)
    spec = json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
    if there and not overwrite:
        try:
            if edition_of(sections_in(there["spec"])) == EDITION:
                return Dashboard(Saved.CURRENT, url)
            spec = replace_sections(there["spec"], sections_of(whole))
        except UnknownSpecError as error:
            raise DashboardError(
                f"The existing dashboard has an unknown form: {error}.",
                "Update this program, or replace the dashboard with the standard one by --overwrite.",
            ) from error
    view = {"entityName": api.entity, "projectName": api.project, "type": "project-view", "name": _internal_name(api)}
    named = {"id": there["id"], "displayName": there["displayName"]} if there else {"displayName": NAME}
    api.query(_SAVE, {"input": {**view, **named, "description": "", "spec": spec, "createdUsing": "WANDB_SDK"}})
    return Dashboard(Saved.UPDATED if there else Saved.CREATED, url)
