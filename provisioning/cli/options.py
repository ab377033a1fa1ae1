"""The options of the commands, each with its environment variable."""

import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from provisioning import durations
from provisioning.azure.sign_in import CLOUDS
from provisioning.models import SECRETS_OFFICER, SECRETS_USER, Scope

_Command = TypeVar("_Command", bound=Callable[..., Any])


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
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            self.fail("it is not an address such as https://wandb.example.com", param, ctx)
        if parts.username or parts.password:
            self.fail("an address with a user name or password is not accepted", param, ctx)
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            self.fail(f"http://{parts.hostname} would send the key unencrypted: use https", param, ctx)
        return str(value)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class ObjectId(click.ParamType[str]):
    """The object id of a principal: a GUID, returned in lower case."""

    name = "object id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.fail(f"{value!r} is not an object id, which is a GUID", param, ctx)


_ROLES = {"secrets-officer": SECRETS_OFFICER, "secrets-user": SECRETS_USER}


def target_options(command: _Command) -> _Command:
    """Options of plan, setup and status."""
    return chain_options(_granting(_switching(command)))


def chain_options(command: _Command) -> _Command:
    """Options that name account, vault and secret."""
    return _where(_which(command))


def _where(command: _Command) -> _Command:
    return _all(
        command,
        _option(
            "--subscription",
            env="AZURE_SUBSCRIPTION_ID",
            metavar="ID|NAME",
            help="Azure subscription; needed if you have access to several.",
        ),
        _option(
            "-g",
            "--resource-group",
            env="AZURE_RESOURCE_GROUP",
            metavar="NAME",
            help="Resource group of the account, and by default of the vault. Required unless the account is given as an id.",
        ),
    )


def _which(command: _Command) -> _Command:
    return _all(
        command,
        _option(
            "--openai-account",
            env="AZURE_OPENAI_ACCOUNT",
            metavar="NAME|ID",
            required=True,
            help="Azure OpenAI account whose jobs go to W&B.",
        ),
        _option(
            "--key-vault",
            env="AZURE_KEY_VAULT",
            metavar="NAME|ID",
            required=True,
            type=VaultName(),
            help="Key Vault for the W&B key.",
        ),
        _option(
            "--key-vault-resource-group",
            "vault_group",
            env="AZURE_KEY_VAULT_RESOURCE_GROUP",
            metavar="NAME",
            help="Resource group of the vault; by default the account's.",
        ),
        _option(
            "--key-vault-subscription",
            "vault_subscription",
            env="AZURE_KEY_VAULT_SUBSCRIPTION_ID",
            metavar="ID|NAME",
            help="Subscription of the vault; by default the account's.",
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
            help="Azure cloud, named as in `az cloud list`; the public cloud unless azure-core is configured otherwise.",
        ),
    )


def vault_options(command: _Command) -> _Command:
    """Options for a vault that does not exist."""
    return _all(
        command,
        _option(
            "--create-key-vault",
            "create_vault",
            is_flag=True,
            help="Create the vault if it is missing: standard, on Azure RBAC, with soft delete for 90 days.",
        ),
        _option(
            "--recover-key-vault",
            "recover_vault",
            is_flag=True,
            help="Recover the vault if it is deleted, with its content but without its role assignments.",
        ),
        _option(
            "--location",
            env="AZURE_LOCATION",
            metavar="REGION",
            help="Region of a new or recovered vault; by default the account's region.",
        ),
        _option(
            "--purge-protection/--no-purge-protection",
            default=True,
            help="For a new vault. `on` cannot be undone: nobody can purge the deleted vault early.",
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
            help="Role of the account's identity. Microsoft's page about W&B requires the default.",
        ),
        _option(
            "--identity-scope",
            type=click.Choice([s.value for s in Scope]),
            default=Scope.VAULT.value,
            callback=lambda ctx, param, value: Scope(value),
            help="Scope of that role: the whole vault or the one secret.",
        ),
        _option(
            "--reader",
            "readers",
            env="KEY_VAULT_READERS",
            type=ObjectId(),
            multiple=True,
            metavar="OBJECT_ID",
            help="A principal that may read the one secret, such as the function app's identity. May be repeated.",
        ),
        _option(
            "--principal-type",
            type=click.Choice(["ServicePrincipal", "User", "Group"]),
            help="Type of principals that you may not look up in the directory.",
        ),
        _option(
            "--vault-access-policy",
            "by_access_policy",
            is_flag=True,
            help="Keep the vault on access policies and add entries instead of roles.",
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
            help="How long to wait for new roles before switching a vault that others use; Azure documents ten minutes.",
        ),
        _option(
            "--accept-loss",
            is_flag=True,
            help="Continue even if some principals lose access because no role can replace their access policy.",
        ),
    )


def output_options(command: _Command) -> _Command:
    """Options for the output."""
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
    """Options for the W&B key and its use."""
    key = _option(
        "--wandb-key-file",
        metavar="FILE",
        help="File with the W&B key; - is stdin. By default WANDB_API_KEY, then a hidden prompt.",
    )
    return key(wandb_options(command))


def lifetime_option(command: _Command) -> _Command:
    """The option for the lifetime of a secret version."""
    return _option(
        "--secret-lifetime",
        env="WANDB_SECRET_LIFETIME",
        type=Lifetime(),
        default="180d",
        metavar="TIME|never",
        help="Lifetime of a new version. On the command line it also applies to an existing version with the same key, counted "
        "from now. An expired version can still be read; status and doctor warn 30 days before.",
    )(command)


def consent_options(command: _Command) -> _Command:
    """Options of commands that write."""
    return _all(
        command,
        click.option("-y", "--yes", is_flag=True, help="Apply without asking."),
        click.option("--dry-run", is_flag=True, help="Show the plan and write nothing."),
    )


def teardown_options(command: _Command) -> _Command:
    """Options of teardown."""
    return _all(
        command,
        _option(
            "--reader",
            "readers",
            env="KEY_VAULT_READERS",
            type=ObjectId(),
            multiple=True,
            metavar="OBJECT_ID",
            help="On a vault with access policies, a principal besides you and the account whose entry from setup goes, too.",
        ),
        click.option(
            "--restore-access-policies",
            is_flag=True,
            help="If setup switched the vault, switch it back to its access policies and remove the roles that replaced them.",
        ),
        click.option(
            "--accept-loss",
            is_flag=True,
            help="Continue even if some principals lose access because they have a role but no access policy.",
        ),
    )


def wandb_options(command: _Command) -> _Command:
    """Options for the W&B server and team."""
    return _all(
        command,
        _option("--wandb-base-url", env="WANDB_BASE_URL", metavar="URL", type=ServerUrl(), help="Your own W&B server."),
        _option(
            "--wandb-entity", env="WANDB_ENTITY", metavar="NAME", help="W&B team for the runs; checked with the key."
        ),
    )


def function_app_options(command: _Command) -> _Command:
    """Options that name the function app."""
    return _all(
        command,
        _option(
            "--function-app",
            env="AZURE_FUNCTION_APP",
            metavar="NAME|ID",
            help="Function app to check as well.",
        ),
        _option(
            "--function-app-group",
            env="AZURE_FUNCTION_APP_GROUP",
            metavar="NAME",
            help="Its resource group; by default the account's.",
        ),
    )


def _option(*names: str, env: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
    """Return an option with an environment variable, which --help shows."""
    return click.option(*names, envvar=env, show_envvar=env is not None, **more)


def _all(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    """Apply the options in the order of --help."""
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)
