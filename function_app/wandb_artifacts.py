"""Files as W&B artifacts: training files once a project, with the lineage from file to run, and results files."""

import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import wandb

from function_app.azure_openai import Account
from function_app.describe import artifact_name
from function_app.errors import NotThereError, WandbBusyError
from function_app.model import DatasetPolicy, Job
from function_app.wandb_api import WandbApi
from function_app.wandb_files import dataset_artifact, results_artifact
from function_app.wandb_runs import OpenRun
from function_app.wandb_sdk import errors, said_briefly
from function_app.wandb_versions import LATEST, latest_of, use

_in_progress: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""By file id: jobs of one tick that trained on the same file upload it once."""

_STRENGTH = {policy: strength for strength, policy in enumerate(reversed(DatasetPolicy))}


def attach_datasets(
    api: WandbApi, run: OpenRun, account: Account, file_ids: Iterable[str], policy: DatasetPolicy
) -> dict[str, dict[str, Any]]:
    """Say that the run trained on these files; upload those that the project does not have yet.

    Returns what is known of each file (its size, format, number of examples), `{"missing": True}` when the account has
    deleted it.

    Raises:
        AccountError, WandbError: not read, not written; asking again goes on where this ended.
    """
    wanted = sorted(set(file_ids))  # one order for all, so that no two jobs wait for each other's files
    if policy is DatasetPolicy.OFF or not wanted:
        return {file_id: {} for file_id in wanted}
    known: dict[str, dict[str, Any]] = {}
    with ExitStack() as held:
        for file_id in wanted:
            held.enter_context(_in_progress[file_id])
        there = latest_of(api, [artifact_name(file_id) for file_id in wanted])
        for file_id in wanted:
            version = there.get(artifact_name(file_id))
            if not version or _STRENGTH[policy] > _STRENGTH.get(version.metadata.get("policy", ""), 0):
                known[file_id] = _upload_dataset(api, run, account, file_id, policy)
    for file_id in (file_id for file_id in wanted if file_id not in known):
        version = there[artifact_name(file_id)]
        use(api, run.id, version.id)
        known[file_id] = dict(version.metadata)
    return known


def log_results(api: WandbApi, run: OpenRun, job: Job, content: Iterable[bytes]) -> None:
    """Keep the results file itself, and its rows as a table, for a run whose curve has only a part of the steps."""
    with tempfile.TemporaryDirectory(prefix="finetune-results-") as directory:
        upload(api, run, results_artifact(job, content, Path(directory)), [LATEST])


def upload(
    api: WandbApi, run: OpenRun, artifact: wandb.Artifact, aliases: Sequence[str], *, used: bool = False
) -> None:
    """Log a draft as an output of the run, or with `used` as an input, and wait until W&B has all of it.

    What `run.log_artifact(…).wait()` does, without what it asks around that (wandb 0.31): who the key belongs to, the type
    of the collection, and the version that was just written, three requests for each artifact.

    Raises:
        WandbError: not taken.
    """
    artifact.finalize()
    interface = run.handle._interface  # noqa: SLF001 (the SDK's own channel to wandb-core has no public name)
    if interface is None:
        raise WandbBusyError("The run was closed while an artifact was on its way.")
    with errors(api.base_url):
        handle = interface.deliver_artifact(
            run.handle, artifact, aliases, is_user_created=used, use_after_commit=used, finalize=True
        )
        answer = handle.wait_or(timeout=None).response.log_artifact_response
    if answer.error_message:
        raise WandbBusyError(f"W&B did not take an artifact: {said_briefly(answer.error_message)}")


def _upload_dataset(
    api: WandbApi, run: OpenRun, account: Account, file_id: str, policy: DatasetPolicy
) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory(prefix="finetune-file-") as directory:
            artifact = dataset_artifact(account, file_id, policy, Path(directory))
            upload(api, run, artifact, [LATEST], used=True)
            return dict(artifact.metadata)
    except NotThereError:
        return {"missing": True}


def said_of(role: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's metadata goes into a run's config, by which runs can be compared."""
    names = ("examples", "format", "malformed_lines", "rows_in_table", "bytes", "missing")
    return {f"{role}_data": {name: known[name] for name in names if name in known}} if known else {}
