"""The vault itself as steps of a plan: make it, bring it back, and what its network rules mean for others. Pure."""

from collections.abc import Iterator

from provisioning.models import Network, Observed, Target, VaultState
from provisioning.planning.steps import AwaitVault, CreateVault, RecoverVault, Step, Verb

UNTRUSTED = "neither Azure OpenAI nor Azure Functions is among Key Vault's trusted services"
"""(Microsoft, virtual network service endpoints for Key Vault): `bypass: AzureServices` does not let them in."""


def vault_steps(target: Target, observed: Observed) -> Iterator[Step]:
    """What makes the vault be there, where it is not."""
    vault = observed.vault
    match vault.state:
        case VaultState.MISSING:
            yield _creation(target, observed)
        case VaultState.DELETED:
            yield from _recovery(observed)
        case VaultState.REGISTERING:
            yield Step(
                Verb.WAIT,
                "vault",
                f"the host name of {vault.name} is being registered",
                why="it is new or was just recovered, perhaps by an interrupted run",
                action=AwaitVault(),
            )


def network_note(observed: Observed) -> Iterator[Step]:
    """A warning where this machine gets in and nobody can tell whether those get in who have to."""
    network = observed.vault.network
    if network is not Network.OPEN:
        yield Step(
            Verb.NOTE,
            "vault network",
            f"{observed.vault.name} answers {network} only",
            danger=f"{observed.account.name} and the function app may be shut out: {UNTRUSTED}",
        )


def _creation(target: Target, observed: Observed) -> Step:
    vault = observed.vault
    model = "Azure RBAC" if vault.rbac else "access policies"
    protected = "purge protection is irreversible: once deleted, its name and content stay for 90 days whatever happens"
    purgeable = "without purge protection a deleted vault can be purged for good, keys and all"
    return Step(
        Verb.ADD,
        "vault",
        f"{vault.name} in {vault.location}: standard, {model}, soft delete for 90 days"
        + (", purge protection" if target.purge_protection else ""),
        why="it is not there; --create-key-vault",
        before="missing",
        after=model,
        danger=protected if target.purge_protection else purgeable,
        action=CreateVault(vault.location, target.purge_protection, vault.rbac),
    )


def _recovery(observed: Observed) -> Iterator[Step]:
    vault = observed.vault
    yield Step(
        Verb.CHANGE,
        "vault",
        f"bring {vault.name} back from the deleted state",
        why="--recover-key-vault",
        before="deleted, recoverable",
        after="as it was when it was deleted",
        danger="role assignments do not come back: who else used it by role has to be given that again",
        action=RecoverVault(vault.location),
    )
    yield Step(Verb.NOTE, "then", "setup looks again and plans the rest: how the vault grants access shows only then")
