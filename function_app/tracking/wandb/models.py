"""A job's models as versions of its family's artifact, with the lineage between jobs, and their place in a registry."""

import json
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from function_app.data.checkpoints import best_checkpoint
from function_app.data.description import artifact_name, base_model, iso, model_metadata
from function_app.data.fields import moment, number, text
from function_app.data.routes import Registry
from function_app.errors import KeyRefusedError, WandbBusyError, WandbError
from function_app.models import Checkpoint, Job
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.changes import Change, write
from function_app.tracking.wandb.internals import add_local_file
from function_app.tracking.wandb.runs import OpenRun, new_artifact
from function_app.tracking.wandb.uploads import Uploads
from function_app.tracking.wandb.versions import (
    LATEST,
    Version,
    going_on,
    going_on_in,
    is_linked,
    link,
    listing,
    made_by,
    newest,
    newest_in,
    organization_of,
    point,
    use,
    versions,
    versions_in,
)

MODEL = "model"

_BY_HAND = "Check WANDB_REGISTRY and the key's role there; it is not tried again, so link this model in W&B."
_BEFORE = "m"  # under which name `latest` is asked for
_LOOKS = 8  # at which version has `latest`, while others write theirs
_OF_AZURE = re.compile(r".+?\.ft-(?P<job>[0-9a-f]{32})(?:[-:].*)?")

_written: dict[tuple[str, str, str], deque[tuple[float, Version]]] = defaultdict(lambda: deque(maxlen=100))
"""By collection (entity, project, name): the models that this process has written last, each with when (`time.monotonic`), so
that jobs of a family that end together need not ask for each other's."""

_writing = threading.Lock()
"""Held where those are read or added to."""


@dataclass
class Models:
    """A job's models among the versions of their family: checkpoints by step, the final one last.

    `latest` is the newest model by the job's creation and step. W&B gives it to whatever was logged last, so that a job
    which is mirrored after a younger one has to give it back. Runs that train one of the models further get it as input;
    in a backfill, which begins with the youngest jobs, they are there first.

    Attributes:
        collection: the family's artifact, see `data.description.collection_of`.
        kind: the artifact's type.
        retires_at: when the models stop answering. It is metadata of a version and not in its file, as the date may move.
        written: how many versions were sent.
        linked: where the final model was linked to; empty when it was not, or before.
        warnings: what was refused without failing the job.
    """

    api: WandbApi
    job: Job
    checkpoints: Sequence[Checkpoint]
    collection: str
    kind: str = MODEL
    retires_at: str | None = None
    written: int = 0
    linked: str = ""
    warnings: list[str] = field(default_factory=list)
    _known: frozenset[str] = frozenset()

    def send(self, run: OpenRun, uploads: Uploads) -> None:
        """Have those on their way that W&B does not have."""
        there = versions(self.api, self.kind, self.collection) if run.resumed else []
        self._known = frozenset(alias for each in there for alias in each.aliases)
        for model, checkpoint in _models(self.job, self.checkpoints):
            if _alias(self.job, checkpoint) not in self._known:
                self._send(uploads, model, checkpoint)
                self.written += 1

    def _send(self, uploads: Uploads, model: str, checkpoint: Checkpoint | None) -> None:
        said = model_metadata(self.job, model, checkpoint)
        aliases = dict.fromkeys([_alias(self.job, checkpoint), *([_alias(self.job)] if said["final"] else [])])
        metadata = {**said, "job_created_at": iso(self.job.created_at)}
        if self.retires_at:
            metadata["retires_at"] = self.retires_at
        artifact = new_artifact(self.collection, self.kind, metadata)
        path = uploads.directory() / "model_metadata.json"
        path.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")
        add_local_file(artifact, path, path.name)
        step = checkpoint.step if checkpoint else max((each.step for each in self.checkpoints), default=None)
        uploads.send(
            artifact, [*aliases], step=step, taken=lambda version_id: self._note(Version(version_id, (), metadata))
        )

    def _note(self, version: Version) -> None:
        with _writing:
            _written[self._where].append((time.monotonic(), version))

    @property
    def _where(self) -> tuple[str, str, str]:
        return self.api.entity, self.api.project, self.collection

    def given_back(self, run: OpenRun) -> list[Change]:
        """`latest`, to the youngest model: the one that had it when the run was opened (`asks_before`), or that this process
        has written since.
        """
        had = newest_in(self.api, run.answers, [self.collection], _BEFORE).get(self.collection)
        with _writing:  # one that was there when the run was opened may be gone since
            since = [version for at, version in _written[self._where] if at > run.answered_at]
        last = [checkpoint.step for _, checkpoint in _models(self.job, self.checkpoints) if checkpoint]
        own = iso(self.job.created_at), float("inf") if self.job.fine_tuned_model else max(last, default=-1)
        younger = [version for version in (had, *since) if version and _age(version) > own]
        return [point(self.api, self.collection, LATEST, max(younger, key=_age).id)] if younger else []

    @property
    def asks(self) -> list[Question]:
        """What has to be known once W&B has the models: `place` reads the answers."""
        return [listing(self.kind, self.collection), going_on(self._names)]

    def place(self, project: Mapping[str, Any], registry: Registry | None) -> None:
        """See that `latest` is right, that the models are the inputs they are, and the final one in the registry.

        A registry that refuses is a warning: the models are logged, and W&B would refuse again.

        Raises:
            WandbError: not written; asking again goes on where this ended.
        """
        if not self._names:
            return
        if not project.get("artifactType"):  # W&B has the models: how it answers below a mutation is UNVERIFIED
            project = self.api.ask("ProjectArtifacts", *self.asks)
        there = versions_in(self.api, project, self.kind, self.collection)
        further = going_on_in(project, self._names)
        write(self.api, [*_given(self.api, further, there), *self._best(there)])
        _set_latest(self.api, self.kind, self.collection, there)
        final = next((each for each in there if _alias(self.job) in each.aliases), None)
        if registry and final and self.job.status == "succeeded":
            new = not self._known.intersection(final.aliases)
            try:
                self.linked = _link(self.api, registry, self.collection, self.kind, final, new=new)
            except (WandbBusyError, KeyRefusedError):
                raise
            except WandbError as error:
                said = f"The model is not in the registry {registry.name!r}: {error.message} {_BY_HAND}"
                self.warnings.append(said)

    def _best(self, there: Iterable[Version]) -> list[Change]:
        """Return the change that gives `JOB-best` to the best of the job's models; none where it is there, or nothing tells."""
        best = best_checkpoint(self.checkpoints)
        alias = artifact_name(f"{self.job.id}-best")
        of_job = (each for each in there if any(held.startswith(self.job.id) for held in each.aliases))
        version = next((each for each in of_job if best and each.metadata.get("fine_tuned_model") == best.model), None)
        return [point(self.api, self.collection, alias, version.id)] if version and alias not in version.aliases else []

    @property
    def _names(self) -> list[str]:
        return [model for model, _ in _models(self.job, self.checkpoints)]


