"""Finds an existing job that matches a request, so that a command that runs twice pays only once. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence

from function_app.authoring.job_creation import JobRequest
from function_app.models import Job

_ENDED_BADLY = frozenset({"failed", "cancelled"})  # such jobs are not reused for a new request
_DATED = re.compile(r"-\d[\d-]*")  # the service shows gpt-4o-mini as gpt-4o-mini-2024-07-18
_SHORTEST_CUT = 18  # characters: the least of the documented lengths of a suffix (Azure AI Foundry portal)
_OPEN = frozenset({"auto", "-1"})
"""Values of a hyperparameter that leave the choice to the service. Azure writes -1 for auto (recorded)."""


def matching_job(
    request: JobRequest, jobs: Sequence[Job], training: Collection[str] = (), validation: Collection[str] = ()
) -> Job | None:
    """Return the newest of `jobs` that matches `request` in everything that the service shows, except failed or cancelled jobs.

    A value that the request leaves open matches anything, because the service chose it. A value that the service does not show
    also matches: a wrong match only costs the user a look, but a duplicate job costs money.

    Args:
        request: the requested job.
        jobs: the account's jobs.
        training: ids of further training files with the same content.
        validation: ids of further validation files with the same content.
    """
    trained = {request.training_file, *training} - {""}
    validated = {request.validation_file, *validation} if request.validation_file or not validation else {*validation}
    alike = [
        job
        for job in jobs
        if job.status not in _ENDED_BADLY
        and job.training_file in trained
        and job.validation_file in validated
        and _is_like(job, request)
    ]
    return max(alike, key=lambda job: job.created_at, default=None)


def _is_like(job: Job, request: JobRequest) -> bool:
    return (
        _same_model(job.model.lower(), request.model.lower())
        and _same_suffix(job.suffix or "", request.suffix or "")
        and (request.seed is None or job.seed in (None, request.seed))
        and job.method in (None, request.method)
        and _same_training_type(job.training_type, request.training_type)
        and (request.grader is None or _shows(job.method_options.get("grader"), request.grader))
        and _same_hyperparameters(job.hyperparameters, request.hyperparameters)
    )


def _same_model(shown: str, requested: str) -> bool:
    short, long = sorted((shown, requested), key=len)
    return short == long or (long.startswith(short) and _DATED.fullmatch(long[len(short) :]) is not None)


def _same_suffix(shown: str, requested: str) -> bool:
    """Return whether the service derived the shown suffix from the requested one. Azure's documents disagree about the
    characters and the length of suffixes.
    """
    shown, requested = (re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") for text in (shown, requested))
    return shown == requested or (len(shown) >= _SHORTEST_CUT and requested.startswith(shown))


def _same_training_type(shown: str | None, requested: str | None) -> bool:
    if shown is None or requested is None:
        return True
    one, other = (text.lower().removesuffix("tier") for text in (shown, requested))
    return one == other


def _same_hyperparameters(shown: Mapping[str, object], requested: Mapping[str, object]) -> bool:
    return all(
        str(value).lower() in _OPEN or shown.get(name) is None or _same(shown[name], value)
        for name, value in requested.items()
    )


def _shows(shown: object, requested: object) -> bool:
    """Return whether a value has everything that was requested. The service may add fields with their defaults."""
    if shown is None:
        return True
    if isinstance(shown, Mapping) and isinstance(requested, Mapping):
        return all(
            name in shown and _shows(shown[name], value) for name, value in requested.items() if value is not None
        )
    if isinstance(shown, list) and isinstance(requested, list):
        return len(shown) == len(requested) and all(map(_shows, shown, requested))
    return _same(shown, requested)


def _same(one: object, other: object) -> bool:
    """Return whether two values are the same number, or the same text: the service may show "3" for 3, and 3.0."""
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return str(one) == str(other)
