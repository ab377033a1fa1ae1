"""The roles that replace one access policy when the vault is switched to Azure RBAC. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from provisioning import shell
from provisioning.models import APPLICATION, AccessPolicy, Assignment, Observed, Principal, RoleDefinition, Target
from provisioning.planning.access.permissions import (
    CANDIDATES,
    Coverage,
    cover,
    data_actions,
    grants,
    permissions_today,
    summary,
)
from provisioning.planning.access.principals import CANNOT_ADD, held_at_vault, is_operator, narrowed, principal, until
from provisioning.planning.actions import NARROWED, AssignRole
from provisioning.planning.ownership import Purpose, owner
from provisioning.planning.steps import Loss, Step, Verb
from provisioning.resource_ids import same


@dataclass(frozen=True)
class PolicyReplacement:
    """The replacement of one access policy.

    Attributes:
        steps: the roles to assign, or one line that names the existing roles that give the same access.
        losses: what Azure RBAC cannot give.
        newest: the time of the latest assignment among the existing roles that count; None without any, and for the operator.
    """

    steps: tuple[Step, ...] = ()
    losses: tuple[Loss, ...] = ()
    newest: datetime | None = None


def carry_over(
    target: Target, observed: Observed, policy: AccessPolicy, given: Iterable[RoleDefinition]
) -> PolicyReplacement:
    """Find the roles that replace one access policy. `given` are the roles that the plan assigns to its principal in any case."""
    who = principal(observed, policy.object_id)
    if who.kind == APPLICATION:
        return PolicyReplacement((_without_effect(observed, who),))
    permissions = permissions_today(policy)
    losses = [Loss(who.label, policy.object_id, reason) for reason in _losses(policy, who)]
    needed, _ = data_actions(policy)
    if policy.application_id or policy.foreign_tenant or who.app_id in _CERTIFICATES or who.missing or not needed:
        return PolicyReplacement(losses=tuple(losses))

    held = held_at_vault(observed, policy.object_id)
    roles = [observed.roles[role_id] for role_id in held if role_id in observed.roles]
    coverage = cover(needed, [*roles, *given], [r for i, r in observed.roles.items() if i in CANDIDATES])
    if coverage.uncovered:
        reason = f"no role fits {summary(coverage.uncovered)}"
        losses.append(Loss(who.label, policy.object_id, reason))

    contributing = [r for r in roles if any(grants(r, action) for action in needed)]
    ending = [a for a in observed.assignments if a.ends and same(a.principal_id, policy.object_id)]
    blocked = {a.role_id: a for a in ending if same(a.scope, observed.vault.id)}
    permissions += "".join(f"; {_until(observed, a)}" for a in ending if not is_operator(observed, policy.object_id))
    add = [role for role in coverage.add if role.id not in blocked]
    losses += [
        Loss(
            who.label,
            policy.object_id,
            f"{_until(observed, blocked[role.id])}, {CANNOT_ADD}",
        )
        for role in coverage.add
        if role.id in blocked
    ]
    steps = [_grant(target, observed, who, role, permissions, coverage) for role in add]
    if not steps and contributing:
        names = ", ".join(r.name for r in contributing)
        steps = [
            Step(
                Verb.ALREADY,
                "role",
                f"{names} → {who.label}",
                why=f"has {permissions} by access policy",
                before=permissions,
            )
        ]
    newest = max((t for r in contributing if (t := held[r.id])), default=None)
    return PolicyReplacement(tuple(steps), tuple(losses), None if is_operator(observed, policy.object_id) else newest)


_CERTIFICATES = {
    "f3c21649-0979-4721-ac85-b0216b2cf413": "Microsoft.Azure.CertificateRegistration",
    "abfa0a7c-a6b6-4736-8310-5855508787cd": "Microsoft.Azure.WebSites",
}
"""Applications of App Service certificates, by id. These certificates are renewed and synchronised by access policy only
(Microsoft, "Add and manage TLS/SSL certificates in Azure App Service")."""


def _without_effect(observed: Observed, who: Principal) -> Step:
    """An access policy with the object id of an app registration, the classic mistake: Key Vault accepts it."""
    return Step(
        Verb.NOTE,
        "access policy",
        f"of {who.label} gives access to nobody: it names an app registration, and not its service principal",
        command=shell.command(
            "az", "keyvault", "delete-policy", "-n", observed.vault.name, "--object-id", who.object_id
        ),
    )


def _until(observed: Observed, assignment: Assignment) -> str:
    role = observed.roles.get(assignment.role_id)
    return until(role.name if role else assignment.role_id, assignment)


def _losses(policy: AccessPolicy, who: Principal) -> Iterable[str]:
    _, unknown = data_actions(policy)
    if policy.foreign_tenant:
        yield f"it belongs to tenant {policy.foreign_tenant}, and Azure RBAC knows only the tenant of the vault's subscription"
    elif who.app_id in _CERTIFICATES:
        yield f"{_CERTIFICATES[who.app_id]} renews App Service certificates, which work with access policies only"
    elif policy.application_id:
        yield f"access only through application {policy.application_id}: Azure RBAC has no compound identities"
    elif who.missing:
        yield "it is not in the directory now; a deleted principal can be restored for 30 days"
    if unknown:
        yield f"no role is known for {', '.join(unknown)}"


def _grant(
    target: Target, observed: Observed, who: Principal, role: RoleDefinition, permissions: str, coverage: Coverage
) -> Step:
    extra = summary({a for a in coverage.over_grant if grants(role, a)})
    condition = narrowed(observed, who.object_id, role.id, observed.vault.id)
    dangers = [NARROWED] if condition else []
    dangers += [f"also gives {extra}"] if extra else []
    return Step(
        Verb.ADD,
        "role",
        f"{role.name} → {who.label}",
        why=f"had {permissions} by access policy",
        before=permissions,
        after=role.name,
        danger="; ".join(dangers),
        action=AssignRole(
            observed.vault,
            role.id,
            role.name,
            who,
            owner(target, observed.account.id),
            Purpose.CARRIED_OVER,
            required_for_switch=not is_operator(observed, who.object_id),
            skip_if_unknown=target.accept_loss and not is_operator(observed, who.object_id),
            narrowed=condition,
        ),
    )
