"""Artifacts: versions with a manifest, in collections of one type, found by alias or number."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from sandbox.wandb.files import Storage, artifact_file_path
from sandbox.wandb.rules import RefusedError, invalid
from sandbox.wandb.users import User

LATEST = "latest"


class Maker(Protocol):
    """A run, as far as an artifact needs to know it."""

    entity: str
    project: str
    id: str
    name: str


class ManifestEntry(BaseModel):
    """One file of a manifest: stored by W&B (`digest` is its MD5 in base64), or a reference."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    size: int = 0
    ref: str | None = None
    birthArtifactID: str | None = None  # noqa: N815 - the manifest's own spelling
    extra: dict[str, Any] = {}
    local_path: str | None = None
    skip_cache: bool = False


class Manifest(BaseModel):
    """The contents of a version, by path (wandb 0.31, artifact_manifest_v1.py)."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    storagePolicy: str  # noqa: N815 - the manifest's own spelling
    storagePolicyConfig: dict[str, Any]  # noqa: N815 - the manifest's own spelling
    contents: dict[str, ManifestEntry]


@dataclass(eq=False)
class Artifact:
    """One version. `index` is its v-number, assigned at the commit."""

    id: str
    sequence: "Collection"
    storage: Storage = field(repr=False)
    project_number: int
    digest: str
    created_at: float
    created_by: Maker | None
    user: User | None = None  # whose key began it
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    wanted_aliases: list[str] = field(default_factory=list)
    history_step: int | None = None
    ttl_seconds: int | None = None
    updated_at: float | None = None
    state: Literal["PENDING", "COMMITTED", "DELETED"] = "PENDING"
    index: int | None = None
    manifest_path: str | None = None  # in the storage
    manifest: Manifest | None = None
    used_by: list[Maker] = field(default_factory=list, repr=False)
    members_before: int = 0  # of the collection, when this version was begun

    @property
    def name(self) -> str:
        """collection:vN."""
        return f"{self.sequence.name}:v{self.index}"

    @property
    def type(self) -> str:
        """The type of its collection."""
        return self.sequence.type

    @property
    def aliases(self) -> list[str]:
        """Its aliases in the collection that it was logged to."""
        return self.sequence.aliases_of(self)

    @property
    def entries(self) -> dict[str, ManifestEntry]:
        """Manifest entries by path; empty before the commit."""
        return self.manifest.contents if self.manifest else {}

    @property
    def size(self) -> int:
        """Sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.entries.values())

    def read(self, path: str) -> bytes:
        """The bytes of a stored file.

        Raises:
            KeyError: there is no such path, or it is a reference.
        """
        stored = self.storage.get(self.file_path(self.entries[path]))
        if stored is None:
            raise KeyError(path)
        return stored.content

    def file_path(self, entry: ManifestEntry) -> str:
        """The path of an entry's bytes in the storage."""
        return artifact_file_path(self.project_number, entry.digest)

    def commit(self) -> None:
        """Commit the version: the manifest and every file that it names must have been uploaded.

        Raises:
            RefusedError: something is missing (status and wording are UNVERIFIED), or another version with one of the
                files was committed since this one was begun: 409, which the SDK does not retry (wandb PR 4260).
        """
        stored = self.storage.get(self.manifest_path) if self.manifest_path else None
        if stored is None:
            raise invalid(f"artifact {self.id} cannot be committed: its manifest was not uploaded")
        try:
            manifest = Manifest.model_validate(json.loads(stored.content))
        except (ValueError, ValidationError) as error:
            raise invalid(f"artifact {self.id} cannot be committed: bad manifest: {error}") from error
        for path, entry in manifest.contents.items():
            if entry.ref is None and self.storage.get(self.file_path(entry)) is None:
                raise invalid(f"artifact {self.id} cannot be committed: file {path!r} was not uploaded")
        rivals = [member.artifact for member in self.sequence.members[self.members_before :]]
        taken = {entry.digest for rival in rivals if rival.state == "COMMITTED" for entry in rival.entries.values()}
        for entry in manifest.contents.values():
            if entry.digest in taken:
                raise RefusedError(409, f"conflict detected for file digest {entry.digest}, rebase required")
        self.manifest = manifest
        self.state = "COMMITTED"
        self.sequence.adopt(self)


@dataclass(eq=False)
class Membership:
    """A version in a collection: logged or linked to it. Each collection has its own numbers."""

    collection: "Collection"
    artifact: Artifact
    index: int
    created_at: float
    aliases: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Collection:
    """A sequence, which versions are logged to, or a portfolio, which they are linked to (as in a registry)."""

    number: int
    entity: str
    project: str
    name: str
    type: str
    portfolio: bool
    created_at: float
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    members: list[Membership] = field(default_factory=list)  # oldest first; the position is the index
    by_alias: dict[str, Membership] = field(default_factory=dict)
    _by_artifact: dict[Artifact, Membership] = field(default_factory=dict, repr=False)

    @property
    def memberships(self) -> list[Membership]:
        """Committed members, oldest first."""
        return [member for member in self.members if member.artifact.state == "COMMITTED"]

    @property
    def versions(self) -> list[Artifact]:
        """Committed versions, oldest first."""
        return [member.artifact for member in self.memberships]

    @property
    def latest(self) -> Artifact | None:
        """The version with the alias `latest`."""
        member = self.by_alias.get(LATEST)
        return member.artifact if member else None

    def aliases_of(self, artifact: Artifact) -> list[str]:
        """A version's aliases in this collection."""
        member = self._by_artifact.get(artifact)
        return list(member.aliases) if member else []

    def find(self, alias: str) -> Membership | None:
        """Find a member by alias or vN."""
        if alias in self.by_alias:
            return self.by_alias[alias]
        if (number := re.fullmatch(r"v(0|[1-9][0-9]*)", alias)) and int(number[1]) < len(self.members):
            return _committed(self.members[int(number[1])])
        return None

    def membership_of(self, artifact: Artifact) -> Membership | None:
        """Find the membership of a version."""
        return _committed(self._by_artifact.get(artifact))

    def with_digest(self, digest: str, *, latest_only: bool = False) -> Artifact | None:
        """Find a committed version by its content."""
        versions = self.versions[-1:] if latest_only else self.versions
        return next((version for version in versions if version.digest == digest), None)

    def adopt(self, artifact: Artifact) -> Membership:
        """Add a version under the next number; it becomes `latest`."""
        member = Membership(self, artifact, len(self.members), artifact.created_at)
        self.members.append(member)
        self._by_artifact[artifact] = member
        if artifact.sequence is self:
            artifact.index = member.index
            self.point(artifact.wanted_aliases, artifact)
        self.point([LATEST], artifact)
        return member

    def point(self, aliases: Sequence[str], artifact: Artifact) -> None:
        """Move aliases to a version."""
        member = self.membership_of(artifact)
        if member is None:
            raise invalid(f"artifact {artifact.id} is not in collection {self.name!r}")
        for alias in aliases:
            self.remove(alias)
            self.by_alias[alias] = member
            member.aliases.append(alias)

    def remove(self, alias: str) -> None:
        """Remove an alias, if there is one."""
        if member := self.by_alias.pop(alias, None):
            member.aliases.remove(alias)

    def drop(self, artifact: Artifact) -> None:
        """Forget the aliases of a deleted version."""
        for alias in self.aliases_of(artifact):
            self.remove(alias)
        if LATEST not in self.by_alias and (left := self.versions):
            self.point([LATEST], left[-1])


def _committed(member: Membership | None) -> Membership | None:
    return member if member and member.artifact.state == "COMMITTED" else None
