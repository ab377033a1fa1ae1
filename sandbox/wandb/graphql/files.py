"""The GraphQL type of files: of a run, of an artifact, and those that are still to be uploaded."""

from typing import Any

from sandbox.wandb.artifacts import Artifact, ManifestEntry
from sandbox.wandb.files import StoredObject
from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import Types
from sandbox.wandb.store import encoded_id


def stored_file(name: str, stored: StoredObject, context: Context) -> dict[str, Any]:
    """A stored file; `name` is its path in the run or artifact. It can be deleted by its id, which contains the object's path."""
    return {
        "id": encoded_id("File", stored.path),
        "name": name,
        "displayName": name,
        "directUrl": context.signed("GET", stored.path),
        "uploadUrl": context.signed("PUT", stored.path),
        "uploadHeaders": (),
        "sizeBytes": len(stored.content),
        "storagePath": stored.path,
        "mimetype": stored.mimetype,
        "updatedAt": stored.updated_at.timestamp(),
        "digest": stored.md5,
        "md5": stored.md5,
    }


def artifact_file(name: str, entry: ManifestEntry, artifact: Artifact, context: Context) -> dict[str, Any] | None:
    """A file of a version. References are listed, too: with their own address, and nothing in the object store."""
    if entry.ref is not None:
        known = {"id": encoded_id("File", artifact.id, name), "name": name, "displayName": name, "uploadHeaders": ()}
        return known | {"directUrl": entry.ref, "sizeBytes": entry.size, "digest": entry.digest, "md5": entry.digest}
    stored = context.store.storage.get(artifact.file_path(entry))
    return stored_file(name, stored, context) if stored else None


def upload(
    name: str, path: str, context: Context, *, wanted: bool = True, artifact: Artifact | None = None
) -> dict[str, Any]:
    """A file that the client is to upload; without an address when its content is stored already."""
    return {
        "id": encoded_id("File", path),
        "name": name,
        "storagePath": path,
        "uploadUrl": context.signed("PUT", path) if wanted else None,
        "uploadHeaders": (),
        "artifact": artifact,
    }


TYPES: Types = {"File": {"url": lambda file, _, *, upload=None: file["uploadUrl" if upload else "directUrl"]}}
