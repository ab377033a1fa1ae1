"""The tracker for W&B: see `function_app.tracking`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote, urlsplit

from function_app.models import Checkpoint, DatasetPolicy, Job, RunState
from function_app.tracking import Confirmed, FileSource, Identity, Intent, ModelTarget, Turn
from function_app.tracking.wandb.access import require_writable
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.artifacts import asks_for, attach_datasets, send_results
from function_app.tracking.wandb.models import Models, asks_before, previous_model
from function_app.tracking.wandb.runs import OpenRun
from function_app.tracking.wandb.session import RunWriter
from function_app.tracking.wandb.uploads import Uploads
from function_app.tracking.wandb.versions import use


class WandbTracker:
    """One project of W&B, see `tracking.Tracker`."""

    def __init__(self, api: WandbApi) -> None:
        self.api = api
        self.project = api.project

    @property
    def entity(self) -> str:
        """The owner of the project: a team or user."""
        return self.api.entity

    @property
    def address(self) -> str:
        """Server, entity and project as one string that is safe as a name."""
        server = urlsplit(self.api.base_url).netloc.replace("api.forge.coreweave.com", "api.wandb.ai")  # one server
        return "/".join(quote(part, safe="") for part in (server, self.entity, self.project))

    def elsewhere(self, project: str, entity: str | None = None) -> Self:
        """Return another project on the same server with the same key, by default of the same entity."""
        return type(self)(self.api.elsewhere(project, entity))

    def require_writable(self) -> None:
        """See `access.require_writable`."""
        require_writable(self.api)

    def runs(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """See `WandbApi.states`."""
        return self.api.states(job_ids, accounts=accounts)

    @contextmanager
    def open(self, run_id: str, new: Identity | None, intent: Intent, turn: Turn) -> Iterator["WandbSession"]:
        """Read the run and everything that the intent needs in one request; see `tracking.Tracker`."""
        asks: list[Question] = asks_for(intent.files)
        if intent.collection:
            asks.append(asks_before(intent.collection))
        session = WandbSession(self.api, run_id, new, self.api.stored(run_id, *asks), turn)
        try:
            yield session
        finally:
            session.close()

    def supersede(self, run_id: str, successor: str) -> None:
        """See `WandbApi.supersede`."""
        self.api.supersede(run_id, successor)


class WandbAttachments(Uploads):
    """Files and models of a run, see `tracking.Attachments`."""

    def __init__(self, api: WandbApi, run: OpenRun) -> None:
        super().__init__(api, run)
        self.placed: Models | None = None
        self.target: ModelTarget | None = None

    def datasets(self, source: FileSource, file_ids: Iterable[str], policy: DatasetPolicy) -> dict[str, dict[str, Any]]:
        """See `artifacts.attach_datasets`."""
        return attach_datasets(self._api, self._run, self, source, file_ids, policy)

    def previous_model(self, job: Job) -> bool:
        """Attach the model that the job trains further; return whether the project has it."""
        version = previous_model(self._api, job)
        if version:
            self.inputs.append(version)
        return version is not None

    def results(self, job: Job, content: Iterable[bytes]) -> None:
        """Attach the results file, with a table of its rows."""
        send_results(self, job, content)

    def models(self, job: Job, checkpoints: Sequence[Checkpoint], target: ModelTarget) -> None:
        """Write the job's models that the project does not have yet."""
        self.target = target
        self.placed = Models(self._api, job, checkpoints, target.collection, target.kind, target.retires_at)
        self.placed.send(self._run, self)


class WandbSession(RunWriter):
    """A run of W&B that is being brought up to date, see `tracking.Session`."""

    _attached: "WandbAttachments | None" = None

    def attachments(self) -> WandbAttachments:
        """Return the uploads of files and models for the run."""
        self._attached = WandbAttachments(self._api, self)
        return self._attached

    def confirm(self) -> Confirmed:
        """Write and confirm in one request the run's inputs, its config and marks, and the place of its models."""
        self.end_session()
        attached = self._attached
        models = attached.placed if attached else None
        changes = [use(self._api, self.id, version) for version in (attached.inputs if attached else [])]
        changes += models.given_back(self) if models else []
        edited = self.write_marks(changes, *(models.asks if models else []))
        if models is None or attached is None or attached.target is None:
            return Confirmed()
        models.place((edited.get("bucket") or {}).get("project") or {}, attached.target.registry)
        return Confirmed(models.written, models.linked, tuple(models.warnings))
