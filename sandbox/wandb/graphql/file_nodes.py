"""GraphQL nodes of files: of a run, of an artifact, and those that are still to be uploaded."""

from dataclasses import dataclass
from typing import Any

from sandbox.wandb.files import StoredObject
from sandbox.wandb.graphql.paging import Context
from sandbox.wandb.store import encoded_id


@dataclass(frozen=True)
class FileNode:
    """A file that is there. `name` is its path in the run or artifact."""

    name: str
    stored: StoredObject
    context: Context
    artifact: None = None
    upload_headers: tuple[str, ...] = ()
    upload_multipart_urls: None = None

    @property
    def id(self) -> str:
        """Names the object, so that it can be deleted by it."""
        return encoded_id("File", self.stored.path)

    @property
    def display_name(self) -> str:
        """What artifact listings call the name."""
        return self.name

    @property
    def direct_url(self) -> str:
        """Where to read it."""
        return self.context.signed("GET", self.stored.path)

    @property
    def upload_url(self) -> str:
        """Where to write it again."""
        return self.context.signed("PUT", self.stored.path)

    def url(self, *, upload: bool | None = None) -> str:
        """One of both."""
        return self.upload_url if upload else self.direct_url

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return len(self.stored.content)

    @property
    def storage_path(self) -> str:
        """Its path in the bucket."""
        return self.stored.path

    @property
    def mimetype(self) -> str:
        """By its name."""
        return self.stored.mimetype

    @property
    def updated_at(self) -> str:
        """When it was uploaded last."""
        return self.stored.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def md5(self) -> str:
        """In base64."""
        return self.stored.md5

    @property
    def digest(self) -> str:
        """What artifact listings call the MD5."""
        return self.stored.md5


@dataclass(frozen=True)
class UploadNode:
    """A file that the client is to upload; without an address when the store has its content already."""

    name: str
    storage_path: str
    context: Context
    wanted: bool = True
    artifact: Any = None
    upload_headers: tuple[str, ...] = ()
    upload_multipart_urls: None = None

    @property
    def id(self) -> str:
        """Names the object."""
        return encoded_id("File", self.storage_path)

    @property
    def upload_url(self) -> str | None:
        """Where to write it."""
        return self.context.signed("PUT", self.storage_path) if self.wanted else None
