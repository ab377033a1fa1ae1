"""A job in W&B's terms: what its run is called, its config and summary, the family its model belongs to. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from function_app.models import Checkpoint, Job, MetricRow

_TAG_LENGTH = 64
_NAME_LENGTH = 128
_AUTO = (-1, "auto")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE]-?\d{1,2})?", re.ASCII)
_LIVE = frozenset(
    {
        "status",
        "finished_at",
        "fine_tuned_model",
        "trained_tokens",
        "duration_s",
        "error",
        "result_files",
        "curve",
    }
)
"""Config values that are the service's to change. The others are written once, and after that they are people's."""


def config_of(job: Job) -> dict[str, Any]:
    """The job, typed and nested, so that every value can be filtered and grouped by; nothing without a value is in it.

    Times are ISO 8601 in UTC, `duration_s` is seconds from the job's creation to its end. A hyperparameter that the service
    has not chosen yet is "auto".
    """
    config: dict[str, Any] = {
        "job_id": job.id,
        "account": job.account,
        "region": job.region,
        "status": job.status,
        "model": job.model,
        "base_model": base_model(job),
        "fine_tuned_model": job.fine_tuned_model,
        "method": job.method,
        "hyperparameters": {name: _typed(value) for name, value in job.hyperparameters.items()},
        "method_options": dict(job.method_options),
        "suffix": job.suffix,
        "seed": job.seed,
        "training_type": job.training_type,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "result_files": list(job.result_files),
        "created_at": iso(job.created_at),
        "finished_at": iso(job.finished_at) if job.finished_at else None,
        "duration_s": _duration(job),
        "trained_tokens": job.trained_tokens,
        "error": error_of(job),
        "metadata": dict(job.metadata),
    }
    return {name: value for name, value in config.items() if value not in (None, {}, [], "")}


def config_changes(have: Mapping[str, Any], want: Mapping[str, Any], *, adopted: bool = False) -> dict[str, Any]:
    """What of `want` has to be written over `have`: the missing, what the service changes, and "auto" once it is chosen.

    Whatever else differs was changed by people, and stays; in a run `adopted` from another tool it was that tool.
    """
    if adopted:
        return {name: value for name, value in want.items() if value != have.get(name)}
    changes = {}
    for name, value in want.items():
        before = have.get(name)
        if name == "hyperparameters" and isinstance(before, Mapping) and isinstance(value, Mapping):
            value = {**value, **{key: kept for key, kept in before.items() if kept not in _AUTO}}  # noqa: PLW2901
        elif before is not None and name not in _LIVE:
            continue
        if value != before:
            changes[name] = value
    return changes


def summary_of(job: Job) -> dict[str, Any]:
    """How the job ended, for the columns of the runs table."""
    summary: dict[str, Any] = {
        "status": job.status,
        "fine_tuned_model": job.fine_tuned_model,
        "trained_tokens": job.trained_tokens,
        "duration_s": _duration(job),
        "error": error_of(job),
    }
    return {name: value for name, value in summary.items() if value is not None}


def _typed(value: Any) -> Any:
    """A hyperparameter as a number, "auto" for one that is not chosen yet, anything else as it came."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if set(value) & set(".eE") else int(value)
    return "auto" if value in _AUTO else value


def _duration(job: Job) -> int | None:
    return job.finished_at - job.created_at if job.finished_at else None


def error_of(job: Job) -> dict[str, str] | None:
    """Why the job failed."""
    if job.error is None:
        return None
    error = {"code": job.error.code, "message": job.error.message, "param": job.error.param or ""}
    return {name: value for name, value in error.items() if value}


def best_of(rows: Iterable[MetricRow], best: dict[str, dict[str, float]] | None = None) -> dict[str, dict[str, float]]:
    """The best value of each loss (lowest), accuracy and reward (highest) and at which step; goes on from `best`."""
    best = {} if best is None else best
    for row in rows:
        for name, value in row.values.items():
            if not (name.endswith("loss") or "accuracy" in name or "reward" in name):
                continue
            known = best.get(name)
            if known is None or (value < known["value"] if name.endswith("loss") else value > known["value"]):
                best[name] = {"value": value, "step": row.step}
    return best


def name_of(job: Job) -> str:
    """What people call the run before they call it something else."""
    return f"{job.suffix or base_model(job)} {job.id.removeprefix('ftjob-')[:6]}"


def tags_of(job: Job, platform: str) -> tuple[str, ...]:
    """The tags that OpenAI's own W&B integration sets, and the account; at most 64 characters each, as W&B wants them."""
    tags = ["openai/finetune", f"openai/{base_model(job)}", f"openai/{job.id}"]
    if job.account != platform:
        tags.append(f"azure/{job.account}")
    return tuple(tag[:_TAG_LENGTH] for tag in tags)


def base_model(job: Job) -> str:
    """The model at the root, also of a job that goes on training a fine-tuned one.

    Azure names those `<base>.ft-<job>[-<suffix>]`, OpenAI `ft:<base>:<org>:<suffix>:<id>`.
    """
    if job.model.startswith("ft:"):
        return job.model.split(":")[1]
    return job.model.partition(".ft-")[0]


def family_of(job: Job) -> str:
    """The name of the artifact whose versions are this job's models and those of jobs with the same base and suffix."""
    return artifact_name(f"{base_model(job)}-{job.suffix}" if job.suffix else base_model(job))


def collection_of(job: Job, chosen: str | None = None) -> str:
    """Return the artifact whose versions the job's models are: its family's, or the one that people have chosen."""
    return artifact_name(chosen) if chosen else family_of(job)


def artifact_name(text: str) -> str:
    """A name as artifacts may have it (wandb 0.31: letters, digits, `_.-`, at most 128)."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:_NAME_LENGTH] or "unnamed"


def model_metadata(job: Job, model: str, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What `model_metadata.json` says of one model. The same model always gives the same text, so that W&B knows it again."""
    config = config_of(job)
    for name in ("status", "result_files"):
        config.pop(name, None)
    at = {"step": checkpoint.step, "metrics": dict(checkpoint.metrics)} if checkpoint else {}
    return {"fine_tuned_model": model, "final": model == job.fine_tuned_model, **at, "job": config}


def iso(seconds: float) -> str:
    """A time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
