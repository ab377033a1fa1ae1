"""The options that commands share, each with its environment variable."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

import click

from . import timespan
from .signin import CLOUDS

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Span(click.ParamType[timedelta]):
    """90s, 10m, 1h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """See click."""
        if isinstance(value, timedelta):
            return value
        try:
            return timespan.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SecretName(click.ParamType[str]):
    """A name that Key Vault takes for a secret (Microsoft, "About keys, secrets, and certificates")."""

    name = "secret name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", value):
            self.fail(f"{value!r} is not a name for a secret: letters, digits and hyphens, at most 127", param, ctx)
        return str(value)


def target_options(command: _Command) -> _Command:
    """What is to be set up, where, and how it is told."""
    return _all(
        command,
        _option(
            "--subscription",
            env="AZURE_SUBSCRIPTION_ID",
            metavar="ID|NAME",
            help="Azure subscription; needed where you see several.",
        ),
        _option(
            "-g",
            "--resource-group",
            env="AZURE_RESOURCE_GROUP",
            metavar="NAME",
            required=True,
            help="Resource group of the account and the vault.",
        ),
        _option(
            "--openai-account",
            env="AZURE_OPENAI_ACCOUNT",
            metavar="NAME",
            required=True,
            help="Azure OpenAI account whose jobs go to W&B.",
        ),
        _option(
            "--key-vault",
            env="AZURE_KEY_VAULT",
            metavar="NAME",
            required=True,
            help="Key Vault that keeps the W&B key.",
        ),
        _option(
            "--secret-name",
            env="WANDB_SECRET_NAME",
            metavar="NAME",
            type=SecretName(),
            default="wandb-api-key",
            help="Name of the secret.",
        ),
        _option(
            "--propagation-wait",
            type=Span(),
            default="10m",
            metavar="TIME",
            help="How long new roles get before a vault that others use is switched; Azure documents ten minutes.",
        ),
        _option(
            "--accept-loss",
            is_flag=True,
            help="Go on although principals that cannot be carried over to Azure RBAC lose access.",
        ),
        _option(
            "--cloud",
            env="AZURE_CLOUD",
            type=click.Choice(list(CLOUDS)),
            help="Azure cloud, as `az cloud list` names it; public unless azure-core is set to another.",
        ),
        _option(
            "-o",
            "--output",
            type=click.Choice(["text", "json"]),
            default="text",
            help="json: exactly one document on stdout, also on failure.",
        ),
        _option("-v", "--verbose", is_flag=True, help="Show the HTTP requests (method, URL, status) on stderr."),
    )


def key_options(command: _Command) -> _Command:
    """The W&B key and what it is for."""
    return _all(
        command,
        _option(
            "--wandb-key-file",
            metavar="FILE",
            help="File that holds the W&B key; - is stdin. Without it WANDB_API_KEY, then a hidden prompt.",
        ),
        _option("--wandb-base-url", env="WANDB_BASE_URL", metavar="URL", help="W&B server, when it is your own."),
        _option(
            "--wandb-entity", env="WANDB_ENTITY", metavar="NAME", help="W&B team the runs go to: checked with the key."
        ),
    )


def _option(*names: str, env: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
    """An option that its environment variable can give too, which help shows."""
    return click.option(*names, envvar=env, show_envvar=env is not None, **more)


def _all(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    """The options in the order that help shows them."""
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)
