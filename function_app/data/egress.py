"""The data policy: which parts of a job and its files may be sent to W&B. Pure.

`TABLE` lists every field of the service's objects, by the names in `models`. Every job passes through `permitted` first, so
that config, summary, names, tags, alerts and model metadata contain only fields that it allows. Other fields and credentials
are never sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from function_app.data.credentials import REDACTED, without_credentials, without_credentials_in_text
from function_app.models import Checkpoint, DatasetPolicy, Job, JobError
from function_app.text import lines, one_line

_OFF, _REFERENCE, _SAMPLE, _FULL = DatasetPolicy.OFF, DatasetPolicy.REFERENCE, DatasetPolicy.SAMPLE, DatasetPolicy.FULL
_STRENGTH = {policy: strength for strength, policy in enumerate((_OFF, _REFERENCE, _SAMPLE, _FULL))}


@dataclass(frozen=True)
class Row:
    """A row of the table in docs/data.md.

    Attributes:
        what: what is sent, for people.
        strictest: the strictest policy that allows it; None means never.
        fields: object → its fields.
    """

    what: str
    strictest: DatasetPolicy | None
    fields: Mapping[str, tuple[str, ...]]


GRADER_FIELDS = (
    *("type", "operation", "evaluation_metric", "model", "pass_threshold", "range", "sampling_params", "seed"),
    *("temperature", "top_p", "max_completions_tokens", "reasoning_effort", "graders", "grader"),
)
"""The fields of graders that describe the method of grading and not its content. Only numbers and single words are sent."""

TABLE: tuple[Row, ...] = (
    Row(
        "ids, account, region, status, model, suffix, seed, method, training type and times of a job; ids, names and dates of"
        " its models; trained and billed tokens, billed hours",
        _OFF,
        {
            "job": (
                *("id", "account", "region", "status", "model", "suffix", "seed", "method", "training_type"),
                *("created_at", "finished_at", "estimated_finish", "fine_tuned_model", "trained_tokens"),
                *("training_file", "validation_file", "result_files"),
            ),
            "checkpoint": ("id", "created_at", "step", "model"),
            "file": ("id",),
            "event": ("created_at",),
            "model": ("inference", "training"),
        },
    ),
    Row(
        "hyperparameters: names, numbers and the service's choices, such as `auto`", _OFF, {"job": ("hyperparameters",)}
    ),
    Row(
        "metrics of results files, events and checkpoints: names, which may contain names of graders and tools, and numbers",
        _OFF,
        {"row": ("step", "values", "at"), "event": ("data",), "checkpoint": ("metrics",)},
    ),
    Row(
        "type, operation, metric, model, threshold, range and sampling parameters of a grader; code of an error",
        _OFF,
        {"grader": GRADER_FIELDS, "error": ("code",)},
    ),
    Row("the job's metadata", _REFERENCE, {"job": ("metadata",)}),
    Row("size, digest and counts of a training or validation file", _REFERENCE, {"file": ("size",)}),
    Row(
        "prompts, source and other text of graders, response formats and tools; words in hyperparameters",
        _SAMPLE,
        {"job": ("method_options",)},
    ),
    Row("message and parameter of an error", _SAMPLE, {"error": ("message", "param")}),
    Row("name of a training or validation file", _SAMPLE, {"file": ("name",)}),
    Row("a table of at most 100 examples", _SAMPLE, {"content": ("sample",)}),
    Row("the file itself, and a table of its examples", _FULL, {"content": ("all",)}),
    Row(
        "text columns of a results file, messages of events, the job's integrations, fields that are not listed here",
        None,
        {"event": ("id", "message", "level", "type"), "job": ("integrations", "extras", "malformed")},
    ),
    Row("credentials: headers, passwords, tokens, user information in addresses", None, {}),
)
"""The parts that are sent, each with the strictest policy that allows it."""

FIELDS: Mapping[str, DatasetPolicy | None] = {
    f"{thing}.{name}": row.strictest for row in TABLE for thing, names in row.fields.items() for name in names
}
"""The strictest policy that allows a field, by `object.field`."""

_ALWAYS = tuple(
    name.removeprefix("job.") for name, strictest in FIELDS.items() if strictest is _OFF and name[:4] == "job."
)
_FILE_IDS = ("training_file", "validation_file")
_CODE = re.compile(r"[\w.-]{1,80}", re.ASCII)
_WORD = re.compile(r"[\w.-]{1,40}", re.ASCII)
_CHOICES = frozenset({"auto", "default", "none", "minimal", "low", "medium", "high", "xhigh"})
"""The words that the service knows as values of hyperparameters."""

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?", re.ASCII)


def allows(policy: DatasetPolicy, strictest: DatasetPolicy | None) -> bool:
    """Return whether something is sent under a policy, given the strictest policy that allows it; None means never."""
    return strictest is not None and _STRENGTH[policy] >= _STRENGTH[strictest]


def sends(policy: DatasetPolicy, field: str) -> bool:
    """Return whether a field, as `object.field`, is sent under a policy."""
    return allows(policy, FIELDS[field])


def permitted(job: Job, policy: DatasetPolicy) -> Job:
    """Return the job with only what the policy allows, without credentials and control characters."""
    kept = {name: getattr(job, name) for name in _ALWAYS}
    free_text = sends(policy, "job.method_options")
    chosen = without_credentials(dict(job.hyperparameters))
    kept["hyperparameters"] = {
        name: value
        for name, value in chosen.items()
        if _WORD.fullmatch(name) and (_is_choice(value) or (free_text and _is_plain(value)))
    }
    options = without_credentials(dict(job.method_options))
    kept["method_options"] = options if free_text else _structure(options)
    kept["error"] = job.error and _error(job.error, policy)
    for name in ("suffix", "model", "fine_tuned_model", "status", "method", "training_type", "region", *_FILE_IDS):
        kept[name] = kept[name] and plain_text(str(kept[name]))
    kept["result_files"] = tuple(map(plain_text, job.result_files))
    kept["metadata"] = without_credentials(dict(job.metadata)) if sends(policy, "job.metadata") else {}
    blank = Job(job.id, job.account, job.status, job.model, job.created_at, job.training_file)
    return replace(blank, **kept)


def permitted_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint whose id and name are one line each, without credentials. The names of its metrics already are."""
    return replace(checkpoint, id=plain_text(checkpoint.id), model=plain_text(checkpoint.model))


