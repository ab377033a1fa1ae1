"""Public reports about vaults in companies, each as a small world with the answer that helps."""

from typing import Any

import pytest

from tests.conftest import Load

from ..bench import GOOD_KEY, OPERATOR_ENV
from ..conftest import Call
from ..execution.vault_in_use import OFFICER, OWNER
from ..execution.vault_in_use import SCOPE as VAULT

JOBS = "Cognitive Services OpenAI User"
KEY = {"name": "wandb-api-key", "value": GOOD_KEY, "expires_in_days": 100}
ACCOUNT = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
ON_RBAC = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
NOW = {"extends": "contoso", "transitions": {"rbac_propagation": 0}, "accounts": [ACCOUNT], "vaults": [ON_RBAC]}
STORED = {"vaults": [ON_RBAC | {"secrets": [KEY]}]}
IN_SHARED_GROUP = [ON_RBAC | {"group": "rg-shared"}]
RESOURCES = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/{}/providers/{}"
ACCOUNT_ID = RESOURCES.format("rg-ml", "Microsoft.CognitiveServices/accounts/aoai-ml")
VAULT_ID = RESOURCES.format("rg-shared", "Microsoft.KeyVault/vaults/kv-ml")
SHARED_VAULT = "rg-shared/Microsoft.KeyVault/vaults/kv-ml"
FABRIKAM = "72f988bf-0000-4000-8000-0000000000cc"


def holds(role: str, scope: str = VAULT, who: str = "operator") -> dict[str, str]:
    return {"principal": who, "role": role, "scope": scope}


ROLE_FROM_ABOVE = STORED | {
    "management_groups": [{"name": "mg"}],
    "subscription": {"management_group": "mg"},
    "assignments": [OWNER, holds(OFFICER), holds(JOBS, "rg-ml"), holds(OFFICER, "mg", "aoai-ml")],
}
NESTED_GROUPS = {
    "principals": [
        {"name": "operator", "kind": "user"},
        {"name": "team", "kind": "group", "members": ["operator"]},
        {"name": "officers", "kind": "group", "members": ["team"]},
    ],
    "assignments": [holds("Contributor", "rg-ml"), holds(OFFICER, VAULT, "officers"), holds(OFFICER, VAULT, "aoai-ml")],
}
STRONGER_ROLE = {
    "assignments": [holds("Contributor", "rg-ml"), holds("Key Vault Administrator"), holds(OFFICER, VAULT, "aoai-ml")]
}
ELSEWHERE = {
    "groups": ["rg-ml", "rg-shared"],
    "vaults": IN_SHARED_GROUP,
    "assignments": [OWNER | {"scope": "subscription"}],
}
IN_PLACE_ELSEWHERE = {
    "groups": ["rg-ml", "rg-shared"],
    "vaults": [IN_SHARED_GROUP[0] | {"secrets": [KEY]}],
    "assignments": [
        OWNER | {"scope": "subscription"},
        holds(JOBS, "rg-ml"),
        holds(OFFICER, SHARED_VAULT),
        holds(OFFICER, SHARED_VAULT, "aoai-ml"),
    ],
}
OTHER_SUBSCRIPTION = {
    "subscriptions": [{"id": "5b1f6d1c-0000-4000-8000-0000000000ab", "name": "shared"}],
    "groups": ["rg-ml", {"name": "rg-shared", "subscription": "shared"}],
    "vaults": IN_SHARED_GROUP,
    "assignments": [OWNER, OWNER | {"scope": "rg-shared"}],
}
OF_SHARED = "--key-vault-resource-group rg-shared"
LOCKED = STORED | {
    "assignments": [OWNER, holds(OFFICER), holds(JOBS, "rg-ml"), holds(OFFICER, VAULT, "aoai-ml")],
    "function_apps": [{"name": "func-ml", "group": "rg-ml", "identity": "system", "functions": ["find_jobs"]}],
    "locks": [{"name": "freeze", "scope": "rg-ml", "level": "ReadOnly"}],
}
FULL = {"subscription": {"assignment_limit": 2}, "assignments": [OWNER, holds(OFFICER)]}
OTHER_TENANT = {"subscription": {"tenant_id": FABRIKAM}}


@pytest.mark.parametrize(
    ("world", "command", "status", "words"),
    [
        (ROLE_FROM_ABOVE, "status", 0, "aoai-ml → kv-ml: in place"),
        (ROLE_FROM_ABOVE, "doctor", 0, "checks ok"),
        (NESTED_GROUPS, "setup --yes", 0, "1 to change, 4 unchanged"),
        (STRONGER_ROLE, "setup --yes", 0, "Key Vault Administrator → you"),
        (ELSEWHERE, "plan", 3, f"Pass {OF_SHARED}"),
        (ELSEWHERE, "plan --create-key-vault", 3, "it is in rg-shared"),
        (ELSEWHERE, "plan -g rg-shared", 3, "it is in rg-ml"),
        (ELSEWHERE, f"doctor {OF_SHARED}", 1, OF_SHARED),  # in the next command
        (ELSEWHERE, f"setup --yes {OF_SHARED}", 0, "In place."),
        (ELSEWHERE, f"setup --yes -o json --openai-account {ACCOUNT_ID} --key-vault {VAULT_ID}", 0, VAULT_ID),
        (ELSEWHERE, f"setup --yes --key-vault {VAULT_ID.lower()}/", 0, "In place."),
        (IN_PLACE_ELSEWHERE, f"doctor --openai-account {ACCOUNT_ID} --key-vault {VAULT_ID}", 0, "checks ok"),
        (FULL, "setup --yes", 1, "az role assignment list --all"),
        (OTHER_TENANT, "plan --subscription 5b1f6d1c-0000-4000-8000-0000000000aa", 1, f"az login --tenant {FABRIKAM}"),
        (
            OTHER_SUBSCRIPTION,
            f"setup --yes --subscription contoso-ml {OF_SHARED} --key-vault-subscription shared",
            0,
            "In place.",
        ),
        (LOCKED, "doctor --function-app func-ml", 1, "skipped  app settings"),
    ],
    ids=[
        "role from above, status",
        "role from above, doctor",
        "nested groups",
        "stronger role",
        "vault elsewhere, plan",
        "vault elsewhere, to be created",
        "account elsewhere",
        "vault elsewhere, doctor",
        "vault elsewhere, setup",
        "by ids, setup",
        "by an id in lower case",
        "by ids, doctor",
        "limit of assignments",
        "another tenant",
        "another subscription",
        "read-only lock",
    ],
)
def test_each_reported_problem_gets_a_helpful_answer(
    load: Load, call: Call, world: dict[str, Any], command: str, status: int, words: str
) -> None:
    load(NOW | world)
    ended = call(*command.split(), env=OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY})
    assert (ended.returncode, words in ended.stdout + ended.stderr) == (status, True), ended.stdout + ended.stderr
