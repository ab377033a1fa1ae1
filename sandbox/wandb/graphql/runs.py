"""GraphQL types of projects, runs, their files and saved views."""

import fnmatch
import json
from collections.abc import Callable
from typing import Any

from sandbox.wandb.artifacts import LATEST, Artifact, Membership
from sandbox.wandb.graphql.artifacts import ArtifactType
from sandbox.wandb.graphql.context import Context, when
from sandbox.wandb.graphql.executor import Types
from sandbox.wandb.graphql.files import stored_file
from sandbox.wandb.graphql.filters import MISSING, inside, matching, ordered
from sandbox.wandb.graphql.paging import Connection, page
from sandbox.wandb.rules import invalid, not_found
from sandbox.wandb.runs import Nullable, Run, RunState
from sandbox.wandb.store import Project, encoded_id

# --- projects -------------------------------------------------------------------------------------------------------


def _bucket(project: Project, _: Context, *, name: str, missing_ok: bool | None = None) -> Run | None:
    """Return a run by id, as wandb-core reads it before it resumes. Moved runs are also found (wandb#6164)."""
    found = project.runs.get(name) or project.moved_runs.get(name)
    if found is None and not missing_ok:
        raise not_found(f"run {project.entity}/{project.name}/{name}")
    return found


def _runs(
    project: Project, context: Context, *, filters: str | None = None, order: str | None = None, **paging: Any
) -> Connection:
    """Runs that pass a filter; newest first unless ordered (the default is UNVERIFIED, the SDK always orders)."""
    kept = ordered(_listed(project, context, filters), order, "-created_at", _lookup(context))
    return page(kept, listing=context.store.options.listings, **paging)


def _listed(project: Project, context: Context, filters: str | None = None) -> list[Run]:
    listed = [seen for run in project.runs.values() if (seen := run.listed(context.now))]
    return matching(listed, filters, _lookup(context))


def _lookup(context: Context) -> Callable[[Run, str], Any]:
    return lambda run, key: run_value(run, key, context.now)


