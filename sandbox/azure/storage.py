"""A storage account as far as the function app uses it: empty blobs, leases on them, and how many messages a queue holds.

Queues are filled by the Functions host, so a test sets the depth of one. Roles are not checked, as in Azurite.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment

from sandbox.runtime.clock import Clock
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError

ACCOUNT = "stfinetune"
AUDIENCE = "https://storage.azure.com"
_BLOBS, _QUEUES = f"{ACCOUNT}.blob.core.windows.net", f"{ACCOUNT}.queue.core.windows.net"
SETTINGS = {
    "SYNC_SCHEDULE": "0 */2 * * * *",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__blobServiceUri": f"https://{_BLOBS}/",
    "AzureWebJobsStorage__queueServiceUri": f"https://{_QUEUES}/",
}
"""The schedule and the storage account in the settings of a function app."""
_MESSAGES = {
    "BlobNotFound": (404, "The specified blob does not exist."),
    "ContainerNotFound": (404, "The specified container does not exist."),
    "QueueNotFound": (404, "The specified queue does not exist."),
    "BlobAlreadyExists": (409, "The specified blob already exists."),
    "ContainerAlreadyExists": (409, "The specified container already exists."),
    "LeaseAlreadyPresent": (409, "There is already a lease present."),
    "LeaseIdMismatchWithLeaseOperation": (409, "The lease ID specified did not match the lease ID for the blob."),
    "LeaseIdMissing": (412, "There is currently a lease on the blob and no lease ID was specified in the request."),
    "LeaseIdMismatchWithBlobOperation": (412, "The lease ID specified did not match the lease ID for the blob."),
    "LeaseNotPresentWithBlobOperation": (412, "There is currently no lease on the blob."),
    "OutOfRangeQueryParameterValue": (
        400,
        "A query parameter specified in the request URI is outside the permissible range.",
    ),
    "AuthenticationFailed": (403, "Server failed to authenticate the request."),
}


_META = "x-ms-meta-"


@dataclass
class Blob:
    """An empty blob, its metadata, and the lease on it; `until` is virtual time."""

    lease: str = ""
    until: float = 0.0
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Storage(Service):
    """One account."""

    clock: Clock
    verify: Callable[[Call, Sequence[str]], Caller]
    name: str = "storage"
    hosts: Collection[str] = (_BLOBS, _QUEUES)
    containers: dict[str, dict[str, Blob]] = field(default_factory=lambda: {"finetune-leases": {}})
    queues: dict[str, int] = field(default_factory=dict)  # name → messages

    def __post_init__(self) -> None:
        self.operations: Sequence[Operation] = (
            Operation("Queue_GetProperties", "GET", "/{name}", self._get_properties),
            Operation("Container_Create", "PUT", "/{container}", self._create, writes=True),
            Operation("BlockBlob_Upload", "PUT", "/{container}/{+blob}", self._put, writes=True),
            Operation("Blob_GetProperties", "HEAD", "/{container}/{+blob}", self._properties),
            Operation("Blob_Delete", "DELETE", "/{container}/{+blob}", self._delete, writes=True),
        )

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """See Service. The effect of a PUT depends on its query and headers, the service of a GET on its host."""
        if call.method == "GET" and call.host == _BLOBS:
            return "Container_ListBlobFlatSegment", False
        if call.method == "PUT" and call.query.get("comp") == "metadata":
            return "Blob_SetMetadata", operation.writes
        action = call.headers.get("x-ms-lease-action", "").capitalize()
        return (f"Blob_{action}Lease" if call.query.get("comp") == "lease" else operation.id), operation.writes

    def authenticate(self, call: Call) -> Caller | None:
        """See Service."""
        try:
            return self.verify(call, (AUDIENCE,))
        except ServiceError:
            raise _error("AuthenticationFailed") from None

    def unknown(self, call: Call) -> Reply:
        """See Service."""
        return Reply(501, b"", {"x-ms-error-code": "NotImplementedHere", "content-type": "application/xml"})

    def malformed(self, call: Call, why: str) -> Reply:
        """See Service; nothing here takes JSON."""
        return self.unknown(call)

    def break_lease(self, container: str, blob: str) -> None:
        """Break a lease as a person does in the portal: it ends now and cannot be renewed."""
        self.containers[container][blob] = Blob()

    # --- operations -----------------------------------------------------------------------------------------------

    def _get_properties(self, call: Call) -> Reply:
        return self._list(call) if call.host == _BLOBS else self._depth(call)

    def _depth(self, call: Call) -> Reply:
        if call.params["name"] not in self.queues:
            raise _error("QueueNotFound")
        return Reply(200, b"", {"x-ms-approximate-messages-count": str(self.queues[call.params["name"]])})

    def _list(self, call: Call) -> Reply:
        """List blobs in the order of their names, at most 5,000 in a page, even if more are requested (List Blobs)."""
        if call.query.get("comp") != "list":
            return self.unknown(call)
        if call.params["name"] not in self.containers:
            raise _error("ContainerNotFound")
        prefix, marker = call.query.get("prefix", ""), call.query.get("marker", "")
        wanted = call.query.get("maxresults", str(_PAGE))
        if not (wanted.isascii() and wanted.isdecimal() and int(wanted[:9])):
            raise _error("OutOfRangeQueryParameterValue")
        most = min(int(wanted[:9]), _PAGE)
        blobs = self.containers[call.params["name"]]
        *names, end = [*sorted(each for each in blobs if each.startswith(prefix) and each >= marker), ""][: most + 1]
        shown: dict[str, Any] = {"container": call.params["name"], "prefix": prefix, "end": end, "version": _VERSION}
        shown |= {"blobs": {name: blobs[name] for name in names}, "include": call.query.get("include", "")}
        return Reply(200, _LISTING.render(shown).encode(), {"content-type": "application/xml"})

    def _create(self, call: Call) -> Reply:
        if call.params["container"] in self.containers:
            raise _error("ContainerAlreadyExists")
        self.containers[call.params["container"]] = {}
        return Reply(201, b"", _VERSION)

    def _container(self, call: Call) -> dict[str, Blob]:
        try:
            return self.containers[call.params["container"]]
        except KeyError:
            raise _error("ContainerNotFound") from None

    def _blob(self, call: Call) -> Blob:
        try:
            return self._container(call)[call.params["blob"]]
        except KeyError:
            raise _error("BlobNotFound") from None

    def _put(self, call: Call) -> Reply:
        if call.query.get("comp") == "lease":
            return self._lease(call, self._blob(call))
        if call.method == "PUT" and call.query.get("comp") == "metadata":
            blob = self._blob(call)
            self._check_lease(blob, call)
            blob.metadata = {k.removeprefix(_META): v for k, v in call.headers.items() if k.startswith(_META)}
            return Reply(200, b"", _VERSION)
        blobs = self._container(call)
        if call.params["blob"] in blobs and call.headers.get("if-none-match") == "*":
            raise _error("BlobAlreadyExists")
        blobs[call.params["blob"]] = Blob()
        return Reply(201, b"", _VERSION)

    def _lease(self, call: Call, blob: Blob) -> Reply:
        """Acquire and renew. A lease that has ended can be renewed as long as nobody else took one (Lease Blob)."""
        action = call.headers["x-ms-lease-action"]
        named = call.headers.get("x-ms-proposed-lease-id" if action == "acquire" else "x-ms-lease-id", "")
        now = self.clock.time()
        if action == "acquire":
            if blob.until > now and blob.lease != named:
                raise _error("LeaseAlreadyPresent")
            blob.lease, blob.until = named, now + float(call.headers["x-ms-lease-duration"])
            return Reply(201, b"", _VERSION | {"x-ms-lease-id": named})
        if action not in ("renew", "release"):
            return self.unknown(call)
        if blob.lease != named:
            raise _error("LeaseIdMismatchWithLeaseOperation")
        if action == "release":
            blob.lease, blob.until = "", 0.0
            return Reply(200, b"", _VERSION)
        blob.until = now + 60.0
        return Reply(200, b"", _VERSION | {"x-ms-lease-id": named})

    def _properties(self, call: Call) -> Reply:
        metadata = {f"{_META}{name}": value for name, value in self._blob(call).metadata.items()}
        return Reply(200, b"", _VERSION | {"x-ms-blob-type": "BlockBlob"} | metadata)

    def _check_lease(self, blob: Blob, call: Call) -> None:
        """Refuse a write that does not name the lease on a blob (Lease Blob, "Outcomes of use attempts")."""
        named = call.headers.get("x-ms-lease-id", "")
        leased = blob.until > self.clock.time()
        if leased and not named:
            raise _error("LeaseIdMissing")
        if leased and named != blob.lease:
            raise _error("LeaseIdMismatchWithBlobOperation")
        if named and not leased:
            raise _error("LeaseNotPresentWithBlobOperation")

    def _delete(self, call: Call) -> Reply:
        self._check_lease(self._blob(call), call)
        del self.containers[call.params["container"]][call.params["blob"]]
        return Reply(202, b"", _VERSION)


_PAGE = 5000
_VERSION = {"etag": '"0x8D"', "last-modified": "Mon, 02 Mar 2026 08:00:00 GMT"}
_LISTING = Environment(autoescape=True).from_string("""<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ContainerName="{{ container }}"><Prefix>{{ prefix }}</Prefix><Blobs>
{% for name, blob in blobs.items() %}<Blob><Name>{{ name }}</Name>
<Properties><Last-Modified>{{ version["last-modified"] }}</Last-Modified><Etag>{{ version["etag"][1:-1] }}</Etag>
<Content-Length>0</Content-Length><BlobType>BlockBlob</BlobType></Properties>
{% if "metadata" in include %}<Metadata>
{% for key, value in blob.metadata.items() %}<{{ key }}>{{ value }}</{{ key }}>{% endfor %}
</Metadata>{% endif %}</Blob>{% endfor %}
</Blobs><NextMarker>{{ end }}</NextMarker></EnumerationResults>""")


def _error(code: str) -> ServiceError:
    status, message = _MESSAGES[code]
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    refused = ServiceError(status)
    refused.reply = Reply(status, body.encode(), {"x-ms-error-code": code, "content-type": "application/xml"})
    return refused
