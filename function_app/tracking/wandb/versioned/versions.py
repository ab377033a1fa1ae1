"""Queries about artifact versions in W&B, and changes of their aliases, uses and links.

Operations have the SDK's names. Every function may raise KeyRefusedError, WandbBusyError or WandbError.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from function_app.data.fields import Fields, at, items, nodes, object_in, text, whole, within
from function_app.errors import WandbBusyError, WandbError
from function_app.tracking import run_of
from function_app.tracking.wandb.api import PAGES_AT_MOST, Question, WandbApi
from function_app.tracking.wandb.changes import Change

LATEST = "latest"
LISTING = "ProjectArtifacts"
BY_NAME = "ArtifactMembershipByName"
_PAGE = 100
_NUMBERED = re.compile(r"v(\d{1,9})", re.ASCII)
_RUNS_THAT_GO_ON = 100  # runs that train one job's models further; further runs are not linked to them

_LISTED = "id metadata createdBy { ... on Run { name user { username } } ... on User { username } }"
_VERSION = f"{_LISTED} ttlDurationSeconds aliases {{ alias artifactCollection {{ name project {{ name }} }} }}"

_VERSIONS = f"""
artifactType(name: $type) {{
  artifactCollection(name: $collection) {{
    id
    artifacts(after: $cursor, first: $perPage, filters: $filters) {{
      pageInfo {{ endCursor hasNextPage }}
      edges {{ version node {{ {_LISTED} }} }}
    }}
  }}
}}
"""

_RUNS = "runs(filters: $runs, first: $runsPerPage) { edges { node { name config } } }"

_MADE_BY = f"""
query Runs($entity: String!, $project: String!, $filters: JSONString, $perPage: Int) {{
  project(name: $project, entityName: $entity) {{
    runs(filters: $filters, first: $perPage) {{
      edges {{ node {{ name outputArtifacts(first: 100) {{ edges {{ node {{ {_VERSION} }} }} }} }} }}
    }}
  }}
}}
"""

_ORGANIZATIONS = """
query FetchOrgInfoFromEntity($entity: String!) {
  entity(name: $entity) { organization { orgEntity { name } } user { organizations { orgEntity { name } } } }
}
"""

_PLACES = """
query FetchLinkedArtifacts($artifactID: ID!) {
  artifact(id: $artifactID) {
    artifactMemberships { edges { node { artifactCollection { name project { name } } } } }
  }
}
"""

_LINK = """
mutation LinkArtifact($input: LinkArtifactInput!) { linkArtifact(input: $input) { versionIndex } }
"""


@dataclass(frozen=True)
class Version:
    """One version of an artifact.

    Members of the project can write any alias and any metadata, and name a run like a job. So versions are recognized by
    the run that made them and its user, whom W&B takes from the key.

    Attributes:
        aliases: its aliases in the requested collection.
        run: the id of the run that made it; empty if it was not made by a run of our key's user, or if the run was deleted.
        ours: whether our key's user made it, or W&B does not say who did.
        lifetime: the days until W&B deletes it; 0 if W&B keeps it.
        number: N of `vN` in the collection that was listed; -1 if it is unknown.
    """

    id: str
    aliases: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    ours: bool = True
    lifetime: float = 0.0
    number: int = -1

    def made_by(self, job_id: str) -> bool:
        """Return whether one of a job's runs made it."""
        return bool(self.run) and run_of(self.run, {job_id}) is not None


def named(names: Sequence[str], prefix: str = "c") -> Question:
    """Return the query for the versions with these names, `COLLECTION:ALIAS` or `COLLECTION:vNUMBER`; `named_in` reads the
    answer. Two such questions in one request need different prefixes.
    """
    keys = {f"{prefix}{number}": name for number, name in enumerate(names)}
    fields = (f"{key}: artifactCollectionMembership(name: ${key}) {{ artifact {{ {_VERSION} }} }}" for key in keys)
    return Question("\n".join(fields), {key: ("String!", name) for key, name in keys.items()})


