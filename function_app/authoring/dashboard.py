"""Save the dashboard of fine-tuning runs as a saved view of a W&B project. Saving again updates the same view.

wandb-workspaces gives every new view a random name, so that saving again would create another view. Here the name is derived
from the project, so that everybody who saves the dashboard finds the existing view. W&B documents that links to a saved view
work for other users. It is UNVERIFIED that other users also find the view by its name.
"""

import hashlib
import string
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from function_app.errors import WandbError
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.internals import sign_in
from function_app.tracking.wandb.pages import project_page
from function_app.tracking.wandb.sdk import as_a_guest, errors

if TYPE_CHECKING:
    from wandb_workspaces.workspaces.interface import Workspace

_NAME_LENGTH = 11  # as wandb-workspaces' own names
_VIEW = """
query View($entity: String!, $project: String!, $view: String!) {
  project(name: $project, entityName: $entity) {
    allViews(viewType: "project-view", viewName: $view) { edges { node { id } } }
  }
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
        DashboardError: wandb-workspaces is not installed, or the project has no runs yet.
        KeyRefusedError, WandbBusyError, WandbError: W&B refuses, or cannot be reached.
    """
    if find_spec("wandb_workspaces") is None:  # an optional extra that the function app does not need
        raise DashboardError(
            "wandb-workspaces is not installed.", "Install the extra: pip install 'azure-openai-wandb[dashboard]'"
        )
    found = api.query(_VIEW, {"view": _internal_name(api)}).get("project")
    if found is None:
        raise DashboardError(
            f"W&B has no project {api.entity}/{api.project} yet, or the key may not see it.",
            "`python -m function_app sync` creates it with the first run; check WANDB_ENTITY and WANDB_PROJECT.",
        )
    views = [edge["node"]["id"] for edge in (found.get("allViews") or {}).get("edges") or []]
    return api.with_key(lambda key: _save_with(key, api, views[0] if views else None, overwrite=overwrite))


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


def _save_with(key: str, api: WandbApi, there: str | None, *, overwrite: bool) -> Dashboard:
    """Save the dashboard, over the view with this id if there is one.

    wandb-workspaces uses the key that the process is signed in with.
    """
    with errors(api.base_url), as_a_guest(api.base_url):
        sign_in(api.base_url, key)
        return _save(api, there, overwrite=overwrite)


def _save(api: WandbApi, there: str | None, *, overwrite: bool) -> Dashboard:
    from function_app.authoring.panels import EDITION, edition_of, sections_of, workspace

    page = project_page(api.entity, api.project, api.base_url)
    url = f"{page}?nw={view_id(api.entity, api.project)}"
    if there is None or overwrite:
        ours = workspace(api.entity, api.project, page)
        ours._internal_name = _internal_name(api)  # noqa: SLF001 - wandb-workspaces has no public word for it,
        ours._internal_id = there or ""  # noqa: SLF001 - nor for this: by these two it knows a view again
        ours.save()  # type: ignore[no-untyped-call] # wandb-workspaces'
        return Dashboard(Saved.UPDATED if there else Saved.CREATED, url)
    theirs = _loaded(api)
    if edition_of(theirs) == EDITION:
        return Dashboard(Saved.CURRENT, url)
    theirs.sections = sections_of(page, theirs)
    theirs.save()  # type: ignore[no-untyped-call] # wandb-workspaces'
    return Dashboard(Saved.UPDATED, url)


def _loaded(api: WandbApi) -> "Workspace":
    from wandb_workspaces.workspaces.errors import SpecVersionError, UnsupportedViewError
    from wandb_workspaces.workspaces.interface import Workspace

    # It reads entity, project and view from the address; W&B's own addresses have one more part since it belongs to CoreWeave.
    address = f"https://wandb.ai/{api.entity}/{api.project}?nw={view_id(api.entity, api.project)}"
    try:
        return cast("Workspace", Workspace.from_url(address))
    except (SpecVersionError, UnsupportedViewError, ValidationError) as error:
        raise DashboardError(
            f"wandb-workspaces cannot read the existing dashboard ({type(error).__name__}).",
            "Update wandb-workspaces, or replace the dashboard with the standard one by --overwrite.",
        ) from error
