"""RBAC as Azure does it: scopes by segment, data actions apart from actions, exclusions per role, groups, effect in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.azure.rbac import Assignment, Rbac, within
from sandbox.azure.roles import ROLE_IDS

SUB = "/subscriptions/s"
VAULT = f"{SUB}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv"
GET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"

segments = st.lists(st.text("abcXYZ-1", min_size=1, max_size=4), min_size=1, max_size=5)


def holding(role: str, scope: str, *, effective: float = 0.0, who: str = "p") -> Rbac:
    rbac = Rbac()
    rbac.add(Assignment("n", scope, ROLE_IDS[role], who, "User", 0.0, effective))
    return rbac


@given(segments, segments)
def test_a_scope_covers_what_is_below_it_and_nothing_beside_it(parent: list[str], rest: list[str]) -> None:
    above, below = "/" + "/".join(parent), "/" + "/".join([*parent, *rest])
    assert within(below.upper(), above.lower())
    assert within(above, above + "/")
    assert not within(above, below)
    assert not within(above + "x", above)  # a longer name is another resource, not a child


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
    assert holding(role, SUB).allows("p", action, VAULT, data=data, now=0.0) is allowed