def asks_before(collection: str) -> Question:
    """What `Models.given_back` has to know, to be asked when the run is opened."""
    return newest([collection], _BEFORE)


def previous_model(api: WandbApi, job: Job) -> str | None:
    """For a job that trains a previous model further: the version that this model is, if the project has it.

    Azure's models carry the id of their job, which is the id of its run; OpenAI's are found by the run's config.
    """
    if base_model(job) == job.model:
        return None
    azure = _OF_AZURE.fullmatch(job.model)
    runs = [f"ftjob-{azure['job']}"] if azure else []
    found = made_by(api, runs, job.model.partition(":ckpt-step-")[0])
    return next((each.id for each in found if each.metadata.get("fine_tuned_model") == job.model), None)


def _alias(job: Job, checkpoint: Checkpoint | None = None) -> str:
    """What a version is called: the job's id for the final model, with the step for a checkpoint."""
    return artifact_name(f"{job.id}-step-{checkpoint.step}" if checkpoint else job.id)


def _models(job: Job, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[str, Checkpoint | None]]:
    """Each model once; the last checkpoint is the final model (recorded on Azure: they have one name)."""
    kept = sorted(checkpoints, key=lambda checkpoint: checkpoint.step)
    final = job.fine_tuned_model
    yield from ((checkpoint.model, checkpoint) for checkpoint in kept if checkpoint.model != final)
    if final:
        yield final, next((checkpoint for checkpoint in kept if checkpoint.model == final), None)


def _set_latest(api: WandbApi, kind: str, collection: str, there: Iterable[Version]) -> None:
    """Give `latest` to the youngest model, and check again: another writer may have added one meanwhile."""
    for _ in range(_LOOKS):
        moved = _latest(api, collection, there)
        if not moved:
            return
        write(api, moved)
        there = versions(api, kind, collection)


def _latest(api: WandbApi, collection: str, there: Iterable[Version]) -> list[Change]:
    newest = max((version for version in there if _job_created_at(version)), key=_age, default=None)
    if newest is None or LATEST in newest.aliases:
        return []
    return [point(api, collection, LATEST, newest.id)]


def _given(api: WandbApi, further: dict[str, str], there: Iterable[Version]) -> list[Change]:
    by_model = {str(version.metadata.get("fine_tuned_model")): version for version in there}
    return [use(api, run_id, by_model[model].id) for run_id, model in further.items() if model in by_model]


def _link(api: WandbApi, registry: Registry, family: str, kind: str, final: Version, *, new: bool) -> str:
    """Link a model to the registry, if it is not there already; where it was linked to, empty when nothing was done.

    A version that is `new` is nowhere yet.

    `latest` is the youngest job's there, too, whichever was linked last.
    """
    collection = registry.collection_of(family)
    place = api.elsewhere(registry.project, organization_of(api))
    if not new and is_linked(api, final.id, place, collection):
        return ""
    link(place, collection, final.id)
    _set_latest(place, kind, collection, versions(place, kind, collection))
    return f"{registry.name}/{collection}"


def _age(version: Version) -> tuple[str, float]:
    """Sorts versions by their job's creation, then by step; a final model without a step comes last."""
    step = number(version.metadata.get("step"))
    return _job_created_at(version), float("inf") if step is None else float(step)


def _job_created_at(version: Version) -> str:
    """In ISO 8601; WandbLogger, whose versions may stand beside ours, says it in epoch seconds under another name."""
    theirs = moment(version.metadata.get("created_at"))
    return text(version.metadata.get("job_created_at")) or ("" if theirs is None else iso(theirs))
