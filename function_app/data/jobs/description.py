"""A job in W&B's terms: the run's name, config and summary, and the family of its models. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from function_app.data.jobs.job_log import JobLog, summary_of_log
from function_app.data.jobs.prices import Price, cost_of
from function_app.models import OPENAI, Checkpoint, Job, MetricRow, ModelEnds
from function_app.text import without_mentions

_TAG_LENGTH = 64
_NAME_LENGTH = 128
_AUTO = (-1, "auto")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE]-?\d{1,2})?", re.ASCII)
_RATED = re.compile(r"^[^/]*(loss|accuracy|mean_reward|reward_mean)$")
"""Metrics that have a best value. Metrics of single graders do not."""

_LIVE = frozenset(
    {
        "status",
        "finished_at",
        "fine_tuned_model",
        "trained_tokens",
        "error",
        "result_files",
        "curve",
    }
)
"""Config values that the service may change. The others are written once, and people may change them afterwards."""


def config_of(job: Job) -> dict[str, Any]:
    """Return the job as a typed, nested config, so that runs can be filtered and grouped by every value. Omit empty values.

    Times are ISO 8601 in UTC. A hyperparameter that the service has not chosen yet is "auto".
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
        "trained_tokens": _trained_tokens(job),
        "error": error_of(job),
        "metadata": dict(job.metadata),
    }
    return {name: value for name, value in config.items() if value not in (None, {}, [], "")}


def config_changes(current: Mapping[str, Any], target: Mapping[str, Any], *, adopted: bool = False) -> dict[str, Any]:
    """Return the values of `target` to write over `current`: missing ones, those that the service changes, and chosen ones for
    "auto".

    Other differences were made by people, or in an `adopted` run by another tool. They are kept.
    """
    if adopted:
        return {name: value for name, value in target.items() if value != current.get(name)}
    changes = {}
    for name, value in target.items():
        before = current.get(name)
        if name == "hyperparameters" and isinstance(before, Mapping) and isinstance(value, Mapping):
            value = {**value, **{key: kept for key, kept in before.items() if kept not in _AUTO}}  # noqa: PLW2901
        elif before is not None and name not in _LIVE:
            continue
        if value != before:
            changes[name] = value
    return changes


def summary_of(job: Job, log: JobLog, now: float, prices: tuple[Price, ...] = ()) -> dict[str, Any]:
    """Return the progress and the result of the job, for the columns of the runs table (`job_log.summary_of_log`,
    `prices.cost_of`).

    Values that are unknown are absent, so what an earlier tick wrote stays. Only an estimate that no longer applies is
    None.
    """
    summary: dict[str, Any] = {
        "status": job.status,
        "fine_tuned_model": job.fine_tuned_model,
        "trained_tokens": _trained_tokens(job),
        "error": error_of(job),
        "error_code": job.error.code if job.error else None,
        **summary_of_log(job, log, now),
        **cost_of(job, base_model(job), log, prices),
    }
    if finish := summary["estimated_finish"]:
        summary["estimated_finish"] = iso(finish)
    if job.estimated_finish is None:
        del summary["estimated_finish"]
    return {name: value for name, value in summary.items() if value is not None or name.startswith("estimated_")}


def _trained_tokens(job: Job) -> int | None:
    """Return the trained tokens; None where the service multiplied them by an unresolved -1 epochs (recorded: -672)."""
    return job.trained_tokens if job.trained_tokens is not None and job.trained_tokens >= 0 else None


