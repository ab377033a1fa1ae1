"""Training files and models as W&B artifacts, each once, with the lineage from file to run to model."""

import hashlib
import json
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import wandb

from function_app.azure_openai import Account
from function_app.datasets import LONGEST_LINE, Tally, columns_of, read_rows, sample
from function_app.describe import artifact_name, family_of, iso, model_metadata
from function_app.errors import NotThereError, WandbBusyError
from function_app.model import Checkpoint, Job, TableRow
from function_app.results import parse_results
from function_app.settings import DatasetPolicy
from function_app.wandb_api import Version, WandbApi
from function_app.wandb_runs import OpenRun, new_artifact
from function_app.wandb_sdk import errors, said_briefly

DATASET = "dataset"
MODEL = "model"
RESULTS = "results"

_CHUNK = 1 << 16
_SAMPLE_ROWS = 100
_TABLE_ROWS = 10_000  # what the W&B app shows of a table; the file is there in full
_TABLE_BYTES = 48 * 1024 * 1024  # of examples held at once: a worker has little memory, and a table is built whole
_in_progress: dict[str, threading.Lock] = defaultdict(threading.Lock)
"""By file id: jobs of one tick that trained on the same file upload it once."""

_STRENGTH = {policy: strength for strength, policy in enumerate(reversed(DatasetPolicy))}


def attach_dataset(
    api: WandbApi, run: OpenRun, account: Account, file_id: str, policy: DatasetPolicy
) -> dict[str, Any]:
    """Say that the run trained on this file; upload it if the project does not have it yet.

    Returns what is known of the file (its size, format, number of examples), `{"missing": True}` when the account has
    deleted it.

    Raises:
        AccountError, WandbError: not read, not written; asking again goes on where this ended.
    """
    if policy is DatasetPolicy.OFF:
        return {}
    with _in_progress[file_id]:
        version = api.latest(artifact_name(file_id))
        if not version or _STRENGTH[policy] > _STRENGTH.get(version.metadata.get("policy", ""), 0):
            return _upload_dataset(api, run, account, file_id, policy)
    api.use(run.id, version)
    return dict(version.metadata)


