"""Commands that messages print for the operator to paste. Every word is quoted for POSIX shells; PowerShell accepts it, too."""

import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from provisioning.models import OPENAI_CONTRIBUTOR, SECRETS_USER, Account, Target
from provisioning.resource_ids import assignment_name, resource_group_of

STORAGE_ROLES = ("Storage Blob Data Owner", "Storage Queue Data Contributor", "Storage Table Data Contributor")
"""The roles of the app's identity on its storage account."""
ROLE_IDS = {
    "Key Vault Secrets User": SECRETS_USER,
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Cognitive Services OpenAI Contributor": OPENAI_CONTRIBUTOR,
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
"""The roles that are assigned by printed commands."""


def command(*words: str) -> str:
    """One command line. Names come from Azure and from settings that others may write, so every word is quoted."""
    return shlex.join(words)


def program() -> tuple[str, ...]:
    """Return how this program was started: by its console command, which pipx may have installed, or as a module."""
    name = Path(sys.argv[0]).stem
    return (name,) if name == "aoai-wandb-provision" else ("python", "-m", "provisioning")


def _cloud() -> tuple[str, ...]:
    """Return the option for the cloud, if one was chosen."""
    chosen = os.environ.get("AZURE_CLOUD", "")
    return ("--cloud", chosen) if chosen else ()


def provisioning(name: str, target: Target, subscription_id: str, *more: str) -> str:
    """Return one of our commands for the same account, vault and secret, with `more` options. It needs no variable for these."""
    where = ["--subscription", subscription_id, "-g", target.resource_group]
    for each in fields(target):
        value = getattr(target, each.name)
        if each.metadata and value and (each.name, value) != ("vault_group", target.resource_group):
            where += [each.metadata["flag"], value]
    which = ("--openai-account", target.account, "--key-vault", target.vault, "--secret-name", target.secret)
    return command(*program(), name, *_cloud(), *where, *which, *more)


def az_account(account: Account, *words: str) -> str:
    """An `az cognitiveservices account` command for this account; `words` are the subcommand and its other options."""
    return command(
        "az", "cognitiveservices", "account", *words, "-g", resource_group_of(account.id), "-n", account.name
    )


def rescue(vault_id: str) -> str:
    """Our command that puts a vault on its access policies. It has no quotes, so that any shell on any system runs it.

    `az keyvault update` would write back everything that it has read, and `az rest` needs a body with quotes.
    """
    return command(*program(), "rescue", *_cloud(), "--key-vault", vault_id, "--yes")


MAY_RESCUE = (
    "This requires vaults/write and roleAssignments/write on the vault without a condition: an Owner has both, and so has a Key "
    "Vault Contributor who is also User Access Administrator."
)


def way_back(vault_id: str) -> str:
    """The sentences with the command that puts a vault back on its access policies, and who may run it."""
    return f"To go back to the access policies: {rescue(vault_id)}. {MAY_RESCUE}"


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
    """The `az` command that assigns a role, under the name that setup and the template give the assignment."""
    who = ("--assignee-object-id", principal_id, "--assignee-principal-type", kind)
    which = ("--role", role, "--scope", scope, "--name", assignment_name(scope, principal_id, ROLE_IDS[role]))
    return command("az", "role", "assignment", "create", *who, *which)


MFA_CLAIMS = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlcyI6WyJwMSJdfX19"
"""The claims challenge of Azure's mandatory multi-factor authentication, the same for everybody (Azure CLI issue 31778)."""


def mfa_login(via: str, tenant_id: str) -> str:
    """The command that signs in again with multi-factor authentication, for the program that signed in."""
    if via.startswith("azd"):
        return command("azd", "auth", "login", "--tenant-id", tenant_id)
    if via.startswith("Connect-AzAccount"):
        return command("Connect-AzAccount", "-Tenant", tenant_id, "-ClaimsChallenge", MFA_CLAIMS)
    return command("az", "login", "--tenant", tenant_id, "--claims-challenge", MFA_CLAIMS)


def allow_secrets(vault: str, principal_id: str) -> str:
    """The `az` command that lets a principal read secrets of a vault with access policies."""
    return command(
        "az", "keyvault", "set-policy", "-n", vault, "--object-id", principal_id, "--secret-permissions", "get"
    )
