"""Whether principals other than the operator have access. Azure offers no such check for others, so their roles are
read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from provisioning.azure.client import Azure
from provisioning.checks.report import Finding, failed, ok, warning
from provisioning.durations import spell
from provisioning.models import AccessPolicy, Account, Assignment, RoleDefinition, Vault
from provisioning.observation.inventory import ends_at
from provisioning.planning.access.contributors import SUBMITTING
from provisioning.planning.access.permissions import grants, own_policies
from provisioning.planning.access.principals import until, with_ends

READ_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"  # noqa: S105 - an action, not a secret
READ_JOBS = "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read"
READ_FILES = "Microsoft.CognitiveServices/accounts/OpenAI/files/read"
PROPAGATION = timedelta(minutes=10)
"""How long a new role may need to take effect (Microsoft, RBAC troubleshooting)."""


@dataclass(frozen=True)
class Access:
    """The roles or access policy that give a principal the data actions it needs.

    Attributes:
        by: names of the roles, or the access policy.
        conditional: names of roles that may give it; their conditions cannot be evaluated here.
        since: creation of the youngest of `by`, if known.
        unread: a note about what could not be read, which ends a sentence.
        until: when the access ends, in words; empty if it lasts, or if that was not read.
    """

    by: tuple[str, ...] = ()
    conditional: tuple[str, ...] = ()
    since: datetime | None = None
    unread: str = ""
    until: str = ""

    def finding(self, now: datetime, lacking: str, remedy: str) -> Finding:
        """The finding of a check: `lacking` and `remedy` say what is missing and what adds it."""
        if self.by and self.until:
            return warning(f"by {' and '.join(self.by)}; {self.until}", remedy)
        if self.by:
            return ok(f"by {' and '.join(self.by)}{self._age(now)}")
        if self.conditional:
            return warning(
                f"by {' and '.join(self.conditional)}, under a condition that doctor cannot evaluate",
                "Review the condition: az role assignment list --all --assignee … --query "
                '"[].{role:roleDefinitionName, condition:condition}"; remove it if it prevents this access.',
            )
        return failed(lacking + self.unread, remedy)

    def _age(self, now: datetime) -> str:
        """A note about access that may be too young to work; empty otherwise."""
        if self.since is None or now - self.since >= PROPAGATION:
            return ""
        age = spell(timedelta(seconds=max(0, round((now - self.since).total_seconds()))))
        return f" ({age} old: a new role may take {spell(PROPAGATION)} to work)"


def to_secret(azure: Azure, vault: Vault, name: str, principal_id: str) -> Access:
    """Return the access of the principal to the secret, by roles, or by access policies on a vault that uses them."""
    if vault.rbac:
        return _by_role(azure, vault.scope(name), principal_id, (READ_SECRET,))
    groups = azure.groups_of(principal_id)
    found = by_policy(vault.policies, (principal_id, *(groups or ())), "get")
    return found if found.by or groups is not None else replace(found, unread="; its groups could not be read")


def to_jobs(azure: Azure, account: Account, principal_id: str) -> Access:
    """Return the access of the principal to the account's jobs and to their result files."""
    return _by_role(azure, account.id, principal_id, (READ_JOBS, READ_FILES))


def to_submit(azure: Azure, account: Account, principal_id: str) -> Access:
    """Return the access of the principal to start jobs and to upload their files."""
    return _by_role(azure, account.id, principal_id, SUBMITTING)


def _by_role(azure: Azure, scope: str, principal_id: str, actions: Collection[str]) -> Access:
    """Return the access, preferably by roles that do not end."""
    held, roles = _roles_of(azure, scope, principal_id)
    held = with_ends(held, ends_at(azure, scope)) if held else held
    lasting = by_role([a for a in held if not a.ends], roles, actions)
    if lasting.by:
        return lasting
    useful = [a for a in held if a.role_id in roles and any(grants(roles[a.role_id], each) for each in actions)]
    ends = [until(roles[a.role_id].name, a) for a in useful if a.ends]
    return replace(by_role(held, roles, actions), until="; ".join(ends))


def _roles_of(
    azure: Azure, scope: str, principal_id: str
) -> tuple[tuple[Assignment, ...], Mapping[str, RoleDefinition]]:
    held = azure.roles.of(scope, principal_id)
    found = {role_id: azure.roles.definition(scope, role_id) for role_id in sorted({a.role_id for a in held})}
    return held, {i: role for i, role in found.items() if role}


def by_role(assignments: Iterable[Assignment], roles: Mapping[str, RoleDefinition], actions: Collection[str]) -> Access:
    """Return the access that one principal's assignments give. Several roles may supply the actions together."""
    held = [a for a in assignments if a.role_id in roles]
    if by := _supplying([a for a in held if not a.conditional], roles, actions):
        return Access(_names(by, roles), since=max((a.created for a in by if a.created), default=None))
    return Access(conditional=_names(_supplying(held, roles, actions), roles))


def by_policy(policies: Collection[AccessPolicy], object_ids: Iterable[str], verb: str) -> Access:
    """The access to secrets that access policies give a principal or its groups. Compound identities do not count."""
    own = [p for object_id in object_ids for p in own_policies(policies, object_id)]
    verbs = {v.lower() for p in own for v in p.permissions.get("secrets", ())}
    return Access(by=("an access policy",)) if verbs & {verb, "all"} else Access()


def _supplying(
    held: Iterable[Assignment], roles: Mapping[str, RoleDefinition], actions: Collection[str]
) -> list[Assignment]:
    """The assignments that supply any of the actions, the oldest of each role; empty if some action is missing."""
    useful = [a for a in held if any(grants(roles[a.role_id], action) for action in actions)]
    if not all(any(grants(roles[a.role_id], action) for a in useful) for action in actions):
        return []
    oldest: dict[str, Assignment] = {}
    for each in useful:
        seen = oldest.setdefault(each.role_id, each)
        if each.created and seen.created and each.created < seen.created:
            oldest[each.role_id] = each
    return list(oldest.values())


def _names(assignments: Iterable[Assignment], roles: Mapping[str, RoleDefinition]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(roles[a.role_id].name for a in assignments))
