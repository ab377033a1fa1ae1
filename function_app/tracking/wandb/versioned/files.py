"""A job's files as W&B artifacts: the file itself, if the policy allows it, and tables of its content.

Everything is streamed: a file of any size is read once, from the service to the disk, and never held in memory.
"""

import csv
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import wandb
from pydantic_core import to_json

from function_app.data.credentials import line_without_credentials
from function_app.data.egress import plain_text, sends
from function_app.data.jobs.description import artifact_name
from function_app.data.jobs.results import parse_results
from function_app.data.training.formats import NUMBERS, SPECS, Format
from function_app.data.training.jsonl import LONGEST_LINE, lines_of, read_rows
from function_app.data.training.sampling import Sample, Tally
from function_app.models import DatasetPolicy, File, Job, TableRow
from function_app.tracking import FileSource
from function_app.tracking.wandb.core.internals import add_local_file
from function_app.tracking.wandb.runs import EXAMPLES, PARTITIONED, new_artifact

DATASET = "dataset"
RESULTS = "results"
REFERENCE = "reference.json"
"""The name of the entry that refers to a file outside W&B."""

_PARTS = "examples"  # the folder with the only part of the table of examples

TABLE_ROWS = 10_000
"""The number of rows that the W&B app shows. Larger files get a random sample, which the artifact mentions."""

SAMPLE_ROWS = 100
"""The number of rows that the policy `sample` allows."""

_LONGEST_KEPT = 32 * 1024 * 1024  # bytes of a line in the uploaded file; a longer line is cut
_TABLE_BYTES = 32 * 1024 * 1024  # of examples in memory; a table of very long examples has fewer rows, and says so
_SPARE = 64 * 1024 * 1024  # bytes that stay free on the disk
READ_AT_ONCE = 4
"""The number of large training files that a process reads at the same time, so that memory does not grow with the number of
jobs. Files that need less memory than a table may have are read in greater number."""


class _Reading:
    """Limits the memory for files that are being read."""

    def __init__(self) -> None:
        self._free = READ_AT_ONCE * _TABLE_BYTES
        self._changed = threading.Condition()

    @contextmanager
    def of(self, size: int | None) -> Iterator[None]:
        """Wait until there is memory to read a file of this size; None if it is unknown. Parsed, a line takes several times
        its size."""
        taken = _TABLE_BYTES if size is None else min(4 * size, _TABLE_BYTES)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()


_reading = _Reading()

_CHUNK = 1 << 16


def dataset_artifact(
    source: FileSource, file_id: str, policy: DatasetPolicy, directory: Path, name: str
) -> wandb.Artifact:
    """Draft a training file's artifact: as much content as the policy allows, and the file's properties as metadata.

    `full` has the file and a table of it, `sample` a table of some rows, `reference` no example at all. The last two have a small
    file that says where the file is. A file that does not fit on the disk becomes a `sample`. Malformed lines are a table of line
    numbers and reasons, without quotes from the lines.

    Args:
        source: reads the file.
        file_id: the file.
        policy: not `off`.
        directory: the folder for the artifact's files until they are uploaded.
        name: the artifact's name.

    Raises:
        AccountError: the file cannot be read; NotThereError when it was deleted.
    """
    known = source.file(file_id)
    with _reading.of(known.size):
        return _drafted(source, known, policy, directory, name)


def _drafted(source: FileSource, known: File, policy: DatasetPolicy, directory: Path, name: str) -> wandb.Artifact:
    file_id = known.id
    # Flex Consumption has 0.8 GB of temporary storage, and tables and the SDK need some of it.
    crowded = policy is DatasetPolicy.FULL and (known.size or 0) + _SPARE > shutil.disk_usage(directory).free
    policy = DatasetPolicy.SAMPLE if crowded else policy
    most = {DatasetPolicy.FULL: TABLE_ROWS, DatasetPolicy.SAMPLE: SAMPLE_ROWS}.get(policy, 0)
    sample = Sample(most, _TABLE_BYTES, seed=file_id)
    tally = Tally()
    path = directory / "file.jsonl"
    with source.content(file_id) as chunks, path.open("wb") if policy is DatasetPolicy.FULL else nullcontext() as file:
        stream = _Counted(chunks)
        lines = lines_of(stream, longest=_LONGEST_KEPT)
        for row in tally.rows(read_rows(lines, _copy_to(file)) if file else read_rows(lines)):
            sample.offer(row.line, partial(_encoded_row, row), row.format)
        if file and stream.ends_with_newline:
            file.write(b"\n")
    examples = sample.of(tally.format)
    metadata: dict[str, Any] = {
        "file_id": file_id,
        "account": source.name,
        **({"filename": plain_text(known.name)} if sends(policy, "file.name") else {}),
        "bytes": stream.size,
        "sha256": stream.sha256.hexdigest(),
        "policy": policy.value,
        **tally.metadata(),
        "format": str(tally.format),  # otherwise the SDK would write the name of the enum
        "rows_in_table": len(examples),
    }
    if examples:
        metadata["table"] = EXAMPLES
    artifact = new_artifact(name, DATASET, metadata, _described(tally, len(examples), policy, crowded=crowded))
    if policy is DatasetPolicy.FULL:  # the file's own name is only metadata
        add_local_file(artifact, path, f"{artifact_name(file_id)}.jsonl")
    else:
        # A reference of the SDK with an address of Azure OpenAI would make Artifact.download() fail (wandb 0.31).
        path = directory / REFERENCE
        path.write_text(json.dumps({"account": source.name, "file_id": file_id}), encoding="utf-8")
        add_local_file(artifact, path, path.name)
    if examples:
        columns = {name: int if name in NUMBERS else str for name in SPECS[Format(tally.format)].columns}
        _add_table(artifact, directory, f"{_PARTS}/1", columns, examples)
        path = directory / EXAMPLES
        path.write_text(json.dumps({"_type": PARTITIONED, "parts_path": _PARTS}), encoding="utf-8")
        add_local_file(artifact, path, EXAMPLES)
    if shown := tally.shown:
        lines = (to_json([each.line, each.message]) for each in shown)
        _add_table(artifact, directory, "malformed", {"line": int, "message": str}, lines)
    return artifact


