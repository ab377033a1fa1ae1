"""Shows what `submit` will do, and asks for confirmation."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from function_app.cli.console import echo, wrapped
from function_app.errors import SyncError
from function_app.text import money

if TYPE_CHECKING:
    from function_app.authoring.checking.check import CheckedFile
    from function_app.authoring.quote import Quote
    from function_app.authoring.submission import LocalFile

_LABEL = 12


class NotConfirmedError(SyncError):
    """There is no terminal to ask on, and no --yes."""


def show(quote: "Quote", *, err: bool) -> None:
    """Print the quote, to stderr if `err`."""
    echo(f"Job for {quote.account}", bold=True, err=err)
    for label, text in _rows(quote):
        for line in wrapped(text, first=f"  {label:<{_LABEL}}", other=" " * (_LABEL + 2)):
            echo(line, err=err)
    for note in quote.notes:
        for line in wrapped(note, first="  ! ", other="    "):
            echo(line, err=err, fg="yellow")


def confirm(question: str) -> bool:
    """Ask on the terminal. Any answer but yes means no, and so does Ctrl-D.

    Raises:
        NotConfirmedError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise NotConfirmedError("Nothing was uploaded or created: there is no terminal to ask on.", "Pass --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _rows(quote: "Quote") -> Iterator[tuple[str, str]]:
    request, planned = quote.planned.request, quote.planned
    kind = f", training type {request.training_type}" if request.training_type else ""
    yield "model", f"{request.model}, {request.method} fine-tuning{kind}"
    yield "training", _file(planned.training, quote.training)
    if planned.validation and quote.validation:
        yield "validation", _file(planned.validation, quote.validation)
    chosen = [f"{name}={value}" for name, value in request.hyperparameters.items()]
    chosen += [
        f"{name} {value}" for name, value in (("suffix", request.suffix), ("seed", request.seed)) if value is not None
    ]
    yield "parameters", "; ".join([*chosen, "the service chooses all others" if chosen else "the service chooses all"])
    if quote.tokens is not None:
        yield "tokens", _tokens(quote)
    yield "cost", _cost(quote)
    if planned.twin:
        yield "exists", f"{planned.twin.id}, {planned.twin.status}; no other job is created without --again"


def _file(local: "LocalFile", checked: "CheckedFile") -> str:
    where = f"the account has it as {local.held[0].id}" if local.held else f"{local.size:,} bytes to upload"
    return f"{local.path.name}: {checked.examples:,} example{'s' * (checked.examples != 1)}, {where}"


def _tokens(quote: "Quote") -> str:
    training = quote.training
    about = "" if training.tokenizer.exact else "about "
    epochs = f"{training.epochs} epoch{'s' * (training.epochs != 1)}"
    source = "" if training.question.epochs else ", which OpenAI's cookbook expects; the service decides"
    return f"{about}{quote.tokens:,} to be trained ({epochs}{source})"


def _cost(quote: "Quote") -> str:
    price = quote.price
    if quote.cost is not None and price:
        return f"{money(quote.cost, about=True)} at {price.per_million_tokens:g} a million tokens (FINE_TUNING_PRICES)"
    if price and price.per_hour is not None:
        return f"{price.per_hour:g} an hour of training (FINE_TUNING_PRICES), and the tokens of model graders"
    if quote.tokens is None:
        return "unknown: reinforcement is billed by time, and FINE_TUNING_PRICES has no price for it"
    return "unknown: FINE_TUNING_PRICES has no price for this job"