def log_models(api: WandbApi, run: OpenRun, job: Job, checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Make the job's models versions of its family's artifact: checkpoints by step, the final one last.

    `latest` is the newest model by the job's creation and step. W&B gives it to whatever was logged last, so that a job
    which is mirrored after a younger one has to give it back.

    Returns the aliases of what was written; nothing when W&B had it all.
    """
    family = family_of(job)
    known = {alias for version in (api.versions(MODEL, family) if run.resumed else []) for alias in version.aliases}
    written = []
    for model, checkpoint in _models(job, checkpoints):
        alias = artifact_name(f"{job.id}-step-{checkpoint.step}" if checkpoint else job.id)
        if alias in known:
            continue
        said = model_metadata(job, model, checkpoint)
        final = [artifact_name(job.id)] if said["final"] else []
        artifact = new_artifact(family, MODEL, {**said, "job_created_at": iso(job.created_at)})
        with tempfile.TemporaryDirectory(prefix="finetune-model-") as directory, _uploading(api):
            path = Path(directory) / "model_metadata.json"
            path.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")
            _add_file(artifact, path, path.name)
            run.handle.log_artifact(artifact, aliases=list(dict.fromkeys([alias, *final]))).wait()
        written.append(alias)
    _settle_latest(api, family)
    return written


def log_results(api: WandbApi, run: OpenRun, job: Job, content: Iterable[bytes]) -> None:
    """Keep the results file itself, and its rows as a table, for a run whose curve has only a part of the steps."""
    with tempfile.TemporaryDirectory(prefix="finetune-results-") as directory:
        path = Path(directory) / "results.csv"
        with path.open("wb") as file:
            file.writelines(content)
        with path.open("rb") as file:
            rows = parse_results(iter(lambda: file.read(_CHUNK), b""), complete=True)
            table = [{"step": row.step, **row.values} for row in islice(rows, _TABLE_ROWS)]
        artifact = new_artifact(artifact_name(f"results-{job.id}"), RESULTS, {"job_id": job.id})
        _add_file(artifact, path, path.name)
        columns = list(dict.fromkeys(name for row in table for name in row))
        _add_table(artifact, Path(directory), "steps", columns, table)
        with _uploading(api):
            run.handle.log_artifact(artifact).wait()


def _models(job: Job, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[str, Checkpoint | None]]:
    """Each model once; the last checkpoint is the final model (recorded on Azure: they have one name)."""
    kept = sorted(checkpoints, key=lambda checkpoint: checkpoint.step)
    final = job.fine_tuned_model
    yield from ((checkpoint.model, checkpoint) for checkpoint in kept if checkpoint.model != final)
    if final:
        yield final, next((checkpoint for checkpoint in kept if checkpoint.model == final), None)


def _settle_latest(api: WandbApi, family: str) -> None:
    versions = [version for version in api.versions(MODEL, family) if "job_created_at" in version.metadata]
    newest = max(versions, key=_age, default=None)
    if newest and "latest" not in newest.aliases:
        api.point(family, "latest", newest)


def _age(version: Version) -> tuple[str, float]:
    """Sorts versions by their job's creation, then by step; a final model without a step comes last."""
    step = version.metadata.get("step")
    return str(version.metadata["job_created_at"]), float("inf") if step is None else float(step)


def _upload_dataset(
    api: WandbApi, run: OpenRun, account: Account, file_id: str, policy: DatasetPolicy
) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory(prefix="finetune-file-") as directory:
            artifact = _dataset(account, file_id, policy, Path(directory))
            with _uploading(api):
                run.handle.use_artifact(artifact)
            return dict(artifact.metadata)
    except NotThereError:
        return {"missing": True}


@contextmanager
def _uploading(api: WandbApi) -> Iterator[None]:
    try:
        with errors(api.base_url):
            yield
    except ValueError as error:  # what the SDK raises when an upload failed for good
        raise WandbBusyError(f"W&B did not take an artifact: {said_briefly(str(error))}") from error


def _dataset(account: Account, file_id: str, policy: DatasetPolicy, directory: Path) -> wandb.Artifact:
    path = directory / "file.jsonl"
    size, digest = _download(account, file_id, path)
    tally = Tally()
    with path.open("rb") as file:
        for _ in tally.rows(read_rows(_lines(file))):
            pass
    said = account.file(file_id)
    metadata: dict[str, Any] = {
        "file_id": file_id,
        "account": account.name,
        "filename": said.name,
        "bytes": size,
        "sha256": digest,
        "policy": policy.value,
        **tally.metadata(),
        "format": str(tally.format),  # the SDK would write an enum's name
    }
    rows = [] if policy is DatasetPolicy.REFERENCE else _rows(path, file_id, policy, tally, size)
    metadata["rows_in_table"] = len(rows)
    artifact = new_artifact(artifact_name(file_id), DATASET, metadata)
    if policy is DatasetPolicy.FULL:
        _add_file(artifact, path, Path(said.name).name or f"{file_id}.jsonl")
    else:
        artifact.add_reference(f"azureopenai://{account.name}/files/{file_id}", name="file", checksum=False)
    if rows:
        _add_table(artifact, directory, "examples", columns_of(rows[:1]), [row.cells for row in rows])
    return artifact


def _add_file(artifact: wandb.Artifact, path: Path, name: str) -> None:
    """Add a file that stays where it is until it is uploaded: else the SDK makes copies, and keeps them on the disk."""
    artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)


def _add_table(
    artifact: wandb.Artifact, directory: Path, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Add a table as `Artifact.add` does, which would add the file twice and leave one copy behind."""
    cells = [[row.get(column) for column in columns] for row in rows]
    table = wandb.Table(columns=[*columns], data=cells, allow_mixed_types=True)
    path = directory / table.with_suffix(name)
    path.write_text(json.dumps(table.to_json(artifact), sort_keys=True), encoding="utf-8")
    _add_file(artifact, path, path.name)


def _rows(path: Path, file_id: str, policy: DatasetPolicy, tally: Tally, size: int) -> list[TableRow]:
    count = _SAMPLE_ROWS if policy is DatasetPolicy.SAMPLE else _TABLE_ROWS
    count = min(count, max(1, _TABLE_BYTES * max(1, tally.examples) // max(1, size)))
    with path.open("rb") as file:
        rows = (row for row in read_rows(_lines(file)) if isinstance(row, TableRow))
        return sample(rows, count, seed=file_id)


def _download(account: Account, file_id: str, path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with account.content(file_id) as chunks, path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
    return size, digest.hexdigest()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none held further than it takes to see that it is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)


def said_of(role: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's metadata goes into a run's config, by which runs can be compared."""
    names = ("examples", "format", "malformed_lines", "bytes", "missing")
    return {f"{role}_data": {name: known[name] for name in names if name in known}} if known else {}
