"""(Target, Observed, versions) → Plan for a new W&B key: write it, then disable what it replaces. Pure."""

from collections.abc import Iterable, Iterator

from provisioning.models import KeyState, Observed, SecretVersion, Target
from provisioning.planning.ownership import wrote
from provisioning.planning.secret import expiry, secret_step, until
from provisioning.planning.steps import DisableVersion, Plan, RotateSecret, Step, Verb


def plan(target: Target, observed: Observed, versions: Iterable[SecretVersion], key: KeyState) -> Plan:
    """What a rotation takes. With the key in place already, only what an interrupted rotation left to do."""
    current = observed.secret.version if key is KeyState.SAME else None
    first = secret_step(target, observed, key) if current else _write(target, observed)
    older = (v for v in versions if v.version != current and v.enabled)
    steps = (first, *_replaced(target, older))
    return Plan(f"{observed.account.name} → {observed.vault.name}", steps)


def _write(target: Target, observed: Observed) -> Step:
    return Step(
        Verb.CHANGE,
        f"secret {target.secret}",
        f"a new version with the new W&B key; {until(expiry(target, observed.at))}",
        before=observed.secret.state.value,
        after="the new W&B key",
        action=RotateSecret(),
    )


def _replaced(target: Target, older: Iterable[SecretVersion]) -> Iterator[Step]:
    """Ours are disabled. Somebody else's may serve a purpose that only they know."""
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
                action=DisableVersion(each.version),
            )
        else:
            yield Step(Verb.NOTE, resource, f"{of} stays enabled: neither setup nor rotate-key wrote it")
