"""The chain from the account's identity to the W&B project, and who may use the vault, as plain data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sandbox.azure.rbac import ROLES, Assignment, within
from sandbox.azure.tenant import AccessPolicy, Account, Secret, SecretVersion, Vault
from sandbox.pages.format import count, duration, moment
from sandbox.world import World

_GET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
_SET = "Microsoft.KeyVault/vaults/secrets/setSecret/action"


@dataclass(frozen=True)
class Link:
    """One link of the chain. `mark` is one of ok, waiting, off, bad."""

    title: str
    mark: str
    words: str
    detail: str


@dataclass(frozen=True)
class Grant:
    """A role assignment that reaches a vault or something in it."""

    who: str
    role: str
    scope: str
    secrets: str
    mark: str
    words: str


@dataclass(frozen=True)
class Policy:
    """An entry of a vault's access policies."""

    who: str
    permissions: str
    mark: str
    words: str


@dataclass(frozen=True)
class SecretView:
    """A secret without its value; `holds` says whether W&B knows what is in it as a key."""

    name: str
    holds: str
    versions: int
    mark: str
    words: str
    expires: str


@dataclass(frozen=True)
class VaultView:
    """A vault and who may do what with its secrets."""

    name: str
    model: str
    rbac: bool
    grants: Sequence[Grant]
    policies: Sequence[Policy]
    secrets: Sequence[SecretView]


def chains(world: World) -> list[tuple[str, list[Link]]]:
    """For each account the links from its identity to W&B, with the vault that has a W&B key, or else the first."""
    vaults = _vaults(world)
    vault = next((v for v in vaults if any(_key_owner(world, s) for s in v.secrets.values())), None)
    vault = vault or next(iter(vaults), None)
    return [(account.name, list(_links(world, account, vault))) for account in world.tenant.accounts.values()]


def vault_views(world: World) -> list[VaultView]:
    """Every vault that was not deleted."""
    return [_vault(world, vault) for vault in _vaults(world)]


def _vaults(world: World) -> list[Vault]:
    return [vault for vault in world.tenant.vaults.values() if vault.deleted is None]


# --- the links ------------------------------------------------------------------------------------------------------


def _links(world: World, account: Account, vault: Vault | None) -> Iterator[Link]:
    identity = account.system_identity
    said = f"principal {identity[:8]}…" if identity else "nothing can sign in as the account"
    yield Link("Account identity", "ok" if identity else "off", "system-assigned" if identity else "none", said)
    if vault is None:
        yield Link("Key Vault", "off", "none", "there is no vault")
        return
    model = "Azure RBAC" if vault.rbac else "access policies"
    old = count(len(vault.policies), "old policy", "old policies")
    detail = f"{vault.name}; {old} without effect" if vault.rbac and vault.policies else vault.name
    yield Link("Vault permission model", "ok" if vault.rbac else "off", model, detail)
    yield _access(world, identity, vault)
    yield _key(world, vault)
    yield _projects(world)


def _access(world: World, identity: str | None, vault: Vault) -> Link:
    """Whether the account's identity may read secrets, by the model that the vault is on."""
    title = "Identity may use secrets"
    if identity is None:
        return Link(title, "off", "not yet", "there is no identity")
    if not vault.rbac:
        may = any(p.object_id.lower() == identity.lower() and _lists(p, "get") for p in vault.policies)
        return Link(title, "ok" if may else "off", "by access policy" if may else "not yet", vault.name)
    now = world.clock.time()
    roles = [
        a
        for a in world.tenant.rbac.assignments.values()
        if a.principal_id.lower() == identity.lower()
        and within(vault.id, a.scope)
        and ROLES[a.role_id].permits(_GET, data=True)
    ]
    first = min(roles, key=lambda a: a.effective, default=None)
    if first is None:
        return Link(title, "off", "not yet", "no role on the vault")
    mark, words = _effect(first, now)
    return Link(title, mark, words, ROLES[first.role_id].name)


def _key(world: World, vault: Vault) -> Link:
    for secret in vault.secrets.values():
        if owner := _key_owner(world, secret):
            mark, words = _usable(secret, world.clock.time())
            return Link("W&B key in the vault", mark, words, f"{secret.name}, a key of {owner}")
    return Link("W&B key in the vault", "off", "none", "no secret holds a key that W&B knows")


