"""The rights that actions and plans require."""

from dataclasses import replace

import pytest

from provisioning.models import SECRETS_USER, VaultState
from provisioning.planning.actions import (
    Action,
    AllowByPolicy,
    AssignRole,
    AwaitRoles,
    CreateVault,
    EnableIdentity,
    ForgetSwitch,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RestoreAccessPolicies,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.ownership import Owner, Purpose
from provisioning.planning.steps import Plan, Step, Verb

from .states import ACCOUNT_ID, BILLING, DANA, GROUP_ID, VAULT_ID, WAIT, assigned, found, in_place, planned, policy

OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"
OWNED = Owner("aoai-ml", "wandb-api-key")


VAULT = found().vault
MISSING = replace(VAULT, state=VaultState.MISSING)
DELETED = replace(VAULT, state=VaultState.DELETED)


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        (EnableIdentity(found().account), [("Microsoft.CognitiveServices/accounts/write", ACCOUNT_ID)]),
        (AssignRole(VAULT, SECRETS_USER, USER, None, OWNED, Purpose.READER), ["roleAssignments/write"]),
        (AllowByPolicy(VAULT, None, ("get",), OWNED, Purpose.READER), ["accessPolicies/write", "vaults/write"]),
        (RemoveEntries(VAULT, (("x", ("get",)),)), ["accessPolicies/write", "vaults/write"]),
        (SwitchToRbac(VAULT, OWNED), ["vaults/write", "roleAssignments/write"]),
        (RestoreAccessPolicies(VAULT), ["vaults/write", "roleAssignments/write"]),
        (ForgetSwitch(VAULT), ["vaults/write"]),
        (RemoveRole(VAULT, assigned(DANA, SECRETS_USER)), ["roleAssignments/delete"]),
        (CreateVault(MISSING, purge_protection=True), [("Microsoft.KeyVault/vaults/write", GROUP_ID)]),
        (RecoverVault(DELETED), [("Microsoft.KeyVault/vaults/write", GROUP_ID)]),
        (StoreSecret(VAULT, OWNED, lifetime=None), []),
        (AwaitRoles(WAIT, None), []),
    ],
)
def test_each_action_names_the_rights_that_it_takes(action: Action, needed: list[str | tuple[str, str]]) -> None:
    plan = Plan("?", (Step(Verb.ADD, "?", "?", action=action), Step(Verb.NOTE, "?", "?")))
    names = [(r.action.rsplit("/", 2), r.scope) for r in plan.rights]
    expected = [(n[0].rsplit("/", 2), n[1]) if isinstance(n, tuple) else (n.split("/"), VAULT_ID) for n in needed]
    assert [(name[-2:], scope) for name, scope in names] == [(name[-2:], scope) for name, scope in expected]


def test_a_plan_takes_each_right_once() -> None:
    rights = planned(found(policy(BILLING, secrets="get"))).rights
    assert len(rights) == len(set(rights)) == 3
    assert planned(in_place()).rights == ()
