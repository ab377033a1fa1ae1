"""The data policy: which parts of a job and its files may be sent to W&B. Pure.

Every job passes through `permitted` first, so that config, summary, names, tags, alerts and model metadata contain
only the fields of `JOB_FIELDS`. Other fields and credentials are never sent.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from function_app.data.credentials import REDACTED, without_credentials, without_credentials_in_text
from function_app.models import DatasetPolicy, Job, JobError
from function_app.text import lines, one_line

_OFF, _REFERENCE, _SAMPLE, _FULL = DatasetPolicy.OFF, DatasetPolicy.REFERENCE, DatasetPolicy.SAMPLE, DatasetPolicy.FULL
_STRENGTH = {policy: strength for strength, policy in enumerate((_OFF, _REFERENCE, _SAMPLE, _FULL))}

JOB_FIELDS: Mapping[str, DatasetPolicy] = {
    **dict.fromkeys(("id", "account", "region", "status", "model", "fine_tuned_model", "suffix", "seed"), _OFF),
    **dict.fromkeys(
        (
            "created_at",
            "finished_at",
            "estimated_finish",
            "trained_tokens",
            "training_type",
            "method",
            "hyperparameters",
        ),
        _OFF,
    ),
    **dict.fromkeys(("training_file", "validation_file", "result_files"), _OFF),  # ids, which reveal nothing
    "method_options": _OFF,  # only the `GRADER_FIELDS` of a grader; the rest from `sample` on
    "error": _OFF,  # only the code; message and parameter, which may quote a line, from `sample` on
    "metadata": _REFERENCE,
}
"""The fields of a job that may be sent, each with the strictest policy that allows it."""

GRADER_FIELDS = frozenset(
    {
        "type",
        "operation",
        "evaluation_metric",
        "pass_threshold",
        "range",
        "model",
        "sampling_params",
        "graders",
        "grader",
    }
    | {"temperature", "top_p", "seed", "max_completions_tokens", "reasoning_effort"}
)
"""The fields of graders that describe the method of grading and not its content."""

FROM_SAMPLE_ON = _SAMPLE
"""The strictest policy that allows free text: grader prompts and source, error messages, file names."""

TABLE: tuple[tuple[str, DatasetPolicy | None], ...] = (
    (
        "ids, status, models, suffix, region, times, seed, numbers of hyperparameters, trained and billed tokens, billed hours",
        _OFF,
    ),
    ("metrics, with the names of graders and tools in theirs, and the numbers of a results file", _OFF),
    ("type, operation, model and threshold of a grader; code of an error", _OFF),
    ("the job's metadata", _REFERENCE),
    ("size, digest and counts of a training or validation file", _REFERENCE),
    ("prompts, source and other text of graders, response formats and tools", _SAMPLE),
    ("message and parameter of an error", _SAMPLE),
    ("name of a training or validation file", _SAMPLE),
    ("a table of at most 100 examples", _SAMPLE),
    ("the file itself, and a table of its examples", _FULL),
    ("text columns of a results file, events, fields that are not listed here", None),
    ("credentials: headers, passwords, tokens, user information in addresses", None),
)
"""What is sent, and the strictest policy that allows it, for docs/data.md; None means never."""

_FILE_IDS = ("training_file", "validation_file")
_CODE = re.compile(r"[\w.-]{1,80}", re.ASCII)
_WORD = re.compile(r"[\w.-]{1,40}", re.ASCII)


def allows(policy: DatasetPolicy, strictest: DatasetPolicy | None) -> bool:
    """Return whether something is sent under a policy, given the strictest policy that allows it; None means never."""
    return strictest is not None and _STRENGTH[policy] >= _STRENGTH[strictest]


def permitted(job: Job, policy: DatasetPolicy) -> Job:
    """Return the job with only what the policy allows, without credentials and control characters."""
    kept = {name: getattr(job, name) for name, weakest in JOB_FIELDS.items() if allows(policy, weakest)}
    free_text = allows(policy, FROM_SAMPLE_ON)
    chosen = without_credentials(dict(job.hyperparameters))
    kept["hyperparameters"] = {
        name: value
        for name, value in chosen.items()
        if _WORD.fullmatch(name) and (_is_plain(value) or value == REDACTED)
    }
    options = without_credentials(dict(job.method_options))
    kept["method_options"] = options if free_text else _structure(options)
    kept["error"] = job.error and _error(job.error, policy, free_text=free_text)
    for name in ("suffix", "model", "fine_tuned_model", "status", "method", "training_type", "region", *_FILE_IDS):
        kept[name] = kept[name] and plain_text(str(kept[name]))
    kept["result_files"] = tuple(map(plain_text, job.result_files))
    kept["metadata"] = without_credentials(dict(kept.get("metadata", {})))
    blank = Job(job.id, job.account, job.status, job.model, job.created_at, job.training_file)
    return replace(blank, **kept)


def _error(error: JobError, policy: DatasetPolicy, *, free_text: bool) -> JobError:
    code = error.code if _CODE.fullmatch(error.code) else one_line(error.code)[:80] if free_text else "unknown"
    if not free_text:
        return JobError(code, f"(not sent under the data policy {policy})")
    message = lines(without_credentials_in_text(error.message))
    return JobError(code, message, error.param and plain_text(error.param))


def plain_text(text: str) -> str:
    """Return a text from outside as one line without credentials and control characters."""
    return one_line(without_credentials_in_text(text))


def _structure(value: Any) -> Any:
    """Return the listed fields of a method's options, limited to numbers and single words."""
    if isinstance(value, dict):
        inner = {name: _structure(each) for name, each in value.items() if name in GRADER_FIELDS}
        return {name: each for name, each in inner.items() if each not in (None, {}, [])}
    if isinstance(value, list):
        return [each for each in map(_structure, value) if each not in (None, {}, [])]
    return value if _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number or a single word, which reveals nothing about the data."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def table() -> list[str]:
    """Return `TABLE` as the lines of a Markdown table for docs/data.md."""
    policies = (_FULL, _SAMPLE, _REFERENCE, _OFF)
    head = ["| leaves for W&B | " + " | ".join(f"`{policy}`" for policy in policies) + " |", "|---|---|---|---|---|"]
    rows = [(what, ["yes" if allows(policy, weakest) else "no" for policy in policies]) for what, weakest in TABLE]
    return [*head, *(f"| {what} | {' | '.join(cells)} |" for what, cells in rows)]
