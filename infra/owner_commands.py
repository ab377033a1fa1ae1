"""Print the commands with which the owners of vault, accounts, storage and logs give the app's identity its roles.

    python -m infra.owner_commands --principal-id ID --app-group rg-finetune-wandb \\
        --storage-account stfinetunewandb --application-insights appi-finetune-wandb setup.json > owner-commands.sh

For a deployment with `assignRoles=false` and `identityId`. The assignments have the names that the template, setup and doctor
give them, so that none of these meets an existing assignment of another name later.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infra.from_setup import DocumentError, merged, variables
from provisioning import shell


def commands(
    values: Mapping[str, str],
    principal_id: str,
    *,
    app_group: str,
    storage: str,
    insights: str,
    by_policy: bool = False,
    discovery: Sequence[str] = (),
) -> Iterator[str]:
    """Each owner's commands, after a line that names the owner.

    Args:
        values: the variables of setup's documents.
        principal_id: the object id of the app's identity.
        app_group: the name of the app's resource group.
        storage: the name of its storage account.
        insights: the name of its Application Insights component.
        by_policy: the vault is on access policies.
        discovery: ids of resource groups whose accounts the app finds.
    """
    vault = values["KEY_VAULT_ID"]
    yield f"# The owner of {vault}: read the W&B key"
    if by_policy:
        yield shell.allow_secrets(vault.rsplit("/", 1)[-1], principal_id)
    else:
        yield _assign(principal_id, "Key Vault Secrets User", f"{vault}/secrets/{values['WANDB_SECRET_NAME']}")
    for account in (*values["AZURE_OPENAI_ACCOUNT_IDS"].split(","), *discovery):
        yield f"# The owner of {account}: read jobs and files"
        yield _assign(principal_id, "Cognitive Services OpenAI User", account)
    group = f"/subscriptions/{values['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{app_group}/providers"
    yield f"# The owner of {app_group}, once the template has created these: queue, leases and package; logs"
    for role in shell.STORAGE_ROLES:
        yield _assign(principal_id, role, f"{group}/Microsoft.Storage/storageAccounts/{storage}")
    yield _assign(principal_id, "Monitoring Metrics Publisher", f"{group}/Microsoft.Insights/components/{insights}")


def _assign(principal_id: str, role: str, scope: str) -> str:
    return shell.assign_role(principal_id, "ServicePrincipal", role, scope)


def main(argv: Sequence[str] | None = None) -> int:
    """Read setup's documents and print the commands."""
    parser = argparse.ArgumentParser(prog="python -m infra.owner_commands", description=__doc__.partition("\n")[0])
    parser.add_argument("--principal-id", required=True, metavar="ID", help="object id of the app's identity")
    parser.add_argument(
        "--app-group", required=True, metavar="NAME", help="resource group of the app, as Azure spells it"
    )
    parser.add_argument("--storage-account", required=True, metavar="NAME", help="the template's names.storageAccount")
    parser.add_argument(
        "--application-insights", required=True, metavar="NAME", help="the template's names.applicationInsights"
    )
    parser.add_argument("--vault-access-policy", action="store_true", help="the vault stays on access policies")
    parser.add_argument(
        "--discovery-group", action="append", default=[], metavar="ID", help="one of discoveryResourceGroupIds"
    )
    parser.add_argument("documents", nargs="+", metavar="FILE", help="a document that setup printed, one per account")
    given = parser.parse_args(argv)
    try:
        values = merged(variables(Path(name).read_bytes()) for name in given.documents)
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    lines = commands(
        values,
        given.principal_id,
        app_group=given.app_group,
        storage=given.storage_account,
        insights=given.application_insights,
        by_policy=given.vault_access_policy,
        discovery=given.discovery_group,
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
