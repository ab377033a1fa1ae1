"""Turns what the options name, by name or by resource id, into the target of a command."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from provisioning import resource_ids
from provisioning.app_models import FunctionAppName
from provisioning.errors import UsageError
from provisioning.models import Scope, Target
from provisioning.resource_ids import ResourceId

if TYPE_CHECKING:
    from provisioning.cli.session import Session


def located(given: dict[str, Any]) -> dict[str, Any]:
    """Split the resource ids that were given for account and vault into subscription, group and name."""
    account = _parsed(given["openai_account"], "Microsoft.CognitiveServices/accounts", "--openai-account")
    vault = _parsed(given["key_vault"], "Microsoft.KeyVault/vaults", "--key-vault")
    given = given | {each.name: given.get(each.name) or "" for each in fields(Target) if each.metadata}
    if account:
        given |= {"openai_account": account.name, "resource_group": account.resource_group}
        given["subscription"] = account.subscription
    if not given["resource_group"]:
        raise UsageError(
            "The resource group of the account is missing.",
            hint="Pass -g/--resource-group (AZURE_RESOURCE_GROUP), or the account's resource id as --openai-account.",
        )
    if vault:
        given |= {"key_vault": vault.name, "vault_group": vault.resource_group}
        given["vault_subscription"] = vault.subscription
    return given


def group_alone(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a command that is about a resource group, and neither an account nor a vault."""
    if not given["resource_group"]:
        raise click.UsageError("-g/--resource-group is missing: the group that the app is deployed to")
    nothing = dict.fromkeys(("openai_account", "key_vault", "secret_name"), "")
    return given | nothing | {"wandb_key_file": None}


def vault_alone(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a command that is about a vault and no account."""
    if vault := _parsed(given["key_vault"], "Microsoft.KeyVault/vaults", "--key-vault"):
        given = given | {"resource_group": vault.resource_group, "subscription": vault.subscription}
    return given | {"openai_account": "", "secret_name": "", "wandb_key_file": None}


def function_app(session: "Session", name: str, group: str | None = None) -> FunctionAppName:
    """The function app that the options name."""
    if app := _parsed(name, "Microsoft.Web/sites", "--function-app"):
        return FunctionAppName(app.resource_group, app.name, app.subscription)
    return FunctionAppName(group or session.target.resource_group, name)


def _parsed(text: str, resource_type: str, option: str) -> ResourceId | None:
    try:
        return resource_ids.parse(text, resource_type)
    except ValueError as error:
        raise UsageError(
            f"{option}: {error}.", hint="Pass a name, or the id that the portal shows in JSON view."
        ) from error


def target(given: dict[str, Any]) -> Target:
    """The target from the command's options, most of which have the names of its fields."""
    if given.get("create_vault") and given.get("recover_vault"):
        raise click.UsageError(
            "pass only one of --create-key-vault (a new vault) and --recover-key-vault (a deleted one)"
        )
    if given.get("by_access_policy") and given.get("identity_scope") is Scope.SECRET:
        raise click.UsageError(
            "--identity-scope secret requires roles, because an access policy applies to every secret of the vault"
        )
    same_name = {field.name: given[field.name] for field in fields(Target) if field.name in given}
    context = click.get_current_context()
    on_command_line = context.get_parameter_source("secret_lifetime") is click.core.ParameterSource.COMMANDLINE
    named = {"account": given["openai_account"], "vault": given["key_vault"], "secret": given["secret_name"]}
    return Target(**(same_name | named), renew_expiry=on_command_line)
