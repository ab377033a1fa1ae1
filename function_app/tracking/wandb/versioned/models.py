"""A job's models as versions of its family's artifact, with the lineage between jobs, and their place in a registry."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from function_app.data.jobs.checkpoints import best_checkpoint
from function_app.data.jobs.description import artifact_name, base_model, iso, model_metadata
from function_app.data.routes import Registry
from function_app.errors import KeyRefusedError, WandbBusyError, WandbError
from function_app.models import Checkpoint, Job
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.changes import Change, write
from function_app.tracking.wandb.core.internals import add_local_file
from function_app.tracking.wandb.runs import OpenRun, new_artifact
from function_app.tracking.wandb.versioned.latest import Latest, is_of_a_job
from function_app.tracking.wandb.versioned.names import LINKED, collection_types, usable_names
from function_app.tracking.wandb.versioned.uploads import Uploads
from function_app.tracking.wandb.versioned.versions import (
    BY_NAME,
    LISTING,
    Version,
    describe,
    further_training,
    further_training_in,
    is_linked,
    link,
    made_by,
    move_alias,
    named,
    named_in,
    organization_of,
    remove_alias,
    use,
)

_BY_HAND = "Check WANDB_REGISTRY and the key's role there; the app does not try again, so link this model in W&B."
_EXPIRES = (
    "W&B deletes the job's models in this project after {:,.3g} days, as its team has chosen (TTL). A link to a registry keeps a"
    " model."
)
_TYPES, _OWN = "k", "o"  # prefixes of the queries for the types of collections and for the job's versions
_OF_AZURE = re.compile(r".+?\.ft-(?P<job>[0-9a-f]{32})(?:[-:].*)?")


@dataclass
class Models:
    """A job's models among the versions of their family: checkpoints by step, then the final model.

    `latest` is the newest model by the job's creation and step. W&B moves it to the version that was logged last, so a job
    that is mirrored after a newer one must move it back. Runs that train one of the models further get it as input;
    in a backfill, which begins with the newest jobs, these runs exist first.

    Attributes:
        family: the name of the family's artifact, see `data.description.collection_of`.
        kind: the artifact's type.
        dates: when the models and their base model end. They are metadata of a version and not in its file, as they may change.
        warnings: refusals that do not fail the job are added to it.
        collection: the artifact in use. It is not the family's if others use that name for another type.
        written: the number of versions that were sent.
        linked: the registry that the final model was linked to now; empty if it was linked before or not at all.
    """

    api: WandbApi
    job: Job
    checkpoints: Sequence[Checkpoint]
    family: str
    kind: str
    dates: Mapping[str, str]
    warnings: list[str]
    collection: str = ""
    written: int = 0
    linked: str = ""
    _known: frozenset[str] = frozenset()
    _own: dict[str, Version] = field(default_factory=dict)
    _sent: dict[str, Version] = field(default_factory=dict)

    def send(self, run: OpenRun, uploads: Uploads) -> None:
        """Start to upload the models that W&B does not have."""
        chosen, warnings = usable_names(self.api, run.answers, [self.family], _TYPES, self.kind)
        self.collection = chosen[self.family]
        self.warnings += warnings
        self._latest = Latest(self.api, self.kind, self.collection)
        there = self._own_versions(self.api.ask(BY_NAME, self._question_for_own)) if run.resumed else []
        self._own = {each.id: each for each in there if each.made_by(self.job.id)}
        self._known = frozenset(alias for each in self._own.values() for alias in each.aliases)
        for model, checkpoint in _models(self.job, self.checkpoints):
            if _alias(self.job, checkpoint) not in self._known:
                self._send(run, uploads, model, checkpoint)
                self.written += 1

    def _send(self, run: OpenRun, uploads: Uploads, model: str, checkpoint: Checkpoint | None) -> None:
        content = model_metadata(self.job, model, checkpoint)
        best = best_checkpoint(self.checkpoints)
        aliases = dict.fromkeys([_alias(self.job, checkpoint), *([_alias(self.job)] if content["final"] else [])])
        if best and best.model == model:
            aliases[self._best_alias] = None
        metadata = {**content, "job_created_at": iso(self.job.created_at), **self.dates}
        artifact = new_artifact(self.collection, self.kind, metadata)
        path = uploads.directory() / "model_metadata.json"
        path.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
        add_local_file(artifact, path, path.name)
        step = checkpoint.step if checkpoint else max((each.step for each in self.checkpoints), default=None)
        maker = run.handle.id
        uploads.send(
            artifact,
            [*aliases],
            step=step,
            taken=lambda version_id: self._sent.setdefault(version_id, Version(version_id, (), metadata, maker)),
        )

    @property
    def _question_for_own(self) -> Question:
        return named(self._labels, _OWN)

    @property
    def _labels(self) -> list[str]:
        """The names of the job's versions, and of the best of them."""
        aliases = [_alias(self.job, checkpoint) for _, checkpoint in _models(self.job, self.checkpoints)]
        return [f"{self.collection}:{alias}" for alias in dict.fromkeys([*aliases, _alias(self.job), self._best_alias])]

    def _own_versions(self, project: Mapping[str, Any]) -> list[Version]:
        found = named_in(self.api, project, self._labels, _OWN)
        return [*{version.id: version for version in found.values()}.values()]

    def questions_after_upload(self) -> list[Question]:
        """Return the questions for `restore_latest`, to send once W&B has the models."""
        return self._latest.questions()

    def restore_latest(self, project: Mapping[str, Any]) -> list[Change]:
        """Return the changes that move `latest` back to the newest model, given the answers to `questions_after_upload`."""
        if not project.get("artifactType"):
            return []
        self._latest.read(project)
        return self._latest.moves([*self._own.values(), *self._sent.values()])

    def questions(self) -> list[Question]:
        """Return the questions for `place`, to send with the run's marks."""
        return [self._question_for_own, *self._latest.questions(), further_training(self._names)]

    def place(self, project: Mapping[str, Any], registry: Registry | None) -> None:
        """Correct `latest`, record the models as inputs of other runs, and link the final model to the registry.

        A registry that refuses is a warning: the models are logged, and W&B would refuse again.

        Raises:
            WandbError: something was not written; a repetition continues from there.
        """
        if not self._names:
            return
        if not project.get("artifactType"):  # W&B has the models, but its answer below a mutation is UNVERIFIED
            project = self.api.ask(LISTING, *self.questions())
        there = self._own_versions(project)
        relabelled = [describe(each.id, self._sent[each.id].metadata) for each in there if self._is_others(each)]
        there = [self._recognized(each) for each in there]
        own = [each for each in there if each.made_by(self.job.id)]
        if self.written and (days := min((each.lifetime for each in own if each.lifetime), default=0)):
            self.warnings.append(_EXPIRES.format(days))
        further = further_training_in(project, self._names)
        write(self.api, [*relabelled, *_given(self.api, further, own), *self._best(there, own)])
        self._latest.read(project)
        self.warnings += self._latest.settle(own)
        final = next((each for each in own if _alias(self.job) in each.aliases), None)
        if registry and final and self.job.status == "succeeded":
            new = not self._known.intersection(final.aliases)
            try:
                self.linked = self._link(registry, final, new=new)
            except (WandbBusyError, KeyRefusedError):
                raise
            except WandbError as error:
                warning = f"The model is not in the registry {registry.name!r}: {error.message} {_BY_HAND}"
                self.warnings.append(warning)

    def _is_others(self, version: Version) -> bool:
        """Return whether others had logged the content that was sent: W&B then returns their version, with their metadata."""
        return version.id in self._sent and not version.made_by(self.job.id)

    def _recognized(self, version: Version) -> Version:
        """Return a version; if the job's run also sent its content, as a version that the run made."""
        sent = self._sent.get(version.id)
        return replace(version, run=sent.run, metadata=sent.metadata) if sent and self._is_others(version) else version

    def _link(self, registry: Registry, final: Version, *, new: bool) -> str:
        """Link a model to the registry if it is not there yet. Return its collection, or an empty string if nothing was done.

        A version that is `new` is not linked yet.

        In the registry, too, `latest` is the newest job's model and not the one that was linked last.
        """
        usual = registry.collection_of(self.family)
        place = self.api.elsewhere(registry.project, organization_of(self.api))
        found = place.ask("Project", Question("id", {}), collection_types([usual], _TYPES))
        if not found:  # linking to a project that does not exist would create it
            raise WandbError(f"W&B has no registry {registry.name!r} in {place.entity}.")
        chosen, warnings = usable_names(place, found, [usual], _TYPES, self.kind, LINKED)
        collection = chosen[usual]
        if not new and is_linked(self.api, final.id, place, collection):
            return ""
        self.warnings += warnings
        link(place, collection, final.id)
        latest = Latest(place, self.kind, collection)
        latest.look()
        self.warnings += latest.settle([final])
        return f"{registry.name}/{collection}"

    @property
    def _best_alias(self) -> str:
        return artifact_name(f"{self.job.id}-best")

    def _best(self, there: Iterable[Version], own: Sequence[Version]) -> list[Change]:
        """Return the change that moves `JOB-best` to the best of the job's models; empty if it is right.

        If none is the best, take the alias from a version that is not the job's.
        """
        best, alias = best_checkpoint(self.checkpoints), self._best_alias
        version = next((each for each in own if best and each.metadata.get("fine_tuned_model") == best.model), None)
        if version is None:
            others = (each for each in there if alias in each.aliases and each not in own)
            return [remove_alias(self.api, self.collection, alias, each.id) for each in others]
        return [move_alias(self.api, self.collection, alias, version.id)] if alias not in version.aliases else []

    @property
    def _names(self) -> list[str]:
        return [model for model, _ in _models(self.job, self.checkpoints)]