def results_artifact(job: Job, content: Iterable[bytes], directory: Path, name: str) -> wandb.Artifact:
    """Draft an artifact of the numbers in a job's results file, as CSV and as a table, without text columns.

    The artifact gets this `name`.

    Raises:
        ResultsError: it is not a results file.
    """
    received, path = directory / "received.csv", directory / "results.csv"
    with received.open("wb") as file:
        file.writelines(content)
    names = sorted({name for row in parse_results(_chunks(received), complete=True) for name in row.values})
    rows = parse_results(_chunks(received), complete=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *names])
        for row in parse_results(_chunks(received), complete=True):
            writer.writerow([row.step, *(row.values.get(name, "") for name in names)])
    artifact = new_artifact(name, RESULTS, {"job_id": job.id})
    add_local_file(artifact, path, path.name)
    lines = (to_json([row.step, *(row.values.get(name) for name in names)]) for row in rows)
    _add_table(artifact, directory, "steps", {"step": int} | dict.fromkeys(names, float), lines)
    return artifact


def _copy_to(file: BinaryIO) -> Callable[[bytes, bool], None]:
    """Return a function that writes lines without credentials to a file, the last one without its newline, see
    `read_rows`.
    """
    before = b""

    def copy(line: bytes, has_credentials: bool) -> None:  # noqa: FBT001 (a callback)
        nonlocal before
        file.write(before + (line_without_credentials(line, LONGEST_LINE) if has_credentials else line))
        before = b"\n"

    return copy


class _Counted:
    """Counts and digests chunks while they are read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.ends_with_newline = False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            self.sha256.update(chunk)
            self.ends_with_newline = chunk.endswith(b"\n") if chunk else self.ends_with_newline
            yield chunk


def _add_table(
    artifact: wandb.Artifact, directory: Path, name: str, columns: Mapping[str, type], rows: Iterable[bytes]
) -> None:
    """Add a table of encoded rows. `wandb.Table` writes the same, but keeps several copies of all rows in memory."""
    table = wandb.Table(columns=[*columns], dtype=[*columns.values()])
    document = table.to_json(artifact)
    path = directory / table.with_suffix(name)
    path.parent.mkdir(exist_ok=True)
    written = 0
    with path.open("wb") as file:
        file.write(b'{"data":[')
        for row in rows:
            file.write(b",\n" + row if written else b"\n" + row)
            written += 1
        rest = {key: value for key, value in document.items() if key not in ("data", "nrows")} | {"nrows": written}
        file.write(b"\n]," + json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()[1:])
    add_local_file(artifact, path, path.relative_to(directory).as_posix())


def _encoded_row(row: TableRow) -> bytes:
    return to_json([row.cells.get(name) for name in SPECS[Format(row.format)].columns])


def _described(tally: Tally, in_table: int, policy: DatasetPolicy, *, crowded: bool) -> str:
    """Describe, for the artifact's page, how much of the file is visible."""
    parts = [f"{tally.examples:,} examples of format {tally.format}" if tally.examples else "No examples"]
    if policy is DatasetPolicy.REFERENCE:
        parts.append("none of them is in W&B (policy reference)")
    elif in_table < tally.examples:
        parts.append(f"the table shows {in_table:,} of them, chosen at random")
    if crowded:
        parts.append("the file is not in W&B, because it did not fit on the disk of the machine that mirrored it")
    if tally.malformed:
        lines = "1 line is" if tally.malformed == 1 else f"{tally.malformed:,} lines are"
        first = len(tally.shown)
        shown = "" if first == tally.malformed else f" the first {first:,} of"
        parts.append(f"{lines} malformed, see{shown} the table malformed")
    return "; ".join(parts) + "."


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, _CHUNK), b"")
