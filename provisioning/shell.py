"""Commands that messages print for the operator to paste. Every word is quoted for POSIX shells; PowerShell accepts it, too."""

import shlex
import sys
from pathlib import Path

from provisioning.models import Account, Target
from provisioning.resource_ids import resource_group_of


def command(*words: str) -> str:
    """One command line. Names come from Azure and from settings that others may write, so every word is quoted."""
    return shlex.join(words)


def program() -> tuple[str, ...]:
    """Return how this program was started: by its console command, which pipx may have installed, or as a module."""
    name = Path(sys.argv[0]).stem
    return (name,) if name == "aoai-wandb-provision" else ("python", "-m", "provisioning")


def provisioning(name: str, target: Target, subscription_id: str, *more: str) -> str:
    """Return one of our commands for the same account, vault and secret, with `more` options.

    It needs no environment variable but AZURE_CLOUD.
    """
    where = ["--subscription", subscription_id, "-g", target.resource_group]
    if target.vault_group and target.vault_group != target.resource_group:
        where += ["--key-vault-resource-group", target.vault_group]
    if target.vault_subscription:
        where += ["--key-vault-subscription", target.vault_subscription]
    which = ("--openai-account", target.account, "--key-vault", target.vault, "--secret-name", target.secret)
    return command(*program(), name, *where, *which, *more)


def az_account(account: Account, *words: str) -> str:
    """An `az cognitiveservices account` command for this account; `words` are the subcommand and its other options."""
    return command(
        "az", "cognitiveservices", "account", *words, "-g", resource_group_of(account.id), "-n", account.name
    )


def rescue(vault_id: str) -> str:
    """Our command that puts a vault on its access policies. It has no quotes, so that any shell on any system runs it.

    `az keyvault update` would write back everything that it has read, and `az rest` needs a body with quotes.
    """
    return command(*program(), "rescue", "--key-vault", vault_id, "--yes")


MAY_RESCUE = (
    "It takes vaults/write and roleAssignments/write on the vault without a condition: an Owner has both, and so has a Key Vault "
    "Contributor who is also User Access Administrator."
)


def way_back(vault_id: str) -> str:
    """The sentences with the command that puts a vault back on its access policies, and who may run it."""
    return f"To go back to the access policies: {rescue(vault_id)} {MAY_RESCUE}"


def review_condition(scope: str) -> str:
    """The sentence with the `az` command that shows role assignments at a scope with their conditions."""
    return f"Review it: {command('az', 'role', 'assignment', 'list', '--scope', scope)}."


def az_locks(scope: str) -> str:
    """The `az` command that lists the locks at a scope: a subscription, a resource group or a resource."""
    parts = scope.strip("/").split("/")
    where: list[str] = []
    if len(parts) >= 4:
        where += ["-g", parts[3]]
    if len(parts) >= 8:
        where += ["--resource-name", parts[7], "--resource-type", f"{parts[5]}/{parts[6]}"]
    return command("az", "lock", "list", *where, "-o", "table")


def assign_role(principal_id: str, kind: str, role: str, scope: str) -> str:
    """The `az` command that assigns a role."""
    who = ("--assignee-object-id", principal_id, "--assignee-principal-type", kind)
    return command("az", "role", "assignment", "create", *who, "--role", role, "--scope", scope)
