"""W&B's mutations on runs, their files and projects. Field names: see wandb_graphql.py."""

import secrets
from dataclasses import dataclass

from sandbox.wandb.files import run_file_folder
from sandbox.wandb.graphql.file_nodes import UploadNode
from sandbox.wandb.graphql.inputs import (
    CreateRunFilesInput,
    DeleteFilesInput,
    DeleteRunInput,
    NotifyScriptableRunAlertInput,
    StopRunInput,
    UpdateRunStateInput,
    UpsertBucketInput,
    UpsertModelInput,
)
from sandbox.wandb.graphql.paging import Context
from sandbox.wandb.graphql.queries import UNCATEGORIZED
from sandbox.wandb.graphql.run_nodes import ProjectNode, RunNode, run_storage_id
from sandbox.wandb.rules import RefusedError, invalid, not_found, parsed_object, permission_denied
from sandbox.wandb.runs import Alert, Run, RunState
from sandbox.wandb.store import decoded_id
from sandbox.wandb.users import Entity


@dataclass(frozen=True)
class Success:
    """Done."""

    success: bool = True


@dataclass(frozen=True)
class UpsertBucketPayload:
    """The run, and whether it is new."""

    bucket: RunNode
    inserted: bool


@dataclass(frozen=True)
class DeleteRunPayload:
    """Done."""

    client_mutation_id: str | None = None


@dataclass(frozen=True)
class CreateRunFilesPayload:
    """Where to upload."""

    run_id: str
    files: list[UploadNode]
    upload_headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpsertModelPayload:
    """The project under both of its names, and whether it is new."""

    project: ProjectNode
    model: ProjectNode
    inserted: bool


# From which states people may move a run to which (wandb 0.31, Run.update_state).
MOVES = {
    RunState.PENDING: {RunState.RUNNING, RunState.FAILED, RunState.CRASHED, RunState.PREEMPTED},
    RunState.FAILED: {RunState.PENDING, RunState.RUNNING},
}


@dataclass(frozen=True)
class Writer:
    """What all mutations need: may the caller write there, and what is meant."""

    context: Context

    def writable(self, entity_name: str | None, operation: str) -> Entity:
        """The entity (the default one when not named).

        Raises:
            RefusedError: there is none, or the caller may not write there.
        """
        name = entity_name or self.context.user.default_entity
        entity = self.context.store.entities.get(name)
        if entity is None:
            raise RefusedError(404, f"entity {name} not found during {operation}")
        if not entity.may_write(self.context.user):
            raise permission_denied()
        return entity

    def named_run(self, entity: str, project: str, run_id: str, operation: str) -> Run:
        """A run the caller may write to, by names."""
        self.writable(entity, operation)
        found = self.context.store.project(entity, project)
        if found is None or run_id not in found.runs:
            raise not_found(f"run {entity}/{project}/{run_id}")
        return found.runs[run_id]

    def stored_run(self, storage_id: str, operation: str) -> Run:
        """A run the caller may write to, by its storage id."""
        match decoded_id(storage_id):
            case ["Run", "v1", run_id, project, entity]:
                return self.named_run(entity, project, run_id, operation)
        raise invalid(f"invalid run id {storage_id!r}")


