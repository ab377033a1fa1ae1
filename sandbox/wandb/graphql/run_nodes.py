"""GraphQL nodes of projects and runs. Field names: see wandb_graphql.py."""

import fnmatch
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.wandb import history
from sandbox.wandb.artifacts import LATEST, Artifact, Membership
from sandbox.wandb.graphql.artifact_nodes import (
    ArtifactNode,
    CollectionNode,
    MembershipNode,
    TypeNode,
    VersionEdge,
    collection_page,
)
from sandbox.wandb.graphql.file_nodes import FileNode
from sandbox.wandb.graphql.filters import MISSING, as_json, inside, matching, ordered
from sandbox.wandb.graphql.paging import Connection, Context, page, when
from sandbox.wandb.graphql.people import EntityNode, UserNode
from sandbox.wandb.graphql.views import ViewNode, views_of
from sandbox.wandb.rules import invalid, not_found, parsed_object
from sandbox.wandb.runs import Run, RunState
from sandbox.wandb.store import Project, encoded_id


def run_storage_id(run: Run) -> str:
    """The id by which mutations address a run."""
    return encoded_id("Run", "v1", run.id, run.project, run.entity)


@dataclass(frozen=True)
class ProjectNode:
    """A project the caller may see."""

    project: Project
    context: Context
    is_benchmark: bool = False
    views: str = "{}"
    access: str = "PRIVATE"
    updated_at: str | None = None
    allow_all_artifact_types_in_registry: bool = True

    @property
    def id(self) -> str:
        """By name."""
        return encoded_id("Project", "v1", self.project.name, self.project.entity)

    @property
    def internal_id(self) -> str:
        """By number."""
        return encoded_id("ProjectInternalId", self.project.number)

    @property
    def name(self) -> str:
        """Unique in its entity."""
        return self.project.name

    @property
    def entity_name(self) -> str:
        """Its owner's name."""
        return self.project.entity

    @property
    def entity(self) -> EntityNode:
        """Its owner."""
        return EntityNode(self.context.store.entities[self.project.entity], self.context)

    @property
    def description(self) -> str | None:
        """As people wrote it."""
        return self.project.description

    @property
    def created_at(self) -> str:
        """With its first run."""
        return when(self.project.created_at)

    @property
    def user(self) -> UserNode | None:
        """Who made it."""
        return UserNode(self.project.created_by, self.context) if self.project.created_by else None

    @property
    def read_only(self) -> bool:
        """Whether the caller may only look."""
        return self.entity.read_only

    def run(self, name: str) -> "RunNode | None":
        """A run by id."""
        found = self.project.runs.get(name)
        return RunNode(found, self.context) if found else None

    def bucket(self, name: str, *, missing_ok: bool | None = None) -> "RunNode | None":
        """A run by id, as wandb-core asks before it resumes."""
        found = self.run(name)
        if found is None and not missing_ok:
            raise not_found(f"run {self.project.entity}/{self.project.name}/{name}")
        return found

    def runs(
        self, filters: str | None = None, order: str | None = None, after: str | None = None, first: int | None = None
    ) -> "Connection[RunNode]":
        """Runs that pass a filter; newest first unless ordered (the default is UNVERIFIED, the SDK always orders)."""
        kept = ordered(self._matching(filters), order, "-created_at", self._run_value)
        return page([RunNode(run, self.context) for run in kept], first, after)

    def all_views(
        self, view_type: str | None = None, view_name: str | None = None, user_name: str | None = None
    ) -> "Connection[ViewNode]":
        """Saved views of a type."""
        return views_of(self.project, view_type, view_name, user_name)

    def run_count(self, filters: str | None = None) -> int:
        """How many runs pass a filter."""
        return len(self._matching(filters))

    def _matching(self, filters: str | None) -> list[Run]:
        return matching(list(self.project.runs.values()), filters, self._run_value)

    def _run_value(self, run: Run, key: str) -> Any:
        return run_value(run, key, self.context.store.clock.time())

    def artifact(self, name: str) -> ArtifactNode | None:
        """A version by collection:alias."""
        found = self._member(name)
        return ArtifactNode(found.artifact, self.context) if found else None

    def artifact_collection_membership(self, name: str) -> MembershipNode | None:
        """A version's place by collection:alias."""
        found = self._member(name)
        return MembershipNode(found, self.context) if found else None

    def _member(self, name: str) -> Membership | None:
        collection, _, alias = name.partition(":")
        found = self.project.collections.get(collection)
        return found.find(alias or LATEST) if found else None

    def artifact_type(self, name: str) -> TypeNode | None:
        """A type in use."""
        return TypeNode(name, self.project, self.context) if name in self.project.types else None

    def artifact_types(
        self, after: str | None = None, first: int | None = None, *, include_all: bool | None = None
    ) -> Connection[TypeNode]:
        """Types in use; the project knows no others, so `include_all` changes nothing."""
        del include_all
        return page([TypeNode(name, self.project, self.context) for name in self.project.types], first, after)

    def artifact_collection(self, name: str) -> CollectionNode | None:
        """A collection by name."""
        found = self.project.collections.get(name)
        return CollectionNode(found, self.context) if found else None

    def artifact_collections(
        self, after: str | None = None, first: int | None = None, filters: str | None = None, order: str | None = None
    ) -> Connection[CollectionNode]:
        """Collections of every type."""
        return collection_page(list(self.project.collections.values()), self.context, after, first, filters, order)


