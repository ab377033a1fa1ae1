"""The whole chain in place, as setup and a deployment of the function app leave it; each part can be made otherwise."""

from collections.abc import Mapping
from typing import Any

from sandbox.azure.tenant import CLOUDS
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

from .bench import GOOD_KEY

ACCOUNT = "Microsoft.CognitiveServices/accounts/aoai-ml"
VAULT = "Microsoft.KeyVault/vaults/kv-ml"
SECRET = f"{VAULT}/secrets/wandb-api-key"
CLIENT_ID = "c11e0000-0000-4000-8000-000000000001"
PRINCIPALS = [
    {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
    {"name": "func-identity", "kind": "managed identity", "app_id": CLIENT_ID},
    {"name": "other-identity", "kind": "managed identity"},
]
GRANTS = [
    ("operator", "Owner", "rg-ml"),
    ("operator", "Key Vault Secrets Officer", f"rg-ml/{VAULT}"),
    ("operator", "Cognitive Services OpenAI User", f"rg-ml/{ACCOUNT}"),
    ("aoai-ml", "Key Vault Secrets Officer", f"rg-ml/{VAULT}"),
    ("func-identity", "Key Vault Secrets User", f"rg-ml/{SECRET}"),
    ("func-identity", "Cognitive Services OpenAI User", f"rg-ml/{ACCOUNT}"),
]
FUNCTIONS = ["find_jobs", "sync_job", "report_poison"]


def put(
    cloud: Cloud,
    /,
    *,
    account: Mapping[str, Any] = {},
    vault: Mapping[str, Any] = {},
    secret: Mapping[str, Any] | None = {},
    app: Mapping[str, Any] | None = {},
    settings: Mapping[str, str | None] = {},
    without: tuple[tuple[str, str], ...] = (),
    plus: tuple[tuple[str, str, str], ...] = (),
    limited: Mapping[tuple[str, str], Mapping[str, Any]] = {},
    **scenario: Any,
) -> None:
    """Load the chain. `without` names (principal, role) pairs that are not granted, `limited` those with an end or a condition.

    `secret` None: there is none; `app` None: no function app. A setting of None is not set.
    """
    names = CLOUDS[scenario.get("cloud", "public")]
    given = {
        "AZURE_CLIENT_ID": CLIENT_ID,
        "AZURE_OPENAI_ENDPOINTS": f"https://aoai-ml.{names.openai_suffix}/",
        "KEY_VAULT_URL": f"https://kv-ml.{names.vault_suffix}/",
        "WANDB_SECRET_NAME": "wandb-api-key",
        "WANDB_ENTITY": "acme",
    } | dict(settings)
    site = {"name": "func-ml", "group": "rg-ml", "identity": "func-identity", "functions": FUNCTIONS}
    site |= {"settings": {name: value for name, value in given.items() if value is not None}} | dict(app or {})
    secrets = [] if secret is None else [{"name": "wandb-api-key", "value": GOOD_KEY} | dict(secret)]
    account = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True} | dict(account)
    if not account["system_identity"]:
        without += (("aoai-ml", "Key Vault Secrets Officer"),)
    data = {
        "extends": "contoso",
        "transitions": {"rbac_propagation": 0},
        "principals": PRINCIPALS,
        "assignments": [
            {"principal": who, "role": role, "scope": scope} | dict(limited.get((who, role), {}))
            for who, role, scope in (*GRANTS, *plus)
            if (who, role) not in without
        ],
        "accounts": [account],
        "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": secrets} | dict(vault)],
        "function_apps": [] if app is None else [site],
    }
    cloud.load(Scenario.parse(data | scenario))
