"""The answers of the fine-tuning API's operations, after the access check."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.azure.openai.course import TERMINAL
from sandbox.azure.openai.errors import invalid, no_route, not_found, wrong_state
from sandbox.azure.openai.jobs import Job
from sandbox.azure.openai.script import epoch
from sandbox.azure.openai.store import File, Store, multipart
from sandbox.runtime.http import Call, Reply

# Fields of a job that only some versions of the API have: none of them is in a stable classic version.
PREVIEW_FIELDS = {"method", "integrations"}
V1_FIELDS = {"trainingType", "metadata"}

Surface = Literal["classic", "v1", "project", "platform"]


@dataclass(frozen=True)
class Request:
    """An authorized call: its account, surface, version and virtual time."""

    call: Call
    store: Store
    surface: Surface
    version: str
    now: float

    @property
    def preview(self) -> bool:
        """Whether preview features exist: on all surfaces but the classic one, and there in the preview version whose
        description has them and in newer ones. What older previews show is UNVERIFIED; here they show nothing.
        """
        newer = self.version.endswith("-preview") and self.version >= "2025-04-01-preview"
        return self.surface != "classic" or newer

    @property
    def project(self) -> str | None:
        """The Foundry project that the path names."""
        return self.call.params.get("project")

    def job(self) -> Job:
        """The job that the path names.

        Raises:
            ServiceError: 404, it does not exist.
        """
        if job := self.store.job(self.call.params["job"], self.now, self.project):
            return job
        raise not_found()

    def file(self) -> File:
        """The file that the path names.

        Raises:
            ServiceError: 404, it does not exist.
        """
        if file := self.store.file(self.call.params["file"], self.now):
            return file
        raise not_found()

    def limit(self, default: int) -> int:
        """The requested page size.

        Raises:
            ServiceError: 400, it is not a positive number.
        """
        text = self.call.query.get("limit", str(default))
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise invalid(f"limit must be a positive integer, not {text!r}.")
        return int(text)

    def written(self, job: Job) -> dict[str, Any]:
        """The job's body with the fields that this surface and version have."""
        body = job.body(self.now)
        if job.script.style == "openai":
            return body
        hidden = (set() if self.preview else PREVIEW_FIELDS) | (V1_FIELDS if self.surface == "classic" else set())
        return {key: value for key, value in body.items() if key not in hidden or key in job.script.extra}


def _page(data: list[Any], *, more: bool) -> Reply:
    return Reply(body={"has_more": more, "data": data, "object": "list"})


def _after(request: Request, ids: Sequence[str]) -> int:
    """Return the start of the page: behind the item that `after` names."""
    after = request.call.query.get("after")
    if after is None:
        return 0
    if after not in ids:
        raise not_found()  # UNVERIFIED: the answer to a cursor that is gone
    return ids.index(after) + 1


# -- jobs


def list_jobs(request: Request) -> Reply:
    """List the jobs, newest first, 20 per page."""
    jobs = request.store.jobs(request.now, request.project)
    start, limit = _after(request, [job.id for job in jobs]), request.limit(20)
    return _page([request.written(job) for job in jobs[start : start + limit]], more=start + limit < len(jobs))


def get_job(request: Request) -> Reply:
    """Return one job."""
    return Reply(body=request.written(request.job()))


class _Parameters(BaseModel):
    model_config = ConfigDict(strict=True)
    hyperparameters: dict[str, float | int | Literal["auto"]] | None = None


class _Reinforcement(BaseModel):
    model_config = ConfigDict(strict=True)
    grader: dict[str, Any]
    hyperparameters: dict[str, float | int | Literal["auto", "default", "low", "medium", "high"]] | None = None


class _Method(BaseModel):
    model_config = ConfigDict(strict=True)
    type: Literal["supervised", "dpo", "reinforcement"] = "supervised"
    supervised: _Parameters | None = None
    dpo: _Parameters | None = None
    reinforcement: _Reinforcement | None = None


class _Creation(_Parameters):
    """The body of a job's creation, as far as the stand-in understands it."""

    model: str = Field(min_length=1)
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    method: _Method | None = None
    training_type: str | None = Field(default=None, alias="trainingType")
    integrations: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None


def create_job(request: Request) -> Reply:
    """Create a job: 201 on the classic surface, 200 elsewhere."""
    asked = _Creation.model_validate(request.call.read(_Creation))
    for file_id in filter(None, (asked.training_file, asked.validation_file)):
        file = request.store.file(file_id, request.now)
        if not file:
            raise invalid(f"The file {file_id!r} does not exist.")
        if file.status != "processed":  # OpenAI's message; Azure's wording is UNVERIFIED
            raise invalid(f"File {file_id!r} is {file.status} and is not ready to be used for fine-tuning.")
    if (
        asked.method
        and asked.method.type == "reinforcement"
        and not (asked.method.reinforcement and asked.validation_file)
    ):
        # (Microsoft, Reinforcement fine-tuning: both a grader and a validation dataset must be provided)
        raise invalid("method.reinforcement: a grader and a validation_file are required.")
    job = request.store.create(_job_fields(asked), request.now, request.project)
    if request.surface != "classic":
        return Reply(200, request.written(job))
    # Recorded: the path in Location lacks "jobs/".
    location = f"https://{request.call.host}/openai/fine_tuning/{job.id}?api-version={request.version}"
    return Reply(201, request.written(job), {"location": location})