class RunMutations(Writer):
    """Mutations on runs."""

    def upsert_bucket(self, given: UpsertBucketInput) -> UpsertBucketPayload:
        """Make, open or edit a run.

        With a name (a resuming client sends the storage id, too) a client opens the run, which makes it running; by
        storage id alone somebody edits it, which does not.
        """
        if given.sweep:
            raise RefusedError(501, "the sandbox does not model sweeps")
        edited = self.stored_run(given.id, "upsertBucket") if given.id and given.name is None else None
        run, inserted = (edited, False) if edited else self._opened(given)
        if given.state:
            self._move(run, given.state)
        self._edit(run, given)
        return UpsertBucketPayload(RunNode(run, self.context), inserted)

    def _opened(self, given: UpsertBucketInput) -> tuple[Run, bool]:
        store = self.context.store
        entity = self.writable(given.entity_name, "upsertBucket")
        project = store.add_project(entity.name, given.model_name or UNCATEGORIZED, self.context.user)
        run_id = given.name or secrets.token_hex(4)
        inserted = run_id not in project.runs
        run = store.add_run(project, run_id, self.context.user) if inserted else project.runs[run_id]
        now = store.clock.time()
        if run.state(now) is RunState.PREEMPTING:  # its client may still be there; when W&B takes it back: UNVERIFIED
            run.heartbeat_at = now
        else:
            run.start(now)
        return run, inserted

    def _edit(self, run: Run, given: UpsertBucketInput) -> None:
        """Null leaves as is. A config replaces the old one: clients send all of it."""
        if given.config is not None:
            run.raw_config = parsed_object(given.config, "config")
        if given.summary_metrics is not None:
            run.summary = parsed_object(given.summary_metrics, "summaryMetrics")
        if given.tags is not None:
            run.set_tags(given.tags)
        told = {
            "name": given.display_name,
            "group": given.group_name,
            "job_type": given.job_type,
            "notes": given.notes,
            "description": given.description,
            "host": given.host,
            "program": given.job_program,
            "commit": given.commit,
        }
        for attribute, value in told.items():
            if value is not None:
                setattr(run, attribute, value)

    def update_run_state(self, given: UpdateRunStateInput) -> Success:
        """Move a run by hand."""
        run = self.stored_run(given.id, "updateRunState")
        now = self.context.store.clock.time()
        if run.state(now) not in MOVES.get(RunState(given.state), ()):
            raise invalid(f"cannot move a run from {run.state(now)} to {given.state}")
        self._move(run, given.state)
        return Success()

    def _move(self, run: Run, state: str) -> None:
        if state not in set(RunState):
            raise invalid(f"invalid run state {state!r}")
        run.phase = RunState(state)

    def stop_run(self, given: StopRunInput) -> Success:
        """Ask a run to stop; its client hears of it with its next heartbeat."""
        self.stored_run(given.id, "stopRun").stop_requested = True
        return Success()

    def delete_run(self, given: DeleteRunInput) -> DeleteRunPayload:
        """Take a run away, with what it logged when asked to."""
        run = self.stored_run(given.id, "deleteRun")
        self.context.store.delete_run(run)
        if given.delete_artifacts:
            for artifact in run.logged:
                self.context.store.delete_artifact(artifact)
        return DeleteRunPayload()

    def create_run_files(self, given: CreateRunFilesInput) -> CreateRunFilesPayload:
        """Addresses to upload a run's files to."""
        run = self.named_run(given.entity_name, given.project_name, given.run_name, "createRunFiles")
        folder = run_file_folder(run.entity, run.project, run.id)
        files = [UploadNode(name, folder + name, self.context) for name in given.files]
        return CreateRunFilesPayload(run_storage_id(run), files)

    def delete_files(self, given: DeleteFilesInput) -> Success:
        """Take a run's files away."""
        for file_id in given.files:
            match decoded_id(file_id):
                case ["File", path] if path.count("/") >= 3:  # entity/project/run/name
                    self.writable(path.split("/")[0], "deleteFiles")
                    self.context.store.storage.delete(path)
                case _:
                    raise invalid(f"invalid file id {file_id!r}")
        return Success()

    def notify_scriptable_run_alert(self, given: NotifyScriptableRunAlertInput) -> Success:
        """Tell people something about a run."""
        run = self.named_run(given.entity_name, given.project_name, given.run_name, "notifyScriptableRunAlert")
        now = self.context.store.clock.now()
        alert = Alert(run.entity, run.project, run.id, given.title, given.text, given.severity or "INFO", now)
        self.context.store.alerts.append(alert)
        return Success()

    def upsert_model(self, given: UpsertModelInput) -> UpsertModelPayload:
        """Make or edit a project."""
        entity = self.writable(given.entity_name, "upsertModel")
        name = given.name or UNCATEGORIZED
        inserted = self.context.store.project(entity.name, name) is None
        project = self.context.store.add_project(entity.name, name, self.context.user)
        if given.description is not None:
            project.description = given.description
        node = ProjectNode(project, self.context)
        return UpsertModelPayload(node, node, inserted)
