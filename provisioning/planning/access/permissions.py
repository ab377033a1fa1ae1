"""Maps access-policy permissions to Azure roles. Pure.

The table is Microsoft's (Azure/KeyVault-AccessPolicyToRBAC-CompareTool). What each role grants is read from the tenant.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations

from provisioning.models import AccessPolicy, Permissions, RoleDefinition
from provisioning.resource_ids import same

_VAULTS = "Microsoft.KeyVault/vaults/"

_ACTIONS_OF: Mapping[str, Mapping[str, str]] = {
    "keys": {
        "get": "keys/read",
        "list": "keys/read",
        **{verb: f"keys/{verb}/action" for verb in ("update", "create", "import", "recover", "backup", "restore")},
        **{verb: f"keys/{verb}/action" for verb in ("decrypt", "encrypt", "verify", "sign", "purge")},
        **{verb: f"keys/{verb}/action" for verb in ("release", "rotate")},
        "delete": "keys/delete",
        "unwrapkey": "keys/unwrap/action",
        "wrapkey": "keys/wrap/action",
        "getrotationpolicy": "keyrotationpolicies/read",
        "setrotationpolicy": "keyrotationpolicies/write",
    },
    "secrets": {
        "get": "secrets/getSecret/action",
        "list": "secrets/readMetadata/action",
        "set": "secrets/setSecret/action secrets/update/action",
        "delete": "secrets/delete",
        **{verb: f"secrets/{verb}/action" for verb in ("recover", "backup", "restore", "purge")},
    },
    "certificates": {
        "get": "certificates/read",
        "list": "certificates/read",
        **{verb: f"certificates/{verb}/action" for verb in ("update", "create", "import", "recover", "backup")},
        **{verb: f"certificates/{verb}/action" for verb in ("restore", "purge")},
        "delete": "certificates/delete",
        "managecontacts": "certificatecontacts/write",
        "manageissuers": "certificatecas/write",
        "getissuers": "certificatecas/read",
        "listissuers": "certificatecas/read",
        "setissuers": "certificatecas/write",
        "deleteissuers": "certificatecas/delete",
    },
    "storage": {
        "get": "storageaccounts/read",
        "list": "storageaccounts/read",
        "delete": "storageaccounts/delete",
        "set": "storageaccounts/set/action",
        "update": "storageaccounts/set/action",
        "regeneratekey": "storageaccounts/regeneratekey/action",
        "getsas": "storageaccounts/sas/read",
        "listsas": "storageaccounts/sas/read",
        "deletesas": "storageaccounts/sas/delete",
        "setsas": "storageaccounts/sas/set/action",
        **{verb: f"storageaccounts/{verb}/action" for verb in ("recover", "backup", "restore", "purge")},
    },
}
"""Object type → permission in lower case → data actions below Microsoft.KeyVault/vaults/."""

CANDIDATES = {
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "a4417e6f-fecd-4de8-b567-7b0420556985": "Key Vault Certificates Officer",
    "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba": "Key Vault Certificate User",
    "14b46e9e-c2b7-41b4-b07b-48a6ebf60603": "Key Vault Crypto Officer",
    "12338af0-0e69-4776-bea7-57ae8d297424": "Key Vault Crypto User",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6": "Key Vault Crypto Service Encryption User",
    "08bbd89e-9f13-488c-ac41-acfcb10c90ab": "Key Vault Crypto Service Release User",
    "21090545-7ca7-4776-b22c-e363652d74d2": "Key Vault Reader",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
}
"""The built-in roles with data actions on a vault, by GUID (Microsoft, built-in roles for security)."""


def data_actions(policy: AccessPolicy) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the data actions that an access policy permits, and its permissions that the table lacks.

    Letter case does not matter; "all" means every permission of its kind.
    """
    found: set[str] = set()
    unknown: list[str] = []
    for kind, verbs in policy.permissions.items():
        table = _ACTIONS_OF.get(kind.lower(), {})
        for verb in verbs:
            names = table if verb.lower() == "all" else (verb.lower(),)
            if table and all(name in table for name in names):
                found.update(_VAULTS + action for name in names for action in table[name].split())
            else:
                unknown.append(f"{kind} {verb}")
    return frozenset(found), tuple(unknown)


def own_policies(policies: Iterable[AccessPolicy], object_id: str) -> tuple[AccessPolicy, ...]:
    """Return the principal's own access policies, without those through an application (compound identities)."""
    return tuple(p for p in policies if same(p.object_id, object_id) and not p.application_id)


