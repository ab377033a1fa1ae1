"""Rules that the app, `doctor` and `setup` share: addresses, schedules, names. No SDK, no I/O."""

import re
from dataclasses import dataclass
from datetime import timedelta

from function_app.connections import TRUST as TRUST
from function_app.connections import cause_of as cause_of
from function_app.connections import untrusted as untrusted
from function_app.data.addresses import Endpoint as Endpoint
from function_app.data.addresses import Scope as Scope
from function_app.data.addresses import parse_address as parse_address
from function_app.data.addresses import split_endpoints as split_endpoints
from function_app.data.routes import Destination, Routes, parse_routes
from function_app.data.wandb_server import DEFAULT_SERVER as DEFAULT_SERVER
from function_app.data.wandb_server import wandb_server as wandb_server
from function_app.models import DatasetPolicy

VERSION = "0.2.0"
"""The version, as the deployed code has no installed metadata. A test compares it with pyproject.toml."""

PYTHON = "3.13"
"""The Python that Azure runs the app on: infra/modules/app.bicep, and what the package is built for."""

SECRET_NAME = "wandb-api-key"  # noqa: S105 (the name of a secret, not one)
"""The Key Vault secret with the W&B API key, unless WANDB_SECRET_NAME names another one."""

EVERY_TWO_MINUTES = "0 */2 * * * *"
"""NCRONTAB. W&B marks a run as crashed after about five minutes without news (from reports)."""

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CRON_PART = re.compile(r"(?:\*|(?P<low>[0-9]+|[a-zA-Z]+)(?:-(?P<high>[0-9]+|[a-zA-Z]+))?)(?:/(?P<step>-?[0-9]{1,9}))?")
_TIME_SPAN = re.compile(r"[-+]?\d[\d.:]*")


@dataclass(frozen=True)
class _CronField:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_CRON_FIELDS = (
    _CronField("second", 0, 59),
    _CronField("minute", 0, 59),
    _CronField("hour", 0, 23),
    _CronField("day", 1, 31),
    _CronField("month", 1, 12, _MONTHS),
    _CronField("weekday", 0, 6, _WEEKDAYS),
)


def check_schedule(schedule: str) -> None:
    """Check that a schedule makes the timer run on Flex Consumption, and that it means what it appears to mean.

    The host parses it with NCrontab, with six fields. What NCrontab interprets in an unexpected way is refused: a range that
    it reverses, a step without effect, a date that never comes. A time span is also refused, because it does not start an app
    that is not running (Microsoft, "Timer trigger for Azure Functions").

    Raises:
        ValueError: the timer would not run, or would run at other times; the message contains the right spelling.
    """
    example = f"{EVERY_TWO_MINUTES!r} is every two minutes"
    if _TIME_SPAN.fullmatch(schedule.strip()):
        raise ValueError(
            f"{schedule!r} is a time span, which only an App Service plan supports. Write NCRONTAB: {example}."
        )
    if set(schedule) & set("\t\r\n\v\f"):
        raise ValueError(f"{schedule!r} has a tab or line break. Separate the fields with spaces: {example}.")
    texts = [text for text in schedule.split(" ") if text]
    if len(texts) != len(_CRON_FIELDS):
        raise ValueError(f"{schedule!r} has {len(texts)} fields. NCRONTAB has six, seconds first: {example}.")
    *_, days, months, _ = [_values(text, field) for text, field in zip(texts, _CRON_FIELDS, strict=True)]
    if not any(day <= _LONGEST_MONTHS[month - 1] for day in days for month in months):
        raise ValueError(f"{schedule!r} names a date that never comes: day {texts[3]} of month {texts[4]}.")


def longest_pause(schedule: str) -> timedelta:
    """Return the longest time between two ticks of a valid schedule; a day for one that does not run every day."""
    texts = [text for text in schedule.split(" ") if text]
    seconds, minutes, hours, *days = (_values(text, field) for text, field in zip(texts, _CRON_FIELDS, strict=True))
    if any(len(values) < field.high - field.low + 1 for values, field in zip(days, _CRON_FIELDS[3:], strict=True)):
        return timedelta(days=1)
    ticks = sorted(hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds)
    following = [*ticks[1:], ticks[0] + 86_400]
    return timedelta(seconds=max(after - tick for tick, after in zip(ticks, following, strict=True)))


def ignored_routes(routes: str, datasets: str) -> tuple[str, ...]:
    """Return a sentence for each part of WANDB_ROUTES that the app ignores, because a job's author could use it.

    Args:
        routes: WANDB_ROUTES.
        datasets: SYNC_DATASETS; empty for the app's default.

    Raises:
        ValueError: a rule or the data policy is wrong; the message says how to put it right.
    """
    default = Destination(None, "", DatasetPolicy(datasets) if datasets else DatasetPolicy.REFERENCE)
    return Routes(default, parse_routes(routes)).ignored()


def _values(text: str, field: _CronField) -> set[int]:
    """Return the values of a comma-separated field."""
    return {value for part in text.split(",") for value in _range(part, field)}


def _range(part: str, field: _CronField) -> range:
    match = _CRON_PART.fullmatch(part)
    words = f" or their names ({field.words[0].title()})" if field.words else ""
    takes = f"It takes *, */n, a-b and lists of the numbers {field.low} to {field.high}{words}."
    if not match:
        raise ValueError(f"{part!r} is not valid for the {field.name} of a schedule. {takes}")
    low, high = _bounds(match, field)
    if low is None or high is None:
        sunday = " Sunday is 0." if field.words is _WEEKDAYS else ""
        raise ValueError(f"{part!r} is not valid for the {field.name} of a schedule. {takes}{sunday}")
    step = int(match["step"] or 1)
    if low > high:
        meant = [*range(low, field.high + 1), *range(field.low, high + 1)][:: max(step, 1)]
        right = ",".join(map(str, meant)) if step > 1 else f"{_span(low, field.high)},{_span(field.low, high)}"
        raise ValueError(
            f"{part!r} counts down, and the timer would run from {high} to {low}. Write {right} for the {field.name}."
        )
    if step < 1 or (step > 1 and step > high - low):
        right = part.partition("/")[0] if step < 1 else str(low)
        raise ValueError(f"The step of {part!r} has no effect. Write {right} for the {field.name}.")
    return range(low, high + 1, step)


def _bounds(match: re.Match[str], field: _CronField) -> tuple[int | None, int | None]:
    """Return the first and the last value of a part; None for a value that is not valid in the field."""
    if match["low"] is None:
        return field.low, field.high
    low = _number(match["low"], field)
    if match["high"] is not None:
        return low, _number(match["high"], field)
    return low, field.high if match["step"] else low


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _number(text: str, field: _CronField) -> int | None:
    """Return the value of a number or a name, which may be abbreviated; None if it is not valid in the field."""
    if text.isdigit():
        value = int(text) if len(text) < 10 else -1
        return value if field.low <= value <= field.high else None
    names = (value for value, word in enumerate(field.words, field.low) if word.startswith(text.lower()))
    return next(names, None)
