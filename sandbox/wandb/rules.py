"""W&B's refusals: errors with the real service's status and message, and the rules for names and sizes.

The statuses are those of real responses: "permission denied" 403 and "user is not logged in" 401 (wandb#8800,
wandb#9620), "entity … not found" 404 (wandb#2484), a deleted run 409 (wandb#4948), a config of more than 15 MB 400
(AutoIntent#202). The wording of other messages is ours: UNVERIFIED.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_NAMES = {
    "run name": r"(?!\s)[^/\\#?%:]{1,128}(?<!\s)",  # (W&B, wandb.init reference, `id`); the maximum is UNVERIFIED
    "project name": r"[^/\\#?%:]{1,128}",  # (wandb 0.31, wandb_settings.py)
    "artifact name": r"[A-Za-z0-9_.-]{1,128}",  # (wandb 0.31, artifacts/_validators.py)
    "artifact type": r"[^/:]{1,128}",
    "alias": r"[^/:]{1,128}",
    "tag of an artifact": r"(?=.{1,128}\Z)[-\w]+( +[-\w]+)*",  # (wandb 0.31, the pattern of TagInput.tagName)
    "tag": r"(?s:.){1,64}",  # of a run
}
"""The names that W&B accepts, by what they name."""
NAME_LENGTH = 128
JOB_TYPE_LENGTH = 64
ALERT_TITLE_LENGTH = 63  # (W&B docs: under 64); that a longer one is refused is UNVERIFIED, as is any limit of the text
ALERT_TEXT_LENGTH = 1000
METADATA_KEYS = 100
CONFIG_BYTES = 15_000_000
TYPE_LENGTH = 64  # of `_type` in a summary value; that a longer one is 422 is known (wandb#8159), the limit is not


class RefusedError(Exception):
    """A refusal. It becomes a GraphQL error and the status of the response."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.extensions: dict[str, Any] = {"code": code} if code else {}


def permission_denied() -> RefusedError:
    """The caller lacks the right; W&B gives no reason."""
    return RefusedError(403, "permission denied", "PERMISSION_ERROR")


def not_logged_in() -> RefusedError:
    """The key is missing, unknown or revoked."""
    return RefusedError(401, "user is not logged in", "PERMISSION_ERROR")


def not_found(what: str) -> RefusedError:
    """The named object does not exist, or the caller may not see it."""
    return RefusedError(404, f"{what} not found")


def not_modelled(what: str) -> RefusedError:
    """The sandbox does not model an operation; 501, because the SDK does not retry it."""
    return RefusedError(501, f"the sandbox does not model {what}")


def invalid(message: str) -> RefusedError:
    """An argument breaks a rule."""
    return RefusedError(400, message)


def check_name(what: str, name: str) -> None:
    """Require a name of `_NAMES`."""
    if not re.fullmatch(_NAMES[what], name):
        raise invalid(f"invalid {what} {name!r}")


def check_length(what: str, text: str | None, limit: int = NAME_LENGTH) -> None:
    """Require at most `limit` characters, as for a run's name, group and job type."""
    if text is not None and len(text) > limit:
        raise invalid(f"invalid {what}: must be at most {limit} characters")


def checked_aliases(aliases: Iterable[str]) -> list[str]:
    """Require aliases. Names of versions are dropped without an error (W&B docs)."""
    found = list(aliases)
    for alias in found:
        check_name("alias", alias)
    return [alias for alias in found if not re.fullmatch(r"v\d+", alias)]


def parsed_metadata(text: str | None) -> dict[str, Any]:
    """Parse an artifact's metadata: a JSON object of at most 100 keys."""
    metadata = parsed_object(text or "{}", "metadata")
    if len(metadata) > METADATA_KEYS:
        raise invalid(f"metadata has {len(metadata)} keys, at most {METADATA_KEYS} are allowed")
    return metadata


def parsed_config(text: str) -> dict[str, Any]:
    """Parse a run's config: a JSON object of at most 15 MB."""
    if len(text.encode()) > CONFIG_BYTES:
        raise invalid("run config cannot exceed 15 MB")
    return parsed_object(text, "config")


def check_summary(summary: Mapping[str, Any]) -> None:
    """Refuse a value whose `_type` is not the name of a W&B type."""
    for name, value in summary.items():
        if isinstance(value, Mapping):
            kind = value.get("_type", "")
            if not isinstance(kind, str) or len(kind) > TYPE_LENGTH:
                raise RefusedError(422, f"invalid summary: the _type of {name!r} is too long")
            check_summary(value)


def parsed_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSONString argument that must be an object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise invalid(f"{what} is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise invalid(f"{what} is not a JSON object")
    return dict(value)
