"""GraphQL nodes of artifacts, their types and collections. Field names: see wandb_graphql.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.wandb.artifacts import Artifact, Collection, Membership
from sandbox.wandb.graphql.file_nodes import FileNode
from sandbox.wandb.graphql.filters import as_json, inside, matching, ordered
from sandbox.wandb.graphql.paging import Connection, Context, Edge, page, when
from sandbox.wandb.rules import invalid
from sandbox.wandb.store import Project, encoded_id


@dataclass(frozen=True)
class TagNode:
    """A tag of an artifact or a collection."""

    name: str

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("Tag", self.name)


@dataclass(frozen=True)
class AliasNode:
    """An alias in a collection."""

    alias: str
    collection: Collection
    context: Context

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("ArtifactAlias", self.collection.number, self.alias)

    @property
    def artifact_collection(self) -> "CollectionNode":
        """Where it is valid."""
        return CollectionNode(self.collection, self.context)


@dataclass(frozen=True)
class TypeNode:
    """An artifact type of a project."""

    name: str
    project: Project
    context: Context
    description: str | None = None

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("ArtifactType", self.project.number, self.name)

    @property
    def created_at(self) -> str:
        """With the first collection."""
        return when(min(each.created_at for each in self._collections))

    def artifact_collection(self, name: str) -> "CollectionNode | None":
        """A collection of this type."""
        return next((CollectionNode(each, self.context) for each in self._collections if each.name == name), None)

    def artifact_collections(
        self, after: str | None = None, first: int | None = None, filters: str | None = None, order: str | None = None
    ) -> "Connection[CollectionNode]":
        """The collections of this type."""
        return collection_page(self._collections, self.context, after, first, filters, order)

    @property
    def _collections(self) -> list[Collection]:
        return self.project.collections_of(self.name)


@dataclass(frozen=True)
class VersionEdge(Edge["ArtifactNode"]):
    """A version in a listing, with the number it has there."""

    version: str


@dataclass(frozen=True)
class CollectionNode:
    """A sequence or a portfolio."""

    collection: Collection
    context: Context
    digest_algorithm: str = "MANIFEST_MD5"
    updated_at: str | None = None

    @property
    def type_name(self) -> str:
        """Of the GraphQL type."""
        return "ArtifactPortfolio" if self.collection.portfolio else "ArtifactSequence"

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("ArtifactCollection", self.collection.number)

    @property
    def name(self) -> str:
        """Unique in the project."""
        return self.collection.name

    @property
    def description(self) -> str | None:
        """As people wrote it."""
        return self.collection.description

    @property
    def created_at(self) -> str:
        """With the first version."""
        return when(self.collection.created_at)

    @property
    def project(self) -> object:
        """Where it is."""
        return self.context.project(self.collection.entity, self.collection.project)

    @property
    def default_artifact_type(self) -> TypeNode:
        """The one type its versions have."""
        project = self.context.store.project(self.collection.entity, self.collection.project)
        assert project is not None  # noqa: S101 - a collection is always in a project
        return TypeNode(self.collection.type, project, self.context)

    @property
    def tags(self) -> Connection[TagNode]:
        """Of the collection."""
        return page([TagNode(tag) for tag in self.collection.tags])

    def aliases(self, after: str | None = None, first: int | None = None) -> Connection[AliasNode]:
        """Every alias in use."""
        return page(
            [AliasNode(alias, self.collection, self.context) for alias in self.collection.by_alias], first, after
        )

    @property
    def latest_artifact(self) -> "ArtifactNode | None":
        """The newest version."""
        latest = self.collection.latest
        return ArtifactNode(latest, self.context) if latest else None

    def artifacts(
        self, after: str | None = None, first: int | None = None, order: str | None = None, filters: str | None = None
    ) -> Connection["ArtifactNode"]:
        """Versions, newest first."""
        kept = matching(self.collection.memberships, filters, _version_value)
        kept = ordered(kept, order, "-version_index", _version_value)
        found = page(kept, first, after)
        edges = [
            VersionEdge(ArtifactNode(edge.node.artifact, self.context), edge.cursor, f"v{edge.node.index}")
            for edge in found.edges
        ]
        return Connection(edges, found.page_info, found.total_count)

    def artifact_membership(self, alias_name: str) -> "MembershipNode | None":
        """By alias or vN."""
        found = self.collection.find(alias_name)
        return MembershipNode(found, self.context) if found else None


def collection_page(
    collections: Sequence[Collection],
    context: Context,
    after: str | None,
    first: int | None,
    filters: str | None,
    order: str | None,
) -> Connection[CollectionNode]:
    """A page of collections."""
    kept = ordered(matching(collections, filters, _collection_value), order, "created_at", _collection_value)
    return page([CollectionNode(each, context) for each in kept], first, after)


def _collection_value(collection: Collection, key: str) -> Any:
    match key:
        case "name" | "description":
            return getattr(collection, key)
        case "tag" | "tags":
            return collection.tags
        case "created_at" | "createdAt" | "updated_at" | "updatedAt":
            return when(collection.created_at)
    raise invalid(f"unknown key {key!r} in a filter or an order of artifact collections")


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


@dataclass(frozen=True)
class ArtifactNode:
    """A version."""

    artifact: Artifact
    context: Context
    digest_algorithm: str = "MANIFEST_MD5"
    commit_hash: str | None = None

    @property
    def id(self) -> str:
        """Stable."""
        return self.artifact.id

    @property
    def digest(self) -> str:
        """Of the manifest, as the client computed it."""
        return self.artifact.digest

    @property
    def state(self) -> str:
        """PENDING, COMMITTED or DELETED."""
        return self.artifact.state

    @property
    def description(self) -> str | None:
        """As people wrote it."""
        return self.artifact.description

    @property
    def metadata(self) -> str:
        """An object as text."""
        return as_json(self.artifact.metadata)

    @property
    def version_index(self) -> int | None:
        """Its number where it was born, none before the commit."""
        return self.artifact.index

    @property
    def artifact_sequence(self) -> CollectionNode:
        """Where it was born."""
        return CollectionNode(self.artifact.sequence, self.context)

    @property
    def artifact_type(self) -> TypeNode:
        """Its sequence's type."""
        return self.artifact_sequence.default_artifact_type

    @property
    def aliases(self) -> list[AliasNode]:
        """In all of its collections."""
        found = ((alias, place) for place in self._places for alias in place.aliases_of(self.artifact))
        return [AliasNode(alias, place, self.context) for alias, place in found]

    @property
    def artifact_memberships(self) -> "Connection[MembershipNode]":
        """Its places in all of its collections."""
        members = [place.membership_of(self.artifact) for place in self._places]
        return page([MembershipNode(member, self.context) for member in members if member])

    @property
    def _places(self) -> list[Collection]:
        return [self.artifact.sequence, *self.context.store.portfolios_with(self.artifact)]

    @property
    def tags(self) -> list[TagNode]:
        """Of the version."""
        return [TagNode(tag) for tag in self.artifact.tags]

    @property
    def history_step(self) -> int | None:
        """The run's step when it was logged."""
        return self.artifact.history_step

    @property
    def size(self) -> int:
        """Bytes."""
        return self.artifact.size

    @property
    def file_count(self) -> int:
        """Entries of the manifest."""
        return len(self.artifact.entries)

    @property
    def created_at(self) -> str:
        """When it was begun."""
        return when(self.artifact.created_at)

    @property
    def updated_at(self) -> str | None:
        """When it was edited last."""
        return when(self.artifact.updated_at) if self.artifact.updated_at else None

    @property
    def ttl_duration_seconds(self) -> int:
        """How long it is kept; -2 is for ever (wandb 0.31, ArtifactTTL)."""
        return -2 if self.artifact.ttl_seconds is None else self.artifact.ttl_seconds

    @property
    def ttl_is_inherited(self) -> bool:
        """Whether the team's default applies."""
        return self.artifact.ttl_seconds is None

    @property
    def created_by(self) -> object | None:
        """The run that logged it, while it exists."""
        run = self.artifact.created_by
        return self.context.run_node(run, self.context) if run else None

    @property
    def used_by(self) -> Connection[object]:
        """The runs that used it."""
        return page([self.context.run_node(run, self.context) for run in self.artifact.used_by])

    @property
    def current_manifest(self) -> "ManifestNode | None":
        """Its manifest, once uploaded."""
        path = self.artifact.manifest_path
        stored = self.context.store.storage.get(path) if path else None
        return ManifestNode(self.artifact.id, FileNode("wandb_manifest.json", stored, self.context)) if stored else None


