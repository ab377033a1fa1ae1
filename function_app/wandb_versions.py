"""What the engine asks W&B about artifact versions, and the small writes that need no run open.

Operations have the SDK's names. Every function raises KeyRefusedError, WandbBusyError or WandbError.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from function_app.errors import WandbError
from function_app.wandb_api import Question, WandbApi

LATEST = "latest"
_PAGE = 100
_RUNS_THAT_GO_ON = 100  # runs that train one job's models further; more than that are not linked to them

_VERSION = "id metadata aliases { alias artifactCollection { name project { name } } }"

# The second part is for the lineage: it costs no request of its own. Filters on config are documented (W&B, Api.runs).
_VERSIONS = f"""
query ProjectArtifacts(
  $entity: String!, $project: String!, $type: String!, $collection: String!, $filters: JSONString, $cursor: String,
  $perPage: Int, $runs: JSONString, $runsPerPage: Int, $withRuns: Boolean!
) {{
  project(entityName: $entity, name: $project) {{
    artifactType(name: $type) {{
      artifactCollection(name: $collection) {{
        artifacts(after: $cursor, first: $perPage, filters: $filters) {{
          pageInfo {{ endCursor hasNextPage }}
          edges {{ node {{ {_VERSION} }} }}
        }}
      }}
    }}
    runs(filters: $runs, first: $runsPerPage) @include(if: $withRuns) {{ edges {{ node {{ name config }} }} }}
  }}
}}
"""

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
    """One version of an artifact; `aliases` are those in the collection that was asked for."""

    id: str
    aliases: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A small write that can go with others in one request; saying it twice is saying it once.

    Attributes:
        field: of GraphQL's mutations, whose input `given` is.
        answer: what to have back, as GraphQL wants something asked.
    """

    field: str
    given: Mapping[str, Any]
    answer: str

    @property
    def operation(self) -> str:
        """The SDK's name for it."""
        return self.field[0].upper() + self.field[1:]


def newest(collections: Sequence[str]) -> Question:
    """Which is the newest version of each of these collections; `newest_in` reads the answer."""
    asked = (
        f"c{number}: artifactCollectionMembership(name: $c{number}) {{ artifact {{ {_VERSION} }} }}"
        for number in range(len(collections))
    )
    variables = {f"c{number}": ("String!", f"{name}:{LATEST}") for number, name in enumerate(collections)}
    return Question("\n".join(asked), variables)


def newest_in(api: WandbApi, project: Mapping[str, Any], collections: Sequence[str]) -> dict[str, Version]:
    """The newest version of each of these collections that exists, by name."""
    found = {name: (project.get(f"c{number}") or {}).get("artifact") for number, name in enumerate(collections)}
    return {name: _version(api, name, artifact) for name, artifact in found.items() if artifact}


def versions(api: WandbApi, kind: str, collection: str) -> list[Version]:
    """The committed versions of a collection, as W&B lists them; empty when there is no such collection."""
    return versions_and_runs(api, kind, collection, ())[0]


def versions_and_runs(
    api: WandbApi, kind: str, collection: str, models: Iterable[str]
) -> tuple[list[Version], dict[str, str]]:
    """The committed versions of a collection, and which runs train one of these models further: run id → model."""
    wanted = [*models]
    variables = {
        "type": kind,
        "collection": collection,
        "filters": json.dumps({"state": "COMMITTED"}),
        "perPage": _PAGE,
        "runs": json.dumps({"config.model": {"$in": wanted}}),
        "runsPerPage": _RUNS_THAT_GO_ON,
        "withRuns": bool(wanted),
    }
    found: list[Version] = []
    runs: dict[str, str] = {}
    cursor = None
    while True:
        project = api.query(_VERSIONS, {**variables, "cursor": cursor}).get("project") or {}
        runs |= {node["name"]: model for node in _nodes(project.get("runs")) if (model := _model(node)) in wanted}
        page = ((project.get("artifactType") or {}).get("artifactCollection") or {}).get("artifacts") or {}
        found += (_version(api, collection, node) for node in _nodes(page))
        info = page.get("pageInfo") or {}
        cursor = info.get("endCursor")
        if not info.get("hasNextPage") or cursor is None:
            return found, runs
        variables["withRuns"] = False


