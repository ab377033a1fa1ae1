"""Training files in W&B: a table for every format, broken lines by number, and no more than the policy allows."""

import base64
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import wandb

from function_app.data.training.formats import SPECS, Format
from function_app.models import DatasetPolicy, File
from function_app.tracking.wandb.versioned.files import SAMPLE_ROWS, TABLE_ROWS, dataset_artifact
from sandbox.wandb.artifacts import Artifact
from tests.function_app.conftest import (
    ENTITY,
    FILE,
    JOB,
    KEY,
    LIVE,
    OTHER_JOB,
    PROJECT,
    TABLE,
    VALIDATION_FILE,
    Bench,
    a_file,
    a_job,
)

SECRET = "the-word-that-must-not-leave"


def dataset(bench: Bench) -> Artifact:
    [used] = bench.run().used
    return used


def table(bench: Bench, name: str = "examples/1") -> list[dict[str, Any]]:
    """A table as people see it: rows by column."""
    held = json.loads(dataset(bench).read(f"{name}.table.json"))
    assert (held["_type"], held["ncols"], held["nrows"]) == ("table", len(held["columns"]), len(held["data"]))
    return [dict(zip(held["columns"], row, strict=True)) for row in held["data"]]


def test_no_member_can_take_every_name_of_an_artifact(bench: Bench) -> None:
    """After the numbered substitutes come names that need the key. They stay the same, too."""
    bench.world(a_job())
    project = bench.store.add_project(ENTITY, PROJECT)
    for name in (FILE, *(f"{FILE}.{number}" for number in range(2, 10))):
        bench.store.add_collection(project, name, "theirs")
    outcome = bench.tick()[JOB]
    assert (outcome.final, f"instead of {FILE!r}" in " ".join(outcome.warnings)) == (True, True)
    bench.mark(rule=None)
    assert bench.tick()[JOB].final
    assert len([each for each in project.collections.values() if each.type == "dataset"]) == 1


