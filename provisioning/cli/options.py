"""The options that commands share, each with its environment variable."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

import click

from provisioning import durations as timespan
from provisioning.azure.sign_in import CLOUDS
from provisioning.models import SECRETS_OFFICER, SECRETS_USER, Scope

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


class Lifetime(click.ParamType[timedelta | None]):
    """180d, or "never", which is None."""

    name = "lifetime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta | None:
        """See click."""
        if value is None or value == "never":
            return None
        span = Span().convert(value, param, ctx)
        if span < timedelta(days=1):
            self.fail(f"{value!r} is too short for a secret: say 180d, or never", param, ctx)
        return span


class SecretName(click.ParamType[str]):
    """A name that Key Vault takes for a secret (Microsoft, "About keys, secrets, and certificates")."""

    name = "secret name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        if not re.fullmatch(r"[0-9a-zA-Z-]{1,127}", value):
            self.fail(f"{value!r} is not a name for a secret: letters, digits and hyphens, at most 127", param, ctx)
        return str(value)


class VaultName(click.ParamType[str]):
    """A name that Azure takes for a Key Vault (Microsoft, "Naming rules for Azure resources")."""

    name = "vault name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        if not re.fullmatch(r"(?=.{3,24}$)[A-Za-z](-?[A-Za-z0-9])*", value):
            rules = "3 to 24 letters, digits and single hyphens, a letter first, no hyphen last"
            self.fail(f"{value!r} is not a name for a Key Vault: {rules}", param, ctx)
        return str(value)


class ObjectId(click.ParamType[str]):
    """A principal's id in the directory: a GUID, here in lower case."""

    name = "object id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.fail(f"{value!r} is not an object id, which is a GUID", param, ctx)


_ROLES = {"secrets-officer": SECRETS_OFFICER, "secrets-user": SECRETS_USER}


def target_options(command: _Command) -> _Command:
    """What is to be set up, where and how."""
    return chain_options(_granting(_switching(command)))


def chain_options(command: _Command) -> _Command:
    """Which account, vault and secret, and where."""
    return _where(_which(command))


def _where(command: _Command) -> _Command:
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
    )


def _which(command: _Command) -> _Command:
    return _all(
        command,
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
            type=VaultName(),
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
            "--cloud",
            env="AZURE_CLOUD",
            type=click.Choice(list(CLOUDS)),
            help="Azure cloud, as `az cloud list` names it; public unless azure-core is set to another.",
        ),
    )


def vault_options(command: _Command) -> _Command:
    """What to do where the vault is not there."""
    return _all(
        command,
        _option(
            "--create-key-vault",
            "create_vault",
            is_flag=True,
            help="Make the vault where it is missing: standard, on Azure RBAC, soft delete for 90 days.",
        ),
        _option(
            "--recover-key-vault",
            "recover_vault",
            is_flag=True,
            help="Bring the vault back where it is deleted, with all that was in it but its role assignments.",
        ),
        _option(
            "--location",
            env="AZURE_LOCATION",
            metavar="REGION",
            help="Region of a vault that is made, or where a deleted one was. By default the account's.",
        ),
        _option(
            "--purge-protection/--no-purge-protection",
            default=True,
            help="Of a vault that is made. On, it cannot be undone: nobody can purge a deleted vault early.",
        ),
    )


def _granting(command: _Command) -> _Command:
    return _all(
        command,
        _option(
            "--identity-role",
            type=click.Choice(list(_ROLES)),
            default="secrets-officer",
            callback=lambda ctx, param, value: _ROLES[value],
            help="Role of the account's identity; W&B's page in the documentation asks for the default.",
        ),
        _option(
            "--identity-scope",
            type=click.Choice([s.value for s in Scope]),
            default=Scope.VAULT.value,
            callback=lambda ctx, param, value: Scope(value),
            help="Whether that role is for the whole vault or for the one secret.",
        ),
        _option(
            "--reader",
            "readers",
            env="KEY_VAULT_READERS",
            type=ObjectId(),
            multiple=True,
            metavar="OBJECT_ID",
            help="Who may read the one secret, such as the function app's identity. May be repeated.",
        ),
        _option(
            "--vault-access-policy",
            "by_access_policy",
            is_flag=True,
            help="Leave the vault on access policies and add entries there instead of roles.",
        ),
    )


def _switching(command: _Command) -> _Command:
    return _all(
        command,
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
    )


def output_options(command: _Command) -> _Command:
    """How it is told."""
    return _all(
        command,
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
    key = _option(
        "--wandb-key-file",
        metavar="FILE",
        help="File that holds the W&B key; - is stdin. Without it WANDB_API_KEY, then a hidden prompt.",
    )
    return key(wandb_options(command))


def lifetime_option(command: _Command) -> _Command:
    """How long a version of the secret is good for."""
    return _option(
        "--secret-lifetime",
        env="WANDB_SECRET_LIFETIME",
        type=Lifetime(),
        default="180d",
        metavar="TIME|never",
        help="When a version that is written expires. It can be read after that; status and doctor warn 30 days before.",
    )(command)


def consent_options(command: _Command) -> _Command:
    """For commands that write."""
    return _all(
        command,
        click.option("-y", "--yes", is_flag=True, help="Apply without asking."),
        click.option("--dry-run", is_flag=True, help="Show the plan and write nothing."),
    )


def teardown_options(command: _Command) -> _Command:
    """How far teardown goes."""
    return _all(
        command,
        click.option(
            "--restore-access-policies",
            is_flag=True,
            help="Put a vault that setup switched back on its access policies; roles carried over go, too.",
        ),
        click.option(
            "--accept-loss",
            is_flag=True,
            help="Go on although principals that have roles and no such access policy lose access.",
        ),
    )


def wandb_options(command: _Command) -> _Command:
    """What the W&B key is for."""
    return _all(
        command,
        _option("--wandb-base-url", env="WANDB_BASE_URL", metavar="URL", help="W&B server, when it is your own."),
        _option(
            "--wandb-entity", env="WANDB_ENTITY", metavar="NAME", help="W&B team the runs go to: checked with the key."
        ),
    )


def function_app_options(command: _Command) -> _Command:
    """The function app that mirrors the jobs."""
    return _all(
        command,
        _option(
            "--function-app",
            env="AZURE_FUNCTION_APP",
            metavar="NAME",
            help="Function app to look at, too.",
        ),
        _option(
            "--function-app-group",
            env="AZURE_FUNCTION_APP_GROUP",
            metavar="NAME",
            help="Its resource group, where it is another than that of the account.",
        ),
    )


def _option(*names: str, env: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
    """An option that its environment variable can give too, which help shows."""
    return click.option(*names, envvar=env, show_envvar=env is not None, **more)


def _all(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    """The options in the order that help shows them."""
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)