def _error(error: JobError, policy: DatasetPolicy) -> JobError:
    free_text = sends(policy, "error.message")
    code = error.code if _CODE.fullmatch(error.code) else plain_text(error.code)[:80] if free_text else "unknown"
    if not free_text:
        return JobError(code, f"(not sent under the data policy {policy})")
    message = without_credentials_in_text(lines(error.message))
    return JobError(code, message, error.param and plain_text(error.param))


def plain_text(text: str) -> str:
    """Return a text from outside as one line without credentials and control characters."""
    return without_credentials_in_text(one_line(text))


def _structure(value: Any) -> Any:
    """Return the listed fields of a method's options, limited to numbers and single words."""
    if isinstance(value, dict):
        inner = {name: _structure(each) for name, each in value.items() if name in GRADER_FIELDS}
        return {name: each for name, each in inner.items() if each not in (None, {}, [])}
    if isinstance(value, list):
        return [each for each in map(_structure, value) if each not in (None, {}, [])]
    return value if _is_plain(value) else None


def _is_choice(value: Any) -> bool:
    """Return whether a hyperparameter's value is a number or a choice that the service knows."""
    known = isinstance(value, str) and (_NUMBER.fullmatch(value) or value in _CHOICES or value == REDACTED)
    return bool(known) or isinstance(value, bool | int | float)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number or a single word, which reveals nothing about the data."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def table() -> list[str]:
    """Return `TABLE` as the lines of a Markdown table for docs/data.md."""
    policies = (_FULL, _SAMPLE, _REFERENCE, _OFF)
    head = ["| leaves for W&B | " + " | ".join(f"`{policy}`" for policy in policies) + " |", "|---|---|---|---|---|"]
    rows = [(row.what, ["yes" if allows(policy, row.strictest) else "no" for policy in policies]) for row in TABLE]
    return [*head, *(f"| {what} | {' | '.join(cells)} |" for what, cells in rows)]
