"""The cost of a job by a price table that the user gives. Pure; there are no prices here.

A table is a line for each price, or its entries separated by semicolons: `model=gpt-4.1-mini* method=supervised
training_type=globalStandard per_million_tokens=1.0; model=o4-mini* per_hour=1.0`. It may also be a JSON list of objects
with the same fields. The first entry that fits a job counts. Amounts are in the table's own currency.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from function_app.data.fields import number
from function_app.data.jobs.job_log import JobLog
from function_app.data.jobs.metrics import number_in
from function_app.models import Job, Method

_AMOUNTS = ("per_million_tokens", "per_hour")
_FIELDS = frozenset({"model", "method", "training_type", *_AMOUNTS})
_BY_TOKENS = frozenset({Method.SUPERVISED, Method.DPO})


@dataclass(frozen=True)
class Price:
    """The price of training for some jobs.

    Attributes:
        model: pattern of the base model's name, as in a shell.
        method: the training method; None for any.
        training_type: Azure's, in any case; None for any.
        per_million_tokens: the price of a million training tokens; None where hours are billed.
        per_hour: the price of an hour of training; None where tokens are billed.
    """

    model: str
    method: str | None = None
    training_type: str | None = None
    per_million_tokens: float | None = None
    per_hour: float | None = None

    def fits(self, job: Job, base: str) -> bool:
        """Return whether the price is for a job of this base model."""
        method = job.method or Method.SUPERVISED.value
        kind = (job.training_type or "standard").lower()
        return (
            fnmatchcase(base.lower(), self.model.lower())
            and self.method in (None, method)
            and (self.training_type is None or self.training_type.lower() == kind)
        )


def parse_prices(source: str) -> tuple[Price, ...]:
    """Return the prices of a table.

    Raises:
        ValueError: it is not such a table; the message says where.
    """
    entries: Any
    if source.lstrip().startswith(("[", "{")):
        try:
            entries = json.loads(source)
        except ValueError as error:
            raise ValueError(f"the price table is not JSON: {error}") from None
        if not isinstance(entries, list):
            raise ValueError("the price table is not a list of objects")
    else:
        entries = [_entry(line) for line in re.split(r"[;\n]", source) if line.strip()]
    return tuple(_price(number, entry) for number, entry in enumerate(entries, start=1))


def _entry(line: str) -> dict[str, Any]:
    """Return the fields of a line, with amounts as numbers if they are valid numbers."""
    fields = dict(word.partition("=")[::2] for word in line.split())
    return {name: number_in(text) if name in _AMOUNTS else text for name, text in fields.items()}


def _price(position: int, entry: Any) -> Price:
    where = f"price {position} of the table"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        raise ValueError(f"{where} has no model, such as 'gpt-4.1-mini*'")
    if unknown := sorted(map(str, entry.keys() - _FIELDS)):
        raise ValueError(f"{where} has unknown fields ({', '.join(unknown)}); known are {', '.join(sorted(_FIELDS))}")
    amounts = {name: entry[name] for name in _AMOUNTS if name in entry}
    if len(amounts) != 1 or any(number(amount) is None or amount < 0 for amount in amounts.values()):
        raise ValueError(f"{where} needs one amount, per_million_tokens or per_hour")
    method, kind = entry.get("method"), entry.get("training_type")
    if not all(word is None or isinstance(word, str) for word in (method, kind)):
        raise ValueError(f"{where}: method and training_type are texts")
    return Price(entry["model"], method, kind, amounts.get("per_million_tokens"), amounts.get("per_hour"))


def cost_of(job: Job, base: str, log: JobLog, prices: tuple[Price, ...]) -> dict[str, float | None]:
    """Return the cost of a job's training, without model graders: `cost` from what was billed, else `estimated_cost`.

    Only jobs that are billed by tokens get an estimate, from `trained_tokens`. A failed one is not billed (Microsoft, "Cost
    management for fine-tuning"); whether a cancelled one was billed is known only from its log.
    """
    price = next((each for each in prices if each.fits(job, base)), None)
    if price is None:
        return {}
    cost = estimate = None
    if price.per_hour is not None and log.billed_hours is not None:
        cost = price.per_hour * log.billed_hours
    if price.per_million_tokens is not None:
        if log.billed_tokens is not None:
            cost = price.per_million_tokens * log.billed_tokens / 1_000_000
        elif (job.method or Method.SUPERVISED.value) in _BY_TOKENS:
            if job.status == "failed":
                cost = 0.0
            elif job.trained_tokens and job.trained_tokens > 0:
                estimate = price.per_million_tokens * job.trained_tokens / 1_000_000
    return {"cost": _rounded(cost), "estimated_cost": _rounded(estimate)}


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
