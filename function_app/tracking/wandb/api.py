"""What the engine asks W&B besides runs: which runs there are, which artifact versions; small writes without a run open."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

from function_app.data.fields import Fields, object_in, parsed, text, whole
from function_app.errors import KeyRefusedError, WandbBusyError
from function_app.models import RunState, alerted_condition
from function_app.tracking import OF_JOB, Identity, KeySource, run_of
from function_app.tracking.wandb.client import WandbClient
from function_app.tracking.wandb.pages import project_page

_T = TypeVar("_T")

_PAGES_AT_MOST = 1000
"""Pages of one listing: a million runs, where W&B recommends 100,000 in a project."""

IDS_PER_QUERY = RUNS_PER_PAGE = 1000
STATE = "sync"
"""The key of the run summary under which the engine keeps what it has to know at the next tick."""
LAST_STEP = "last_step"
"""What is kept there beside: the last step that was written."""
SUPERSEDED = "superseded"
"""The tag of runs that were replaced; their summary says by which, under `superseded_by`."""

_GOING_ON = ["running", "crashed"]
"""States of runs that nobody has ended."""

_RUNS = """
query Runs($entity: String!, $project: String!, $filters: JSONString, $cursor: String, $perPage: Int) {
  project(name: $project, entityName: $entity) {
    runs(filters: $filters, after: $cursor, first: $perPage, order: "+created_at") {
      edges { node { name state tags summaryMetrics } cursor }
      pageInfo { endCursor hasNextPage }
    }
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
mutation UpsertBucket($id: String!, $tags: [String!], $summaryMetrics: JSONString) {
  upsertBucket(input: { id: $id, tags: $tags, summaryMetrics: $summaryMetrics }) { bucket { id } }
}
"""


@dataclass(frozen=True)
class Question:
    """Something about a project that can be asked together with others.

    Attributes:
        fields: of GraphQL's Project.
        variables: those in them: name → type and value.
    """

    fields: str
    variables: Mapping[str, tuple[str, Any]]


class WandbApi:
    """Reads and small writes in one project. Every method raises KeyRefusedError, WandbBusyError or WandbError."""

    def __init__(self, project: str, keys: KeySource, client: WandbClient, *, entity: str | None = None) -> None:
        self.project = project
        self.keys = keys
        self.base_url = client.server
        self.client = client
        self._entity = entity

    def elsewhere(self, project: str, entity: str | None = None) -> "WandbApi":
        """The same W&B with the same key, in another project; of the same entity if no other is named."""
        return WandbApi(project, self.keys, self.client, entity=entity or self.entity)

    @property
    def entity(self) -> str:
        """Whose project it is: as set, or the key's own default."""
        if self._entity is None:
            viewer = self.query(_VIEWER, {}).get("viewer")
            self._entity = str((viewer or {}).get("entity") or "")
        return self._entity

    def states(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """What W&B shows for these jobs, each by its newest run; jobs without one are absent. One query a thousand jobs.

        The same query finds, by their own ids, the other runs of these `accounts` that go on. A project that W&B does not
        have, as nothing was written into it yet, has no runs (wandb 0.31, Api.runs: the project is null then).

        That a filter may ask for run ids or a config value is documented one by one (wandb 0.31, Api.runs); how W&B takes
        both in one `$or` is UNVERIFIED. Were the second part to find nothing, replaced runs would be told apart still.
        """
        if not job_ids and not accounts:
            return {}
        found: dict[str, list[RunState]] = defaultdict(list)
        known = set(job_ids)
        where = f"{project_page(self.entity, self.project, self.base_url)}/runs/"
        for start in range(0, len(job_ids) or 1, IDS_PER_QUERY):
            wanted = list(job_ids[start : start + IDS_PER_QUERY])
            either: list[dict[str, Any]] = []
            if wanted:
                either += ({"name": {"$in": wanted}}, {f"config.{OF_JOB}": {"$in": wanted}})
            if accounts and not start:  # once is enough
                either.append({"state": {"$in": _GOING_ON}, "config.account": {"$in": [*accounts]}})
            filters, these = {"$or": either}, set(wanted)
            for node in self._runs({"filters": json.dumps(filters), "perPage": RUNS_PER_PAGE}):
                if whose := run_of(node["name"], these):
                    found[whose[0]].append(_state(node, *whose, where + quote(node["name"])))
                elif run_of(node["name"], known) is None and node.get("state") in _GOING_ON:
                    other = self._with_account(_state(node, node["name"], 1, where + quote(node["name"])))
                    if other.account in accounts:
                        found[other.id] = [other]
        return {job_id: _newest(runs) for job_id, runs in found.items()}

    def written(self, run_id: str, *others: Question) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """A run's summary as W&B has it now, None when neither rows nor anything of ours is in the run yet; and the project
        with the answers to what else was asked.
        """
        project = self.ask("Run", _run(run_id), *others)
        run = project.get("run") or {}
        summary = _summary(run)
        return summary if run.get("historyLineCount") or STATE in summary else None, project

    def supersede(self, run_id: str, successor: str) -> None:
        """Say of a run that another one has replaced it; all else of it stays. Nothing happens when it is gone."""
        run = self.ask("Run", _run(run_id)).get("run")
        if run is None:
            return
        had = run.get("tags")
        tags = list(dict.fromkeys([*(had if isinstance(had, list) else []), SUPERSEDED]))
        summary = _summary(run) | {f"{SUPERSEDED}_by": successor}
        self.query(_EDIT_RUN, {"id": run["id"], "tags": tags, "summaryMetrics": json.dumps(summary)})

    def reopen(self, run_id: str, new: Identity | None) -> None:
        """Open a run, or make it as `new` says, as the SDK does first: whatever W&B has against it is raised.

        Raises:
            RunDeletedError: the id was deleted.
        """
        given: dict[str, Any] = {"name": run_id, "entityName": self.entity, "modelName": self.project}
        if new:
            config = {name: {"value": value} for name, value in new.config.items()}
            given |= {"displayName": new.name, "groupName": new.group, "jobType": new.job_type, "notes": new.notes}
            given |= {"tags": list(new.tags), "config": json.dumps(config)}
        self.query(_REOPEN, {"input": given})

    def with_key(self, call: Callable[[str], _T]) -> _T:
        """Do something with the API key; when W&B refuses it, once more with the key read anew, if that is another.

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

    def _with_account(self, run: RunState) -> RunState:
        """Whose it is, if it is ours: by its config where whoever made it was killed before it could keep anything there."""
        if run.account or run.foreign:
            return run
        config = Fields(object_in((self.ask("Run", _run(run.id)).get("run") or {}).get("config")))
        return replace(run, account=config.fields("account").read("value", text))

    def _runs(self, variables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = None
        seen: set[str] = set()
        for _ in range(_PAGES_AT_MOST):
            found = (self.query(_RUNS, {**variables, "cursor": cursor}).get("project") or {}).get("runs") or {}
            yield from (node for edge in found.get("edges") or [] if (node := edge.get("node")) and node.get("name"))
            info = found.get("pageInfo") or {}
            if not info.get("hasNextPage"):
                return
            cursor = info.get("endCursor")
            if cursor is None or cursor in seen:
                break
            seen.add(cursor)
        raise WandbBusyError(f"W&B lists the runs of {self.entity}/{self.project} again and again.")

    def ask(self, operation: str, *questions: Question) -> dict[str, Any]:
        """Ask several things in one request; the project with all the answers, empty when W&B does not have it."""
        variables = {name: said for question in questions for name, said in question.variables.items()}
        declared = "".join(f", ${name}: {kind}" for name, (kind, _) in variables.items())
        fields = "\n".join(question.fields for question in questions)
        query = f"""
query {operation}($entity: String!, $project: String!{declared}) {{
  project(name: $project, entityName: $entity) {{
{fields}
  }}
}}
"""
        found = self.query(query, {name: value for name, (_, value) in variables.items()}).get("project")
        return found or {}

    def query(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a question or write something; `$entity` and `$project` are the project's when they are declared."""
        project = {"entity": self.entity, "project": self.project} if "$entity:" in query else {}
        return self.with_key(lambda key: self.client.graphql(key, query, {**project, **variables}))


def _run(run_id: str) -> Question:
    fields = "id tags config summaryMetrics historyLineCount historyTail"
    return Question(f"run(name: $run) {{ {fields} }}", {"run": ("String!", run_id)})


def last_step_of(project: Mapping[str, Any]) -> int:
    """The step of the last row that a run has, by what `WandbApi.written` said of it; -1 where it has none.

    The tail is a list of rows, each a text, of which the SDK takes the step when it resumes a run (wandb-core, resume.go).
    """
    tail = parsed((project.get("run") or {}).get("historyTail"))
    return _step(Fields(object_in(tail[-1])), "_step") if isinstance(tail, list) and tail else -1


def _step(fields: Fields, name: str) -> int:
    """Return a step; -1 where there is none, or people put something else there."""
    step = fields.read(name, whole)
    return -1 if step is None or step < 0 else step


def _state(node: Mapping[str, Any], job_id: str, number: int, url: str) -> RunState:
    """Return what W&B shows of a run. People may put anything into a summary: what cannot be used counts as absent."""
    summary = Fields(_summary(node))
    ours = summary.fields(STATE)
    tags = node.get("tags")
    # The tag is there from the first request on, before anything could be kept.
    tagged = f"openai/{job_id}" in (tags if isinstance(tags, list) else [])
    foreign = not ours and number == 1 and not tagged
    return RunState(
        id=node["name"],
        number=number,
        state=str(node.get("state") or ""),
        url=url,
        status=(summary if foreign else ours).read("status", text),
        model=summary.read("fine_tuned_model", text),
        account=ours.read("account", text),
        rule=ours.read("rule", whole),
        last_step=max(_step(summary, "_step"), _step(ours, LAST_STEP)),
        source=ours.read("source", text),
        results_file=ours.read("results_file", text),
        datasets=ours.read("datasets", bool) or False,
        alerted=ours.read("alerted", alerted_condition) or "",
        foreign=foreign,
        superseded_by=summary.read(f"{SUPERSEDED}_by", text),
    )


def _newest(runs: Sequence[RunState]) -> RunState:
    """A job's newest run, with those of its previous ones that do not say so."""
    *previous, newest = sorted(runs, key=lambda run: run.number)
    return replace(newest, unmarked=tuple(run.id for run in previous if not run.superseded_by))


def _summary(node: Mapping[str, Any]) -> dict[str, Any]:
    return object_in(node.get("summaryMetrics"))
