"""A run of W&B with its files and models: what the tracker opens. The SDK is imported from here on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from function_app.data.fields import within
from function_app.models import Checkpoint, DatasetPolicy, Job
from function_app.tracking import ConfirmedModels, FileSource, Identity, Intent, ModelTarget, RunLease
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.runs import OpenRun
from function_app.tracking.wandb.session import RunWriter
from function_app.tracking.wandb.versioned.artifacts import attach_datasets, questions_for, send_results
from function_app.tracking.wandb.versioned.models import Models, opening_questions, previous_model
from function_app.tracking.wandb.versioned.uploads import Uploads
from function_app.tracking.wandb.versioned.versions import use


class WandbAttachments(Uploads):
    """Files and models of a run, see `tracking.Attachments`."""

    def __init__(self, api: WandbApi, run: OpenRun) -> None:
        super().__init__(api, run)
        self._roles: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self.placed: Models | None = None
        self.target: ModelTarget | None = None

    def datasets(
        self, source: FileSource, files: Mapping[str, str], policy: DatasetPolicy
    ) -> dict[str, dict[str, Any]]:
        """See `artifacts.attach_datasets`."""
        self._roles = dict(files)
        return attach_datasets(self._api, self._run, self, source, files.values(), policy, self._tables)

    @property
    def tables(self) -> dict[str, str]:
        """The versions with the files' tables, by role, once the uploads are done."""
        return {role: self._tables[file_id] for role, file_id in self._roles.items() if file_id in self._tables}

    def previous_model(self, job: Job) -> bool:
        """Attach the model that the job trains further; return whether the project has it."""
        version = previous_model(self._api, job)
        if version:
            self.inputs.append(version)
        return version is not None

    def results(self, job: Job, content: Iterable[bytes]) -> None:
        """Attach the results file, with a table of its rows."""
        send_results(self._api, self, job, content)

    def models(self, job: Job, checkpoints: Sequence[Checkpoint], target: ModelTarget) -> None:
        """Write the job's models that the project does not have yet."""
        self.target = target
        self.placed = Models(self._api, job, checkpoints, target.collection, target.kind, target.dates, self.warnings)
        self.placed.send(self._run, self)


class WandbSession(RunWriter):
    """A run of W&B that is being brought up to date, see `tracking.Session`."""

    _attached: "WandbAttachments | None" = None

    def attachments(self) -> WandbAttachments:
        """Return the uploads of files and models for the run."""
        self._attached = WandbAttachments(self._api, self)
        return self._attached

    def confirm(self) -> ConfirmedModels:
        """Write and confirm in one request the run's inputs, its config and marks, and the place of its models."""
        attached = self._attached
        if attached and attached.tables:
            self.show_tables(attached.tables)
        models = attached.placed if attached else None
        answers = self.end_session(*(models.questions_after_upload() if models else []))
        changes = [use(self._api, self.id, version) for version in (attached.inputs if attached else [])]
        changes += models.restore_latest(answers) if models else []
        edited = self.write_marks(changes, *(models.questions() if models else []))
        if models is None or attached is None or attached.target is None:
            return ConfirmedModels(warnings=tuple(attached.warnings) if attached else ())
        models.place(within(edited, "bucket", "project"), attached.target.registry)
        return ConfirmedModels(models.written, models.linked, tuple(attached.warnings))


@contextmanager
def open_run(
    api: WandbApi, run_id: str, new: Identity | None, intent: Intent, lease: RunLease
) -> Iterator[WandbSession]:
    """Read the run and everything that the intent needs in one request; see `tracking.Tracker.open`."""
    questions: list[Question] = questions_for(intent.files)
    if intent.collection:
        questions += opening_questions(intent.collection)
    session = WandbSession(api, run_id, new, api.stored(run_id, *questions), lease)
    try:
        yield session
    finally:
        session.close()