def opening_questions(family: str) -> list[Question]:
    """Return the questions that `Models` needs, to send when the run is opened."""
    return [collection_types([family], _TYPES)]


def previous_model(api: WandbApi, job: Job) -> str | None:
    """Return the version of the previous model that a job trains further, if the project has it.

    Names of Azure's models contain the id of their job and run; OpenAI's models are found by the run's config.
    """
    if base_model(job) == job.model:
        return None
    azure = _OF_AZURE.fullmatch(job.model)
    runs = [f"ftjob-{azure['job']}"] if azure else []
    found = filter(is_of_a_job, made_by(api, runs, job.model.partition(":ckpt-step-")[0]))
    return next((each.id for each in found if each.metadata.get("fine_tuned_model") == job.model), None)


def _alias(job: Job, checkpoint: Checkpoint | None = None) -> str:
    """Return the alias of a version: the job's id for the final model, and with the step for a checkpoint."""
    return artifact_name(f"{job.id}-step-{checkpoint.step}" if checkpoint else job.id)


def _models(job: Job, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[str, Checkpoint | None]]:
    """Yield each model once. The last checkpoint is the final model (recorded on Azure: they have the same name)."""
    kept = sorted(checkpoints, key=lambda checkpoint: checkpoint.step)
    final = job.fine_tuned_model
    yield from ((checkpoint.model, checkpoint) for checkpoint in kept if checkpoint.model != final)
    if final:
        yield final, next((checkpoint for checkpoint in kept if checkpoint.model == final), None)


def _given(api: WandbApi, further: dict[str, str], there: Iterable[Version]) -> list[Change]:
    by_model = {str(version.metadata.get("fine_tuned_model")): version for version in there}
    return [use(api, run_id, by_model[model].id) for run_id, model in further.items() if model in by_model]
