"""Artifacts: versions with a manifest, in collections with one type, reached by alias or number."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sandbox.wandb.files import Storage, artifact_file_path
from sandbox.wandb.rules import invalid

if TYPE_CHECKING:
    from sandbox.wandb.runs import Run

LATEST = "latest"


class ManifestEntry(BaseModel):
    """One file of a manifest: stored here (`digest` is its MD5 in base64), or a reference to elsewhere."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    size: int = 0
    ref: str | None = None
    birthArtifactID: str | None = None  # noqa: N815 - the manifest's own spelling
    extra: dict[str, Any] = {}
    local_path: str | None = None
    skip_cache: bool = False


class Manifest(BaseModel):
    """What is in a version, by path (wandb 0.31, artifact_manifest_v1.py)."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    storagePolicy: str  # noqa: N815 - the manifest's own spelling
    storagePolicyConfig: dict[str, Any]  # noqa: N815 - the manifest's own spelling
    contents: dict[str, ManifestEntry]


@dataclass(eq=False)
class Artifact:
    """One version. `index` is its v-number, given when it is committed."""

    id: str
    sequence: "Collection"
    storage: Storage = field(repr=False)
    project_number: int
    digest: str
    created_at: float
    created_by: "Run | None"
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
    used_by: "list[Run]" = field(default_factory=list, repr=False)

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
        """Its aliases in the collection it was born in."""
        return self.sequence.aliases_of(self)

    @property
    def entries(self) -> dict[str, ManifestEntry]:
        """Manifest entries by path; none before the commit."""
        return self.manifest.contents if self.manifest else {}

    @property
    def size(self) -> int:
        """Sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.entries.values())

    def read(self, path: str) -> bytes:
        """The bytes of a file stored here.

        Raises:
            KeyError: no such path, or only a reference.
        """
        stored = self.storage.get(self.file_path(self.entries[path]))
        if stored is None:
            raise KeyError(path)
        return stored.content

    def file_path(self, entry: ManifestEntry) -> str:
        """Where an entry's bytes lie in the storage."""
        return artifact_file_path(self.project_number, entry.digest)

    def commit(self) -> None:
        """Become a version: the manifest and every file it names must have been uploaded.

        Raises:
            RefusedError: something is missing; the status and the wording are UNVERIFIED.
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
        self.manifest = manifest
        self.state = "COMMITTED"
        self.sequence.adopt(self)


@dataclass(eq=False)
class Membership:
    """A version in a collection: born there, or linked to it. Each collection numbers its members itself."""

    collection: "Collection"
    artifact: Artifact
    index: int
    created_at: float
    unlinked: bool = False


@dataclass(eq=False)
class Collection:
    """A sequence, where versions are born, or a portfolio, which they are linked to (as in a registry)."""

    number: int
    entity: str
    project: str
    name: str
    type: str
    portfolio: bool
    created_at: float
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    members: list[Membership] = field(default_factory=list)  # oldest first; those gone stay, for their number
    by_alias: dict[str, Membership] = field(default_factory=dict)

    @property
    def memberships(self) -> list[Membership]:
        """Members that still exist, oldest first."""
        return [member for member in self.members if not member.unlinked and member.artifact.state == "COMMITTED"]

    @property
    def versions(self) -> list[Artifact]:
        """Committed versions, oldest first."""
        return [member.artifact for member in self.memberships]

    @property
    def latest(self) -> Artifact | None:
        """What the alias `latest` points to."""
        member = self.by_alias.get(LATEST)
        return member.artifact if member else None

    def aliases_of(self, artifact: Artifact) -> list[str]:
        """A version's aliases here."""
        return [alias for alias, member in self.by_alias.items() if member.artifact is artifact]

    def find(self, alias: str) -> Membership | None:
        """A member by alias or by vN."""
        if alias in self.by_alias:
            return self.by_alias[alias]
        return next((member for member in self.memberships if f"v{member.index}" == alias), None)

    def membership_of(self, artifact: Artifact) -> Membership | None:
        """An artifact's place here."""
        return next((member for member in self.memberships if member.artifact is artifact), None)

    def with_digest(self, digest: str) -> Artifact | None:
        """The committed version with this content."""
        return next((version for version in self.versions if version.digest == digest), None)

    def adopt(self, artifact: Artifact) -> Membership:
        """Take in a version under the next number; the newest one is `latest`."""
        member = Membership(self, artifact, len(self.members), artifact.created_at)
        self.members.append(member)
        if artifact.sequence is self:
            artifact.index = member.index
            self.point(artifact.wanted_aliases, artifact)
        self.point([LATEST], artifact)
        return member

    def point(self, aliases: Sequence[str], artifact: Artifact) -> None:
        """Give a version aliases; another version of the collection loses them."""
        member = self.membership_of(artifact)
        if member is None:
            raise invalid(f"artifact {artifact.id} is not in collection {self.name!r}")
        self.by_alias.update(dict.fromkeys(aliases, member))

    def drop(self, artifact: Artifact) -> None:
        """Take out a version that was deleted or unlinked; `latest` goes back to the newest one left."""
        for member in self.members:
            member.unlinked = member.unlinked or member.artifact is artifact
        self.by_alias = {alias: member for alias, member in self.by_alias.items() if member.artifact is not artifact}
        if self.memberships:
            self.by_alias.setdefault(LATEST, self.memberships[-1])
