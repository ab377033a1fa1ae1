"""Files as W&B artifacts: training files, once per project and linked to their runs, and results files."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from function_app.data.fields import Fields, text, whole
from function_app.data.jobs.description import artifact_name
from function_app.data.training.formats import Format
from function_app.errors import NotThereError
from function_app.models import DatasetPolicy, Job
from function_app.text import one_line
from function_app.tracking import FileSource
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.runs import EXAMPLES, OpenRun
from function_app.tracking.wandb.versioned.files import DATASET, RESULTS, dataset_artifact, results_artifact
from function_app.tracking.wandb.versioned.names import collection_types, usable_names
from function_app.tracking.wandb.versioned.uploads import Uploads
from function_app.tracking.wandb.versioned.versions import BY_NAME, LATEST, Version, named, named_in

_in_progress: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""Locks by file id, so that jobs of one tick with the same file upload it once."""

_uploaded_at: dict[str, float] = {}
"""Times of uploads by file id (`time.monotonic`). Answers of W&B from before that time are outdated."""

_JOB = "ftjob-"  # the prefix of every job id
_TYPES = "d"  # prefix of the queries for the types of collections
_COUNTS = ("examples", "malformed_lines", "rows_in_table", "bytes")
_STRENGTH = {policy.value: strength for strength, policy in enumerate(reversed(DatasetPolicy))}


def attach_datasets(
    api: WandbApi,
    run: OpenRun,
    uploads: Uploads,
    source: FileSource,
    file_ids: Iterable[str],
    policy: DatasetPolicy,
    tables: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """Make these files inputs of the run; upload those that the project does not have yet.

    `tables` gets the version of each file that has a table, by file id, once W&B has it.

    Returns the metadata of each file (size, format, number of examples), or `{"missing": True}` if the account has
    deleted it.

    Raises:
        AccountError, WandbError: a file was not read or not written; a repetition continues from there.
    """
    wanted = sorted(set(file_ids))  # the same order for all jobs, so that two jobs cannot deadlock
    if policy is DatasetPolicy.OFF or not wanted:
        return {file_id: {} for file_id in wanted}
    known: dict[str, dict[str, Any]] = {}
    turns = {file_id: ExitStack() for file_id in wanted}
    with ExitStack() as all_turns:
        for file_id, turn in turns.items():
            all_turns.enter_context(turn).enter_context(_in_progress[file_id])
        names, there = _newest(api, run, wanted, uploads)
        for file_id, turn in turns.items():
            version = there.get(names[file_id])
            if version and _is_of(version, file_id) and _allows(version, policy):
                uploads.inputs.append(version.id)
                known[file_id] = _described(version.metadata)
                if version.metadata.get("table") == EXAMPLES:
                    tables[file_id] = version.id
                turn.close()
        for file_id in (file_id for file_id in wanted if file_id not in known):
            turns[file_id].callback(_note_upload, file_id)
            uploads.hold(turns[file_id].pop_all())
            known[file_id] = _send_dataset(uploads, source, file_id, policy, names[file_id], tables)
    return known


def questions_for(file_ids: Iterable[str]) -> list[Question]:
    """Return the questions that `attach_datasets` needs, to send when the run is opened."""
    names = [artifact_name(file_id) for file_id in sorted(set(file_ids))]
    return [named([f"{name}:{LATEST}" for name in names]), collection_types(names, _TYPES)] if names else []


def _is_of(version: Version, file_id: str) -> bool:
    """Return whether the version is of the file, and was made neither by another user nor by another program's run.

    We send files as inputs, whose maker is the key's user and not a run. It is UNVERIFIED that W&B returns the user. If it
    returns none, an input that another member made cannot be distinguished from ours.
    """
    of_a_job = not version.run or version.run.startswith(_JOB)
    return version.ours and of_a_job and version.metadata.get("file_id") == file_id


def _allows(version: Version, policy: DatasetPolicy) -> bool:
    """Return whether the version has all that the policy allows.

    Without examples, `sample` has the same content as `reference`. W&B keeps one version of it, with the
    metadata that was sent first.
    """
    stated = str(version.metadata.get("policy"))
    if stated == DatasetPolicy.REFERENCE and version.metadata.get("examples") == 0:
        stated = DatasetPolicy.SAMPLE
    return _STRENGTH[policy.value] <= _STRENGTH.get(stated, 0)


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a version's metadata says about a file. People can edit it, so values of other types are omitted."""
    stated = Fields(metadata)
    described: dict[str, Any] = {name: stated.read(name, whole) for name in _COUNTS}
    described["filename"] = one_line(stated.read("filename", text) or "")
    described["format"] = next((str(each) for each in Format if each == metadata.get("format")), None)
    return {name: value for name, value in described.items() if value not in (None, "")}


def _newest(
    api: WandbApi, run: OpenRun, wanted: Sequence[str], uploads: Uploads
) -> tuple[dict[str, str], dict[str, Version]]:
    """Return the artifact of each file and its newest version. The answer from the opening of the run is used if it is
    still valid.
    """
    usual = [artifact_name(file_id) for file_id in wanted]
    chosen, warnings = usable_names(api, run.answers, usual, _TYPES, DATASET)
    uploads.warnings += warnings
    names = [chosen[name] for name in usual]
    holds = names == usual and all(_uploaded_at.get(file_id, -math.inf) < run.answered_at for file_id in wanted)
    latest = [f"{name}:{LATEST}" for name in names]
    found = named_in(api, run.answers if holds else api.ask(BY_NAME, named(latest)), latest)
    there = {name: found[each] for name, each in zip(names, latest, strict=True) if each in found}
    return dict(zip(wanted, names, strict=True)), there


def _note_upload(file_id: str) -> None:
    _uploaded_at[file_id] = time.monotonic()


def send_results(api: WandbApi, uploads: Uploads, job: Job, content: Iterable[bytes]) -> None:
    """Upload the results file and its rows as a table, for a run that has only some of the steps."""
    usual = artifact_name(f"results-{job.id}")
    answers = api.ask("ProjectArtifactCollection", collection_types([usual], _TYPES))
    chosen, warnings = usable_names(api, answers, [usual], _TYPES, RESULTS)
    uploads.warnings += warnings
    uploads.send(results_artifact(job, content, uploads.directory(), chosen[usual]), [LATEST])


def _send_dataset(
    uploads: Uploads, source: FileSource, file_id: str, policy: DatasetPolicy, name: str, tables: dict[str, str]
) -> dict[str, Any]:
    try:
        artifact = dataset_artifact(source, file_id, policy, uploads.directory(), name)
    except NotThereError:
        return {"missing": True}
    has_table = "table" in artifact.metadata

    def note(version_id: str) -> None:
        if has_table:
            tables[file_id] = version_id

    uploads.send(artifact, [LATEST], used=True, taken=note)
    return dict(artifact.metadata)
