"""The options of the commands, each with its environment variable."""

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from functools import reduce
from typing import Any, TypeVar

import click

from provisioning.cli.arguments.parameters import Lifetime, ObjectId, SecretName, ServerUrl, Span, VaultName
from provisioning.models import CLOUDS, SECRETS_OFFICER, SECRETS_USER, Scope, Target

_Command = TypeVar("_Command", bound=Callable[..., Any])


_ROLES = {"secrets-officer": SECRETS_OFFICER, "secrets-user": SECRETS_USER}


identity_option = click.option(
    "--account-identity/--no-account-identity",
    "with_identity",
    default=True,
    help="Whether the account's identity is enabled and may read the secret. Only the portal's own integration needs it.",
)


def target_options(command: _Command) -> _Command:
    """Options of plan, setup and status."""
    return chain_options(_granting(_switching(command)))


def chain_options(command: _Command) -> _Command:
    """Options that name account, vault and secret."""
    return _subscription_and_group(_account_and_vault(command))


def _subscription_and_group(command: _Command) -> _Command:
    return with_options(
        command,
        option(
            "--subscription",
            env="AZURE_SUBSCRIPTION_ID",
            metavar="ID|NAME",
            help="Azure subscription; needed if you have access to several.",
        ),
        option(
            "-g",
            "--resource-group",
            env="AZURE_RESOURCE_GROUP",
            metavar="NAME",
            help="Resource group of the account, and by default of the vault. Required unless the account is given as an id.",
        ),
    )


def app_group_options(command: _Command) -> _Command:
    """Options that name the resource group to deploy to."""
    return with_options(
        command,
        option("--subscription", env="AZURE_SUBSCRIPTION_ID", metavar="ID|NAME", help="Azure subscription of the app."),
        option("-g", "--resource-group", metavar="NAME", required=True, help="Resource group of the app."),
        _cloud(),
    )


def proof_group_options(command: _Command) -> _Command:
    """Options of prove that other commands have, too."""
    subscription = option(
        "--subscription", env="AZURE_SUBSCRIPTION_ID", metavar="ID|NAME", help="Azure subscription for the proof."
    )
    return with_options(command, subscription, _cloud(), _propagation_wait())


def rescue_options(command: _Command) -> _Command:
    """Options that name the vault alone."""
    accept = click.option(
        "--accept-loss",
        is_flag=True,
        help="Continue even if the vault has no access policies, and nobody could use it.",
    )
    return _subscription_and_group(with_options(command, *_vault(), _cloud(), accept))


def _account_and_vault(command: _Command) -> _Command:
    return with_options(
        command,
        option(
            "--openai-account",
            env="AZURE_OPENAI_ACCOUNT",
            metavar="NAME|ID",
            required=True,
            help="Azure OpenAI account whose jobs go to W&B.",
        ),
        *_vault(),
        option(
            "--secret-name",
            env="WANDB_SECRET_NAME",
            metavar="NAME",
            type=SecretName(),
            default="wandb-api-key",
            help="Name of the secret.",
        ),
        _cloud(),
    )


def _vault() -> Sequence[Callable[[Any], Any]]:
    return (
        option(
            "--key-vault",
            env="AZURE_KEY_VAULT",
            metavar="NAME|ID",
            required=True,
            type=VaultName(),
            help="Key Vault for the W&B key.",
        ),
        *(_of_field(each) for each in fields(Target) if each.metadata),
    )


def _of_field(each: Field[Any]) -> Callable[[Any], Any]:
    """Return the option that a field of Target declares."""
    more = dict(each.metadata)
    return option(more.pop("flag"), each.name, **more)


def _cloud() -> Callable[[Any], Any]:
    return option(
        "--cloud",
        env="AZURE_CLOUD",
        type=click.Choice(CLOUDS),
        help="Azure cloud, named as in `az cloud list`; the public cloud unless azure-core is configured otherwise.",
    )


def vault_options(command: _Command) -> _Command:
    """Options for a vault that does not exist."""
    return with_options(
        command,
        option(
            "--create-key-vault",
            "create_vault",
            is_flag=True,
            help="Create the vault if it is missing: standard, on Azure RBAC, with soft delete for 90 days.",
        ),
        option(
            "--recover-key-vault",
            "recover_vault",
            is_flag=True,
            help="Recover the vault if it is deleted, with its content but without its role assignments.",
        ),
        option(
            "--location",
            env="AZURE_LOCATION",
            metavar="REGION",
            help="Region of a new or recovered vault; by default the account's region.",
        ),
        option(
            "--purge-protection/--no-purge-protection",
            default=True,
            help="For a new vault. `on` cannot be undone: nobody can purge the deleted vault early.",
        ),
    )


