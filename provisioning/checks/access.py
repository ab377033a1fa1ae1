"""Whether somebody else than the operator may do something: by what Azure lists, as nobody can ask in their name."""

from collections.abc import Collection

from provisioning.azure.client import Azure
from provisioning.checks.diagnosis import READ_FILES, READ_JOBS, READ_SECRET, Access, by_policy, by_role
from provisioning.checks.walk import Walk
from provisioning.cli.session import Session
from provisioning.models import Account, Vault


def to_secret(azure: Azure, held: Vault, name: str, principal_id: str) -> Access:
    """What lets the principal read the secret: roles, or access policies where those count."""
    if held.rbac:
        return _by_role(azure, f"{held.id}/secrets/{name}", principal_id, (READ_SECRET,))
    return by_policy(held.policies, principal_id, "get")


def to_jobs(azure: Azure, known: Account, principal_id: str) -> Access:
    """What lets the principal read the account's jobs, and the files with their results."""
    return _by_role(azure, known.id, principal_id, (READ_JOBS, READ_FILES))


def _by_role(azure: Azure, scope: str, principal_id: str, actions: Collection[str]) -> Access:
    held = azure.roles.of(scope, principal_id)
    found = {role_id: azure.roles.definition(scope, role_id) for role_id in sorted({a.role_id for a in held})}
    return by_role(held, {i: role for i, role in found.items() if role}, actions)


def tell_access(walk: Walk, name: str, session: Session, access: Access, lacking: str, remedy: str) -> None:
    """The finding: `lacking` says who lacks what, `remedy` what gives it."""
    if access.by:
        walk.ok(name, f"by {' and '.join(access.by)}{access.age(session.clock.now())}")
    elif access.maybe:
        walk.warn(
            name,
            f"by {' and '.join(access.maybe)}, under a condition that cannot be evaluated from here",
            'Look at the condition: az role assignment list --all --assignee … --query "[].{role:roleDefinitionName, '
            'condition:condition}"; remove it if it is in the way.',
        )
    else:
        walk.fail(name, lacking, remedy)
