"""Weights & Biases as its SDK sees it: GraphQL, file stream, and the object store behind signed URLs."""

import base64
import math
import re
import time
from collections.abc import Sequence

from graphql import GraphQLSyntaxError
from pydantic import ValidationError

from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError
from sandbox.wandb.files import BUCKET, HOST, BadDigestError, BadUrlError, artifact_file_path
from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import GraphQLPost, statement
from sandbox.wandb.graphql.root import executor
from sandbox.wandb.rules import RefusedError, not_found, not_logged_in
from sandbox.wandb.runs import FileStreamPost
from sandbox.wandb.store import Store

# Since the autumn of 2026 the SDK's default is the first; the older name still works.
API_HOSTS = frozenset({"api.forge.coreweave.com", "api.wandb.ai"})
_ARTIFACT_FILE = "/artifactsV2/{region}/{entity}/{project}/{collection}/{artifact}/{md5}/{+name}"
LOOPBACK = frozenset({"127.0.0.1", "localhost"})


class Wandb(Service):
    """The service. `store` is its state; `unsupported` lists requests that the sandbox does not model."""

    name = "wandb"

    def __init__(self, store: Store) -> None:
        self.store = store
        self.unsupported: list[str] = []
        self._windows: dict[str, tuple[float, int]] = {}
        self.operations: Sequence[Operation] = (
            Operation("GraphQL", "POST", "/graphql", self._graphql),
            Operation(
                "FileStream", "POST", "/files/{entity}/{project}/{run}/file_stream", self._file_stream, writes=True
            ),
            Operation("UploadFile", "PUT", f"/{BUCKET}/{{+object}}", self._upload, writes=True),
            Operation("DownloadFile", "GET", f"/{BUCKET}/{{+object}}", self._download),
            Operation("ArtifactFile", "GET", _ARTIFACT_FILE, self._artifact_file),
            Operation("Telemetry", "POST", "/sdk/otel/{+signal}", self._telemetry),
        )

    def serves(self, host: str) -> bool:
        """W&B's API, its object store, and W&B over plain HTTP on loopback."""
        return host in API_HOSTS or host == HOST or _is_loopback(host)

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """Name a GraphQL operation as in its document: the SDK sends an empty `operationName`."""
        if operation.id != "GraphQL":
            return operation.id, operation.writes
        try:
            found = statement(call.read(GraphQLPost)["query"])
        except GraphQLSyntaxError:
            return operation.id, False
        return found.name, found.writes

    def authenticate(self, call: Call) -> Caller | None:
        """Accept an API key as basic authentication with any user name, or as bearer; signed URLs need none."""
        if call.path.startswith((f"/{BUCKET}/", "/sdk/otel/")):
            return None
        user = self.store.user_of(_key(call.headers.get("authorization", "")))
        if user is None:
            raise _service_error(not_logged_in())
        return Caller(object_id=user.username, tenant_id="", kind="User", name=user.email, app_id="")

    def unknown(self, call: Call) -> Reply:
        """Answer a path that is not modelled with 501, which the SDK does not retry."""
        why = f"the sandbox does not model {call.method} {call.host}{call.path}"
        self.unsupported.append(why)
        return Reply(501, {"errors": [{"message": why}]})

    def malformed(self, call: Call, why: str) -> Reply:
        """Answer a body that is not JSON."""
        return Reply(400, {"errors": [{"message": f"{call.path}: {why}"}]})

    def _graphql(self, call: Call) -> Reply:
        self._admit(call)
        post = call.read(GraphQLPost)
        answer = executor().execute(post["query"], post.get("variables") or {}, self._context(call))
        self.unsupported += answer.unsupported
        return Reply(answer.status, answer.body)

    def _file_stream(self, call: Call) -> Reply:
        """Take rows, summary, output and the end of a run. A deleted run answers 404 (wandb#2673).

        Posts to the path that a run was moved from are answered with 200 and dropped (wandb#6164).
        """
        self._admit(call)
        entity, project, run_id = call.params["entity"], call.params["project"], call.params["run"]
        found = self.store.project(entity, project)
        if found and run_id in found.moved_runs and run_id not in found.runs:
            return Reply(200, {"exitcode": None, "limits": {}, "stopped": False})
        try:
            run = self._context(call).writable_run(entity, project, run_id, "file_stream")
            run.receive(FileStreamPost.model_validate(call.json), self.store.clock.time())
        except RefusedError as refused:
            raise _service_error(refused) from refused
        except ValidationError as error:
            self.unsupported.append(f"file_stream: {error}")
            raise ServiceError(400, {"error": str(error)}) from error
        return Reply(200, {"exitcode": run.exit_code, "limits": {}, "stopped": run.stop_requested})

    def _admit(self, call: Call) -> None:
        """Refuse a request that is over the rate limit of its key."""
        limit, now = self.store.options.rate_limit, time.monotonic()
        if limit is None or call.caller is None:
            return
        began, count = self._windows.get(call.caller.name, (now, 0))
        if now >= began + limit.seconds:
            began, count = now, 0
        self._windows[call.caller.name] = began, count + 1
        if count >= limit.requests:
            wait = math.ceil(began + limit.seconds - now)
            body = {"errors": [{"message": "rate limit exceeded"}]}
            raise ServiceError(429, body, {"retry-after": str(wait), "ratelimit-reset": str(wait)})

    def _context(self, call: Call) -> Context:
        if call.caller is None:
            raise _service_error(not_logged_in())
        return Context(self.store, self.store.users[call.caller.object_id], _storage_url(call.host))

    def _upload(self, call: Call) -> Reply:
        self._check_signature(call)
        try:
            self.store.storage.put(call.params["object"], call.body)
        except BadDigestError as error:
            raise _storage_error(400, "BadDigest") from error
        return Reply(200, b"", {"content-type": "text/plain"})

    def _download(self, call: Call) -> Reply:
        self._check_signature(call)
        stored = self.store.storage.get(call.params["object"])
        if stored is None:
            raise _storage_error(404, "NoSuchKey")
        return Reply(200, stored.content, {"content-type": stored.mimetype, "etag": f'"{stored.md5}"'})

    def _artifact_file(self, call: Call) -> Reply:
        """Redirect to one file of an artifact, as `ArtifactManifestEntry.download` asks for it (wandb 0.31; the real answer is
        UNVERIFIED).
        """
        context, entity = self._context(call), call.params["entity"]
        project = self.store.project(entity, call.params["project"])
        md5 = call.params["md5"]
        if context.visible(entity) is None or project is None or not re.fullmatch("[0-9a-f]{32}", md5):
            raise _service_error(not_found("artifact file"))
        path = artifact_file_path(project.number, base64.b64encode(bytes.fromhex(md5)).decode())
        return Reply(302, b"", {"location": context.signed("GET", path)})

    def _check_signature(self, call: Call) -> None:
        """Require a valid signed URL and no key: a client that sends W&B's key to the object store leaks it to another
        company (what the real store answers is UNVERIFIED).
        """
        if "authorization" in call.headers:
            self.unsupported.append(f"{call.method} {call.host}: a key was sent to the object store")
            raise _storage_error(400, "InvalidAuthentication")
        expires, signature = call.query.get("expires", ""), call.query.get("signature", "")
        try:
            self.store.storage.check(call.method, call.params["object"], expires, signature)
        except BadUrlError as error:
            raise _storage_error(403, str(error)) from error

    def _telemetry(self, call: Call) -> Reply:
        """Answer like a server without telemetry: the SDK stops after a few posts."""
        return Reply(404, {"errors": [{"message": f"{call.path} not found"}]})


def _key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "basic":
            try:
                return base64.b64decode(value).decode().partition(":")[2]
            except ValueError:
                return ""
        case "bearer":
            return value.strip()
    return ""


def _is_loopback(host: str) -> bool:
    return host.partition(":")[0] in LOOPBACK


def _storage_url(host: str) -> str:
    """The address for uploads: loopback for a client that uses plain HTTP, else the production host."""
    return f"http://{host}" if _is_loopback(host) else f"https://{HOST}"


def _service_error(refused: RefusedError) -> ServiceError:
    error = {"message": refused.message, **({"extensions": refused.extensions} if refused.extensions else {})}
    return ServiceError(refused.status, {"errors": [error], "data": None})


def _storage_error(status: int, code: str) -> ServiceError:
    """An error of the object store; the real one answers in XML, of which the SDK shows only the status."""
    return ServiceError(status, {"error": {"code": code}})