def _projects(world: World) -> Link:
    store = world.wandb.store
    found = [p for entity in store.entities for p in store.projects(entity) if p.runs]
    if not found:
        return Link("W&B", "off", "no runs yet", "")
    runs = sum(len(project.runs) for project in found)
    return Link("W&B", "ok", count(runs, "run"), ", ".join(f"{p.entity}/{p.name}" for p in found))


# --- a vault --------------------------------------------------------------------------------------------------------


def _vault(world: World, vault: Vault) -> VaultView:
    now = world.clock.time()
    reaching = [
        a for a in world.tenant.rbac.assignments.values() if within(vault.id, a.scope) or within(a.scope, vault.id)
    ]
    order = sorted(reaching, key=lambda a: (-len(a.scope), _who(world, a.principal_id)))
    counts = ("off", "no longer counts") if vault.rbac else ("ok", "counts")
    return VaultView(
        vault.name,
        "Azure RBAC" if vault.rbac else "access policies",
        bool(vault.rbac),
        [
            Grant(
                _who(world, a.principal_id),
                ROLES[a.role_id].name,
                _scope(a.scope, vault),
                _rights(a, rbac=bool(vault.rbac)),
                *_effect(a, now),
            )
            for a in order
        ],
        [Policy(_who(world, p.object_id), _permissions(p), *counts) for p in vault.policies],
        [_secret(world, secret, now) for secret in vault.secrets.values()],
    )


def _who(world: World, object_id: str) -> str:
    """A principal by name; the identity of an account has the account's name, which alone would mislead."""
    principal = world.tenant.principals.get(object_id.lower())
    if principal is None:
        return f"{object_id[:8]}… (deleted)"
    if any(account.system_identity == object_id for account in world.tenant.accounts.values()):
        return f"{principal.name} (the account's identity)"
    return principal.name


def _scope(scope: str, vault: Vault) -> str:
    if scope.lower() == vault.id.lower():
        return "this vault"
    if within(scope, vault.id):
        return f"secret {scope.rsplit('/', 1)[-1]}"
    name = scope.rstrip("/").rsplit("/", 1)[-1]
    return f"group {name}, inherited" if "/resourcegroups/" in scope.lower() else "subscription, inherited"


def _rights(assignment: Assignment, *, rbac: bool) -> str:
    role = ROLES[assignment.role_id]
    verbs = [verb for verb, action in (("read", _GET), ("write", _SET)) if role.permits(action, data=True)]
    if not verbs:
        return "no"
    return " and ".join(verbs) + ("" if rbac else ", once on RBAC")


def _effect(assignment: Assignment, now: float) -> tuple[str, str]:
    left = assignment.effective - now
    return ("ok", "effective") if left <= 0 else ("waiting", f"in {duration(left)}")


def _permissions(policy: AccessPolicy) -> str:
    given = {kind: sorted(p.lower() for p in names) for kind, names in policy.permissions.items() if names}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in given.items()) or "none"


def _lists(policy: AccessPolicy, permission: str) -> bool:
    return bool({permission, "all"} & {p.lower() for p in policy.permissions.get("secrets", ())})


def _secret(world: World, secret: Secret, now: float) -> SecretView:
    owner, newest = _key_owner(world, secret), _newest(secret)
    expires = moment(newest.expires) if newest and newest.expires else ""
    holds = f"a W&B key of {owner}" if owner else "something else"
    return SecretView(secret.name, holds, len(secret.versions), *_usable(secret, now), expires)


def _usable(secret: Secret, now: float) -> tuple[str, str]:
    """Whether the newest version can be read. An expired secret still can: Key Vault leaves that to its readers."""
    newest = _newest(secret)
    if secret.deleted is not None or newest is None:
        return "off", "deleted, can be recovered"
    if not newest.enabled:
        return "bad", "disabled"
    if newest.expires is not None and newest.expires <= now:
        return "bad", "expired"
    return "ok", "enabled"


def _key_owner(world: World, secret: Secret) -> str:
    """Whose W&B key the newest version is; empty when W&B does not know it. The value goes no further than this."""
    newest = _newest(secret)
    user = world.wandb.store.user_of(newest.value) if newest else None
    return user.username if user else ""


def _newest(secret: Secret) -> SecretVersion | None:
    return secret.versions[-1] if secret.versions else None
