"""What a plan says of the secret, and which rights a plan takes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioning.models import SECRETS_USER, Assignment, KeyState, Secret, SecretState, VaultState
from provisioning.planning.ownership import Purpose
from provisioning.planning.secret import SOON, warning
from provisioning.planning.setup import plan, rights
from provisioning.planning.steps import (
    Action,
    AllowByPolicy,
    AssignRole,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    ForgetSwitch,
    Plan,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RestoreAccessPolicies,
    Step,
    StoreSecret,
    SwitchToRbac,
    Verb,
)

from .planner_states import GROUP_ID, NOW, TARGET, VAULT_ID, WAIT, found

DAY = timedelta(days=1)
NAME = "secret wandb-api-key"
LIVES = "expires 2026-08-29"
UNSEEN = "unless it is there already, which you cannot see yet"


def about_secret(secret: Secret, key: KeyState) -> Step:
    (step,) = (s for s in plan(TARGET, replace(found(), secret=secret), key).steps if s.resource == NAME)
    return step


@pytest.mark.parametrize(
    ("state", "verb", "detail", "danger"),
    [
        (
            SecretState.PRESENT,
            Verb.CHANGE,
            "a new version with the W&B key",
            "the vault holds another value now; its version stays readable",
        ),
        (
            SecretState.DISABLED,
            Verb.CHANGE,
            "a new version with the W&B key",
            "somebody disabled the version that is there; the new one can be read",
        ),
        (SecretState.DELETED, Verb.CHANGE, "recovered, and a new version if it holds another key", ""),
        (SecretState.MISSING, Verb.ADD, "the W&B key", ""),
    ],
)
def test_a_secret_without_this_key_is_written(state: SecretState, verb: Verb, detail: str, danger: str) -> None:
    assert about_secret(Secret(state), KeyState.OTHER) == Step(
        verb,
        NAME,
        f"{detail}; {LIVES}",
        before=state.value,
        after="the W&B key",
        danger=danger,
        action=StoreSecret(),
    )


@pytest.mark.parametrize(
    ("state", "key", "why"),
    [
        (SecretState.UNKNOWN, KeyState.OTHER, UNSEEN),
        (SecretState.UNKNOWN, KeyState.NONE, f"{UNSEEN}; setup asks for the key"),
        (SecretState.MISSING, KeyState.NONE, "setup asks for the key"),
        (SecretState.MISSING, KeyState.OTHER, ""),
    ],
)
def test_it_is_said_when_setup_will_ask_and_when_it_cannot_know(state: SecretState, key: KeyState, why: str) -> None:
    assert about_secret(Secret(state), key).why == why


@pytest.mark.parametrize(
    ("key", "detail"),
    [(KeyState.SAME, "holds this key"), (KeyState.NONE, "present (no key given to compare with)")],
)
def test_a_secret_that_is_there_is_told_with_its_expiry(key: KeyState, detail: str) -> None:
    expires = NOW + 10 * DAY
    left = "it expires in 10 days; it can be read after that, too. `rotate-key` stores a new key"
    whole = Step(Verb.ALREADY, NAME, f"{detail}; expires 2026-03-12", danger=left)
    assert about_secret(Secret(SecretState.PRESENT, expires=expires), key) == whole
    never = Step(Verb.ALREADY, NAME, f"{detail}; does not expire")
    assert about_secret(Secret(SecretState.PRESENT), key) == never


def test_a_key_may_be_stored_for_ever() -> None:
    target = replace(TARGET, secret_lifetime=None)
    assert plan(target, found(), KeyState.OTHER).steps[-1].detail == "the W&B key; does not expire"


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (SOON + timedelta(seconds=1), ""),
        (SOON, "it expires in 30 days"),
        (timedelta(days=1.6), "it expires in 2 days"),
        (timedelta(days=1.4), "it expires in 1 day"),
        (timedelta(hours=1), "it expires in 1 day"),
    ],
)
def test_that_a_secret_expires_is_told_for_its_last_thirty_days(left: timedelta, told: str) -> None:
    tail = "; it can be read after that, too. `rotate-key` stores a new key"
    assert warning(NOW + left, NOW) == (told and told + tail)


@pytest.mark.parametrize("since", [timedelta(0), 3 * DAY])
def test_that_a_secret_has_expired_is_told_from_that_moment_on(since: timedelta) -> None:
    expired = NOW - since
    day = f"{expired:%Y-%m-%d}"
    said = f"it expired on {day}; it can still be read. `rotate-key` stores a new key"
    assert warning(expired, NOW) == said


ROLES_WRITE = ("Microsoft.Authorization/roleAssignments/write", VAULT_ID)
VAULT_WRITE = ("Microsoft.KeyVault/vaults/write", VAULT_ID)
POLICIES_WRITE = ("Microsoft.KeyVault/vaults/accessPolicies/write", VAULT_ID)
ROLES_DELETE = ("Microsoft.Authorization/roleAssignments/delete", VAULT_ID)
ACCOUNT_WRITE = ("Microsoft.CognitiveServices/accounts/write", "account-id")


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        (EnableIdentity(found().account), (ACCOUNT_WRITE,)),
        (AssignRole(SECRETS_USER, "Key Vault Secrets User", None, purpose=Purpose.READER), (ROLES_WRITE,)),
        (CreateVault("westeurope", purge_protection=True, rbac=True), (VAULT_WRITE,)),
        (RecoverVault("westeurope"), (VAULT_WRITE,)),
        (ForgetSwitch(), (VAULT_WRITE,)),
        (AllowByPolicy(None, ("get",), new=True), (POLICIES_WRITE, VAULT_WRITE)),
        (RemoveEntries(("someone",)), (POLICIES_WRITE, VAULT_WRITE)),
        (SwitchToRbac(), (VAULT_WRITE, ROLES_WRITE)),
        (RestoreAccessPolicies(), (VAULT_WRITE, ROLES_WRITE)),
        (RemoveRole(Assignment("id", VAULT_ID, SECRETS_USER, "someone")), (ROLES_DELETE,)),
        (StoreSecret(), ()),
        (AwaitVault(), ()),
        (AwaitRoles(WAIT, None), ()),
    ],
)
def test_each_kind_of_step_takes_these_rights(action: Action, needed: tuple[tuple[str, str], ...]) -> None:
    """Beside those of the steps before it: here the account's."""
    first = Step(Verb.ADD, "account identity", "?", action=EnableIdentity(found().account))
    alone, second = Step(Verb.ADD, "?", "?", action=action), Step(Verb.NOTE, "?", "?")
    assert rights(Plan("?", (alone, second)), found()) == needed
    assert rights(Plan("?", (first, alone)), found()) == tuple(dict.fromkeys((ACCOUNT_WRITE, *needed)))


@pytest.mark.parametrize("state", [VaultState.MISSING, VaultState.DELETED])
def test_where_there_is_no_vault_yet_the_rights_are_those_on_its_group(state: VaultState) -> None:
    observed = found()
    observed = replace(observed, vault=replace(observed.vault, state=state))
    steps = (Step(Verb.ADD, "vault", "?", action=CreateVault("westeurope", purge_protection=True, rbac=True)),)
    assert rights(Plan("?", steps), observed) == (("Microsoft.KeyVault/vaults/write", GROUP_ID),)