@pytest.mark.parametrize(
    ("written", "kind", "first"),
    [
        ("tools", "chat", {"tool_calls": 1, "n_messages": 5}),
        ("dpo", "preference", {"non_preferred": "Please read the manual."}),
        ("reinforcement", "chat", {"completion": ""}),
        ("completion", "completion", {}),
    ],
)
def test_every_format_is_a_table_of_all_its_examples(bench: Bench, written: str, kind: str, first: Any) -> None:
    assert bench.mirrored(a_job(), files=[a_file(format=written, count=6)])[JOB].final
    rows = table(bench)
    assert [row["line"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert list(rows[0]) == list(SPECS[Format(kind)].columns)
    assert rows[0].items() >= first.items()
    assert dataset(bench).metadata["format"] == bench.run().config["training_data"]["format"] == kind
    held = json.loads(dataset(bench).read("examples/1.table.json"))  # written line by line, and like wandb.Table
    assert held == wandb.Table(columns=held["columns"], data=held["data"]).to_json(wandb.Artifact("x", "dataset"))


def test_the_run_shows_the_tables_of_its_files(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value is the one that wandb's PartitionedTable has in a run, and later ticks keep it."""
    for name in ("CACHE_DIR", "ARTIFACT_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    bench.world(a_job(**LIVE, validation_file=VALIDATION_FILE), files=[a_file(), a_file(id=VALIDATION_FILE, count=3)])
    bench.tick()
    shown = {}
    for role, file_id, count in (("train", FILE, 8), ("valid", VALIDATION_FILE, 3)):
        artifact = wandb.Api(api_key=KEY).artifact(f"{ENTITY}/{PROJECT}/{file_id}:latest")
        assert artifact.id
        address = f"wandb-artifact://{base64.b64decode(artifact.id).hex()}/examples.partitioned-table.json"
        shown[f"{role}_data"] = {"_type": "partitioned-table", "artifact_path": address}
        assert [row[0] for _, row in artifact.get("examples").iterrows()] == [*range(1, count + 1)]
    assert bench.run().summary.items() >= shown.items()
    assert f"/{ENTITY}/{PROJECT}/artifacts/dataset/{VALIDATION_FILE})" in str(bench.run().notes)
    bench.run().summary.clear()  # as W&B may show the run's past
    assert bench.tick(after=3600)[JOB].final
    assert bench.run().summary.items() >= shown.items()


def test_broken_lines_are_counted_and_listed_with_number_and_reason_but_not_quoted(bench: Bench) -> None:
    good = json.dumps({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})
    lines = [good, SECRET, good, json.dumps({SECRET: 1}), json.dumps({"messages": SECRET}), f"[{good}]"]
    assert bench.mirrored(a_job(), files=[a_file(lines=lines)])[JOB].final
    assert [row["line"] for row in table(bench)] == [1, 3]
    malformed = table(bench, "malformed")
    assert [row["line"] for row in malformed] == [2, 4, 5, 6]
    assert all(row["message"] for row in malformed)
    assert SECRET not in json.dumps([malformed, dataset(bench).metadata, dataset(bench).description])
    assert bench.run().config["training_data"]["malformed_lines"] == dataset(bench).metadata["malformed_lines"] == 4
    assert dataset(bench).description == "2 examples of format chat; 4 lines are malformed, see the table malformed."


def test_a_table_with_fewer_examples_than_the_file_says_so(bench: Bench) -> None:
    count = TABLE_ROWS + 500
    assert bench.mirrored(a_job(), files=[a_file(format="chat", count=count)])[JOB].final
    lines = [row["line"] for row in table(bench)]
    assert len(lines) == TABLE_ROWS
    assert lines == sorted(set(lines))
    assert lines[-1] > TABLE_ROWS  # a sample of the whole file, not its first lines
    assert dataset(bench).read(f"{FILE}.jsonl").count(b"\n") == count
    assert "10,500 examples of format chat; the table shows 10,000 of them" in (dataset(bench).description or "")
    shown = bench.run().config["training_data"]
    assert (shown["examples"], shown["rows_in_table"]) == (count, TABLE_ROWS)


def secret_file(**values: Any) -> dict[str, Any]:
    """120 examples, each of which says the word; one broken line says it, and one role is it."""
    turns = [{"role": role, "content": text} for role, text in (("user", SECRET), (SECRET, "?"), ("assistant", "."))]
    return a_file(lines=[*[json.dumps({"messages": turns})] * 120, f"{SECRET} is no JSON"], **values)


def test_reference_sends_statistics_of_the_file(bench: Bench) -> None:
    bench.world(a_job(), files=[secret_file()])
    bench.tick(bench.engine(sync_datasets=DatasetPolicy.REFERENCE))
    assert sorted(dataset(bench).entries) == ["malformed.table.json", "reference.json"]
    metadata = dataset(bench).metadata
    assert (metadata["examples"], metadata["malformed_lines"], metadata["rows_in_table"]) == (120, 1, 0)
    assert metadata["messages_by_role"] == {"user": 120, "assistant": 120, "other": 120}
    assert "none of them is in W&B" in str(dataset(bench).description)


def test_sample_sends_a_hundred_examples_and_not_the_file(bench: Bench) -> None:
    bench.world(a_job(), files=[secret_file()])
    bench.tick(bench.engine(sync_datasets=DatasetPolicy.SAMPLE))
    assert sorted(dataset(bench).entries) == [*TABLE, "malformed.table.json", "reference.json"]
    assert len(table(bench)) == dataset(bench).metadata["rows_in_table"] == 100
    assert all(SECRET in str(row) for row in table(bench))
    assert json.loads(dataset(bench).read("reference.json")) == {"account": "aoai-ml", "file_id": FILE}


@pytest.mark.parametrize("policy", ["full", "reference"])
def test_datasets_can_be_downloaded(bench: Bench, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("CACHE_DIR", "ARTIFACT_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{each}", str(tmp_path / "sdk"))
    bench.world(a_job())
    bench.tick(bench.engine(sync_datasets=DatasetPolicy(policy)))
    artifact = wandb.Api(api_key=KEY).artifact(f"{ENTITY}/{PROJECT}/{FILE}:latest")
    there = Path(artifact.download(str(tmp_path / "here")))
    assert {str(each.relative_to(there)) for each in there.rglob("*") if each.is_file()} == set(dataset(bench).entries)


class Huge:
    """A service with a file that fits on no disk, as it says."""

    name = "aoai-ml"

    def file(self, file_id: str) -> File:
        return File(file_id, "train.jsonl", 2**60)

    def content(self, file_id: str) -> AbstractContextManager[Iterator[bytes]]:
        line = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
        return nullcontext(iter([line * SAMPLE_ROWS * 2]))


def test_a_file_that_does_not_fit_on_the_disk_is_a_sample(tmp_path: Path) -> None:
    artifact = dataset_artifact(Huge(), FILE, DatasetPolicy.FULL, tmp_path, FILE)
    assert (artifact.metadata["policy"], artifact.metadata["rows_in_table"]) == ("sample", SAMPLE_ROWS)
    assert "did not fit on the disk" in (artifact.description or "")
    kept = ["examples", "examples.partitioned-table.json", "reference.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("maker", [{}, {"run": "ftjob-9", "user": "vera"}])
def test_a_dataset_that_others_made_is_never_used_as_the_jobs_own(bench: Bench, maker: dict[str, Any]) -> None:
    bench.world(a_job())
    theirs = bench.forged(FILE, "dataset", **maker, file_id=FILE, policy="full", examples=1)
    assert bench.tick()[JOB].final
    assert dataset(bench) is not theirs
    assert bench.run().config["training_data"]["examples"] == 8


def test_metadata_that_people_have_edited_fails_no_job_and_is_not_copied(bench: Bench) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    assert bench.engine().sync_job("aoai-ml", JOB).final
    dataset(bench).metadata |= {"malformed_lines": "x", "examples": ["x"], "format": {"x": 1}, "filename": "a\x1b[2J"}
    assert bench.engine().sync_job("aoai-ml", OTHER_JOB).final
    assert bench.run(OTHER_JOB).used == bench.run().used
    described = bench.run(OTHER_JOB).config
    assert described["training_data"] == {"rows_in_table": 8, "bytes": dataset(bench).metadata["bytes"]}
    assert described["training_file_name"] == "a[2J"