def _typed(value: Any) -> Any:
    """Return a hyperparameter as a number, "auto" if it is not chosen yet, or any other value unchanged."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if set(value) & set(".eE") else int(value)
    return "auto" if value in _AUTO else value


def error_of(job: Job) -> dict[str, str] | None:
    """Return the error of a failed job."""
    if job.error is None:
        return None
    error = {"code": job.error.code, "message": job.error.message, "param": job.error.param or ""}
    return {name: value for name, value in error.items() if value}


def best_of(rows: Iterable[MetricRow], best: dict[str, dict[str, float]] | None = None) -> dict[str, dict[str, float]]:
    """Return the best value and its step for each loss (lowest), accuracy and reward (highest). `best` has earlier values."""
    best = {} if best is None else best
    for row in rows:
        for name, value in row.values.items():
            if not _RATED.search(name):
                continue
            known = best.get(name)
            if known is None or (value < known["value"] if name.endswith("loss") else value > known["value"]):
                best[name] = {"value": value, "step": row.step}
    return best


def name_of(job: Job) -> str:
    """Return the run's first name, which people may change. W&B allows 128 characters, and sends it to chats."""
    end = f" {job.id.removeprefix('ftjob-')[:6]}"
    return without_mentions(job.suffix or base_model(job))[: _NAME_LENGTH - len(end)] + end


def notes_of(job: Job, page_of: Callable[[str], str] | None = None) -> str:
    """Return the run's first notes in Markdown: nothing in them changes later, and people may replace them.

    `page_of` returns the page of a file's dataset; None if the data policy allows no datasets.

    The address of a job's own page in Azure's portals is not documented, so the link is to the portal.
    """
    place = "[OpenAI's platform](https://platform.openai.com/)"
    if job.account != OPENAI:
        place = f"the account `{job.account}` in [Microsoft Foundry](https://ai.azure.com/)"
    files = {"Training": job.training_file, "Validation": job.validation_file}
    named = [
        f"{role} file [`{file_id}`]({page_of(file_id)})" if page_of else f"{role} file `{file_id}`"
        for role, file_id in files.items()
        if file_id
    ]
    return "\n".join([f"Fine-tuning job `{job.id}` of {place}", *(f"* {each}" for each in named)]) + "\n"


def tags_of(job: Job, platform: str) -> tuple[str, ...]:
    """Return the tags that OpenAI's W&B integration sets, and the account. W&B allows 64 characters for each."""
    tags = ["openai/finetune", f"openai/{base_model(job)}", f"openai/{job.id}"]
    if job.account != platform:
        tags.append(f"azure/{job.account}")
    return tuple(tag[:_TAG_LENGTH] for tag in tags)


def base_model(job: Job) -> str:
    """Return the base model, even if the job continues to train a fine-tuned model.

    Azure names fine-tuned models `<base>.ft-<job>[-<suffix>]`, OpenAI `ft:<base>:<org>:<suffix>:<id>`.
    """
    if job.model.startswith("ft:"):
        return job.model.split(":")[1]
    return job.model.partition(".ft-")[0]


def family_of(job: Job) -> str:
    """Return the name of the artifact for the models of this job and of all jobs with the same base model and suffix."""
    return artifact_name(f"{base_model(job)}-{job.suffix}" if job.suffix else base_model(job))


def collection_of(job: Job, chosen: str | None = None) -> str:
    """Return the artifact for the job's models: its family's, or one that people have chosen."""
    return artifact_name(chosen) if chosen else family_of(job)


def artifact_name(text: str) -> str:
    """Return a valid name for an artifact (wandb 0.31: letters, digits, `_.-`, at most 128)."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:_NAME_LENGTH] or "unnamed"


def model_metadata(job: Job, model: str, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """Return the content of `model_metadata.json`. It is the same for the same model, so that W&B recognizes the version."""
    config = config_of(job)
    for name in ("status", "result_files", "finished_at"):  # these fields change after the end
        config.pop(name, None)
    at: dict[str, Any] = {}
    if checkpoint:
        at = {"step": checkpoint.step, "checkpoint": checkpoint.id, "metrics": dict(checkpoint.metrics)}
    return {"fine_tuned_model": model, "final": model == job.fine_tuned_model, **at, "job": config}


def dates_of_ends(model: ModelEnds, base: ModelEnds) -> dict[str, str]:
    """Return the dates on which a fine-tuned model and its base model end, for config and metadata. They differ by months."""
    dates = {
        "model_retires_at": model.inference,
        "base_model_retires_at": base.inference,
        "base_model_training_ends_at": base.training,
    }
    return {name: iso(at) for name, at in dates.items() if at is not None}


def iso(seconds: float) -> str:
    """Format a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