def _job_fields(asked: _Creation) -> dict[str, Any]:
    """Return the fields of a JobScript. Hyperparameters that the service chooses are -1 until training starts (recorded)."""
    method = asked.method or _Method()
    parameters: _Parameters | _Reinforcement | None = getattr(method, method.type)
    given = (parameters and parameters.hyperparameters) or asked.hyperparameters or {}
    numbers = {name: value for name, value in given.items() if value != -1 and not isinstance(value, str)}
    fields = asked.model_dump(include={"model", "training_file", "validation_file", "suffix", "seed", "training_type"})
    return fields | {
        "method": {
            "type": method.type,
            "shown": asked.method is not None,
            "parameters": parameters.model_dump(exclude={"hyperparameters"}) if parameters else {},
        },
        "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1, **numbers},
        "auto": [name for name in ("n_epochs", "batch_size") if name not in numbers],
        "integrations": asked.integrations,
        "metadata": asked.metadata,
    }


def delete_job(request: Request) -> Reply:
    """Delete a job: 204, even for a job that never existed (recorded)."""
    job = request.store.job(request.call.params["job"], request.now, request.project)
    if job and job.course.status(request.now) not in TERMINAL:
        raise wrong_state("delete", job.status(request.now))
    request.store.delete_job(request.call.params["job"])
    return Reply(204)


def cancel_job(request: Request) -> Reply:
    """Cancel a job. The reply already has the status cancelled and finished_at (recorded)."""
    job = request.job()
    if job.course.status(request.now) in TERMINAL:
        raise wrong_state("cancel", job.status(request.now))
    return Reply(body=request.written(request.store.act(job, "cancel", request.now)))


def pause_or_resume(verb: Literal["pause", "resume"], needed: str, request: Request) -> Reply:
    """Pause a job, which must be running, or resume a paused one."""
    if not request.preview:
        raise no_route(request.call)
    job = request.job()
    trains = job.course.training <= request.now and job.course.steps(request.now) < job.script.timeline.steps
    if job.course.status(request.now) != needed or not trains:
        raise wrong_state(verb, job.status(request.now))
    return Reply(body=request.written(request.store.act(job, verb, request.now)))


def list_events(request: Request) -> Reply:
    """List the events, newest first, 20 per page. Only the events of the page are created."""
    job, limit = request.job(), request.limit(20)
    newest = job.event_count(request.now) - 1
    if after := request.call.query.get("after"):
        index = job.event_index(after)
        if index is None or index > newest:
            raise not_found()  # UNVERIFIED: the answer to a cursor that is gone
        newest = index - 1
    oldest = max(newest - limit + 1, 0)
    return _page([job.event(i) for i in range(newest, oldest - 1, -1)], more=oldest > 0 and newest >= 0)


def list_checkpoints(request: Request) -> Reply:
    """List the checkpoints, newest first, 10 per page."""
    checkpoints = request.job().checkpoints(request.now)
    start, limit = _after(request, [c["id"] for c in checkpoints]), request.limit(10)
    return _page(checkpoints[start : start + limit], more=start + limit < len(checkpoints))


def get_model(request: Request) -> Reply:
    """One model, see `_models`."""
    found = next((each for each in _models(request) if each["id"] == request.call.params["model"]), None)
    if found is None:
        raise not_found()
    return Reply(body=found)


def list_models(request: Request) -> Reply:
    """List the models in one page."""
    return Reply(body={"object": "list", "data": [*_models(request)]})


def _models(request: Request) -> Iterator[dict[str, Any]]:
    """The base models and the jobs' models whose end dates the scenario gives, on the classic surface and on the platform.
    What v1 answers is UNVERIFIED: it knows none of them here.
    """
    if request.surface == "classic":
        for name, ends in request.store.training_ends():
            yield _model(name, 1_720_000_000, {"fine_tune": int(ends), "inference": int(ends)}, trains=True)
    for job in request.store.jobs(request.now):
        made = job.body(request.now).get("fine_tuned_model")
        if not made or job.script.retires is None:
            continue
        retires, created = epoch(job.script.retires, job.created), int(job.created)
        if request.surface == "classic":
            yield _model(made, created, {"inference": int(retires)}) | {"model": job.script.model, "fine_tune": job.id}
            continue
        if request.surface == "platform":
            shutdown = datetime.fromtimestamp(retires, UTC).date().isoformat()
            known = {"id": made, "object": "model", "created": created, "owned_by": "organization"}
            yield known | {"shutdown_date": shutdown}


