"""Parse jobs, events and checkpoints from the service's answers, whose fields may have any value. Pure.

Optional fields with a wrong type or an excessive value count as absent; `Job.malformed` names them. Only an
item that cannot be identified (a job without a usable id) is refused.
"""

import re
from collections.abc import Mapping
from typing import Any

from function_app.data.fields import Fields, bounded, mapping, moment, text, texts, whole, whole_or_text
from function_app.data.jobs.metrics import STEP, flat, time_in, values_of
from function_app.models import Checkpoint, Event, Job, JobError, ModelEnds

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
"""A job id becomes a run id (at most 128 characters, none of / \\ # ? % :) and the name of a blob."""

_OPEN = ("auto", -1, None)
"""Values of hyperparameters that the service has not chosen yet."""

_NEVER = 3_786_912_000
"""2090: dates after it are placeholders (recorded in ARM's list of models)."""

KNOWN = frozenset(
    {"id", "object", "created_at", "status", "model", "fine_tuned_model", "training_file", "validation_file"}
    | {"result_files", "finished_at", "trained_tokens", "error", "hyperparameters", "suffix", "user_provided_suffix"}
    | {"seed", "integrations", "method", "metadata", "trainingType", "training_type", "estimated_finish"}
)


def job_from(account: str, source: object, region: str | None = None) -> Job:
    """Return a job as the service shows it; `region` is the account's.

    Raises:
        ValueError: the job has no usable id.
    """
    job = Fields(source)
    job_id = job.read("id", text)
    if job_id is None or not _JOB_ID.fullmatch(job_id):
        raise ValueError("the job has no usable id")
    kind, hyperparameters, options = _method(job)
    integrations = job.read("integrations", lambda value: bounded(value) if isinstance(value, list) else None) or []
    if not all(isinstance(each, Mapping) for each in integrations):
        job.malformed.append("integrations")
    return Job(
        id=job_id,
        account=account,
        status=_status(job.read("status", text) or "unknown"),
        model=job.read("model", text) or "",
        created_at=job.read("created_at", _time) or 0,
        training_file=job.read("training_file", text) or "",
        finished_at=job.read("finished_at", _time),
        estimated_finish=job.read("estimated_finish", _time),
        fine_tuned_model=job.read("fine_tuned_model", text),
        method=kind,
        hyperparameters={name: value for name, value in hyperparameters.items() if value is not None},
        method_options=options,
        suffix=job.read("suffix", text) or job.read("user_provided_suffix", text),
        seed=job.read("seed", whole_or_text),
        validation_file=job.read("validation_file", text),
        result_files=job.read("result_files", _file_ids) or (),
        trained_tokens=job.read("trained_tokens", whole_or_text),
        error=_error(job),
        integrations=tuple(each for each in integrations if isinstance(each, Mapping)),
        training_type=job.read("trainingType", text) or job.read("training_type", text),
        region=region,
        metadata={name: str(value) for name, value in (job.read("metadata", mapping) or {}).items()},
        extras=job.others(KNOWN),
        malformed=tuple(dict.fromkeys(job.malformed)),
    )


def event_from(source: object) -> Event:
    """Return one line of a job's log."""
    event = Fields(source)
    return Event(
        id=event.read("id", text) or "",
        created_at=event.read("created_at", _time) or 0,
        message=event.read("message", text) or "",
        level=event.read("level", text) or "info",
        type=event.read("type", text) or "message",
        data=event.read("data", mapping) or {},
    )


def checkpoint_from(source: object) -> Checkpoint | None:
    """Return one checkpoint without empty metrics, or None if its model is unknown."""
    checkpoint = Fields(source)
    metrics = checkpoint.read("metrics", mapping) or {}
    model = checkpoint.read("fine_tuned_model_checkpoint", text)
    if model is None:
        return None
    return Checkpoint(
        id=checkpoint.read("id", text) or "",
        created_at=checkpoint.read("created_at", _time) or 0,
        step=checkpoint.read("step_number", whole_or_text) or whole_or_text(metrics.pop(STEP, None)) or 0,
        model=model,
        metrics=values_of((name, value) for name, value in flat(metrics).items() if name != STEP),
    )


def ends_in(model: Fields) -> ModelEnds:
    """Return when a model ends. A date that stands for none (2099) counts as absent."""
    dates = model.fields("deprecation")
    inference = dates.read("inference", moment) or model.read("shutdown_date", time_in)
    return ModelEnds(_date(inference), _date(dates.read("fine_tune", moment)))


def _date(seconds: float | None) -> float | None:
    return float(seconds) if seconds and seconds < _NEVER else None


def _method(job: Fields) -> tuple[str | None, Mapping[str, Any], Mapping[str, Any]]:
    """Return a job's method, hyperparameters and other options.

    The method has the hyperparameters. If it leaves one open and the job's older field has a value, that value counts.
    """
    shown = job.read("method", lambda value: value if isinstance(value, str | Mapping) else None)
    method = Fields({"type": shown} if isinstance(shown, str) else shown, "method.", job.malformed)
    stated = method.read("type", text)
    options = (method.read(stated.lower(), mapping) if stated else None) or {}
    older = job.read("hyperparameters", mapping) or {}
    own = options.pop("hyperparameters", None)
    if not isinstance(own, Mapping) or not own:
        return stated and stated.lower(), older, options
    chosen = {name: older[name] if value in _OPEN and name in older else value for name, value in own.items()}
    return stated and stated.lower(), chosen, options


def _status(stated: str) -> str:
    status = stated.strip().lower()
    return "cancelled" if status == "canceled" else status


def _time(value: Any) -> int | None:
    """Return seconds since the epoch, of a number or a text."""
    seconds = time_in(value) if isinstance(value, str) else moment(value)
    return None if seconds is None else int(seconds)


def _file_ids(value: Any) -> tuple[str, ...] | None:
    """Return the ids of files, of one or of a list, as text or as the files themselves."""
    shown = value if isinstance(value, list | tuple) else [value]
    return texts([each.get("id") if isinstance(each, Mapping) else each for each in shown])


def _error(job: Fields) -> JobError | None:
    """Return the error of a job, which may be missing on a failed one (recorded). A text counts as its message."""
    error = job.read("error", bounded)
    if isinstance(error, str):
        return JobError("", error)
    if isinstance(error, Mapping) and isinstance(inner := error.get("error"), Mapping | str):
        error = inner if isinstance(inner, Mapping) else {**error, "message": error.get("message") or inner}
    fields = Fields(error, "error.", job.malformed)
    code, message = fields.read("code", _code), fields.read("message", text)
    return JobError(code or "", message or "", fields.read("param", text)) if code or message else None


def _code(value: Any) -> str | None:
    """Return an error's code. Azure writes HTTP statuses as text (recorded)."""
    number = whole(value)
    return text(value) if number is None else str(number)