def missing_permissions(policies: Iterable[AccessPolicy], object_id: str, needed: Iterable[str]) -> tuple[str, ...]:
    """Return those of the permissions on secrets that the principal's own access policies do not give."""
    own = own_policies(policies, object_id)
    permitted = frozenset[str]().union(*(data_actions(policy)[0] for policy in own))
    return tuple(verb for verb in needed if not data_actions(AccessPolicy("", {"secrets": (verb,)}))[0] <= permitted)


def permissions_today(policy: AccessPolicy) -> str:
    """Format the permissions of an access policy, as in "secrets get, list; keys sign"."""
    return "; ".join(f"{kind} {', '.join(verbs)}" for kind, verbs in policy.permissions.items() if verbs)


def summary(actions: Collection[str]) -> str:
    """Format data actions as access-policy permissions, as in "secrets set, delete; keys get"."""
    parts = []
    for kind, table in _ACTIONS_OF.items():
        verbs = [verb for verb, action in table.items() if all(_VAULTS + a in actions for a in action.split())]
        if verbs:
            parts.append(f"{kind} {', '.join(verbs)}")
    return "; ".join(parts)


KNOWN_ACTIONS = frozenset(
    _VAULTS + action for table in _ACTIONS_OF.values() for row in table.values() for action in row.split()
)
_STORAGE = frozenset(a for a in KNOWN_ACTIONS if a.startswith(_VAULTS + "storageaccounts/"))


@dataclass(frozen=True)
class Coverage:
    """Roles to add, the actions that they grant beyond the need, and the actions that no role grants."""

    add: tuple[RoleDefinition, ...]
    over_grant: frozenset[str]
    uncovered: frozenset[str]


def grants(role: RoleDefinition, action: str) -> bool:
    """Return whether the role permits the data action."""
    return matches(role.data_actions, action) and not matches(role.not_data_actions, action)


def cover(needed: Collection[str], held: Iterable[RoleDefinition], candidates: Collection[RoleDefinition]) -> Coverage:
    """Find the roles to add to those held, so that all needed actions are granted with the least power, then the fewest roles.

    The search is exact, over all sets of candidates. Sets are ranked by the number of actions beyond the need that
    reveal, use or change something, then by the number of roles, then by the number of actions that only show metadata,
    then by GUID, so that the result does not depend on order. Roles held count, so that an interrupted migration continues
    with exactly the roles that are missing.

    No role exists for the keys of managed storage accounts only. They count as covered if a role that is needed anyway
    covers them. Otherwise they are reported, because the only role with these actions grants the whole vault.
    """
    all_needed, granted = frozenset(needed), _granted(held)
    gives = {r.id: _granted((r,)) for r in candidates}
    goal = (all_needed - _STORAGE) & granted.union(*gives.values())
    roles = sorted((r for r in candidates if gives[r.id] & (goal - granted)), key=lambda r: r.id)

    def total(chosen: tuple[RoleDefinition, ...]) -> frozenset[str]:
        return granted.union(*(gives[r.id] for r in chosen))

    def rank(chosen: tuple[RoleDefinition, ...]) -> tuple[int, int, int, tuple[str, ...]]:
        excess = total(chosen) - all_needed - _STORAGE
        shown = sum(map(_is_metadata_only, excess))
        return len(excess) - shown, len(chosen), shown, tuple(r.id for r in chosen)

    sets = chain.from_iterable(combinations(roles, size) for size in range(len(roles) + 1))
    best = min((each for each in sets if goal <= total(each)), key=rank)
    new = frozenset[str]().union(*(gives[r.id] for r in best))
    return Coverage(best, new - all_needed - granted, all_needed - total(best))


def permits(sets: Iterable[Permissions], action: str) -> bool:
    """Return whether one of the caller's permission sets permits the control-plane action."""
    return any(matches(s.actions, action) and not matches(s.not_actions, action) for s in sets)


def matches(patterns: Iterable[str], action: str) -> bool:
    """Return whether one of the patterns, which may contain `*`, matches the action."""
    return any(_regex(pattern).fullmatch(action) for pattern in patterns)


def _granted(roles: Iterable[RoleDefinition]) -> frozenset[str]:
    return frozenset(action for role in roles for action in KNOWN_ACTIONS if grants(role, action))


def _is_metadata_only(action: str) -> bool:
    return action.endswith(("/read", "/readMetadata/action"))


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