@dataclass(frozen=True)
class ManifestNode:
    """A manifest; `file` is where to read or write it."""

    artifact_id: str
    file: object

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("ArtifactManifest", self.artifact_id)


@dataclass(frozen=True)
class MembershipNode:
    """A version in a collection."""

    member: Membership
    context: Context

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("ArtifactCollectionMembership", self.member.collection.number, self.member.index)

    @property
    def version_index(self) -> int:
        """Its number here."""
        return self.member.index

    @property
    def created_at(self) -> str:
        """When it came here."""
        return when(self.member.created_at)

    @property
    def aliases(self) -> list[AliasNode]:
        """Its aliases here."""
        collection = self.member.collection
        return [AliasNode(alias, collection, self.context) for alias in collection.aliases_of(self.member.artifact)]

    @property
    def artifact_collection(self) -> CollectionNode:
        """Here."""
        return CollectionNode(self.member.collection, self.context)

    @property
    def artifact(self) -> ArtifactNode:
        """The version."""
        return ArtifactNode(self.member.artifact, self.context)

    def files(
        self, names: list[str] | None = None, after: str | None = None, first: int | None = None
    ) -> Connection[FileNode]:
        """Files stored here; references have none."""
        artifact, storage = self.member.artifact, self.context.store.storage
        entries = {path: entry for path, entry in artifact.entries.items() if entry.ref is None}
        kept = {path: entry for path, entry in entries.items() if not names or path in names}
        found = [(path, storage.get(artifact.file_path(entry))) for path, entry in kept.items()]
        return page([FileNode(path, stored, self.context) for path, stored in found if stored], first, after)
