"""The types of the options: what an option accepts, and the message if it does not."""

import re
import uuid
from datetime import timedelta
from typing import Any

import click

from function_app.shared_rules import wandb_server
from provisioning import durations


class Span(click.ParamType[timedelta]):
    """A duration such as 90s, 10m or 1h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """See click."""
        if isinstance(value, timedelta):
            return value
        try:
            return durations.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Lifetime(click.ParamType[timedelta | None]):
    """A duration such as 180d, or "never", which is None."""

    name = "lifetime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta | None:
        """See click."""
        if value is None or value == "never":
            return None
        span = Span().convert(value, param, ctx)
        if span < timedelta(days=1):
            self.fail(f"{value!r} is too short for a secret: use 180d or never", param, ctx)
        return span


class SecretName(click.ParamType[str]):
    """A valid name of a secret (Microsoft, "About keys, secrets, and certificates")."""

    name = "secret name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", value):
            self.fail(f"{value!r} is not a valid secret name: use letters, digits and hyphens, at most 127", param, ctx)
        return str(value)


class VaultName(click.ParamType[str]):
    """A valid name of a Key Vault (Microsoft, "Naming rules for Azure resources")."""

    name = "vault name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        if "/" in value:
            return str(value)  # an id, which commands.py splits
        if not re.fullmatch(r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])*", value):
            rules = (
                "use 3 to 24 letters, digits and single hyphens, starting with a letter and not ending with a hyphen"
            )
            self.fail(f"{value!r} is not a valid Key Vault name: {rules}", param, ctx)
        return str(value)


class ServerUrl(click.ParamType[str]):
    """The address of a W&B server: https, or http on this machine. The key is sent to it."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        try:
            return wandb_server(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ObjectId(click.ParamType[str]):
    """The object id of a principal: a GUID, returned in lower case."""

    name = "object id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.fail(f"{value!r} is not an object id, which is a GUID", param, ctx)
