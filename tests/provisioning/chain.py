"""The whole chain in place, as setup and a deployment of the function app leave it; each part can be made otherwise."""

from collections.abc import Mapping
from typing import Any

from sandbox.azure.rbac import Assignment
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.tenant import CLOUDS
from sandbox.cloud import Cloud
from sandbox.runtime.clock import Clock
from sandbox.scenario.reader import Scenario

from .bench import GOOD_KEY

ACCOUNT = "Microsoft.CognitiveServices/accounts/aoai-ml"
VAULT = "Microsoft.KeyVault/vaults/kv-ml"
SECRET = f"{VAULT}/secrets/wandb-api-key"
PRINCIPALS = [
    {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
    {"name": "func-identity", "kind": "managed identity"},
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
    condition: tuple[str, str] | None = None,
    ends: tuple[str, str] | None = None,
    **scenario: Any,
) -> None:
    """Load the chain. `without` names the (principal, role) pairs that are not granted, `condition` one that has a condition, and
    `ends` one that ends in an hour.

    `secret` None: there is none; `app` None: no function app. A setting of None is not set.
    """
    names = CLOUDS[scenario.get("cloud", "public")]
    given = {
        "AZURE_CLIENT_ID": _client_ids()["func-identity"],
        "AZURE_OPENAI_ENDPOINTS": f"https://aoai-ml.{names.openai_suffix}/",
        "KEY_VAULT_URL": f"https://kv-ml.{names.vault_suffix}/",
        "WANDB_SECRET_NAME": "wandb-api-key",
        "WANDB_ENTITY": "acme",
    } | dict(settings)
    site = {"name": "func-ml", "group": "rg-ml", "identity": "func-identity", "functions": FUNCTIONS}
    site |= {"settings": {name: value for name, value in given.items() if value is not None}} | dict(app or {})
    secrets = [] if secret is None else [{"name": "wandb-api-key", "value": GOOD_KEY} | dict(secret)]
    data = {
        "extends": "contoso",
        "transitions": {"rbac_propagation": 0},
        "principals": PRINCIPALS,
        "assignments": [],
        "accounts": [{"name": "aoai-ml", "group": "rg-ml", "system_identity": True} | dict(account)],
        "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": secrets} | dict(vault)],
        "function_apps": [] if app is None else [site],
    }
    cloud.load(Scenario.parse(data | scenario))
    for number, (who, role, scope) in enumerate((*GRANTS, *plus)):
        if (who, role) not in without:
            narrowed = "@Resource[…] StringEquals '…'" if (who, role) == condition else None
            expires = cloud.clock.time() + 3600 if (who, role) == ends else None
            _grant(cloud, number, who, role, scope, condition=narrowed, expires=expires)


def _grant(cloud: Cloud, number: int, who: str, role: str, scope: str, **more: Any) -> None:
    """An assignment that has worked for a long time. A scenario cannot name the account's own identity as a principal."""
    tenant = cloud.world.tenant
    if who not in {p.alias for p in tenant.principals.values()}:
        return  # an account that has no identity here
    principal = tenant.named(who)
    tenant.rbac.add(
        Assignment(
            name=f"00000000-0000-4000-8000-{number:012x}",
            scope=_scope(f"/subscriptions/{tenant.subscription_id}", scope),
            role_id=ROLE_IDS[role],
            principal_id=principal.object_id,
            principal_type=principal.kind,
            created=0.0,
            effective=0.0,
            **more,
        )
    )


def _scope(subscription: str, scope: str) -> str:
    """As scenarios say it: subscription, a group, or a group and a resource in it."""
    if scope == "subscription":
        return subscription
    group, _, rest = scope.partition("/")
    return f"{subscription}/resourceGroups/{group}" + (f"/providers/{rest}" if rest else "")


def _client_ids() -> Mapping[str, str]:
    """Client ids of the identities, which a scenario makes from their names."""
    principals = Scenario.parse({"principals": PRINCIPALS}).builder(Clock()).tenant.principals.values()
    return {p.alias: p.app_id for p in principals}
