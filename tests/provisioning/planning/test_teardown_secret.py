"""What teardown does with the secret, seen or not."""

from dataclasses import replace

import pytest

from provisioning.models import Observed, Secret, SecretState, SecretVersion
from provisioning.planning.ownership import Owner, switched, with_entry
from provisioning.planning.steps import Plan, Step, Verb
from provisioning.planning.teardown import hidden

from .marked_states import (
    ABOUT,
    BILLINGS_POLICY,
    CARRIED,
    DELETED,
    NAME,
    NO_KEY,
    OF_ACCOUNT,
    OF_OTHER,
    READER,
    YOURS,
    on_policies,
    on_rbac,
    plan,
    version,
)
from .states import BILLING, DANA, NOW, OPERATOR, TARGET, found, policy


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((version(), version(enabled=False)), DELETED),
        ((), replace(DELETED, detail="deleted, if setup wrote it; recoverable until Azure purges it")),
        ((version(ours=False),), Step(Verb.NOTE, NAME, "stays: setup did not write it")),
        (
            (version(enabled=False), version(ours=False)),
            Step(Verb.NOTE, NAME, "stays: others wrote versions of it; those of setup are disabled already"),
        ),
        (
            (version(), version(enabled=False), version(ours=False), version(ours=False), version(ours=False)),
            Step(
                Verb.CHANGE,
                NAME,
                "the versions that setup wrote are disabled; 3 by others stay",
                before="enabled",
                after="disabled",
                danger=NO_KEY,
            ),
        ),
    ],
    ids=["all by setup", "not visible", "none by setup", "ours disabled already", "some of each"],
)
def test_a_secret_is_deleted_if_all_its_versions_are_ours(versions: tuple[SecretVersion, ...], expected: Step) -> None:
    assert plan(on_rbac(YOURS), *versions).steps[0] == expected


@pytest.mark.parametrize(
    ("secret", "detail"),
    [
        (Secret(SecretState.MISSING), "not there"),
        (Secret(SecretState.DELETED), "deleted already; recoverable"),
        (Secret(SecretState.DELETED, purge=NOW), "deleted already; recoverable until 2026-03-02"),
        (Secret(SecretState.UNKNOWN), "not visible to you; no record of setup is left, and teardown deletes it first"),
    ],
)
def test_a_missing_secret_needs_no_steps(secret: Secret, detail: str) -> None:
    observed = replace(on_rbac(OF_OTHER if secret.state is SecretState.DELETED else CARRIED), secret=secret)
    assert plan(observed).steps[0] == Step(Verb.ALREADY, NAME, detail)


def test_a_secret_that_the_operators_role_will_show_is_deleted_unseen() -> None:
    shown = replace(
        DELETED, detail="deleted, if setup wrote it; recoverable until Azure purges it", before="not visible to you yet"
    )
    by_role = on_rbac(YOURS, secret=SecretState.UNKNOWN)
    by_policy = on_policies(policy(OPERATOR, secrets="get"), noted=(OPERATOR,), secret=SecretState.UNKNOWN)
    for observed in (by_role, by_policy):
        assert plan(observed).steps[0] == shown
        assert not hidden(TARGET, observed)


def readers_entry_is_left() -> Observed:
    """What teardown leaves if its command does not name the reader."""
    observed = on_policies(BILLINGS_POLICY, secret=SecretState.UNKNOWN)
    tags = with_entry({}, BILLING, ["get"], Owner("aoai-ml", "wandb-api-key"))
    return replace(observed, vault=replace(observed.vault, tags=tags))


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (on_rbac(OF_ACCOUNT, secret=SecretState.UNKNOWN), True),
        (on_rbac(replace(YOURS, principal_id=DANA), secret=SecretState.UNKNOWN), True),
        (on_rbac(OF_ACCOUNT), False),
        (on_rbac(READER, CARRIED, secret=SecretState.UNKNOWN), False),
        (on_rbac(OF_ACCOUNT, OF_OTHER, secret=SecretState.UNKNOWN), False),
        (on_rbac(secret=SecretState.UNKNOWN), False),
        (on_policies(BILLINGS_POLICY, noted=(BILLING,), secret=SecretState.UNKNOWN), True),
        (on_policies(BILLINGS_POLICY, secret=SecretState.UNKNOWN), False),
        (readers_entry_is_left(), False),
        (replace(found(), vault=replace(found().vault, tags=switched({}, NOW))), True),
    ],
)
def test_a_secret_may_be_hidden_if_records_remain_and_none_gives_access(observed: Observed, expected: bool) -> None:
    assert hidden(TARGET, observed) is expected


def test_a_vault_that_setup_did_not_switch_and_missing_resources_are_reported() -> None:
    made = plan(found(rbac=True, secret=SecretState.MISSING))
    assert made == Plan(
        ABOUT,
        (
            Step(Verb.ALREADY, NAME, "not there"),
            Step(Verb.NOTE, "vault access model", "stays Azure RBAC: setup did not switch it"),
            Step(Verb.ALREADY, "account identity", "no system-assigned one"),
        ),
    )