_RUN_VALUES: dict[str, Callable[[Run, float], Any]] = {
    "state": lambda run, now: str(_state(run, now)),
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
    """The value of a key in a filter or an order (W&B docs, "Filter runs" and wandb 0.31, Api.runs)."""
    if key in _RUN_VALUES:
        return _RUN_VALUES[key](run, now)
    kind, _, path = key.partition(".")
    if kind == "config":
        if "." not in path and path not in run.raw_config:
            return MISSING
        found = inside(run.config, path)
        return inside(run.config, path.removesuffix(".value")) if found is MISSING else found
    if kind in {"summary_metrics", "summaryMetrics"}:
        return inside(run.as_of(now, run.options.delays.summary).summary, path)
    raise invalid(f"unknown key {key!r} in a filter or an order of runs")


def _member(project: Project, _: Context, *, name: str) -> Membership | None:
    """A version's membership by collection:alias."""
    collection, _colon, alias = name.partition(":")
    found = project.collections.get(collection)
    return found.find(alias or LATEST) if found else None


def _artifact(project: Project, context: Context, *, name: str) -> Artifact | None:
    found = _member(project, context, name=name)
    return found.artifact if found else None


def _views(
    project: Project,
    _: Context,
    *,
    view_type: str | None = None,
    view_name: str | None = None,
    user_name: str | None = None,
) -> Connection:
    """A project's saved views of a type, of one name or one user if given."""
    found = [view for view in project.views if view.type == (view_type or "runs") and view_name in (None, view.name)]
    return page([view for view in found if user_name in (None, view.created_by.username)])


# --- runs -----------------------------------------------------------------------------------------------------------


def run_storage_id(run: Run, _: object = None) -> str:
    """The id by which mutations address a run."""
    return encoded_id("Run", "v1", run.id, run.project, run.entity)


def _state(run: Run, now: float) -> RunState:
    return run.state(now if run.shown_at is None else run.shown_at)


def _late(field: Nullable, read: Callable[[Run, float], Any]) -> Callable[[Run, Context], Any]:
    """A field that a broken run serves as null; `read` gets the run and the present time."""
    return lambda run, context: None if field in run.null_fields else read(run, context.now)


def _wandb_config(run: Run, _: Context, *, keys: list[str] | None = None) -> dict[str, Any]:
    """The SDK's own config entry, or some keys of it."""
    return {key: value for key, value in run.telemetry.items() if keys is None or key in keys}


def _history(run: Run, _: Context, *, min_step: int, max_step: int, samples: int) -> list[str]:
    """Rows as JSON with min_step <= _step < max_step, at most `samples` of them."""
    return [line for line in run.history_lines if min_step <= json.loads(line).get("_step", 0) < max_step][:samples]


def _files(
    run: Run, context: Context, *, names: list[str] | None = None, pattern: str | None = None, **paging: Any
) -> Connection:
    """Uploaded files by name, or by a pattern as in SQL's LIKE."""
    like = (pattern or "").replace("%", "*")
    kept = [
        stored_file(name, stored, context)
        for name, stored in run.files.items()
        if (not names or name in names) and (not pattern or fnmatch.fnmatchcase(name, like))
    ]
    return page(kept, **paging)


def _versions(kind: str) -> Callable[..., Connection]:
    def resolve(run: Run, _: Context, **paging: Any) -> Connection:
        return page([each for each in getattr(run, kind) if each.state == "COMMITTED"], **paging)

    return resolve


TYPES: Types = {
    "Project": {
        "id": lambda project, _: encoded_id("Project", "v1", project.name, project.entity),
        "internalId": lambda project, _: encoded_id("ProjectInternalId", project.number),
        "entityName": lambda project, _: project.entity,
        "entity": lambda project, context: context.store.entities[project.entity],
        "access": "PRIVATE",
        "views": "{}",
        "updatedAt": None,
        "isBenchmark": False,
        "user": lambda project, _: project.created_by,
        "readOnly": lambda project, context: not context.store.entities[project.entity].may_write(context.user),
        "run": lambda project, _, *, name: project.runs.get(name),
        "bucket": _bucket,
        "runs": _runs,
        "runCount": lambda project, context, *, filters=None: len(_listed(project, context, filters)),
        "artifact": _artifact,
        "artifactType": lambda project, _, *, name: ArtifactType(name, project) if name in project.types else None,
        "artifactCollection": lambda project, _, *, name: project.collections.get(name),
        "artifactCollectionMembership": _member,
        "allowAllArtifactTypesInRegistry": True,
        "allViews": _views,
    },
    "View": {"id": lambda view, _: encoded_id("View", view.number)},
    "Run": {
        "id": run_storage_id,
        "name": lambda run, _: run.id,
        "displayName": lambda run, _: run.name,
        "state": lambda run, context: _state(run, context.now),
        "stopped": lambda run, _: run.stop_requested,
        "config": lambda run, _: run.raw_config,
        "wandbConfig": _wandb_config,
        "summaryMetrics": _late("summaryMetrics", lambda run, now: run.as_of(now, run.options.delays.summary).summary),
        "systemMetrics": "{}",
        "sweepName": None,
        "readOnly": lambda run, context: not context.store.entities[run.entity].may_write(context.user),
        "project": lambda run, context: context.project(run.entity, run.project),
        "projectId": lambda run, context: str(context.project(run.entity, run.project).number),
        "historyLineCount": _late(
            "historyLineCount", lambda run, now: run.as_of(now, run.options.delays.line_count).lines
        ),
        "eventsLineCount": _late("eventsLineCount", lambda run, _: len(run.event_lines)),
        "logLineCount": _late("logLineCount", lambda run, _: len(run.output_lines)),
        "historyTail": _late("historyTail", lambda run, now: run.as_of(now, run.options.delays.tail).tail),
        "eventsTail": _late("eventsTail", lambda run, _: run.event_lines[-1:]),
        "historyKeys": None,
        "history": _history,
        "fileCount": lambda run, _: len(run.files),
        "files": _files,
        "inputArtifacts": _versions("used"),
        "outputArtifacts": _versions("logged"),
    },
}
