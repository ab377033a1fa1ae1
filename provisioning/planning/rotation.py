"""Plans rotate-key: store the new W&B key, then disable the versions that it replaces. Pure."""

from collections.abc import Iterable, Iterator

from provisioning.models import KeyState, Observed, SecretVersion, Target
from provisioning.planning.actions import ChangeExpiry, DisableVersion, RotateSecret
from provisioning.planning.ownership import owner, wrote
from provisioning.planning.secret import expiry, secret_step, until
from provisioning.planning.steps import Plan, Step, Verb


def plan_rotation(target: Target, observed: Observed, versions: Iterable[SecretVersion], key: KeyState) -> Plan:
    """Plan a rotation. If the vault already contains the key, plan only the rest of an interrupted rotation."""
    current = observed.secret.version if key is KeyState.SAME else None
    first = secret_step(target, observed, key) if current else _write(target, observed)
    # Whether the key goes into a new version.
    renewed = isinstance(first.action, ChangeExpiry) and first.action.lifetime is None
    older = (v for v in versions if (v.version != current or renewed) and v.enabled)
    steps = (first, *_replaced(target, observed, older))
    return Plan(f"{observed.account.name} → {observed.vault.name}", steps)


def _write(target: Target, observed: Observed) -> Step:
    return Step(
        Verb.CHANGE,
        f"secret {target.secret}",
        f"a new version with the new W&B key; {until(expiry(target.secret_lifetime, observed.at))}",
        before=observed.secret.state.value,
        after="the new W&B key",
        action=RotateSecret(observed.vault, owner(target, observed.account.id), lifetime=target.secret_lifetime),
    )


def _replaced(target: Target, observed: Observed, older: Iterable[SecretVersion]) -> Iterator[Step]:
    """Disable the versions that setup and rotate-key wrote. Other versions stay, because others may use them."""
    resource = f"secret {target.secret}"
    for each in older:
        of = f"version {each.version}" + (f" of {each.created:%Y-%m-%d}" if each.created else "")
        if wrote(each.tags):
            yield Step(
                Verb.CHANGE,
                resource,
                f"disable {of}",
                why="the new key replaces it",
                before="enabled",
                after="disabled",
                action=DisableVersion(observed.vault, owner(target, observed.account.id), each.version),
            )
        else:
            yield Step(Verb.NOTE, resource, f"{of} stays enabled: neither setup nor rotate-key wrote it")
