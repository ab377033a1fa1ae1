"""What the engine asks W&B besides runs: which runs there are, which artifact versions; and what W&B's refusals mean."""

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from wandb.apis.public.service_api import ServiceApi
from wandb.sdk import wandb_setup

from function_app.errors import KeyRefusedError
from function_app.model import RunState
from function_app.vault import KeySource
from function_app.wandb_sdk import TIMEOUT, errors, prepare, settings

_T = TypeVar("_T")

IDS_PER_QUERY = 1000
STATE = "sync"
"""The key of the run summary under which the engine keeps what it has to know at the next tick."""

_RUNS = """
query Runs($entity: String!, $project: String!, $filters: JSONString, $cursor: String, $perPage: Int) {
  project(name: $project, entityName: $entity) {
    runs(filters: $filters, after: $cursor, first: $perPage) {
      edges { node { name state summaryMetrics } cursor }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""

_VERSIONS = """
query ProjectArtifacts(
  $entity: String!, $project: String!, $type: String!, $collection: String!, $filters: JSONString, $cursor: String, $perPage: Int
) {
  project(entityName: $entity, name: $project) {
    artifactType(name: $type) {
      artifactCollection(name: $collection) {
        artifacts(after: $cursor, first: $perPage, filters: $filters) {
          pageInfo { endCursor hasNextPage }
          edges { version node { id metadata aliases { alias } } }
        }
      }
    }
  }
}
"""

_LATEST = """
query ArtifactMembershipByName($entity: String!, $project: String!, $name: String!) {
  project(name: $project, entityName: $entity) {
    artifactCollectionMembership(name: $name) { versionIndex artifact { id metadata aliases { alias } } }
  }
}
"""

_USE = """
mutation UseArtifact($entityName: String!, $projectName: String!, $runName: String!, $artifactID: ID!) {
  useArtifact(input: {
    entityName: $entityName, projectName: $projectName, runName: $runName, artifactID: $artifactID
  }) { artifact { id } }
}
"""

_ADD_ALIASES = """
mutation AddAliases($input: AddAliasesInput!) { addAliases(input: $input) { success } }
"""


@dataclass(frozen=True)
class Version:
    """One version of an artifact collection."""

    id: str
    version: str
    aliases: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class WandbApi:
    """Reads and small writes in one project. Every method raises KeyRefusedError, WandbBusyError or WandbError."""

    def __init__(
        self, project: str, keys: KeySource, *, entity: str | None = None, base_url: str | None = None
    ) -> None:
        prepare()
        self.project = project
        self.keys = keys
        self.base_url = base_url
        self._entity = entity
        self._lock = threading.Lock()
        self._session: tuple[str, object, ServiceApi] | None = None

    @property
    def entity(self) -> str:
        """Whose project it is: as set, or the key's own default."""
        if self._entity is None:
            self._entity = self._ask(lambda session: session.authenticate().default_entity)
        return self._entity

    def states(self, job_ids: Sequence[str]) -> dict[str, RunState]:
        """What W&B shows for these ids; ids without a run are absent. One query for every thousand ids."""
        states: dict[str, RunState] = {}
        if not job_ids:
            return states
        app = self._ask(lambda session: session.app_url)
        where = f"{app}{quote(self.entity)}/{quote(self.project)}/runs/"
        for start in range(0, len(job_ids), IDS_PER_QUERY):
            wanted = list(job_ids[start : start + IDS_PER_QUERY])
            variables = {"filters": json.dumps({"name": {"$in": wanted}}), "perPage": len(wanted)}
            for node in self._pages(_RUNS, variables, ("runs",)):
                states[node["name"]] = _state(node, where + quote(node["name"]))
        return states

    def versions(self, kind: str, collection: str) -> list[Version]:
        """The committed versions of an artifact collection, as W&B lists them; empty when there is no such collection."""
        variables = {
            "type": kind,
            "collection": collection,
            "filters": json.dumps({"state": "COMMITTED"}),
            "perPage": 100,
        }
        path = ("artifactType", "artifactCollection", "artifacts")
        return [_version(node, str(node["version"])) for node in self._pages(_VERSIONS, variables, path)]

    def latest(self, collection: str) -> Version | None:
        """The newest version of an artifact collection; None when there is no such collection."""
        project = self._query(_LATEST, {"name": f"{collection}:latest"}).get("project") or {}
        membership = project.get("artifactCollectionMembership") or {}
        artifact = membership.get("artifact")
        return _version(artifact, f"v{membership.get('versionIndex')}") if artifact else None

    def use(self, run_id: str, version: Version) -> None:
        """Say that a run had this version as its input. Saying it twice is saying it once."""
        names = {"entityName": self.entity, "projectName": self.project, "runName": run_id, "artifactID": version.id}
        self._query(_USE, names)

    def point(self, collection: str, alias: str, version: Version) -> None:
        """Move an alias to this version."""
        target = {"entityName": self.entity, "projectName": self.project, "artifactCollectionName": collection}
        self._query(_ADD_ALIASES, {"input": {"artifactID": version.id, "aliases": [{**target, "alias": alias}]}})

    def with_key(self, call: Callable[[str], _T]) -> _T:
        """Do something with the API key; when W&B refuses it, once more with the key read anew, if that is another.

        Raises:
            KeyRefusedError: W&B refuses the fresh key, too.
        """
        key = self.keys.get()
        try:
            return call(key.get_secret_value())
        except KeyRefusedError:
            fresh = self.keys.get(fresh=True)
            if fresh == key:
                raise
            return call(fresh.get_secret_value())

    def _pages(self, query: str, variables: Mapping[str, Any], path: Sequence[str]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            answer = self._query(query, {**variables, "cursor": cursor})
            found: dict[str, Any] = functools.reduce(
                lambda at, name: at.get(name) or {}, path, answer.get("project") or {}
            )
            for edge in found.get("edges") or []:
                yield {**edge["node"], "version": edge.get("version")}
            info = found.get("pageInfo") or {}
            cursor = info.get("endCursor")
            if not info.get("hasNextPage") or cursor is None:
                return

    def _query(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        project = {"entity": self.entity, "project": self.project} if "$entity:" in query else {}
        return self._ask(lambda session: session.execute_graphql(query, {**project, **variables}))

    def _ask(self, question: Callable[[ServiceApi], _T]) -> _T:
        def ask(key: str) -> _T:
            with errors(self.base_url):
                return question(self._session_for(key))

        return self.with_key(ask)

    def _session_for(self, key: str) -> ServiceApi:
        core = wandb_setup.singleton()  # another one after wandb-core had to be started again
        with self._lock:
            if self._session is None or self._session[:2] != (key, core):
                self._session = (key, core, ServiceApi(settings(key, self.base_url), timeout=TIMEOUT))
            return self._session[2]


def _state(node: Mapping[str, Any], url: str) -> RunState:
    summary = json.loads(node.get("summaryMetrics") or "{}")
    kept = summary.get(STATE)
    ours = kept if isinstance(kept, dict) else {}
    return RunState(
        id=node["name"],
        state=node.get("state") or "",
        url=url,
        status=ours.get("status"),
        rule=ours.get("rule"),
        last_step=int(summary.get("_step", -1)),
        source=ours.get("source"),
        results_file=ours.get("results_file"),
        datasets=bool(ours.get("datasets")),
        foreign=not ours and summary.get("status") == "succeeded",  # how WandbLogger marks what it has done
    )


def _version(node: Mapping[str, Any], version: str) -> Version:
    aliases = tuple(alias["alias"] for alias in node.get("aliases") or [])
    return Version(str(node["id"]), version, aliases, json.loads(node.get("metadata") or "{}"))
