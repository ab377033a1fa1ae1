"""Rules that the app, `doctor` and `setup` share: addresses, schedules, names. No SDK, no I/O."""

import re
from urllib.parse import urlsplit

SECRET_NAME = "wandb-api-key"  # noqa: S105 (the name of a secret, not one)
"""The Key Vault secret that has the W&B API key, unless WANDB_SECRET_NAME names another."""

EVERY_TWO_MINUTES = "0 */2 * * * *"
"""NCRONTAB: W&B is said to call a run crashed after about five minutes of silence."""

_CRON_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 7),
)
_CRON_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_CRON_PART = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[1-9]\d*))?")
_TIME_SPAN = re.compile(r"(?:\d+\.)?\d{1,2}:\d{2}(?::\d{2})?")


def split_endpoints(text: str) -> list[str]:
    """Split a list of endpoints at commas, semicolons and white space."""
    return re.split(r"[\s,;]+", text.strip(" \t\r\n,;"))


def check_schedule(schedule: str) -> None:
    """Check that a schedule is NCRONTAB or a time span, as the timer trigger takes them.

    Raises:
        ValueError: it is neither; the message says what is wrong.
    """
    if not _TIME_SPAN.fullmatch(schedule):
        _check_ncrontab(schedule)


def https_origin(url: str, example: str) -> str:
    """Return the origin of an https address, with a slash at its end.

    Raises:
        ValueError: it is no https address of a host; `example` is shown in the message.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "." not in parts.hostname or parts.username or parts.query:
        raise ValueError(f"{url!r} is not an address such as {example}")
    return f"https://{parts.netloc}/"


def _check_ncrontab(schedule: str) -> None:
    fields = schedule.split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValueError(
            f"{schedule!r} has {len(fields)} fields where NCRONTAB has six, seconds first: {EVERY_TWO_MINUTES!r} is every"
            " two minutes"
        )
    for text, (name, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        if not all(_is_cron_part(part, name, low, high) for part in text.split(",")):
            raise ValueError(
                f"{schedule!r} has {text!r} for the {name}, where {low} to {high}, *, */n, a-b and lists go"
            )


def _is_cron_part(part: str, name: str, low: int, high: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    if not match:
        return False
    bounds = [_cron_number(text, name) for text in (match["low"], match["high"]) if text]
    return all(bound is not None and low <= bound <= high for bound in bounds)


def _cron_number(text: str, name: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    names = _CRON_NAMES.get(name, ())
    return names.index(text.lower()) + (name == "month") if text.lower() in names else None
