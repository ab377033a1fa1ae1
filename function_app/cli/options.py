"""Options that several commands share, and their types."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from function_app.data.routes import checked_name

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])\s*", re.IGNORECASE)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_option(command: _Command) -> _Command:
    """The option for the form of the output, as in `python -m provisioning`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="json: exactly one document on stdout, also on failure.",
    )(command)


def tokenizer_option(command: _Command) -> _Command:
    """The option for how tokens are counted."""
    return click.option(
        "--tokenizer",
        type=click.Choice(["auto", "tiktoken", "estimate"]),
        default="auto",
        show_default=True,
        help="auto: tiktoken if it is installed and has its vocabulary, else an estimate, which is marked as such.",
    )(command)


class Duration(click.ParamType[float]):
    """A time span above zero, in seconds: 30s, 2m, 1m30s."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the text. A number needs a unit, as in `python -m provisioning`."""
        text = str(value).strip()
        parts = _PART.findall(text)
        seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)
        if not parts or _PART.sub("", text) or seconds <= 0:
            self.fail(f"{text!r} is not a time span above zero such as 30s, 2m or 1m30s.", param, ctx)
        return seconds


def destination(project: str | None, entity: str | None) -> dict[str, str]:
    """Return the settings that `--project [ENTITY/]PROJECT` and `--entity` replace.

    Raises:
        click.BadParameter: one of them cannot be a name, or the two name different entities.
    """
    given: dict[str, str] = {}
    if project is not None:
        owner, slash, name = project.rpartition("/")
        given["wandb_project"] = _name(name, "--project")
        if slash:
            given["wandb_entity"] = _name(owner, "--project")
    if entity is not None:
        if given.get("wandb_entity", entity) != entity:
            raise click.BadParameter(f"{project!r} names another entity.", param_hint="--entity")
        given["wandb_entity"] = _name(entity, "--entity")
    return given


def _name(name: str, option: str) -> str:
    try:
        return checked_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
