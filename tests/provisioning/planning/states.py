"""Observed states to plan from: an account, a vault, and four principals; and plans as text."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from provisioning.models import (
    SECRETS_OFFICER,
    AccessPolicy,
    Account,
    Assignment,
    Caller,
    KeyState,
    Observed,
    Principal,
    RoleDefinition,
    Secret,
    SecretState,
    Subscription,
    Target,
    Vault,
    VaultState,
)
from provisioning.planning.access.permissions import CANDIDATES
from provisioning.planning.actions import AssignRole
from provisioning.planning.setup import plan_setup
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


def planned(observed: Observed, key: KeyState = KeyState.OTHER, **options: Any) -> Plan:
    return plan_setup(replace(TARGET, **options), observed, key)


def actions(plan: Plan) -> list[type]:
    return [type(step.action) for step in plan.work]


def granted(plan: Plan) -> set[tuple[str, str]]:
    return {
        (a.principal.object_id if a.principal else "", a.role_name)
        for a in (s.action for s in plan.work)
        if isinstance(a, AssignRole)
    }


def in_place(*, secret: Secret = Secret(SecretState.PRESENT)) -> Observed:  # noqa: B008 - frozen
    both = (assigned(OPERATOR, SECRETS_OFFICER), assigned(IDENTITY, SECRETS_OFFICER))
    return replace(found(assignments=both, identity=IDENTITY, rbac=True), secret=secret)


def in_state(state: VaultState, *, rbac: bool = False) -> Observed:
    observed = found(rbac=rbac)
    return replace(observed, vault=replace(observed.vault, state=state, location="westeurope"))
