"""The roots of W&B's GraphQL: every query, and the executor that knows every type and mutation."""

from functools import cache

from sandbox.wandb.artifacts import Artifact, Collection
from sandbox.wandb.graphql import artifact_mutations, artifacts, files, people, run_mutations, runs
from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import Executor, Types
from sandbox.wandb.store import UNCATEGORIZED, Project, decoded_id
from sandbox.wandb.users import Organization


def _organization(context: Context, *, name: str) -> Organization | None:
    return next((each for each in people.organizations(context.user, context) if each.name == name), None)


def _project(context: Context, *, name: str | None = None, entity_name: str | None = None) -> Project | None:
    entity = context.visible(entity_name)
    return context.store.project(entity.name, name or UNCATEGORIZED) if entity else None


def _artifact(context: Context, *, node_id: str) -> Artifact | None:
    found = context.store.artifacts_by_id.get(node_id)
    return found if found and context.visible(found.sequence.entity) else None


def _collection(context: Context, *, node_id: str) -> Collection | None:
    match decoded_id(node_id):
        case ["ArtifactCollection", number] if number.isdigit():
            found = context.store.collections_by_number.get(int(number))
            return found if found and context.visible(found.entity) else None
    return None


def _client_id_mapping(context: Context, *, client_id: str) -> dict[str, str] | None:
    found = context.store.artifacts_by_client_id.get(client_id)
    return {"serverID": found.id} if found else None


# What the caller may not see is null, as if it did not exist (UNVERIFIED).
QUERIES = {
    "serverInfo": lambda _: {"features": [{"name": name, "isEnabled": True} for name in people.FEATURES]},
    "viewer": lambda context: context.user,
    "entity": lambda context, *, name=None: context.visible(name),
    "organization": _organization,
    "project": _project,
    "model": _project,  # the older name
    "artifact": _artifact,
    "artifactCollection": _collection,
    "clientIDMapping": _client_id_mapping,
}

TYPES: Types = {
    "Query": QUERIES,
    "Mutation": {**run_mutations.MUTATIONS, **artifact_mutations.MUTATIONS},
    **people.TYPES,
    **runs.TYPES,
    **files.TYPES,
    **artifacts.TYPES,
}


@cache
def executor() -> Executor:
    """The executor; one serves every world, as the state is in the context."""
    return Executor(TYPES)
