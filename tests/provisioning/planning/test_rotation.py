"""What a rotation takes, line by line: the new key's version, and what it replaces."""

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioning.models import KeyState, Secret, SecretState, SecretVersion, Target
from provisioning.planning.actions import DisableVersion, RotateSecret
from provisioning.planning.ownership import Owner, place_of
from provisioning.planning.rotation import plan_rotation
from provisioning.planning.steps import Plan, Step, Verb

from .states import NOW, TARGET, found

NAME = "secret wandb-api-key"
OURS = {"created-by": "azure-openai-wandb"}
ABOUT = "aoai-ml → kv-ml"
OWNED = Owner("aoai-ml", "wandb-api-key", place_of(found().account.id))


def version(name: str, *, ours: bool = True, enabled: bool = True, dated: bool = True) -> SecretVersion:
    return SecretVersion(name, enabled, NOW - timedelta(days=3) if dated else None, None, OURS if ours else {})


def disabled(name: str, *, of: str = " of 2026-02-27") -> Step:
    return Step(
        Verb.CHANGE,
        NAME,
        f"disable version {name}{of}",
        why="the new key replaces it",
        before="enabled",
        after="disabled",
        action=DisableVersion(found().vault, OWNED, name),
    )


@pytest.mark.parametrize(
    ("target", "until"), [(TARGET, "expires 2026-08-29"), (replace(TARGET, secret_lifetime=None), "does not expire")]
)
def test_a_new_key_is_a_new_version_and_our_old_versions_are_disabled(target: Target, until: str) -> None:
    versions = (
        version("new", dated=False),
        version("theirs", ours=False),
        version("off", enabled=False),
        version("old"),
    )
    observed = replace(found(), secret=Secret(SecretState.PRESENT, version="new"))
    write = Step(
        Verb.CHANGE,
        NAME,
        f"a new version with the new W&B key; {until}",
        before="present",
        after="the new W&B key",
        action=RotateSecret(observed.vault, OWNED, lifetime=target.secret_lifetime),
    )
    kept = "version theirs of 2026-02-27 stays enabled: neither setup nor rotate-key wrote it"
    steps = (write, disabled("new", of=""), Step(Verb.NOTE, NAME, kept), disabled("old"))
    assert plan_rotation(target, observed, versions, KeyState.OTHER) == Plan(ABOUT, steps)


def test_an_interrupted_rotation_with_the_key_in_place_is_completed() -> None:
    observed = replace(found(), secret=Secret(SecretState.PRESENT, version="new"))
    there = Step(Verb.ALREADY, NAME, "holds this key; does not expire")
    made = plan_rotation(TARGET, observed, (version("new"), version("old")), KeyState.SAME)
    assert made == Plan(ABOUT, (there, disabled("old")))


def test_consent_to_a_plan_does_not_cover_another_version() -> None:
    """Another operator may store a version with our tags between the plan and a second one."""
    observed = replace(found(), secret=Secret(SecretState.PRESENT, version="new"))
    agreed = plan_rotation(TARGET, observed, (version("new"), version("old")), KeyState.SAME).extent
    again = plan_rotation(TARGET, observed, (version("new"), version("theirs")), KeyState.SAME).extent
    assert again - agreed
