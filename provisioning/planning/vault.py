"""The steps for the vault itself: create or recover it, switch it back, and note its network rules. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from provisioning.models import Network, Observed, Target, Vault, VaultState
from provisioning.planning.actions import AwaitVault, CreateVault, RecoverVault, Rescue, RestoreAccessPolicies
from provisioning.planning.ownership import switched_since
from provisioning.planning.steps import Plan, Step, Verb

ACCESS_MODEL = "vault access model"
"""The resource of a plan's line about the access model."""
UNTRUSTED = "neither Azure OpenAI nor Azure Functions is among Key Vault's trusted services"
"""(Microsoft, virtual network service endpoints for Key Vault): `bypass: AzureServices` does not let them in."""


def vault_steps(target: Target, observed: Observed) -> Iterator[Step]:
    """Plan the creation or recovery of a vault that does not exist."""
    vault = observed.vault
    match vault.state:
        case VaultState.MISSING:
            yield _creation(target, observed)
            if not vault.name_checked:
                yield Step(
                    Verb.NOTE,
                    "vault name",
                    f"you may not ask Azure whether {vault.name} is free",
                    danger="a vault of others, or a deleted one, may have it: setup would stop when it creates the vault",
                )
        case VaultState.DELETED:
            yield from _recovery(observed)
        case VaultState.REGISTERING:
            yield Step(
                Verb.WAIT,
                "vault",
                f"the host name of {vault.name} is being registered",
                why="it was just created or recovered, perhaps by an interrupted run",
                action=AwaitVault(vault),
            )


def just_switched(vault: Vault, now: datetime) -> bool:
    """Return whether setup switched the vault within the last day, so access by role may not be effective yet."""
    return vault.rbac and switched_since(vault.tags, (now - timedelta(days=1)).date())


def plan_rescue(vault: Vault) -> Plan:
    """Plan the way back to the vault's access policies."""
    if not vault.rbac:
        return Plan(vault.name, (Step(Verb.ALREADY, ACCESS_MODEL, "access policies"),))
    return Plan(vault.name, (switch_back(vault, Rescue(vault)),))


def switch_back(vault: Vault, action: Rescue | RestoreAccessPolicies) -> Step:
    """Return the step that puts a vault back on its access policies."""
    count = len(vault.policies)
    again = "policy counts again" if count == 1 else "policies count again"
    return Step(
        Verb.CHANGE,
        ACCESS_MODEL,
        "Azure RBAC → access policies",
        before="Azure RBAC",
        after="access policies",
        danger=f"its {count} access {again}; roles on it, including inherited ones, give no access to what it holds",
        action=action,
    )


def network_note(observed: Observed) -> Iterator[Step]:
    """Warn if the vault's network rules may keep the account and the function app out."""
    network = observed.vault.network
    if network is not Network.OPEN:
        yield Step(
            Verb.NOTE,
            "vault network",
            f"{observed.vault.name} answers {network} only",
            danger=f"{observed.account.name} and the function app may be blocked: {UNTRUSTED}",
        )


def _creation(target: Target, observed: Observed) -> Step:
    vault = observed.vault
    model = "Azure RBAC" if vault.rbac else "access policies"
    protected = "purge protection is irreversible: after a deletion the name and the content stay for 90 days"
    purgeable = "without purge protection a deleted vault can be purged permanently, with all its keys and secrets"
    return Step(
        Verb.ADD,
        "vault",
        f"{vault.name} in {vault.location}: standard, {model}, soft delete for 90 days"
        + (", purge protection" if target.purge_protection else ""),
        why="it does not exist; --create-key-vault",
        before="missing",
        after=model,
        danger=protected if target.purge_protection else purgeable,
        action=CreateVault(vault, target.purge_protection),
    )


def _recovery(observed: Observed) -> Iterator[Step]:
    vault = observed.vault
    yield Step(
        Verb.CHANGE,
        "vault",
        f"recover {vault.name} from the deleted state",
        why="--recover-key-vault",
        before="deleted, recoverable",
        after="as it was when it was deleted",
        danger="its role assignments are not recovered: every principal that used it by role needs a new assignment",
        action=RecoverVault(vault),
    )
    yield Step(
        Verb.NOTE, "then", "setup reads the vault again and plans the rest, as its access model is known only then"
    )
