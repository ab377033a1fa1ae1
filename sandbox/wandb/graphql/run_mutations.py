"""W&B's mutations on runs, their files, projects and saved views."""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.wandb import rules
from sandbox.wandb.files import run_file_folder
from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import Input
from sandbox.wandb.graphql.files import upload
from sandbox.wandb.graphql.runs import run_storage_id
from sandbox.wandb.runs import Alert, Run, RunState
from sandbox.wandb.store import UNCATEGORIZED, View, decoded_id, encoded_id

Payload = dict[str, Any]
SUCCESS: Payload = {"success": True}


def _upsert_bucket(context: Context, *, given: Input) -> Payload:
    """Create, open or edit a run.

    With a name (a resuming client sends the storage id, too) a client opens the run, which makes it running; with the
    storage id alone somebody edits it, which does not.
    """
    if given.sweep:
        raise rules.not_modelled("sweeps")
    if given.id and given.name is None:
        run, inserted = context.stored_run(given.id, "upsertBucket"), False
        run.changing(context.now)
    else:
        run, inserted = _opened(context, given)
    if given.state:
        _move(run, given.state)
    _edit(run, given)
    return {"bucket": run, "inserted": inserted}


def _opened(context: Context, given: Input) -> tuple[Run, bool]:
    """Open a run by name. A moved run is found under its old path; the answer has the new one (wandb#6164)."""
    entity = context.writable(given.entity_name, "upsertBucket")
    project = context.store.add_project(entity.name, given.model_name or UNCATEGORIZED, context.user)
    run_id = given.name or secrets.token_hex(4)
    known = project.runs.get(run_id) or project.moved_runs.get(run_id)
    _check(given)
    run = known or context.store.add_run(project, run_id, context.user)
    if known:
        run.changing(context.now)
    else:
        run.created(context.now)
    run.start(context.now)
    return run, known is None


def _check(given: Input) -> None:
    rules.check_length("display name", given.display_name)
    rules.check_length("group", given.group_name)
    rules.check_length("job type", given.job_type, rules.JOB_TYPE_LENGTH)


def _edit(run: Run, given: Input) -> None:
    """Apply what the client sent; null leaves a field as it is."""
    _check(given)
    if given.config is not None:
        run.send_config(rules.parsed_config(given.config))
    if given.summary_metrics is not None:
        run.send_summary(rules.parsed_object(given.summary_metrics, "summaryMetrics"))
    if given.tags is not None:
        run.set_tags(given.tags)
    sent = {
        "name": given.display_name,
        "group": given.group_name,
        "job_type": given.job_type,
        "notes": given.notes,
        "description": given.description,
        "host": given.host,
        "program": given.job_program,
        "commit": given.commit,
    }
    for attribute, value in sent.items():
        if value is not None:
            setattr(run, attribute, value)


def _move(run: Run, state: str) -> None:
    """Set a state.

    Raises:
        RefusedError: there is no such state.
    """
    if state not in set(RunState):
        raise rules.invalid(f"invalid run state {state!r}")
    run.phase = RunState(state)


def _stop_run(context: Context, *, given: Input) -> Payload:
    """Ask a run to stop; its client reads that in the answer to its next file stream post."""
    context.stored_run(given.id, "stopRun").stop_requested = True
    return SUCCESS


def _create_run_files(context: Context, *, given: Input) -> Payload:
    run = context.writable_run(given.entity_name, given.project_name, given.run_name, "createRunFiles")
    folder = run_file_folder(run.entity, run.project, run.id)
    files = [upload(name, folder + name, context) for name in given.files]
    return {"runID": run_storage_id(run), "uploadHeaders": (), "files": files}


def _notify_scriptable_run_alert(context: Context, *, given: Input) -> Payload:
    run = context.writable_run(given.entity_name, given.project_name, given.run_name, "notifyScriptableRunAlert")
    rules.check_length("title", given.title, rules.ALERT_TITLE_LENGTH)
    rules.check_length("text", given.text, rules.ALERT_TEXT_LENGTH)
    now = context.store.clock.now()
    alert = Alert(run.entity, run.project, run.id, given.title, given.text, given.severity or "INFO", now)
    context.store.alerts.append(alert)
    return SUCCESS


def _upsert_model(context: Context, *, given: Input) -> Payload:
    """Create or edit a project; the answer has it under both of its names."""
    entity, name = context.writable(given.entity_name, "upsertModel"), given.name or UNCATEGORIZED
    inserted = context.store.project(entity.name, name) is None
    project = context.store.add_project(entity.name, name, context.user)
    if given.description is not None:
        project.description = given.description
    return {"project": project, "model": project, "inserted": inserted}


def _upsert_view(context: Context, *, given: Input) -> Payload:
    """Save a new view of a workspace, or replace the one with this id."""
    entity = context.writable(given.entity_name, "upsertView")
    project = context.project(entity.name, given.project_name or "")
    spec = _checked_spec(given.spec)
    if given.id:
        view = next((each for each in project.views if encoded_id("View", each.number) == given.id), None)
        if view is None:
            raise rules.not_found(f"view {given.id}")
        view.display_name, view.spec = given.display_name or view.display_name, spec
        return {"view": view, "inserted": False}
    if not given.name:
        raise rules.invalid("a view needs a name")
    if any(each.name == given.name for each in project.views):
        raise rules.RefusedError(409, f"view {given.name} already exists")
    view = View(
        number=context.store.next_number(),
        name=given.name,
        type=given.type or "runs",
        display_name=given.display_name or given.name,
        description=given.description or "",
        spec=spec,
        created_by=context.user,
    )
    project.views.append(view)
    return {"view": view, "inserted": True}


def _create_filter_trigger(context: Context, *, given: Input) -> Payload:
    """Create an automation in a project; names are unique there."""
    match decoded_id(given.scope_id):
        case ["Project", "v1", name, entity]:
            context.writable(entity, "createFilterTrigger")
            project = context.project(entity, name)
        case _:
            raise rules.invalid("an automation needs a project")
    if any(each["name"] == given.name for each in project.triggers):
        raise rules.RefusedError(409, f"automation {given.name} already exists")
    trigger = {"id": encoded_id("Trigger", context.store.next_number()), **vars(given)}
    project.triggers.append(trigger)
    return {"trigger": trigger}


def _checked_spec(spec: str | None) -> str:
    """Require what the app could show: a workspace with sections of panels."""
    try:
        sections = json.loads(spec or "")["section"]["panelBankConfig"]["sections"]
        named = all(isinstance(section["name"], str) and section["panels"] is not None for section in sections)
    except (ValueError, KeyError, TypeError) as error:
        raise rules.invalid(f"invalid view spec: {error}") from error
    if not named:
        raise rules.invalid("invalid view spec: a section without a name")
    return spec or ""


MUTATIONS: Mapping[str, Callable[..., Payload]] = {
    "upsertBucket": _upsert_bucket,
    "stopRun": _stop_run,
    "createRunFiles": _create_run_files,
    "notifyScriptableRunAlert": _notify_scriptable_run_alert,
    "upsertModel": _upsert_model,
    "upsertView": _upsert_view,
    "createFilterTrigger": _create_filter_trigger,
}