def _granting(command: _Command) -> _Command:
    return with_options(
        command,
        option(
            "--identity-role",
            type=click.Choice(list(_ROLES)),
            default="secrets-officer",
            callback=lambda ctx, param, value: _ROLES[value],
            help="Role of the account's identity. Microsoft's page about W&B requires the default.",
        ),
        option(
            "--identity-scope",
            type=click.Choice([s.value for s in Scope]),
            default=Scope.VAULT.value,
            callback=lambda ctx, param, value: Scope(value),
            help="Scope of that role: the whole vault or the one secret.",
        ),
        identity_option,
        _readers("A principal that may read the one secret, such as the function app's identity. May be repeated."),
        _contributors("A principal that may start fine-tuning jobs in the account. May be repeated."),
        option(
            "--principal-type",
            type=click.Choice(["ServicePrincipal", "User", "Group"]),
            help="Type of principals that you may not look up in the directory.",
        ),
        option(
            "--vault-access-policy",
            "by_access_policy",
            is_flag=True,
            help="Keep the vault on access policies and add entries instead of roles.",
        ),
    )


def _switching(command: _Command) -> _Command:
    return with_options(
        command,
        _propagation_wait(),
        option(
            "--accept-loss",
            is_flag=True,
            help="Continue even if some principals lose access because no role can replace their access policy.",
        ),
        click.option(
            "--accept-no-way-back",
            is_flag=True,
            help="Switch the vault although an Azure Policy would refuse to put it back on its access policies.",
        ),
    )


def _propagation_wait() -> Callable[[Any], Any]:
    return option(
        "--propagation-wait",
        type=Span(),
        default="10m",
        metavar="TIME",
        help="How long to wait for new roles before switching a vault that others use; Azure documents ten minutes.",
    )


def output_options(command: _Command) -> _Command:
    """Options for the output."""
    return with_options(
        command,
        option(
            "-o",
            "--output",
            type=click.Choice(["table", "json"]),
            default="table",
            help="json: exactly one document on stdout, also on failure.",
        ),
        option("-v", "--verbose", is_flag=True, help="Show the HTTP requests (method, URL, status) on stderr."),
    )


def key_options(command: _Command) -> _Command:
    """Options for the W&B key and its use."""
    key = _key_file("File with the W&B key; - is stdin. By default WANDB_API_KEY, then a hidden prompt.")
    return with_options(wandb_options(command), key)


def compared_key_option(command: _Command) -> _Command:
    """The option for a W&B key that is only compared with the secret."""
    return with_options(
        command, _key_file("File with a W&B key to compare with the secret; - is stdin. By default WANDB_API_KEY.")
    )


def _key_file(text: str) -> Callable[[Any], Any]:
    return option("--wandb-key-file", metavar="FILE", help=text)


def lifetime_option(command: _Command) -> _Command:
    """The option for the lifetime of a secret version."""
    return option(
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
    return with_options(
        command,
        click.option("-y", "--yes", is_flag=True, help="Apply without asking."),
        click.option("--dry-run", is_flag=True, help="Show the plan and write nothing."),
    )


def teardown_options(command: _Command) -> _Command:
    """Options of teardown."""
    return with_options(
        command,
        _readers(
            "On a vault with access policies, another principal (besides you and the account) whose entry from setup is removed."
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
    return with_options(
        command,
        option("--wandb-base-url", env="WANDB_BASE_URL", metavar="URL", type=ServerUrl(), help="Your own W&B server."),
        option(
            "--wandb-entity", env="WANDB_ENTITY", metavar="NAME", help="W&B team for the runs; checked with the key."
        ),
    )


def function_app_options(command: _Command) -> _Command:
    """Options that name the function app."""
    return with_options(
        command,
        option(
            "--function-app",
            env="AZURE_FUNCTION_APP",
            metavar="NAME|ID",
            help="Function app to check as well.",
        ),
        option(
            "--function-app-group",
            env="AZURE_FUNCTION_APP_GROUP",
            metavar="NAME",
            help="Its resource group; by default the account's.",
        ),
    )


def contributor_option(command: _Command) -> _Command:
    """The option for principals who start fine-tuning jobs."""
    return _contributors("A principal who starts fine-tuning jobs, to be checked for the role. May be repeated.")(
        command
    )


def option(*names: str, env: str | None = None, **more: Any) -> Callable[[_Command], _Command]:
    """Return an option with an environment variable, which --help shows."""
    return click.option(*names, envvar=env, show_envvar=env is not None, **more)


def _readers(description: str) -> Callable[[_Command], _Command]:
    """Return the option that names readers, with the help text of a command."""
    return option(
        "--reader",
        "readers",
        env="KEY_VAULT_READERS",
        type=ObjectId(),
        multiple=True,
        metavar="OBJECT_ID",
        help=description,
    )


def _contributors(description: str) -> Callable[[_Command], _Command]:
    """Return the option that names contributors, with the help text of a command."""
    return option(
        "--contributor",
        "contributors",
        env="AZURE_OPENAI_CONTRIBUTORS",
        type=ObjectId(),
        multiple=True,
        metavar="OBJECT_ID",
        help=description,
    )


def with_options(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    """Apply the options in the order of --help."""
    return reduce(lambda decorated, each: each(decorated), reversed(options), command)
