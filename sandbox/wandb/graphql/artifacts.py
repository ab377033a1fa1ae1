"""GraphQL types of artifacts, their types and collections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.wandb.artifacts import Artifact, Collection, Membership
from sandbox.wandb.graphql.context import Context, when
from sandbox.wandb.graphql.executor import Types
from sandbox.wandb.graphql.files import artifact_file, stored_file
from sandbox.wandb.graphql.filters import inside, matching, ordered
from sandbox.wandb.graphql.paging import Connection, page
from sandbox.wandb.rules import invalid
from sandbox.wandb.store import Project, encoded_id


@dataclass(frozen=True)
class ArtifactType:
    """An artifact type that a project uses."""

    name: str
    project: Project

    @property
    def collections(self) -> list[Collection]:
        """The collections of this type."""
        return self.project.collections_of(self.name)


@dataclass(frozen=True)
class Alias:
    """An alias in a collection."""

    alias: str
    artifact_collection: Collection


def _versions(
    collection: Collection, context: Context, *, order: str | None = None, filters: str | None = None, **paging: Any
) -> Connection:
    """A page of memberships."""
    kept = matching(collection.memberships, filters, _version_value)
    if order:
        kept = ordered(kept, order, order, _version_value)
    elif context.store.options.versions == "newest first":
        kept.reverse()
    return page(kept, listing=context.store.options.listings, **paging)


def _version_value(member: Membership, key: str) -> Any:
    match key:
        case "version_index" | "versionIndex":
            return member.index
        case "created_at" | "createdAt" | "updated_at" | "updatedAt":
            return when(member.created_at)
        case "state":
            return member.artifact.state
        case "alias":
            return member.collection.aliases_of(member.artifact)
        case "tag" | "tags":
            return member.artifact.tags
    if key.startswith("metadata."):
        return inside(member.artifact.metadata, key.removeprefix("metadata."))
    raise invalid(f"unknown key {key!r} in a filter or an order of artifacts")


def _type(collection: Collection, context: Context) -> ArtifactType:
    return ArtifactType(collection.type, context.project(collection.entity, collection.project))


def _of_type(kind: ArtifactType, _: Context, *, name: str) -> Collection | None:
    return next((each for each in kind.collections if each.name == name), None)


def _tags(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"id": encoded_id("Tag", name), "name": name} for name in names]


def _places(artifact: Artifact, context: Context) -> list[Collection]:
    """Every collection that a version is in."""
    return [artifact.sequence, *context.store.portfolios_with(artifact)]


def _manifest(artifact: Artifact, context: Context) -> dict[str, Any] | None:
    stored = context.store.storage.get(artifact.manifest_path) if artifact.manifest_path else None
    return manifest(artifact, stored_file("wandb_manifest.json", stored, context)) if stored else None


def manifest(artifact: Artifact, file: dict[str, Any]) -> dict[str, Any]:
    """A manifest; `file` has the address to read it from or to write it to."""
    return {"id": encoded_id("ArtifactManifest", artifact.id), "file": file}


def _files(member: Membership, context: Context, *, names: list[str] | None = None, **paging: Any) -> Connection:
    artifact = member.artifact
    kept = [(path, entry) for path, entry in artifact.entries.items() if not names or path in names]
    found = [artifact_file(path, entry, artifact, context) for path, entry in kept]
    return page([file for file in found if file], **paging)


_COLLECTION = {
    "id": lambda collection, _: encoded_id("ArtifactCollection", collection.number),
    "updatedAt": None,
    "project": lambda collection, context: context.project(collection.entity, collection.project),
    "defaultArtifactType": _type,
    "tags": lambda collection, _: page(_tags(collection.tags)),
    "aliases": lambda collection, _, **paging: page([Alias(a, collection) for a in collection.by_alias], **paging),
    "artifacts": _versions,
    "artifactMembership": lambda collection, _, *, alias_name: collection.find(alias_name),
}

TYPES: Types = {
    "ArtifactSequence": {
        **_COLLECTION,
        "digestAlgorithm": "MANIFEST_MD5",
        "latestArtifact": lambda collection, _: collection.latest,
    },
    "ArtifactPortfolio": _COLLECTION,
    "ArtifactType": {
        "id": lambda kind, _: encoded_id("ArtifactType", kind.project.number, kind.name),
        "description": None,
        "createdAt": lambda kind, _: min(each.created_at for each in kind.collections),
        "artifactCollection": _of_type,
    },
    "ArtifactAlias": {
        "id": lambda alias, _: encoded_id("ArtifactAlias", alias.artifact_collection.number, alias.alias)
    },
    "ArtifactEdge": {  # of artifacts, or of memberships, whose number is the collection's
        "version": lambda edge, _: f"v{edge.node.index}",
        "node": lambda edge, _: edge.node.artifact if isinstance(edge.node, Membership) else edge.node,
    },
    "Artifact": {
        "digestAlgorithm": "MANIFEST_MD5",
        "versionIndex": lambda artifact, _: artifact.index,
        "artifactType": lambda artifact, context: _type(artifact.sequence, context),
        "artifactSequence": lambda artifact, _: artifact.sequence,
        "aliases": lambda artifact, context: [
            Alias(alias, place) for place in _places(artifact, context) for alias in place.aliases_of(artifact)
        ],
        "tags": lambda artifact, _: _tags(artifact.tags),
        "fileCount": lambda artifact, _: len(artifact.entries),
        "commitHash": None,
        # UNVERIFIED: the maker of a version without a run is the key's user (wandb 0.31 only names the type)
        "createdBy": lambda artifact, _: artifact.created_by or artifact.user,
        # -2 means no end (wandb 0.31, ArtifactTTL)
        "ttlDurationSeconds": lambda artifact, context: next(
            each for each in (artifact.ttl_seconds, context.store.options.artifact_lifetime, -2) if each is not None
        ),
        "ttlIsInherited": lambda artifact, _: artifact.ttl_seconds is None,
        "usedBy": lambda artifact, _: page(artifact.used_by),
        "currentManifest": _manifest,
        "artifactMemberships": lambda artifact, context: page(
            [member for place in _places(artifact, context) if (member := place.membership_of(artifact))]
        ),
    },
    "ArtifactCollectionMembership": {
        "id": lambda member, _: encoded_id("ArtifactCollectionMembership", member.collection.number, member.index),
        "versionIndex": lambda member, _: member.index,
        "aliases": lambda member, _: [
            Alias(alias, member.collection) for alias in member.collection.aliases_of(member.artifact)
        ],
        "artifactCollection": lambda member, _: member.collection,
        "files": _files,
    },
}
