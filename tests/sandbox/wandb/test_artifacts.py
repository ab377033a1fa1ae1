"""Artifacts, as the real SDK logs, uses, links and reads them."""

from pathlib import Path
from typing import Any

import pytest
import wandb

from .sdk import ENTITY, PROJECT, Sdk, sdk

__all__ = ["sdk"]

PATH = f"{ENTITY}/{PROJECT}"


def made(tmp_path: Path, content: str, name: str = "data", kind: str = "dataset", **arguments: Any) -> wandb.Artifact:
    file = tmp_path / "train.jsonl"
    file.write_text(content)
    artifact = wandb.Artifact(name, kind, **arguments)
    artifact.add_file(str(file))
    return artifact


def test_a_logged_artifact_is_a_version_with_its_bytes_metadata_and_aliases(sdk: Sdk, tmp_path: Path) -> None:
    artifact = made(tmp_path, "hello", metadata={"rows": 1}, description="training data")
    artifact.add_reference("https://example.com/file-1", name="remote", checksum=False)
    with sdk.init("job-1") as run:
        version = run.log_artifact(artifact, aliases=["file-1"]).wait()
        assert (version.version, sorted(version.aliases)) == ("v0", ["file-1", "latest"])

    (stored,) = sdk.store.artifacts(ENTITY, PROJECT)
    assert (stored.name, stored.type, stored.description) == ("data:v0", "dataset", "training data")
    assert (stored.metadata, sorted(stored.aliases)) == ({"rows": 1}, ["file-1", "latest"])
    assert stored.read("train.jsonl") == b"hello"
    assert stored.entries["remote"].ref == "https://example.com/file-1"
    assert sdk.store.run(ENTITY, PROJECT, "job-1").logged == [stored]


def test_a_version_is_linked_to_a_registry_under_its_own_number_and_aliases(sdk: Sdk, tmp_path: Path) -> None:
    with sdk.init("job-1") as run:
        run.log_artifact(made(tmp_path, "a", name="model", kind="model")).wait()
        version = run.log_artifact(made(tmp_path, "b", name="model", kind="model")).wait()
        linked = run.link_artifact(version, "wandb-registry-model/fine-tunes", aliases=["champion"])
        assert linked is not None
        assert linked.qualified_name == "acme-org/wandb-registry-model/fine-tunes:v0"

    linked_again = sdk.api().artifact(f"{PATH}/model:v1").linked_artifacts
    assert [each.qualified_name for each in linked_again] == ["acme-org/wandb-registry-model/fine-tunes:v0"]
    portfolio = sdk.store.collection("acme-org", "wandb-registry-model", "fine-tunes")
    assert [member.artifact.name for member in portfolio.memberships] == ["model:v1"]
    assert set(portfolio.by_alias) == {"champion", "latest"}
    read = sdk.api().artifact("wandb-registry-model/fine-tunes:champion")
    assert read.source_qualified_name == f"{PATH}/model:v1"
    read.unlink()
    assert portfolio.memberships == []


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(sdk: Sdk, tmp_path: Path) -> None:
    with sdk.init("job-1") as run:
        run.log_artifact(made(tmp_path, "a")).wait()
        run.log_artifact(made(tmp_path, "b"), aliases=["best"]).wait()
    read = sdk.api().artifact(f"{PATH}/data:v1")
    with pytest.raises(wandb.errors.CommError, match="it has aliases best"):
        read.delete()
    read.delete(delete_aliases=True)
    assert sdk.api().artifact(f"{PATH}/data:latest").version == "v0"
    with sdk.init("job-2") as run:
        run.log_artifact(made(tmp_path, "b")).wait()

    collection = sdk.store.collection(ENTITY, PROJECT, "data")
    assert [(version.name, version.aliases) for version in collection.versions] == [
        ("data:v0", []),
        ("data:v2", ["latest"]),
    ]