def named_in(api: WandbApi, project: Mapping[str, Any], names: Sequence[str], prefix: str = "c") -> dict[str, Version]:
    """Return the version with each of these names that exists."""
    found = {name: within(project, f"{prefix}{number}", "artifact") for number, name in enumerate(names)}
    read = ((name, _version(api, name.partition(":")[0], node)) for name, node in found.items())
    return {name: version for name, version in read if version}


@dataclass(frozen=True)
class Page:
    """A part of the list of a collection's committed versions. They have numbers, but no aliases and no lifetime.

    Attributes:
        collection: the collection's id; empty if it does not exist.
        cursor: where the next page begins; None after the last one.
    """

    collection: str
    versions: tuple[Version, ...]
    cursor: str | None

    @property
    def descends(self) -> bool:
        """Whether the newest versions come first, which is what W&B does without an order (UNVERIFIED)."""
        numbers = [version.number for version in self.versions]
        return numbers == sorted(numbers, reverse=True) and min(numbers, default=-1) >= 0


def listing(kind: str, collection: str, first: int = _PAGE, cursor: str | None = None) -> Question:
    """Return the question for a page of a collection's committed versions; `page_in` reads the answer."""
    committed = json.dumps({"state": "COMMITTED"})
    return Question(
        _VERSIONS,
        {
            "type": ("String!", kind),
            "collection": ("String!", collection),
            "filters": ("JSONString", committed),
            "cursor": ("String", cursor),
            "perPage": ("Int", first),
        },
    )


def page_in(api: WandbApi, project: Mapping[str, Any], collection: str) -> Page:
    """Return a page of a collection's committed versions."""
    found = within(project, "artifactType", "artifactCollection")
    page = within(found, "artifacts")
    listed = ((edge, _version(api, collection, within(edge, "node"))) for edge in items(page, "edges"))
    versions = tuple(replace(version, number=_number(at(edge, "version"))) for edge, version in listed if version)
    info = within(page, "pageInfo")
    return Page(text(found.get("id")) or "", versions, text(info.get("endCursor")) if info.get("hasNextPage") else None)


def pages(api: WandbApi, kind: str, collection: str, page: Page) -> Iterator[Page]:
    """Yield this page and those that follow it.

    Raises:
        WandbBusyError: W&B repeats pages, or the listing has no end.
    """
    seen: set[str] = set()
    for _ in range(PAGES_AT_MOST):
        new = {version.id for version in page.versions} - seen
        if page.cursor and not new:
            raise WandbBusyError(f"W&B lists the same versions of {collection} again and again.")
        yield page
        if not page.cursor:
            return
        seen |= new
        page = page_in(api, api.ask(LISTING, listing(kind, collection, cursor=page.cursor)), collection)
    raise WandbBusyError(f"W&B lists the versions of {collection} without an end.")


def further_training(models: Sequence[str]) -> Question:
    """Return the query for the runs that train one of these models further; `further_training_in` reads the answer. Filters on
    config are documented (W&B, Api.runs).
    """
    filters = json.dumps({"config.model": {"$in": [*models]}})
    return Question(_RUNS, {"runs": ("JSONString", filters), "runsPerPage": ("Int", _RUNS_THAT_GO_ON)})


def further_training_in(project: Mapping[str, Any], models: Sequence[str]) -> dict[str, str]:
    """Return, by run id, the model that each run trains further."""
    listed = ((text(node.get("name")), _model(node)) for node in nodes(project, "runs"))
    return {name: model for name, model in listed if name and model in models}


def made_by(api: WandbApi, run_ids: Sequence[str], model: str) -> list[Version]:
    """Return the versions that these runs have written, and those of runs with this final model."""
    filters = [{"config.fine_tuned_model": model}, *([{"name": {"$in": [*run_ids]}}] if run_ids else [])]
    answer = api.query(_MADE_BY, {"filters": json.dumps({"$or": filters}), "perPage": _PAGE})
    written = (node for run in nodes(answer, "project", "runs") for node in nodes(run, "outputArtifacts"))
    return [version for node in written if (version := _version(api, "", node))]


def use(api: WandbApi, run_id: str, version_id: str) -> Change:
    """Return the change that records a version as input of a run."""
    names = {"entityName": api.entity, "projectName": api.project, "runName": run_id, "artifactID": version_id}
    return Change("useArtifact", names, "artifact { id }")


