"""RBAC as Azure does it: scopes by segment, data actions apart from actions, exclusions per role, groups, effect in time."""

import pytest

from sandbox.azure.rbac import Assignment, Rbac, within
from sandbox.azure.roles import ROLE_IDS

SUB = "/subscriptions/s"
VAULT = f"{SUB}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv"
GET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"


def test_a_scope_covers_what_is_below_it_and_nothing_beside_it() -> None:
    assert within(VAULT.upper(), SUB)
    assert within(VAULT, VAULT + "/")
    assert not within(SUB, VAULT)
    assert not within(VAULT + "2", VAULT)  # a longer name is another resource, not a child


@pytest.mark.parametrize(
    ("role", "action", "data", "allowed"),
    [
        ("Owner", GET, True, False),
        ("Owner", "Microsoft.KeyVault/vaults/write", False, True),
        ("Contributor", "Microsoft.Authorization/roleAssignments/write", False, False),
        ("Contributor", "Microsoft.KeyVault/vaults/WRITE", False, True),
        ("User Access Administrator", "Microsoft.Authorization/roleAssignments/write", False, True),
        ("Key Vault Secrets Officer", GET, True, True),
        ("Key Vault Secrets User", GET, True, True),
        ("Key Vault Secrets User", "Microsoft.KeyVault/vaults/secrets/setSecret/action", True, False),
        ("Key Vault Reader", GET, True, False),
        ("Key Vault Contributor", "Microsoft.KeyVault/locations/deletedVaults/purge/action", False, False),
        ("Cognitive Services OpenAI User", "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read", True, True),
        ("Cognitive Services OpenAI User", "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/write", True, False),
    ],
)
def test_built_in_roles_allow_what_microsoft_lists(role: str, action: str, data: bool, allowed: bool) -> None:
    rbac = Rbac()
    rbac.add(Assignment("n", SUB, ROLE_IDS[role], "p", "User", 0.0, 0.0))
    assert rbac.allows("p", action, VAULT, data=data, now=0.0) is allowed