_RUN_VALUES: dict[str, Callable[[Run, float], Any]] = {
    "state": lambda run, now: str(run.state(now)),
    "name": lambda run, _: run.id,
    "display_name": lambda run, _: run.name,
    "displayName": lambda run, _: run.name,
    "tags": lambda run, _: run.tags,
    "group": lambda run, _: run.group,
    "jobType": lambda run, _: run.job_type,
    "job_type": lambda run, _: run.job_type,
    "notes": lambda run, _: run.notes,
    "username": lambda run, _: run.user.username,
    "created_at": lambda run, _: when(run.created_at),
    "createdAt": lambda run, _: when(run.created_at),
    "heartbeat_at": lambda run, _: when(run.heartbeat_at),
    "heartbeatAt": lambda run, _: when(run.heartbeat_at),
}


def run_value(run: Run, key: str, now: float) -> Any:
    """What a filter or an order means by a key (W&B docs, "Filter runs" and wandb 0.31, Api.runs)."""
    if key in _RUN_VALUES:
        return _RUN_VALUES[key](run, now)
    kind, _, path = key.partition(".")
    if kind == "config":
        if "." not in path and path not in run.raw_config:
            return MISSING
        found = inside(run.config, path)
        return inside(run.config, path.removesuffix(".value")) if found is MISSING else found
    if kind in {"summary_metrics", "summaryMetrics"}:
        return inside(run.summary, path)
    raise invalid(f"unknown key {key!r} in a filter or an order of runs")


