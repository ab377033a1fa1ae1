"""What W&B refuses, and how: errors with the real service's status and message, and the rules for names and sizes.

The statuses are those of real responses: "permission denied" 403 and "user is not logged in" 401 (wandb#8800,
wandb#9620), "entity … not found" 404 (wandb#2484), a deleted run 409 (wandb#4948; it was 400 before 2021, wandb#1192).
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

RUN_ID_FORBIDDEN = frozenset("/\\#?%:")  # (W&B, wandb.init reference, `id`)
PROJECT_FORBIDDEN = frozenset("/\\#?%:")  # (wandb 0.31, wandb_settings.py)
ARTIFACT_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # (wandb 0.31, artifacts/_validators.py)
TAG = re.compile(r"[-\w]+( +[-\w]+)*")  # of artifacts (wandb 0.31, the pattern of TagInput.tagName)
NAME_LENGTH = 128
RUN_TAG_LENGTH = 64
METADATA_KEYS = 100


class RefusedError(Exception):
    """W&B says no. Becomes a GraphQL error and the reply's status."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.extensions: dict[str, Any] = {"code": code} if code else {}


def permission_denied() -> RefusedError:
    """The caller may not do this; W&B does not say why."""
    return RefusedError(403, "permission denied", "PERMISSION_ERROR")


def not_logged_in() -> RefusedError:
    """The key is missing, unknown or revoked."""
    return RefusedError(401, "user is not logged in", "PERMISSION_ERROR")


def not_found(what: str) -> RefusedError:
    """Something named does not exist, or the caller may not know that it does."""
    return RefusedError(404, f"{what} not found")


def invalid(message: str) -> RefusedError:
    """An argument breaks a rule. The wording of these messages is ours: UNVERIFIED."""
    return RefusedError(400, message)


def check_run_id(run_id: str) -> None:
    """A run id is 1 to 128 characters without path separators; the server's maximum is UNVERIFIED."""
    if not 0 < len(run_id) <= NAME_LENGTH or run_id != run_id.strip() or RUN_ID_FORBIDDEN & set(run_id):
        raise invalid(f"invalid run name {run_id!r}")


def check_project_name(name: str) -> None:
    """A project name is 1 to 128 characters without path separators."""
    if not 0 < len(name) <= NAME_LENGTH or PROJECT_FORBIDDEN & set(name):
        raise invalid(f"invalid project name {name!r}")


def check_run_tags(tags: Iterable[str]) -> None:
    """A run's tag is 1 to 64 characters."""
    for tag in tags:
        if not 0 < len(tag) <= RUN_TAG_LENGTH:
            raise invalid(f"invalid tag {tag!r}: must be between 1 and {RUN_TAG_LENGTH} characters")


def check_collection_name(name: str) -> None:
    """A collection's name is 1 to 128 of letters, digits, '_', '-' and '.'."""
    if len(name) > NAME_LENGTH or not ARTIFACT_NAME.fullmatch(name):
        raise invalid(f"invalid artifact name {name!r}")


def check_type_name(name: str) -> None:
    """An artifact type's name is 1 to 128 characters without '/' and ':'."""
    if not 0 < len(name) <= NAME_LENGTH or {"/", ":"} & set(name):
        raise invalid(f"invalid artifact type {name!r}")


def check_alias(alias: str) -> None:
    """An alias is 1 to 128 characters without '/' and ':'."""
    if not 0 < len(alias) <= NAME_LENGTH or {"/", ":"} & set(alias):
        raise invalid(f"invalid alias {alias!r}")


def check_artifact_tags(tags: Iterable[str]) -> None:
    """An artifact's tag is words of letters, digits, '_' and '-' with single spaces, at most 128 characters."""
    for tag in tags:
        if len(tag) > NAME_LENGTH or not TAG.fullmatch(tag):
            raise invalid(f"invalid tag {tag!r}")


def parsed_metadata(text: str | None) -> dict[str, Any]:
    """An artifact's metadata: a JSON object of at most 100 keys."""
    metadata = parsed_object(text or "{}", "metadata")
    if len(metadata) > METADATA_KEYS:
        raise invalid(f"metadata has {len(metadata)} keys, at most {METADATA_KEYS} are allowed")
    return metadata


def parsed_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object from a JSONString argument."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise invalid(f"{what} is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise invalid(f"{what} is not a JSON object")
    return dict(value)
