"""Check whether the key may write to a project, without a write."""

from collections.abc import Mapping

from function_app.data.fields import Fields
from function_app.errors import WandbError
from function_app.tracking.wandb.api import WandbApi

_ACCESS = """
query Access($entity: String!, $project: String!) {
  entity(name: $entity) { readOnly }
  project(name: $project, entityName: $entity) { readOnly }
}
"""


def require_writable(api: WandbApi) -> None:
    """Check that the project's entity exists and that the key may write there. A missing project is created by the first run.

    An entity that the key may not see is null, like one that does not exist. It is UNVERIFIED that a view-only seat has
    `readOnly`.

    Raises:
        WandbError: there is no such entity, or the key may only read it.
    """
    found = api.query(_ACCESS, {})
    entity, project = (found.get(name) for name in ("entity", "project"))
    if not isinstance(entity, Mapping):
        raise WandbError(
            f"W&B at {api.base_url} has no entity {api.entity}, or the key's user is not a member of it.",
            "Check WANDB_ENTITY, or ask an admin of the team to invite the user.",
        )
    if any(Fields(each).read("readOnly", bool) for each in (entity, project)):
        raise WandbError(
            f"The W&B API key may only read {api.entity}/{api.project}.",
            "Ask an admin for a member seat, or use a service account's key.",
        )
