"""Public reports about vaults in companies, each as a small world with the answer that helps."""

from typing import Any

import pytest

from tests.conftest import Load

from ..bench import GOOD_KEY, OPERATOR_ENV
from ..conftest import Call

VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
OFFICER, JOBS = "Key Vault Secrets Officer", "Cognitive Services OpenAI User"
STORED = [{"name": "wandb-api-key", "value": GOOD_KEY, "expires_in_days": 100}]
ACCOUNT = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
ON_RBAC = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
OWNER = {"principal": "operator", "role": "Owner", "scope": "rg-ml"}
NOW = {"extends": "contoso", "transitions": {"rbac_propagation": 0}, "accounts": [ACCOUNT]}
LANDING_ZONE = {"management_groups": [{"name": "mg"}], "subscription": {"management_group": "mg"}}
ELSEWHERE = {"groups": ["rg-ml", "rg-shared"], "vaults": [ON_RBAC | {"group": "rg-shared"}]}


def holds(role: str, scope: str = VAULT, who: str = "operator") -> dict[str, str]:
    return {"principal": who, "role": role, "scope": scope}


CASES: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "a role of the account's identity from a management group: status": (
        {
            "vaults": [ON_RBAC | {"secrets": STORED}],
            "assignments": [OWNER, holds(OFFICER), holds(OFFICER, "mg", "aoai-ml")],
        }
        | LANDING_ZONE,
        "status",
        0,
        "aoai-ml → kv-ml: in place",
    ),
    "a role of the account's identity from a management group: doctor": (
        {
            "vaults": [ON_RBAC | {"secrets": STORED}],
            "assignments": [OWNER, holds(OFFICER), holds(JOBS, "rg-ml"), holds(OFFICER, "mg", "aoai-ml")],
        }
        | LANDING_ZONE,
        "doctor",
        0,
        "checks ok",
    ),
    "the operator by nested groups": (
        {
            "principals": [
                {"name": "operator", "kind": "user"},
                {"name": "team", "kind": "group", "members": ["operator"]},
                {"name": "officers", "kind": "group", "members": ["team"]},
            ],
            "vaults": [ON_RBAC],
            "assignments": [
                holds("Contributor", "rg-ml"),
                holds(OFFICER, VAULT, "officers"),
                holds(OFFICER, VAULT, "aoai-ml"),
            ],
        },
        "setup --yes",
        0,
        "1 to change, 4 unchanged",
    ),
    "a stronger role of the operator": (
        {
            "vaults": [ON_RBAC],
            "assignments": [
                holds("Contributor", "rg-ml"),
                holds("Key Vault Administrator"),
                holds(OFFICER, VAULT, "aoai-ml"),
            ],
        },
        "setup --yes",
        0,
        "Key Vault Administrator → you",
    ),
    "the vault in another group": (
        ELSEWHERE | {"assignments": [OWNER | {"scope": "subscription"}]},
        "plan",
        3,
        "Pass --key-vault-resource-group rg-shared",
    ),
    "the vault in another group, and a new one asked for": (
        ELSEWHERE | {"assignments": [OWNER | {"scope": "subscription"}]},
        "plan --create-key-vault",
        3,
        "it is in rg-shared",
    ),
    "the account in another group": (
        ELSEWHERE | {"assignments": [OWNER | {"scope": "subscription"}]},
        "plan -g rg-shared",
        3,
        "it is in rg-ml",
    ),
    "both named": (
        ELSEWHERE | {"assignments": [OWNER | {"scope": "subscription"}]},
        "setup --yes --key-vault-resource-group rg-shared",
        0,
        "In place.",
    ),
    "the limit of role assignments": (
        {"subscription": {"assignment_limit": 2}, "vaults": [ON_RBAC], "assignments": [OWNER, holds(OFFICER)]},
        "setup --yes",
        1,
        "az role assignment list --all",
    ),
    "a subscription of another tenant": (
        {"subscription": {"tenant_id": "72f988bf-0000-4000-8000-0000000000cc"}},
        "plan --subscription 5b1f6d1c-0000-4000-8000-0000000000aa",
        1,
        "az login --tenant 72f988bf-0000-4000-8000-0000000000cc",
    ),
    "a vault of another subscription": (
        {
            "subscriptions": [{"id": "5b1f6d1c-0000-4000-8000-0000000000ab", "name": "shared"}],
            "groups": ["rg-ml", {"name": "rg-shared", "subscription": "shared"}],
            "vaults": [ON_RBAC | {"group": "rg-shared"}],
            "assignments": [OWNER, OWNER | {"scope": "rg-shared"}],
        },
        "setup --yes --subscription contoso-ml --key-vault-resource-group rg-shared --key-vault-subscription shared",
        0,
        "In place.",
    ),
    "a lock keeps doctor from app settings": (
        {
            "vaults": [ON_RBAC | {"secrets": STORED}],
            "assignments": [OWNER, holds(OFFICER), holds(JOBS, "rg-ml"), holds(OFFICER, VAULT, "aoai-ml")],
            "function_apps": [{"name": "func-ml", "group": "rg-ml", "identity": "system", "functions": ["find_jobs"]}],
            "locks": [{"name": "freeze", "scope": "rg-ml", "level": "ReadOnly"}],
        },
        "doctor --function-app func-ml",
        1,
        "skipped  app settings",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_each_reported_problem_gets_a_helpful_answer(
    load: Load, call: Call, case: tuple[dict[str, Any], str, int, str]
) -> None:
    world, command, status, words = case
    load(NOW | world)
    name, *options = command.split()
    ended = call(name, *options, env=OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY})
    assert (ended.returncode, words in ended.stdout + ended.stderr) == (status, True), ended.stdout + ended.stderr
