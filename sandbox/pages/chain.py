"""The chain from the account's identity to the W&B project, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.azure.tenant import Account, Secret, SecretVersion, Vault
from sandbox.pages.format import count, duration
from sandbox.world import World

_GET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"


@dataclass(frozen=True)
class Link:
    """One link of the chain. `mark` is one of ok, waiting, off, bad."""

    title: str
    mark: str
    words: str
    detail: str


def chains(world: World) -> list[tuple[str, list[Link]]]:
    """Return each account's links from its identity to W&B, through the vault that has a W&B key, or else the first vault."""
    vaults = [vault for vault in world.tenant.vaults.values() if vault.deleted is None]
    vaults.sort(key=lambda vault: not any(_key_owner(world, secret) for secret in vault.secrets.values()))
    vault = next(iter(vaults), None)
    return [(account.name, list(_links(world, account, vault))) for account in world.tenant.accounts.values()]


def _links(world: World, account: Account, vault: Vault | None) -> Iterator[Link]:
    identity = account.system_identity
    detail = f"principal {identity[:8]}…" if identity else "nothing can sign in as the account"
    yield Link("Account identity", "ok" if identity else "off", "system-assigned" if identity else "none", detail)
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
    """Whether the account's identity may read secrets, by the access model of the vault."""
    title = "Identity may use secrets"
    if identity is None:
        return Link(title, "off", "not yet", "there is no identity")
    if not vault.rbac:
        policy = vault.policy_of(identity, None)
        may = policy and {"get", "all"} & {p.lower() for p in policy.permissions.get("secrets") or ()}
        return Link(title, "ok" if may else "off", "by access policy" if may else "not yet", vault.name)
    roles = [
        a
        for a in world.tenant.rbac.assignments.values()
        if a.principal_id.lower() == identity.lower()
        and world.tenant.rbac.within(vault.id, a.scope)
        and world.tenant.rbac.roles[a.role_id].permits(_GET, data=True)
    ]
    first = min(roles, key=lambda a: a.effective, default=None)
    if first is None:
        return Link(title, "off", "not yet", "no role on the vault")
    left, name = first.effective - world.clock.time(), world.tenant.rbac.roles[first.role_id].name
    mark, words = ("ok", "effective") if left <= 0 else ("waiting", f"in {duration(left)}")
    return Link(title, mark, words, name)


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


def _usable(secret: Secret, now: float) -> tuple[str, str]:
    """Whether the newest version should be used; Key Vault serves expired versions, too."""
    newest = _newest(secret)
    if secret.deleted is not None or newest is None:
        return "off", "deleted, can be recovered"
    if not newest.enabled:
        return "bad", "disabled"
    if newest.expires is not None and newest.expires <= now:
        return "bad", "expired"
    return "ok", "enabled"


def _key_owner(world: World, secret: Secret) -> str:
    """The owner of the W&B key in the newest version; empty when W&B does not know it."""
    newest = _newest(secret)
    user = world.wandb.store.user_of(newest.value) if newest else None
    return user.username if user else ""


def _newest(secret: Secret) -> SecretVersion | None:
    return secret.versions[-1] if secret.versions else None
