"""A job's training and validation files, and their description in its run and its outcome. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from function_app.data.egress import sends
from function_app.models import DatasetPolicy, Job


def files_of(job: Job) -> dict[str, str]:
    """Return the job's training and validation files, by role."""
    named = {"training": job.training_file, "validation": job.validation_file}
    return {role: file_id for role, file_id in named.items() if file_id}


def phrases_about_files(roles: Mapping[str, str], known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield phrases about a job's files: their number, malformed lines, and deleted files."""
    there = [file for file in known.values() if file and "missing" not in file]
    if there:
        malformed = sum(int(file.get("malformed_lines", 0)) for file in there)
        lines = f" ({malformed:,} malformed line{'s' * (malformed > 1)})" if malformed else ""
        yield f"{len(there)} dataset{'s' * (len(there) > 1)}{lines}"
    yield from (f"no {role} file: it was deleted" for role, file_id in roles.items() if "missing" in known[file_id])


def description_of_file(role: str, known: Mapping[str, Any], policy: DatasetPolicy) -> dict[str, Any]:
    """Return the part of a file's metadata for the run's config, so that runs can be compared by it."""
    names = ("examples", "format", "malformed_lines", "rows_in_table", "bytes", "missing")
    if not known:
        return {}
    named = {f"{role}_file_name": known["filename"]} if known.get("filename") and sends(policy, "file.name") else {}
    return {f"{role}_data": {name: known[name] for name in names if name in known}, **named}
