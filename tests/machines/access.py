"""Who may do what in a vault at a moment, by the sandbox's own roles and policies."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provisioning.planning.ownership import entries, role_record
from sandbox.azure.rbac import Assignment
from sandbox.azure.tenant import AccessPolicy, SecretVersion, Tenant, Vault

SECRET = "wandb-api-key"
_ACTIONS = {
    ("secrets", "get"): "secrets/getSecret/action",
    ("secrets", "list"): "secrets/readMetadata/action",
    ("secrets", "set"): "secrets/setSecret/action",
    ("secrets", "delete"): "secrets/delete",
    ("secrets", "recover"): "secrets/recover/action",
    ("secrets", "backup"): "secrets/backup/action",
    ("secrets", "restore"): "secrets/restore/action",
    ("secrets", "purge"): "secrets/purge/action",
    ("keys", "get"): "keys/read",
    ("keys", "wrapkey"): "keys/wrap/action",
    ("keys", "unwrapkey"): "keys/unwrap/action",
    ("keys", "sign"): "keys/sign/action",
    ("certificates", "get"): "certificates/read",
    ("certificates", "import"): "certificates/import/action",
}
"""Permission of an access policy → data action (Microsoft, "Migrate to Azure RBAC", permission table)."""

Right = tuple[str, str, str, str]
"""The principal, the secret (or the whole vault), the kind and the verb."""


@dataclass(frozen=True)
class Access:
    """Who has access to a tenant's only vault. `people_only`: by what neither setup nor rotate-key made."""

    tenant: Tenant
    people_only: bool = False

    def now(self, later: float = 0.0) -> frozenset[Right]:
        """Every right of every principal that can sign in, at a time so many seconds from now."""
        vault = self.tenant.vaults.get("kv-ml")
        if vault is None or vault.deleted is not None:
            return frozenset()
        return frozenset(self._rights(vault, self.tenant.clock.time() + later))

    def _rights(self, vault: Vault, at: float) -> Iterator[Right]:
        for principal in self.tenant.principals.values():
            who = self.tenant.rbac.ids_of(principal.object_id)
            for (kind, verb), action in _ACTIONS.items():
                for place in ("", f"/secrets/{SECRET}"):
                    if place and kind != "secrets":
                        continue
                    if vault.rbac:
                        may = self._by_role(who, f"Microsoft.KeyVault/vaults/{action}", vault.id + place, at)
                    else:
                        may = self._by_policy(vault, who, kind, verb)
                    if principal.kind != "Group" and may:
                        yield principal.object_id, place, kind, verb
        if not vault.rbac:
            yield from _compound(vault)

    def _by_role(self, who: set[str], action: str, scope: str, at: float) -> bool:
        rbac = self.tenant.rbac
        if not self.people_only:
            return any(rbac.allows(each, action, scope, data=True, now=at) for each in who)
        theirs = type(rbac)({name: each for name, each in rbac.assignments.items() if not ours(each)})
        return any(theirs.allows(each, action, scope, data=True, now=at) for each in who)

    def _by_policy(self, vault: Vault, who: set[str], kind: str, verb: str) -> bool:
        noted = frozenset(entries(vault.tags)) if self.people_only else frozenset[str]()
        own = (each for each in vault.policies if not each.application_id and each.object_id.lower() not in noted)
        return any(
            {permission.lower() for permission in each.permissions.get(kind) or []} & {verb, "all"}
            for each in own
            if each.object_id in who
        )


def _compound(vault: Vault) -> Iterator[Right]:
    """Rights of a principal through an application only."""
    for each in vault.policies:
        if each.application_id:
            yield from (
                (each.object_id, each.application_id, kind, verb.lower())
                for kind, verbs in each.permissions.items()
                for verb in verbs or ()
            )


def ours(assignment: Assignment) -> bool:
    """Whether an assignment says that setup made it."""
    return role_record(assignment.description) is not None


def comparable(policies: Iterable[AccessPolicy]) -> list[tuple[object, ...]]:
    """Access policies as values that can be compared."""
    return sorted(
        (
            each.object_id,
            each.application_id or "",
            tuple(sorted((kind, tuple(verbs or ())) for kind, verbs in each.permissions.items())),
        )
        for each in policies
    )


def repeated(versions: Iterable[SecretVersion]) -> list[str]:
    """Versions that setup or rotate-key wrote although the one before them was theirs, enabled, and had the same value."""
    found, last = [], None
    for each in versions:
        if last and each.value == last.value and last.enabled and wrote(last) and wrote(each):
            found.append(each.version)
        last = each
    return found


def wrote(version: SecretVersion) -> bool:
    """Whether setup or rotate-key wrote it."""
    return (version.tags or {}).get("created-by") == "azure-openai-wandb"
