"""W&B's object store: bytes by MD5, reached through signed URLs as on Google Cloud Storage."""

import base64
import hashlib
import hmac
import mimetypes
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from sandbox.runtime.clock import Clock
from sandbox.wandb.rules import RefusedError

HOST = "storage.googleapis.com"
BUCKET = "wandb-production.appspot.com"
LIFETIME = 24 * 3600  # seconds of a signed URL, by the wall clock; W&B's own is UNVERIFIED


class BadUrlError(Exception):
    """A URL is forged, signed for another method or path, or expired."""


class BadDigestError(Exception):
    """The content does not have the MD5 of its address."""


@dataclass(frozen=True)
class StoredObject:
    """One object in the bucket."""

    path: str
    md5: str  # base64, as W&B writes it
    content: bytes
    updated_at: datetime

    @property
    def mimetype(self) -> str:
        """The media type by the name's ending."""
        return mimetypes.guess_type(self.path)[0] or "application/octet-stream"


@dataclass
class Storage:
    """The bucket. It holds equal contents once."""

    clock: Clock
    lifetime: int = LIFETIME
    _contents: dict[str, bytes] = field(default_factory=dict)
    _objects: dict[str, StoredObject] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def put(self, path: str, content: bytes) -> None:
        """Store an object.

        Raises:
            BadDigestError: the path is an artifact's file and names another MD5.
        """
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        if path.startswith(ARTIFACT_FILES) and not path.endswith(f"/{digest.hex()}"):
            raise BadDigestError(path)
        md5 = base64.b64encode(digest).decode()
        kept = self._contents.setdefault(md5, content)
        self._objects[path] = StoredObject(path, md5, kept, self.clock.now())

    def get(self, path: str) -> StoredObject | None:
        """Find an object."""
        return self._objects.get(path)

    def under(self, folder: str) -> dict[str, StoredObject]:
        """Objects in a folder by the rest of their path, oldest first."""
        return {path[len(folder) :]: stored for path, stored in self._objects.items() if path.startswith(folder)}

    def signed(self, base_url: str, method: str, path: str) -> str:
        """Sign an address for one method; everybody who has it may use it until it expires."""
        expires = int(time.time()) + self.lifetime
        signature = self._signature(method, path, expires)
        return f"{base_url}/{BUCKET}/{quote(path)}?Expires={expires}&Signature={signature}"

    def check(self, method: str, path: str, expires: str, signature: str) -> None:
        """Accept only what `signed` returned.

        Raises:
            BadUrlError: the signature is wrong or expired.
        """
        if not re.fullmatch("[0-9]{1,12}", expires) or int(expires) < time.time():
            raise BadUrlError("ExpiredToken")
        if not hmac.compare_digest(signature.encode(), self._signature(method, path, int(expires)).encode()):
            raise BadUrlError("SignatureDoesNotMatch")

    def _signature(self, method: str, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


ARTIFACT_FILES = "wandb_artifacts/"
MANIFESTS = "wandb_manifests/"


def artifact_file_path(project_number: int, md5: str) -> str:
    """The path of an artifact's file: by content, so that versions share unchanged files."""
    try:
        digest = base64.b64decode(md5, validate=True)
    except ValueError as error:
        raise RefusedError(400, f"not an MD5 in base64: {md5!r}") from error
    return f"{ARTIFACT_FILES}{project_number}/{digest.hex()}"


def run_file_folder(entity: str, project: str, run_id: str) -> str:
    """The folder of a run's files."""
    return f"{entity}/{project}/{run_id}/"