def _model(name: str, created: int, ends: dict[str, int], *, trains: bool = False) -> dict[str, Any]:
    capabilities = {
        "fine_tune": trains,
        "inference": True,
        "completion": False,
        "chat_completion": True,
        "embeddings": False,
    }
    return {
        "capabilities": capabilities,
        "lifecycle_status": "generally-available",
        "deprecation": ends,
        "id": name,
        "status": "succeeded",
        "created_at": created,
        "object": "model",
    }


# -- files


def list_files(request: Request) -> Reply:
    """List all files: the classic surface has no pages here and ignores `after`.

    The openai SDK continues after a list without has_more, so iterating over it never ends; clients must use `.data`.
    """
    purpose = request.call.query.get("purpose")
    files = [f.body() for f in request.store.files(request.now) if purpose in (None, f.purpose)]
    # OpenAI's client pages by has_more; Azure's classic list has no such field.
    more = {} if request.surface == "classic" else {"has_more": False}
    return Reply(body=more | {"data": files, "object": "list"})


def get_file(request: Request) -> Reply:
    """Return one file's description."""
    return Reply(body=request.file().body())


def file_content(request: Request) -> Reply:
    """Return the content of a file, streamed if it is generated."""
    return Reply(body=request.file().content(), headers={"content-type": "application/octet-stream"})


def upload_file(request: Request) -> Reply:
    """Upload a file, which is pending at first; 201 on the classic surface."""
    try:
        parts = multipart(request.call.headers.get("content-type", ""), request.call.body)
    except ValueError as error:
        raise invalid(str(error)) from error
    if "file" not in parts or "purpose" not in parts:
        raise invalid("file and purpose are required.")
    name, data = parts["file"]
    purpose = parts["purpose"][1].decode(errors="replace")
    file = request.store.upload(name or "file.jsonl", purpose, data, request.now)
    if request.surface != "classic":
        return Reply(200, file.body())
    location = f"https://{request.call.host}/openai/files/{file.id}?api-version={request.version}"
    return Reply(201, file.body(), {"location": location})


def delete_file(request: Request) -> Reply:
    """Delete a file: 200 with `deleted` since 2024-10-21 (false for a missing file, recorded), 204 before."""
    there = request.store.delete_file(request.call.params["file"], request.now)
    if request.surface == "classic" and request.version < "2024-10":
        return Reply(204)
    return Reply(body={"object": "file", "deleted": there, "id": request.call.params["file"]})


PAUSE, RESUME = partial(pause_or_resume, "pause", "running"), partial(pause_or_resume, "resume", "paused")
Handler = Callable[[Request], Reply]
# (operationId, method, path below the surface's prefix, handler, data action)
OPERATIONS: Sequence[tuple[str, str, str, Handler, str]] = (
    ("FineTuning_List", "GET", "/fine_tuning/jobs", list_jobs, "fine-tunes/read"),
    ("FineTuning_Create", "POST", "/fine_tuning/jobs", create_job, "fine-tunes/write"),
    ("FineTuning_Get", "GET", "/fine_tuning/jobs/{job}", get_job, "fine-tunes/read"),
    ("FineTuning_Delete", "DELETE", "/fine_tuning/jobs/{job}", delete_job, "fine-tunes/delete"),
    ("FineTuning_GetEvents", "GET", "/fine_tuning/jobs/{job}/events", list_events, "fine-tunes/read"),
    ("FineTuning_GetCheckpoints", "GET", "/fine_tuning/jobs/{job}/checkpoints", list_checkpoints, "fine-tunes/read"),
    ("FineTuning_Cancel", "POST", "/fine_tuning/jobs/{job}/cancel", cancel_job, "fine-tunes/write"),
    ("FineTuning_Pause", "POST", "/fine_tuning/jobs/{job}/pause", PAUSE, "fine-tunes/write"),
    ("FineTuning_Resume", "POST", "/fine_tuning/jobs/{job}/resume", RESUME, "fine-tunes/write"),
    ("Models_List", "GET", "/models", list_models, "models/read"),
    ("Models_Get", "GET", "/models/{model}", get_model, "models/read"),
    ("Files_List", "GET", "/files", list_files, "files/read"),
    ("Files_Upload", "POST", "/files", upload_file, "files/write"),
    ("Files_Get", "GET", "/files/{file}", get_file, "files/read"),
    ("Files_Delete", "DELETE", "/files/{file}", delete_file, "files/delete"),
    ("Files_GetContent", "GET", "/files/{file}/content", file_content, "files/read"),
)
