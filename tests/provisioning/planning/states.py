"""Observed states to plan from: an account, a vault, and four principals; and plans as text."""

from datetime import UTC, datetime, timedelta

from provisioning.models import (
    AccessPolicy,
    Account,
    Assignment,
    Caller,
    Observed,
    Principal,
    RoleDefinition,
    Secret,
    SecretState,
    Subscription,
    Target,
    Vault,
)
from provisioning.planning.permissions import CANDIDATES
from provisioning.planning.steps import Plan
from sandbox.azure.roles import ROLES

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
WAIT = timedelta(minutes=10)
TARGET = Target("rg-ml", "aoai-ml", "kv-ml", "wandb-api-key", WAIT)
OPERATOR, IDENTITY, BILLING, DANA = (f"a000000{i}-0000-4000-8000-000000000000" for i in range(1, 5))
GROUP_ID = "/subscriptions/s/resourceGroups/rg-ml"
VAULT_ID = f"{GROUP_ID}/providers/Microsoft.KeyVault/vaults/kv-ml"
ACCOUNT_ID = f"{GROUP_ID}/providers/Microsoft.CognitiveServices/accounts/aoai-ml"
DEFINED = {i: RoleDefinition(i, ROLES[i].name, tuple(ROLES[i].data_actions)) for i in CANDIDATES}


def policy(who: str, application: str | None = None, **permissions: str) -> AccessPolicy:
    return AccessPolicy(who, {kind: tuple(verbs.split()) for kind, verbs in permissions.items()}, application)


def assigned(who: str, role: str, *, age: timedelta = timedelta(days=9), conditional: bool = False) -> Assignment:
    return Assignment("id", VAULT_ID, role, who, NOW - age, conditional)


def found(
    *policies: AccessPolicy,
    assignments: tuple[Assignment, ...] = (),
    identity: str | None = None,
    rbac: bool = False,
    secret: SecretState = SecretState.UNKNOWN,
    state: str = "Succeeded",
) -> Observed:
    return Observed(
        caller=Caller(OPERATOR, "User", "you@contoso.example", "t", "az login"),
        subscription=Subscription("s", "contoso-ml"),
        account=Account(ACCOUNT_ID, "aoai-ml", "OpenAI", state, "https://aoai-ml.openai.azure.com/", "aoai-ml", identity),
        vault=Vault(VAULT_ID, "kv-ml", "https://kv-ml.vault.azure.net/", rbac, policies),
        secret=Secret(secret),
        at=NOW,
        assignments=assignments,
        roles=DEFINED,
        principals={BILLING: Principal(BILLING, "billing-api", "ServicePrincipal"), DANA: Principal(DANA, "dana", "User")},
    )  # fmt: skip


def lines(plan: Plan) -> list[str]:
    """Each step as one line: verb, resource, detail, reason and danger."""
    return [
        f"{s.verb} {s.resource}: {s.detail}" + (f" ({s.why})" if s.why else "") + (f" ! {s.danger}" if s.danger else "")
        for s in plan.steps
    ]
