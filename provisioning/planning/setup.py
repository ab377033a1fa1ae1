"""Plan setup: the steps in order, and the access that cannot be carried over. Pure."""

from collections.abc import Iterable
from datetime import datetime

from provisioning import shell
from provisioning.durations import spell
from provisioning.models import CHANGING, KeyState, Observed, SecretState, Target, VaultState
from provisioning.planning.access import contributors, grants
from provisioning.planning.access.carry_over import carry_over
from provisioning.planning.actions import AssignRole, AwaitAccount, AwaitRoles, EnableIdentity, SwitchToRbac
from provisioning.planning.ownership import owner
from provisioning.planning.secret import secret_step
from provisioning.planning.steps import Loss, Plan, Step, Verb
from provisioning.planning.vault import ACCESS_MODEL, just_switched, network_note, vault_steps


def plan_setup(target: Target, observed: Observed, key: KeyState) -> Plan:
    """Plan everything that setup ensures, in the order of application. Resources that need no change are steps, too.

    Roles come before the switch of the vault, so that every principal always has access. The secret comes when the
    operator's role works, and roles on the secret come when the secret exists. A deleted vault must be recovered before
    more can be planned.
    """
    about = f"{observed.account.name} → {observed.vault.name}"
    steps = [*vault_steps(target, observed)]
    if observed.vault.state is VaultState.DELETED:
        return Plan(about, tuple(steps), partial=True)
    steps += _identity(target, observed)
    losses: list[Loss] = []
    if target.by_access_policy:
        steps += _entries(target, observed)
        steps.append(secret_step(target, observed, key))
    else:
        access, losses = _roles(target, observed)
        steps += [*access, secret_step(target, observed, key)]
        steps += grants.on_secret(target, observed)
        steps += grants.broader_access(target, observed)
    steps += contributors.on_account(target, observed)
    steps += network_note(observed)
    return Plan(about, tuple(steps), tuple(losses))


def _entries(target: Target, observed: Observed) -> Iterable[Step]:
    """Plan access-policy entries. The vault stays on its access policies, so there is no switch and no wait."""
    yield from grants.by_policy(target, observed)
    if observed.vault.state is not VaultState.MISSING:
        yield Step(Verb.ALREADY, ACCESS_MODEL, "access policies (--vault-access-policy)")


def _roles(target: Target, observed: Observed) -> tuple[list[Step], list[Loss]]:
    """Plan the roles on the vault, then the switch to Azure RBAC. List the access that no role can give."""
    steps: list[Step] = []
    losses: list[Loss] = []
    newest: datetime | None = None
    if not observed.vault.rbac:
        for policy in observed.vault.policies:
            carried = carry_over(target, observed, policy, grants.given(target, observed, policy.object_id))
            steps += carried.steps
            losses += carried.losses
            newest = max((t for t in (newest, carried.newest) if t), default=None)
    steps += grants.on_vault(target, observed)
    if not observed.vault.rbac:
        steps += _switch(target, observed, steps, newest)
    elif just_switched(observed.vault, observed.at) and observed.secret.state is SecretState.UNKNOWN:
        steps.append(
            Step(
                Verb.NOTE,
                ACCESS_MODEL,
                "Azure RBAC. Setup switched it and may have been interrupted: you have no access yet. To go back instead",
                command=shell.rescue(observed.vault.id),
            )
        )
    elif observed.vault.state is not VaultState.MISSING:
        steps.append(Step(Verb.ALREADY, ACCESS_MODEL, "Azure RBAC"))
    return steps, losses


def _identity(target: Target, observed: Observed) -> Iterable[Step]:
    account = observed.account
    if account.state.lower() in CHANGING:
        yield Step(
            Verb.WAIT,
            "account",
            f"{account.name} is {account.state.lower()}",
            why="a change is in progress, perhaps from an interrupted run",
            action=AwaitAccount(account),
        )
    if not target.with_identity:
        yield Step(Verb.ALREADY, "account identity", "left as it is (--no-account-identity)")
        return
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
    awaited = [s for s in so_far if isinstance(s.action, AssignRole) and s.action.required_for_switch]
    young = newest is not None and newest + target.propagation_wait > observed.at
    if (awaited or young) and target.propagation_wait:
        yield Step(
            Verb.WAIT,
            "roles take effect",
            f"up to {spell(target.propagation_wait)} before the switch",
            why="others depend on this vault, and Azure does not report when a role takes effect",
            action=AwaitRoles(target.propagation_wait, newest),
        )
    known = {observed.caller.object_id.lower(), (observed.account.principal_id or "").lower(), *observed.principals}
    if not {policy.object_id.lower() for policy in observed.vault.policies} <= known:
        yield Step(
            Verb.NOTE,
            "directory",
            "you may not read all of it: deleted principals and those of App Service certificates are not recognised",
        )
    yield Step(
        Verb.NOTE,
        "later moves",
        "roles do not move with a vault to another group or subscription, as access policies do",
        why="after such a move, run `setup` again, and assign the roles of others again",
    )
    count = len(observed.vault.policies)
    inert = "policy stops being effective but remains stored"
    if count != 1:
        inert = "policies stop being effective but remain stored"
    yield Step(
        Verb.CHANGE,
        ACCESS_MODEL,
        "access policies → Azure RBAC",
        before="access policies",
        after="Azure RBAC",
        danger=f"its {count} access {inert}" if count else "",
        action=SwitchToRbac(observed.vault, owner(target, observed.account.id), shared=bool(target.propagation_wait)),
    )
