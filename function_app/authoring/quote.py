"""The effects of a submission, and its cost as far as that is known in advance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from function_app.authoring.checking.base_models import is_open_weight
from function_app.authoring.checking.check import CheckedFile
from function_app.authoring.submission import LocalFile, SubmissionPlan
from function_app.azure.openai import Account
from function_app.data.jobs.description import base_model
from function_app.data.jobs.prices import Price
from function_app.models import OPENAI, Job, Method

SOON = 90
"""`submit` warns if training of the base model ends within this number of days."""

_TRAINING_TYPES = frozenset({"standard", "globalStandard", "datazoneStandard", "developerTier"})
_GLOBAL = frozenset({"globalStandard", "datazoneStandard"})


@dataclass(frozen=True)
class Quote:
    """A plan with its figures.

    Attributes:
        account: the account's name, followed by a slash and the project's name if there is one.
        planned: what is going to be done.
        training: what is known about the training file.
        validation: what is known about the validation file.
        price: the entry of the user's price table that fits; None without one.
        training_end: when the base model can no longer be trained, in seconds since the epoch; None if unknown.
        now: seconds since the epoch.
    """

    account: str
    planned: SubmissionPlan
    training: CheckedFile
    validation: CheckedFile | None
    price: Price | None
    training_end: float | None
    now: float

    @property
    def tokens(self) -> int | None:
        """The tokens that are trained and billed; None for reinforcement, which is billed by time."""
        return None if self.planned.request.method is Method.REINFORCEMENT else self.training.trained_tokens

    @property
    def cost(self) -> float | None:
        """The cost by the user's price table; None if the table has no price, or time is billed."""
        if self.tokens is None or self.price is None or self.price.per_million_tokens is None:
            return None
        return round(self.tokens * self.price.per_million_tokens / 1_000_000, 2)

    @property
    def notes(self) -> list[str]:
        """Points to consider before paying."""
        request, notes = self.planned.request, []
        if self.training_end is not None and (days := int((self.training_end - self.now) // 86_400)) < SOON:
            day = datetime.fromtimestamp(self.training_end, UTC).date().isoformat()
            when = f"ends on {day}, in {days} days" if days >= 0 else f"ended on {day}"
            notes.append(
                f"Training of {request.model} {when}; customers that used the model before may have longer (Azure, model"
                " retirement)."
            )
        on_azure = self.planned.twin is None and self.account != OPENAI
        if on_azure and request.training_type and request.training_type not in _TRAINING_TYPES:
            notes.append(f"The training type {request.training_type} is not known here; it is sent as it is.")
        if on_azure and is_open_weight(request.model) and request.training_type not in _GLOBAL:
            notes.append(
                "Microsoft documents open-weight models with --training-type GlobalStandard or DatazoneStandard, in Foundry"
                " (AI Services) accounts."
            )
        if not self.training.ok:
            notes.append("The training file has errors; --unchecked uploads it anyway.")
        return notes

    @property
    def document(self) -> dict[str, Any]:
        """The quote for programs."""
        request, twin = self.planned.request, self.planned.twin
        return {
            "account": self.account,
            "model": request.model,
            "method": request.method,
            "training_type": request.training_type,
            "suffix": request.suffix,
            "seed": request.seed,
            "hyperparameters": dict(request.hyperparameters),
            "training": _file(self.planned.training, self.training),
            "validation": _file(self.planned.validation, self.validation)
            if self.planned.validation and self.validation
            else None,
            "epochs": {"count": self.training.epochs, "given": self.training.question.epochs is not None},
            "trained_tokens": self.tokens,
            "tokens_exact": self.training.tokenizer.exact,
            "cost": self.cost,
            "price_per_hour": self.price.per_hour if self.price else None,
            "existing_job": twin.id if twin else None,
            "notes": self.notes,
        }


def quote_of(
    account: Account, planned: SubmissionPlan, checked: tuple[CheckedFile, CheckedFile | None], prices: Sequence[Price]
) -> Quote:
    """Return a plan with its price, and with what the account says about the base model.

    Raises:
        AccountError: the account refuses.
    """
    request = planned.request
    job = Job("", account.name, "", request.model, 0, "", method=request.method, training_type=request.training_type)
    base = base_model(job)
    price = next((price for price in prices if price.fits(job, base)), None)
    return Quote(account.address, planned, *checked, price, account.ends(base).training, account.now())


def _file(local: LocalFile, checked: CheckedFile) -> Mapping[str, Any]:
    return {
        "name": local.path.name,
        "bytes": local.size,
        "examples": checked.examples,
        "id": local.held[0].id if local.held else None,
    }
