"""Account, vault and function app may each be in another resource group, and may be given as resource ids."""

import json
from collections.abc import Mapping
from typing import Any

from provisioning import resource_ids
from tests.conftest import Load
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.conftest import Call

SUBSCRIPTION = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa"
ACCOUNT = f"{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.CognitiveServices/accounts/aoai-ml"
VAULT = f"{SUBSCRIPTION}/resourceGroups/rg-shared/providers/Microsoft.KeyVault/vaults/kv-ml"
SHARED: Mapping[str, Any] = {
    "extends": "contoso",
    "transitions": {"rbac_propagation": 0},
    "groups": ["rg-ml", "rg-shared"],
    "assignments": [{"principal": "operator", "role": "Owner", "scope": "subscription"}],
    "vaults": [{"name": "kv-ml", "group": "rg-shared", "rbac": True}],
}


def test_a_vault_in_another_group_is_set_up_and_found_again_by_ids(load: Load, call: Call) -> None:
    load(SHARED)
    arguments = ("--openai-account", ACCOUNT, "--key-vault", VAULT)
    env = {"WANDB_API_KEY": GOOD_KEY}
    done = call("setup", "--yes", "-o", "json", *arguments, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["vault"]["id"] == VAULT
    assert call("status", *arguments, env=env).returncode == 0
    hint = json.loads(call("doctor", "-o", "json", *arguments, env=env).stdout)["error"]["hint"]
    assert "job list" not in hint


def test_a_printed_command_names_the_group_of_the_vault(load: Load, call: Call) -> None:
    load(SHARED)
    shown = call("doctor", env=OPERATOR_ENV | {"AZURE_KEY_VAULT_RESOURCE_GROUP": "rg-shared"})
    assert "--key-vault-resource-group rg-shared" in shown.stdout


def test_ids_are_parsed_in_any_letter_case() -> None:
    assert resource_ids.parse("kv-ml", "Microsoft.KeyVault/vaults") is None
    found = resource_ids.parse(VAULT.lower() + "/", "Microsoft.KeyVault/vaults")
    assert found == resource_ids.ResourceId("5b1f6d1c-0000-4000-8000-0000000000aa", "rg-shared", "kv-ml")
