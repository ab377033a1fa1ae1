"""Queries and small writes to W&B without an open run: listings of runs, marks, alerts."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import SecretStr

from function_app.data.fields import Fields, at, items, nodes, object_in, parsed, text, whole, within
from function_app.errors import KeyRefusedError, WandbBusyError
from function_app.models import RunState
from function_app.tracking import OF_JOB, Identity, KeySource, run_of
from function_app.tracking.wandb.client import WandbClient, project_page
from function_app.tracking.wandb.marks import LEGACY, SUPERSEDED_BY, Marks, legacy_marks, marks_in

_T = TypeVar("_T")

IDS_PER_QUERY = RUNS_PER_PAGE = 1000
PAGES_AT_MOST = 500
"""The maximum number of pages of one listing, of 1,000 runs or 100 versions each."""

SUPERSEDED = "superseded"
"""The tag of superseded runs, whose config names their replacement."""

_ALERT_WAIT = 60_000
"""Milliseconds between alerts with the same title, the shortest that the SDK sends (0.31)."""

DEFAULT_FOR = 600.0
"""Seconds for which a key's default entity is used without asking again; its user may choose another one."""

CLOSED = 3600.0
"""Seconds after which rows of an ended run are not written again: hours later W&B keeps them in files (wandb#12511)."""

_GOING_ON = ["running", "crashed"]
"""States of unfinished runs."""

_READ_ON_OPENING = (
    *("summaryMetrics", "historyLineCount"),
    *("historyTail", "eventsTail", "eventsLineCount", "logLineCount"),
)
_LISTED = "name state tags config summaryMetrics historyLineCount user { username }"
_USER = "viewer { username }"

_RUNS = f"""
query Runs($entity: String!, $project: String!, $filters: JSONString, $cursor: String, $perPage: Int) {{
  project(name: $project, entityName: $entity) {{
    runs(filters: $filters, after: $cursor, first: $perPage, order: "+created_at") {{
      edges {{ node {{ {_LISTED} }} cursor }}
      pageInfo {{ endCursor hasNextPage }}
    }}
  }}
  {_USER}
}}
"""

_ROWS = """
query HistoryPage($entity: String!, $project: String!, $run: String!, $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
  }
}
"""

_REOPEN = """
mutation UpsertBucket($input: UpsertBucketInput!) {
  upsertBucket(input: $input) { bucket { id } }
}
"""

_VIEWER = "query Viewer { viewer { entity } }"

_EDIT_RUN = """
mutation UpsertBucket($id: String!, $tags: [String!], $config: JSONString) {
  upsertBucket(input: { id: $id, tags: $tags, config: $config }) { bucket { id } }
}
"""

_ALERT = """
mutation NotifyScriptableRunAlert($input: NotifyScriptableRunAlertInput!) {
  notifyScriptableRunAlert(input: $input) { success }
}
"""


@dataclass(frozen=True)
class StoredRun:
    """The current state of a run, read by its id. Its config is current; summary, tail and count may be late.

    Attributes:
        id: the id by which mutations edit it without opening it.
        known: its state for the engine.
        marks: our marks; None if it has none.
        config: as W&B stores it, each value in an object.
        heartbeat: the time of the last post to its file stream, in seconds since the epoch by W&B's clock.
        place: entity and project, which differ from those requested if somebody moved the run.
    """

    id: str
    known: RunState
    marks: Marks | None
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    tags: tuple[str, ...]
    openable: bool
    heartbeat: float
    place: tuple[str, str]


@dataclass(frozen=True)
class Question:
    """A part of a query about a project, which can be combined with others in one request.

    Attributes:
        fields: fields of GraphQL's Project.
        variables: the variables in the fields: name → type and value.
    """

    fields: str
    variables: Mapping[str, tuple[str, Any]]


