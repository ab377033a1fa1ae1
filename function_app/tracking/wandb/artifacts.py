"""Files as W&B artifacts: training files once a project, with the lineage from file to run, and results files."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from function_app.data.description import artifact_name
from function_app.errors import NotThereError
from function_app.models import DatasetPolicy, Job
from function_app.tracking import FileSource
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.files import dataset_artifact, results_artifact
from function_app.tracking.wandb.runs import OpenRun
from function_app.tracking.wandb.uploads import Uploads
from function_app.tracking.wandb.versions import LATEST, Version, newest, newest_in

_in_progress: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""By file id: jobs of one tick that trained on the same file upload it once."""

_uploaded_at: dict[str, float] = {}
"""By file id: when that was done (`time.monotonic`), so that whoever has asked W&B before asks again."""

_STRENGTH = {policy.value: strength for strength, policy in enumerate(reversed(DatasetPolicy))}


def attach_datasets(
    api: WandbApi, run: OpenRun, uploads: Uploads, source: FileSource, file_ids: Iterable[str], policy: DatasetPolicy
) -> dict[str, dict[str, Any]]:
    """Have these files as the run's inputs; upload those that the project does not have yet.

    Returns what is known of each file (its size, format, number of examples), `{"missing": True}` when the account has
    deleted it.

    Raises:
        AccountError, WandbError: not read, not written; asking again goes on where this ended.
    """
    wanted = sorted(set(file_ids))  # one order for all, so that no two jobs wait for each other's files
    if policy is DatasetPolicy.OFF or not wanted:
        return {file_id: {} for file_id in wanted}
    known: dict[str, dict[str, Any]] = {}
    turns = {file_id: ExitStack() for file_id in wanted}
    with ExitStack() as all_turns:
        for file_id, turn in turns.items():
            all_turns.enter_context(turn).enter_context(_in_progress[file_id])
        there = _newest(api, run, wanted)
        for file_id, turn in turns.items():
            version = there.get(artifact_name(file_id))
            if version and _STRENGTH[policy.value] <= _STRENGTH.get(str(version.metadata.get("policy")), 0):
                uploads.inputs.append(version.id)
                known[file_id] = dict(version.metadata)
                turn.close()
        for file_id in (file_id for file_id in wanted if file_id not in known):
            turns[file_id].callback(_note_upload, file_id)
            uploads.hold(turns[file_id].pop_all())
            known[file_id] = _send_dataset(uploads, source, file_id, policy)
    return known


def asks_for(file_ids: Iterable[str]) -> list[Question]:
    """What `attach_datasets` has to know of these files, to be asked when the run is opened."""
    wanted = sorted(set(file_ids))
    return [newest([artifact_name(file_id) for file_id in wanted])] if wanted else []


def _newest(api: WandbApi, run: OpenRun, wanted: Sequence[str]) -> dict[str, Version]:
    """The newest version of each of the files: as was asked when the run was opened, if that still holds."""
    names = [artifact_name(file_id) for file_id in wanted]
    holds = all(_uploaded_at.get(file_id, -math.inf) < run.answered_at for file_id in wanted)
    project = run.answers if holds else api.ask("ArtifactMembershipByName", newest(names))
    return newest_in(api, project, names)


def _note_upload(file_id: str) -> None:
    _uploaded_at[file_id] = time.monotonic()


def send_results(uploads: Uploads, job: Job, content: Iterable[bytes]) -> None:
    """Keep the results file itself, and its rows as a table, for a run whose curve has only a part of the steps."""
    uploads.send(results_artifact(job, content, uploads.directory()), [LATEST])


def _send_dataset(uploads: Uploads, source: FileSource, file_id: str, policy: DatasetPolicy) -> dict[str, Any]:
    try:
        artifact = dataset_artifact(source, file_id, policy, uploads.directory())
    except NotThereError:
        return {"missing": True}
    uploads.send(artifact, [LATEST], used=True)
    return dict(artifact.metadata)
