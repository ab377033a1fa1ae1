"""A job's models as versions of its family's artifact, with the lineage between jobs, and their place in a registry."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from function_app.describe import artifact_name, base_model, family_of, iso, model_metadata
from function_app.errors import KeyRefusedError, WandbBusyError, WandbError
from function_app.model import Checkpoint, Job
from function_app.routing import Registry
from function_app.wandb_api import WandbApi
from function_app.wandb_files import add_file
from function_app.wandb_runs import OpenRun, new_artifact
from function_app.wandb_uploads import Uploads
from function_app.wandb_versions import (
    LATEST,
    Change,
    Version,
    is_linked,
    link,
    made_by,
    organization_of,
    point,
    use,
    versions,
    versions_and_runs,
    write,
)

MODEL = "model"

_BY_HAND = "Check WANDB_REGISTRY and the key's role there; it is not tried again, so link this model in W&B."
_OF_AZURE = re.compile(r".+?\.ft-(?P<job>[0-9a-f]{32})(?:[-:].*)?")


@dataclass
class Models:
    """What was done: how many versions were written, where the final one was linked to, and what was refused; and the
    `changes` of aliases and lineage that are to follow.
    """

    written: int = 0
    changes: list[Change] = field(default_factory=list)
    linked: str = ""
    warnings: list[str] = field(default_factory=list)


def log_models(
    api: WandbApi,
    run: OpenRun,
    uploads: Uploads,
    job: Job,
    checkpoints: Sequence[Checkpoint],
    *,
    collection: str | None = None,
    kind: str = MODEL,
    registry: Registry | None = None,
) -> Models:
    """Make the job's models versions of its family's artifact, or of `collection`: checkpoints by step, the final one last.

    `latest` is the newest model by the job's creation and step. W&B gives it to whatever was logged last, so that a job
    which is mirrored after a younger one has to give it back. Runs that train one of the models further get it as input;
    in a backfill, which begins with the youngest jobs, they are there first.

    A registry that refuses is a warning: the models are logged, and W&B would refuse again.

    Raises:
        WandbError: not written; asking again goes on where this ended.
    """
    family = artifact_name(collection) if collection else family_of(job)
    done = Models()
    known = {alias for each in (versions(api, kind, family) if run.resumed else []) for alias in each.aliases}
    for model, checkpoint in _models(job, checkpoints):
        if _alias(job, checkpoint) not in known:
            _send_model(uploads, job, model, checkpoint, family, kind)
            done.written += 1
    uploads.wait()
    made = [model for model, _ in _models(job, checkpoints)]
    there, further = versions_and_runs(api, kind, family, made)
    done.changes += [*_latest(api, family, there), *_given(api, further, there)]
    final = next((each for each in there if _alias(job) in each.aliases), None)
    if registry and final and job.status == "succeeded":
        try:
            done.linked = _link(api, registry, family, kind, final, new=not known.intersection(final.aliases))
        except (WandbBusyError, KeyRefusedError):
            raise
        except WandbError as error:
            done.warnings.append(f"The model is not in the registry {registry.name!r}: {error.message} {_BY_HAND}")
    return done


def earlier_model(api: WandbApi, job: Job) -> str | None:
    """For a job that trains an earlier model further: the version that this model is, if the project has it.

    Azure's models carry the id of their job, which is the id of its run; OpenAI's are found by the run's config.
    """
    if base_model(job) == job.model:
        return None
    azure = _OF_AZURE.fullmatch(job.model)
    runs = [f"ftjob-{azure['job']}"] if azure else []
    found = made_by(api, runs, job.model.partition(":ckpt-step-")[0])
    return next((each.id for each in found if each.metadata.get("fine_tuned_model") == job.model), None)


def _send_model(uploads: Uploads, job: Job, model: str, checkpoint: Checkpoint | None, family: str, kind: str) -> None:
    said = model_metadata(job, model, checkpoint)
    aliases = dict.fromkeys([_alias(job, checkpoint), *([_alias(job)] if said["final"] else [])])
    artifact = new_artifact(family, kind, {**said, "job_created_at": iso(job.created_at)})
    path = uploads.directory() / "model_metadata.json"
    path.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")
    add_file(artifact, path, path.name)
    uploads.send(artifact, [*aliases])


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


def _latest(api: WandbApi, collection: str, there: Iterable[Version]) -> list[Change]:
    newest = max((version for version in there if _job_created_at(version)), key=_age, default=None)
    if newest is None or LATEST in newest.aliases:
        return []
    return [point(api, collection, LATEST, newest.id)]


def _given(api: WandbApi, further: dict[str, str], there: Iterable[Version]) -> list[Change]:
    by_model = {version.metadata.get("fine_tuned_model"): version for version in there}
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
    write(place, _latest(place, collection, versions(place, kind, collection)))
    return f"{registry.name}/{collection}"


def _age(version: Version) -> tuple[str, float]:
    """Sorts versions by their job's creation, then by step; a final model without a step comes last."""
    step = version.metadata.get("step")
    return _job_created_at(version), float("inf") if step is None else float(step)


def _job_created_at(version: Version) -> str:
    """In ISO 8601; WandbLogger, whose versions may stand beside ours, says it in epoch seconds under another name."""
    theirs = version.metadata.get("created_at")
    return str(version.metadata.get("job_created_at") or (iso(theirs) if isinstance(theirs, int | float) else ""))
