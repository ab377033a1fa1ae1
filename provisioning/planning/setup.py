"""(Target, Observed) → Plan: what has to happen, in which order, and what cannot be carried over. Pure."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import SecretStr

from provisioning.durations import spell
from provisioning.models import CHANGING, KeyState, Observed, Secret, SecretState, Target, VaultState
from provisioning.planning import grants
from provisioning.planning.carry_over import carry_over
from provisioning.planning.secret import secret_step
from provisioning.planning.steps import (
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    CreateVault,
    EnableIdentity,
    ForgetSwitch,
    Loss,
    Plan,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RestoreAccessPolicies,
    Step,
    SwitchToRbac,
    Verb,
)
from provisioning.planning.vault import network_note, vault_steps


def key_state(secret: Secret, key: SecretStr | None) -> KeyState:
    """How the key at hand compares with what the vault showed."""
    if key is None:
        return KeyState.NONE
    if secret.state is SecretState.PRESENT and secret.value == key:
        return KeyState.SAME
    return KeyState.OTHER


def plan(target: Target, observed: Observed, key: KeyState) -> Plan:
    """Everything that is wanted, as steps in the order they have to happen; what is so already is a step too.

    Roles come before the switch of the vault, so that nobody is without access in between; the secret comes when the
    operator's role can be used, and roles on the secret when it is there. A deleted vault has to come back before
    more can be planned.
    """
    about = f"{observed.account.name} → {observed.vault.name}"
    steps = [*vault_steps(target, observed)]
    if observed.vault.state is VaultState.DELETED:
        return Plan(about, tuple(steps), partial=True)
    steps += _identity(observed)
    losses: list[Loss] = []
    if target.by_access_policy:
        steps += _entries(target, observed)
        steps.append(secret_step(target, observed, key))
    else:
        access, losses = _roles(target, observed)
        steps += [*access, secret_step(target, observed, key)]
        steps += grants.on_secret(target, observed)
        steps += grants.more_than_asked(target, observed)
    steps += network_note(observed)
    return Plan(about, tuple(steps), tuple(losses))


def _entries(target: Target, observed: Observed) -> Iterable[Step]:
    """Access-policy entries for all who need them. The vault stays on its access policies: no switch and no wait."""
    yield from grants.by_policy(target, observed)
    if observed.vault.state is not VaultState.MISSING:
        yield Step(Verb.ALREADY, "vault access model", "access policies (--vault-access-policy)")


def _roles(target: Target, observed: Observed) -> tuple[list[Step], list[Loss]]:
    """Roles on the vault for all who need them, then the switch that makes them count; and what cannot be given."""
    steps: list[Step] = []
    losses: list[Loss] = []
    newest: datetime | None = None
    if not observed.vault.rbac:
        for policy in observed.vault.policies:
            carried = carry_over(observed, policy, grants.given(target, observed, policy.object_id))
            steps += carried.steps
            losses += carried.losses
            newest = max((t for t in (newest, carried.newest) if t), default=None)
    steps += grants.on_vault(target, observed)
    if not observed.vault.rbac:
        steps += _switch(target, observed, steps, newest)
    elif observed.vault.state is not VaultState.MISSING:
        steps.append(Step(Verb.ALREADY, "vault access model", "Azure RBAC"))
    return steps, losses


def rights(made: Plan, observed: Observed) -> tuple[tuple[str, str], ...]:
    """What the caller must be allowed to do for this plan: actions of the control plane, each with its scope."""
    account, vault = observed.account.id, observed.vault.id
    if observed.vault.state in (VaultState.MISSING, VaultState.DELETED):
        vault = observed.vault.group_id  # where there is no vault yet, rights are those on its group
    assign, write = ("Microsoft.Authorization/roleAssignments/write", vault), ("Microsoft.KeyVault/vaults/write", vault)
    needed: list[tuple[str, str]] = []
    for step in made.work:
        match step.action:
            case EnableIdentity():
                needed.append(("Microsoft.CognitiveServices/accounts/write", account))
            case AssignRole():
                needed.append(assign)
            case CreateVault() | RecoverVault() | ForgetSwitch():
                needed.append(write)
            case AllowByPolicy() | RemoveEntries():  # the vault's tag says which entries are setup's
                needed += [("Microsoft.KeyVault/vaults/accessPolicies/write", vault), write]
            case SwitchToRbac() | RestoreAccessPolicies():
                # Microsoft's pages disagree whether vaults/write is enough; the stricter one asks for both.
                needed += [write, assign]
            case RemoveRole():
                needed.append(("Microsoft.Authorization/roleAssignments/delete", vault))
    return tuple(dict.fromkeys(needed))


def _identity(observed: Observed) -> Iterable[Step]:
    account = observed.account
    if account.state.lower() in CHANGING:
        yield Step(
            Verb.WAIT,
            "account",
            f"{account.name} is {account.state.lower()}",
            why="a change is under way, perhaps from an interrupted run",
            action=AwaitAccount(),
        )
    kept = f", {len(account.user_identities)} user-assigned kept" if account.user_identities else ""
    if account.principal_id:
        yield Step(Verb.ALREADY, "account identity", f"SystemAssigned{kept}, principal {account.principal_id}")
    else:
        yield Step(
            Verb.ADD,
            "account identity",
            f"SystemAssigned for {account.name}{kept}",
            why="so that it can read the W&B key from the vault",
            before="UserAssigned" if account.user_identities else "none",
            after="SystemAssigned, UserAssigned" if account.user_identities else "SystemAssigned",
            action=EnableIdentity(account),
        )


def _switch(target: Target, observed: Observed, so_far: Iterable[Step], newest: datetime | None) -> Iterable[Step]:
    guarding = [s for s in so_far if isinstance(s.action, AssignRole) and s.action.guards]
    young = newest is not None and newest + target.propagation_wait > observed.at
    if (guarding or young) and target.propagation_wait:
        yield Step(
            Verb.WAIT,
            "roles take effect",
            f"up to {spell(target.propagation_wait)} before the switch",
            why="others depend on this vault, and no service tells when a role has arrived",
            action=AwaitRoles(target.propagation_wait, newest),
        )
    count = len(observed.vault.policies)
    plural = "policy stops" if count == 1 else "policies stop"
    yield Step(
        Verb.CHANGE,
        "vault access model",
        "access policies → Azure RBAC",
        before="access policies",
        after="Azure RBAC",
        danger=f"its {count} access {plural} counting (they stay stored)" if count else "",
        action=SwitchToRbac(),
    )