def move_alias(api: WandbApi, collection: str, alias: str, version_id: str) -> Change:
    """Return the change that moves an alias of a collection to this version."""
    return Change("addAliases", _alias_of(api, collection, alias, version_id), "success")


def remove_alias(api: WandbApi, collection: str, alias: str, version_id: str) -> Change:
    """Return the change that removes an alias from this version."""
    return Change("deleteAliases", _alias_of(api, collection, alias, version_id), "success")


def _alias_of(api: WandbApi, collection: str, alias: str, version_id: str) -> dict[str, Any]:
    target = {"entityName": api.entity, "projectName": api.project, "artifactCollectionName": collection}
    return {"artifactID": version_id, "aliases": [{**target, "alias": alias}]}


def describe(version_id: str, metadata: Mapping[str, Any]) -> Change:
    """Return the change that sets a version's metadata."""
    return Change(
        "updateArtifact", {"artifactID": version_id, "metadata": json.dumps(dict(metadata))}, "artifact { id }"
    )


def organization_of(api: WandbApi) -> str:
    """Return the entity that owns the registries of the project's organization (as in wandb 0.31).

    Raises:
        WandbError: the entity has no organization, or is a person who belongs to several.
    """
    entity = within(api.query(_ORGANIZATIONS, {"entity": api.entity}), "entity")
    own = entity.get("organization")
    found = [own] if own else items(entity, "user", "organizations")
    names = [name for each in found if (name := text(at(each, "orgEntity", "name")))]
    if len(names) != 1:
        many = f"several organizations ({', '.join(names)})" if names else "no organization"
        raise WandbError(
            f"{api.entity} belongs to {many}, and a registry belongs to one.", "Set WANDB_ENTITY to a team."
        )
    return names[0]


def is_linked(api: WandbApi, version_id: str, registry: WandbApi, collection: str) -> bool:
    """Return whether a version is in a collection of a registry."""
    answer = api.query(_PLACES, {"artifactID": version_id})
    places = (node.get("artifactCollection") for node in nodes(answer, "artifact", "artifactMemberships"))
    return any(_is_collection(place, registry, collection) for place in places)


def link(registry: WandbApi, collection: str, version_id: str) -> None:
    """Link a version to a collection of a registry, which is created if it does not exist. This is idempotent."""
    target = {"entityName": registry.entity, "projectName": registry.project, "artifactPortfolioName": collection}
    registry.query(_LINK, {"input": {**target, "artifactID": version_id, "aliases": []}})


def _version(api: WandbApi, collection: str, node: Mapping[str, Any]) -> Version | None:
    """Return a version; None if it has no id. A collection that the key may not see is null."""
    stated = Fields(node)
    version_id = stated.read("id", text)
    if version_id is None:
        return None
    held = (
        text(at(each, "alias"))
        for each in items(node, "aliases")
        if _is_collection(at(each, "artifactCollection"), api, collection)
    )
    maker = stated.fields("createdBy")
    user = maker.read("username", text) or maker.fields("user").read("username", text)
    ours = not (user and api.user) or user == api.user
    seconds = stated.read("ttlDurationSeconds", whole) or 0  # negative means no limit (wandb 0.31, artifact.py)
    return Version(
        id=version_id,
        aliases=tuple(filter(None, held)),
        metadata=object_in(node.get("metadata")),
        run=(maker.read("name", text) or "") if ours else "",
        ours=ours,
        lifetime=max(seconds, 0) / 86_400,
    )


def _number(version: object) -> int:
    """Return N of `vN`; -1 if it is something else."""
    found = _NUMBERED.fullmatch(text(version) or "")
    return int(found[1]) if found else -1


def _is_collection(place: object, api: WandbApi, collection: str) -> bool:
    """Return whether this is the collection. A registry may have one with the same name and another `latest`."""
    return bool(at(place, "name") == collection and at(place, "project", "name") == api.project)


def _model(run: Mapping[str, Any]) -> str:
    config = object_in(run.get("config"))
    model = config.get("model")
    return str(model.get("value") if isinstance(model, Mapping) else model)