class WandbApi:
    """Reads and small writes in one project. Every method may raise KeyRefusedError, WandbBusyError or WandbError."""

    def __init__(self, project: str, keys: KeySource, client: WandbClient, *, entity: str | None = None) -> None:
        self.project = project
        self.keys = keys
        self.base_url = client.server
        self.client = client
        self._entity = entity
        self._default: tuple[SecretStr | None, float, str] = None, 0.0, ""  # its key, until when, and the entity
        self.user = ""
        """The user of the key, known once `ask` or `states` was answered."""

    def elsewhere(self, project: str, entity: str) -> "WandbApi":
        """Return the API for another project on the same server with the same key."""
        return WandbApi(project, self.keys, self.client, entity=entity)

    @property
    def entity(self) -> str:
        """The owner of the project: from the settings, or the key's default entity, which is read again after a rotation of the
        key, and every few minutes.
        """
        if self._entity:
            return self._entity
        key, until, entity = self._default
        if key != self.keys.get() or time.monotonic() > until:
            used, answer = self.with_key(lambda key: (key, self.client.graphql(key, _VIEWER, {})))
            entity = text(at(answer, "viewer", "entity")) or ""
            if not entity:
                reason = f"W&B at {self.base_url} does not name the default entity of the API key."
                raise WandbBusyError(reason, "Set WANDB_ENTITY.")
            self._default = SecretStr(used), time.monotonic() + DEFAULT_FOR, entity
        return entity

    def states(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """Return the newest run of each of these jobs; jobs without a run are absent. There is one query per thousand jobs.

        The same query finds the other unfinished runs of these `accounts`, by run id. A project that W&B does not
        have, because nothing was written into it yet, has no runs (wandb 0.31, Api.runs: the project is null then).

        Filters by run id and by config value are documented separately (wandb 0.31, Api.runs); it is UNVERIFIED how W&B handles
        both in one `$or`. If the second part found nothing, replaced runs would still be recognized.
        """
        if not job_ids and not accounts:
            return {}
        found: dict[str, list[RunState]] = defaultdict(list)
        known = set(job_ids)
        for start in range(0, len(job_ids) or 1, IDS_PER_QUERY):
            batch = list(job_ids[start : start + IDS_PER_QUERY])
            either: list[dict[str, Any]] = []
            if batch:
                either += ({"name": {"$in": batch}}, {f"config.{OF_JOB}": {"$in": batch}})
            if accounts and not start:  # once is enough
                either.append({"state": {"$in": _GOING_ON}, "config.account": {"$in": [*accounts]}})
            filters, these = {"$or": either}, set(batch)
            for node in self._runs({"filters": json.dumps(filters), "perPage": RUNS_PER_PAGE}):
                if whose := run_of(node["name"], these):
                    state = _state(node, *whose, self.page(node["name"]), self.client.now(), self.user)
                    if state.number == 1 or not state.foreign:  # only this engine makes replacements
                        found[whose[0]].append(state)
                elif run_of(node["name"], known) is None and node.get("state") in _GOING_ON:
                    other = _state(node, node["name"], 1, self.page(node["name"]), self.client.now(), self.user)
                    if other.account in accounts:
                        found[other.id] = [other]
        return {job_id: _newest(runs) for job_id, runs in found.items()}

    def stored(self, run_id: str, *others: Question) -> tuple[StoredRun | None, dict[str, Any]]:
        """Return the current state of a run, or None if it does not exist, and the project with the other answers."""
        project = self.ask("Run", _run(run_id), *others)
        run = within(project, "run")
        now = self.client.now()
        return (_stored(run, run_id, self.page(run_id), now, self.user) if run else None), project

    def rows(self, run_id: str, after: int, at_most: int) -> list[str]:
        """Return the rows of a run after a step, each as a JSON text."""
        variables = {"run": run_id, "minStep": after + 1, "maxStep": 2**31 - 1, "pageSize": at_most}
        return items(self.query(_ROWS, variables), "project", "run", "history")

    def stream(self, run_id: str, body: bytes, *, before: Callable[[], None]) -> None:
        """Post to a run's file stream, see `WandbClient.file_stream`."""
        path = f"{self.entity}/{self.project}/{run_id}"
        self.with_key(lambda key: self.client.file_stream(key, path, body, before=before))

    def alert(self, run_id: str, title: str, text: str) -> None:
        """Notify people about a run, according to their and the team's W&B settings."""
        run = {"entityName": self.entity, "projectName": self.project, "runName": run_id}
        given = {"title": title, "text": text, "severity": "ERROR", "waitDuration": _ALERT_WAIT}
        self.query(_ALERT, {"input": run | given})

    def supersede(self, run_id: str, successor: str) -> None:
        """Mark a run as replaced by another one, and keep everything else. If it no longer exists, do nothing."""
        run, _ = self.stored(run_id)
        if run is None:
            return
        tags = list(dict.fromkeys([*run.tags, SUPERSEDED]))
        config = {**run.config, SUPERSEDED_BY: {"value": successor}}
        self.query(_EDIT_RUN, {"id": run.id, "tags": tags, "config": json.dumps(config)})

    def reopen(self, run_id: str, new: Identity | None, config: Mapping[str, Any]) -> None:
        """Open a run, or create it from `new`, with the SDK's first request, so that a refusal is raised with its status.

        Raises:
            RunDeletedError: the id was deleted.
        """
        given: dict[str, Any] = {"name": run_id, "entityName": self.entity, "modelName": self.project}
        if new:
            values = {name: {"value": value} for name, value in {**new.config, **config}.items()}
            given |= {"displayName": new.name, "groupName": new.group, "jobType": new.job_type, "notes": new.notes}
            given |= {"tags": list(new.tags), "config": json.dumps(values)}
        self.query(_REOPEN, {"input": given})

    def with_key(self, call: Callable[[str], _T]) -> _T:
        """Call a function with the API key. If W&B refuses the key, read it again and repeat the call if it has changed.

        Raises:
            KeyRefusedError: W&B refuses the fresh key, too.
        """
        key = self.keys.get()
        try:
            return call(key.get_secret_value())
        except KeyRefusedError:
            fresh = self.keys.get(refused=key)
            if fresh == key:
                raise
            return call(fresh.get_secret_value())

    def page(self, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{project_page(self.entity, self.project, self.base_url)}/runs/{quote(run_id, errors='replace')}"

    def _runs(self, variables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = None
        seen: set[str] = set()
        for _ in range(PAGES_AT_MOST):
            answer = self.query(_RUNS, {**variables, "cursor": cursor})
            self._note_user(answer)
            found = within(answer, "project", "runs")
            named = ((text(node.get("name")), node) for node in nodes(found))
            new = {name: node for name, node in named if name and name not in seen}
            yield from new.values()  # a run may be listed twice, because cursors are offsets (wandb#6614)
            seen |= new.keys()
            info = within(found, "pageInfo")
            if not info.get("hasNextPage"):
                return
            cursor = text(info.get("endCursor"))
            if cursor is None or not new:
                raise WandbBusyError(f"W&B repeats pages when it lists the runs of {self.entity}/{self.project}.")
        raise WandbBusyError(f"W&B lists the runs of {self.entity}/{self.project} without an end.")

    def ask(self, operation: str, *questions: Question) -> dict[str, Any]:
        """Send several questions in one request. Return the project with the answers; it is empty if W&B does not have it."""
        variables = {name: value for question in questions for name, value in question.variables.items()}
        declared = "".join(f", ${name}: {kind}" for name, (kind, _) in variables.items())
        fields = "\n".join(question.fields for question in questions)
        query = f"""
query {operation}($entity: String!, $project: String!{declared}) {{
  project(name: $project, entityName: $entity) {{
{fields}
  }}
  {_USER}
}}
"""
        answer = self.query(query, {name: value for name, (_, value) in variables.items()})
        self._note_user(answer)
        return within(answer, "project")

    def _note_user(self, answer: Mapping[str, Any]) -> None:
        self.user = Fields(answer.get("viewer")).read("username", text) or self.user

    def query(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Send a query or mutation. If it declares `$entity` and `$project`, they are set to the project's."""
        project = {"entity": self.entity, "project": self.project} if "$entity:" in query else {}
        return self.with_key(lambda key: self.client.graphql(key, query, {**project, **variables}))


def _run(run_id: str) -> Question:
    """Return the query of a run by its id, as in wandb-core (resume.go). Unlike `run`, it also finds a moved run."""
    fields = f"id {_LISTED} {' '.join(_READ_ON_OPENING[2:])} heartbeatAt project {{ name entity {{ name }} }}"
    return Question(f"run: bucket(name: $run, missingOk: true) {{ {fields} }}", {"run": ("String!", run_id)})


def _stored(run: Mapping[str, Any], run_id: str, url: str, now: float, user: str = "") -> StoredRun:
    known = _state(run, run_id, 1, url, now, user)
    tail = parsed(run.get("historyTail"))  # a list of rows, each a text
    last = _step(Fields(object_in(tail[-1])), "_step") if isinstance(tail, list) and tail else -1
    place = Fields(run.get("project"))
    config = object_in(run.get("config"))
    return StoredRun(
        id=str(run.get("id") or ""),
        known=replace(known, last_step=max(known.last_step, last)),
        marks=marks_in(config),
        config=config,
        summary=_summary(run),
        tags=tuple(tag for tag in items(run, "tags") if isinstance(tag, str)),
        openable=all(run.get(name) is not None for name in _READ_ON_OPENING),
        heartbeat=_seconds(run.get("heartbeatAt")),
        place=(place.fields("entity").read("name", text) or "", place.read("name", text) or ""),
    )


def _seconds(moment: object) -> float:
    """Convert a time of W&B, ISO 8601 in UTC, to seconds since the epoch; 0 if it is not a time."""
    try:
        at = datetime.fromisoformat(str(moment))
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _step(fields: Fields, name: str) -> int:
    """Return a step; -1 if there is none, or if somebody has replaced it with something else."""
    step = fields.read(name, whole)
    return -1 if step is None or step < 0 else step


def _state(node: Mapping[str, Any], job_id: str, number: int, url: str, now: float, user: str) -> RunState:
    """Return the state of a run from W&B's answer. People may edit anything, so unusable values count as absent.

    The summary is only read for runs without our marks, from other tools or from version 0.1.
    """
    config, summary = object_in(node.get("config")), Fields(_summary(node))
    marks = marks_in(config) or legacy_marks(_summary(node))
    plain = Fields(config)
    legacy = summary.fields(LEGACY)
    foreign = marks is None
    maker = Fields(node.get("user")).read("username", text) or user
    ours = marks or Marks()
    exact = marks is not None and marks.position.end >= 0
    steps = [ours.position.last_step] if exact else [_step(summary, "_step"), ours.position.last_step]
    lines = _step(Fields(node), "historyLineCount")
    correctable = exact and not ours.others and ours.ended is not None and now - ours.ended < CLOSED
    return RunState(
        id=str(node.get("name")),
        number=number,
        state=str(node.get("state") or ""),
        url=url,
        status=summary.read("status", text) if foreign else ours.status,
        model=summary.read("fine_tuned_model", text),
        account=None if foreign else plain.fields("account").read("value", text) or legacy.read("account", text),
        rule=ours.rule,
        last_step=max(steps),
        lines=lines,
        surplus=lines - ours.position.end if correctable else 0,
        source=ours.source,
        results_file=ours.results_file,
        datasets=ours.datasets,
        alerted=ours.alerted,
        ended=ours.ended,
        best=ours.best,
        foreign=foreign,
        other_user=maker if user and maker != user else "",
        superseded_by=plain.fields(SUPERSEDED_BY).read("value", text)
        or (None if exact else summary.read(SUPERSEDED_BY, text)),
    )


def _newest(runs: Sequence[RunState]) -> RunState:
    """Return a job's newest run, with the previous runs that are not yet marked as superseded.

    Everybody in the project can make a run that looks like a replacement. One of another user counts only if a previous run
    names it.
    """
    *previous, newest = sorted(runs, key=lambda run: run.number)
    while previous and newest.other_user and all(run.superseded_by != newest.id for run in previous):
        newest = previous.pop()
    return replace(newest, unmarked=tuple(run.id for run in previous if not run.superseded_by))


def _summary(node: Mapping[str, Any]) -> dict[str, Any]:
    return object_in(node.get("summaryMetrics"))