def made_by(api: WandbApi, run_ids: Sequence[str], model: str) -> list[Version]:
    """What these runs have written, and those whose final model this is."""
    asked = [{"config.fine_tuned_model": model}, *([{"name": {"$in": [*run_ids]}}] if run_ids else [])]
    answer = api.query(_MADE_BY, {"filters": json.dumps({"$or": asked}), "perPage": _PAGE}).get("project") or {}
    runs = _nodes(answer.get("runs"))
    return [_version(api, "", node) for run in runs for node in _nodes(run.get("outputArtifacts"))]


def use(api: WandbApi, run_id: str, version_id: str) -> Change:
    """That a run had this version as its input."""
    names = {"entityName": api.entity, "projectName": api.project, "runName": run_id, "artifactID": version_id}
    return Change("useArtifact", names, "artifact { id }")


def point(api: WandbApi, collection: str, alias: str, version_id: str) -> Change:
    """That an alias of a collection is at this version, and nowhere else."""
    target = {"entityName": api.entity, "projectName": api.project, "artifactCollectionName": collection}
    return Change("addAliases", {"artifactID": version_id, "aliases": [{**target, "alias": alias}]}, "success")


def write(api: WandbApi, changes: Sequence[Change]) -> None:
    """Make these changes in their order (GraphQL does the fields of a mutation one after the other), in one request."""
    if not changes:
        return
    declared = ", ".join(f"$c{number}: {change.operation}Input!" for number, change in enumerate(changes))
    asked = "".join(
        f"  c{number}: {change.field}(input: $c{number}) {{ {change.answer} }}\n"
        for number, change in enumerate(changes)
    )
    query = f"mutation {changes[0].operation}({declared}) {{\n{asked}}}\n"
    api.query(query, {f"c{number}": change.given for number, change in enumerate(changes)})


def organization_of(api: WandbApi) -> str:
    """The entity that owns the registries of the project's organization (as wandb 0.31 finds it).

    Raises:
        WandbError: the entity has no organization, or is a person in several.
    """
    entity = api.query(_ORGANIZATIONS, {"entity": api.entity}).get("entity") or {}
    own = entity.get("organization")
    found = [own] if own else (entity.get("user") or {}).get("organizations") or []
    names = [str((each.get("orgEntity") or {}).get("name")) for each in found if each.get("orgEntity")]
    if len(names) != 1:
        many = f"several organizations ({', '.join(names)})" if names else "no organization"
        raise WandbError(
            f"{api.entity} belongs to {many}, and a registry belongs to one.", "Set WANDB_ENTITY to a team."
        )
    return names[0]


def is_linked(api: WandbApi, version_id: str, registry: WandbApi, collection: str) -> bool:
    """Whether a version is in a collection of a registry."""
    artifact = api.query(_PLACES, {"artifactID": version_id}).get("artifact") or {}
    places = (node["artifactCollection"] for node in _nodes(artifact.get("artifactMemberships")))
    return any(_is(place, registry, collection) for place in places)


def link(registry: WandbApi, collection: str, version_id: str) -> None:
    """Link a version to a collection of a registry, which is made if it is not there. Twice is once."""
    target = {"entityName": registry.entity, "projectName": registry.project, "artifactPortfolioName": collection}
    registry.query(_LINK, {"input": {**target, "artifactID": version_id, "aliases": []}})


def _nodes(connection: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    yield from (edge["node"] for edge in (connection or {}).get("edges") or [])


def _version(api: WandbApi, collection: str, node: Mapping[str, Any]) -> Version:
    held = (alias for alias in node.get("aliases") or [] if _is(alias["artifactCollection"], api, collection))
    return Version(str(node["id"]), tuple(alias["alias"] for alias in held), json.loads(node.get("metadata") or "{}"))


def _is(place: Mapping[str, Any], api: WandbApi, collection: str) -> bool:
    """Whether this is the collection: one of the same name may stand in a registry, with a `latest` of its own."""
    return bool(place["name"] == collection and (place.get("project") or {}).get("name") == api.project)


def _model(run: Mapping[str, Any]) -> str:
    config = json.loads(run.get("config") or "{}")
    said = config.get("model")
    return str(said.get("value") if isinstance(said, Mapping) else said)