@dataclass(frozen=True)
class ParquetHistory:
    """Nothing exported: clients read the live history instead."""

    parquet_urls: tuple[str, ...] = ()
    live_data: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunNode:
    """A run; `name` is its id, `display_name` its name."""

    run: Run
    context: Context
    type_name: str = "Run"
    sweep_name: str | None = None

    @property
    def id(self) -> str:
        """By which mutations address it."""
        return run_storage_id(self.run)

    @property
    def name(self) -> str:
        """The run id."""
        return self.run.id

    @property
    def display_name(self) -> str:
        """The run name."""
        return self.run.name

    @property
    def description(self) -> str | None:
        """Older than notes."""
        return self.run.description

    @property
    def notes(self) -> str | None:
        """As people wrote them."""
        return self.run.notes

    @property
    def tags(self) -> list[str]:
        """In order."""
        return self.run.tags

    @property
    def group(self) -> str | None:
        """Runs that belong together."""
        return self.run.group

    @property
    def job_type(self) -> str | None:
        """What the run does in its group."""
        return self.run.job_type

    @property
    def commit(self) -> str | None:
        """Of git."""
        return self.run.commit

    @property
    def state(self) -> RunState:
        """Now."""
        return self.run.state(self.context.store.clock.time())

    @property
    def stopped(self) -> bool:
        """Whether somebody asked it to stop."""
        return self.run.stop_requested

    @property
    def config(self) -> str:
        """With values wrapped and the SDK's own entry."""
        return as_json(self.run.raw_config)

    def wandb_config(self, keys: list[str] | None = None) -> str:
        """The SDK's own entry, or some keys of it."""
        telemetry = self.run.telemetry
        return as_json({key: value for key, value in telemetry.items() if keys is None or key in keys})

    @property
    def summary_metrics(self) -> str:
        """The summary."""
        return as_json(self.run.summary)

    @property
    def system_metrics(self) -> str:
        """The last of each system metric."""
        merged: dict[str, Any] = {}
        for line in self.run.event_lines:
            merged |= json.loads(line)
        return as_json(merged)

    @property
    def read_only(self) -> bool:
        """Whether the caller may only look."""
        return not self.context.store.entities[self.run.entity].may_write(self.context.user)

    @property
    def created_at(self) -> str:
        """When W&B first heard of it."""
        return when(self.run.created_at)

    @property
    def heartbeat_at(self) -> str:
        """When W&B last heard of it."""
        return when(self.run.heartbeat_at)

    @property
    def user(self) -> UserNode:
        """Whose key made it."""
        return UserNode(self.run.user, self.context)

    @property
    def project(self) -> object:
        """Where it is."""
        return self.context.project(self.run.entity, self.run.project)

    @property
    def project_id(self) -> str:
        """The project's number."""
        project = self.context.store.project(self.run.entity, self.run.project)
        return str(project.number) if project else ""

    @property
    def history_line_count(self) -> int:
        """Where the next history line goes."""
        return len(self.run.history_lines)

    @property
    def events_line_count(self) -> int:
        """Where the next line of system metrics goes."""
        return len(self.run.event_lines)

    @property
    def log_line_count(self) -> int:
        """Where the next line of output goes."""
        return len(self.run.output_lines)

    @property
    def history_tail(self) -> str:
        """The last row, as a list of texts."""
        return as_json(self.run.history_lines[-1:])

    @property
    def events_tail(self) -> str:
        """The last system metrics, as a list of texts."""
        return as_json(self.run.event_lines[-1:])

    @property
    def history_keys(self) -> dict[str, Any] | None:
        """Metrics and last step."""
        return history.history_keys(self.run.history)

    def history(
        self, min_step: int | None = None, max_step: int | None = None, samples: int | None = None
    ) -> list[str]:
        """Rows as texts: a page of steps whole, or the entire history sampled."""
        if min_step is None and max_step is None:
            return history.sampled(self.run.history_lines, samples)
        return history.between(self.run.history_lines, min_step, max_step)[:samples]

    def events(self, samples: int | None = None) -> list[str]:
        """System metrics as texts, sampled."""
        return history.sampled(self.run.event_lines, samples)

    def sampled_history(self, specs: list[str]) -> list[list[dict[str, Any]]]:
        """For each spec the rows that have all of its keys, sampled."""
        return [self._sampled(parsed_object(spec, "spec")) for spec in specs]

    def _sampled(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        kept = history.between(self.run.history_lines, spec.get("minStep"), spec.get("maxStep"))
        rows = history.picked([json.loads(line) for line in kept], spec.get("keys", []))
        return [json.loads(line) for line in history.sampled([json.dumps(row) for row in rows], spec.get("samples"))]

    def parquet_history(self, live_keys: list[str]) -> ParquetHistory:
        """Exports of the history; there are none here."""
        del live_keys
        return ParquetHistory()

    @property
    def file_count(self) -> int:
        """Uploaded files."""
        return len(self.run.files)

    def files(
        self,
        names: list[str] | None = None,
        after: str | None = None,
        first: int | None = None,
        pattern: str | None = None,
    ) -> Connection[FileNode]:
        """Uploaded files by name, or by a pattern as in SQL's LIKE."""
        like = (pattern or "").replace("%", "*")
        kept = {
            name: stored
            for name, stored in self.run.files.items()
            if (not names or name in names) and (not pattern or fnmatch.fnmatchcase(name, like))
        }
        return page([FileNode(name, stored, self.context) for name, stored in kept.items()], first, after)

    def input_artifacts(self, after: str | None = None, first: int | None = None) -> Connection[ArtifactNode]:
        """What the run used."""
        return self._versions(self.run.used, after, first)

    def output_artifacts(self, after: str | None = None, first: int | None = None) -> Connection[ArtifactNode]:
        """What the run logged."""
        return self._versions(self.run.logged, after, first)

    def _versions(self, artifacts: list[Artifact], after: str | None, first: int | None) -> Connection[ArtifactNode]:
        found = page([each for each in artifacts if each.state == "COMMITTED"], first, after)
        edges = [
            VersionEdge(ArtifactNode(edge.node, self.context), edge.cursor, f"v{edge.node.index}")
            for edge in found.edges
        ]
        return Connection(edges, found.page_info, found.total_count)
