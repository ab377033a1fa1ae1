"""Vaults with what setup marks as its own, and the steps of teardown for them."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    Assignment,
    Observed,
    SecretState,
    SecretVersion,
)
from provisioning.planning.ownership import Owner, Purpose, description, switched, with_entry
from provisioning.planning.steps import Plan, Step, Verb
from provisioning.planning.teardown import plan_teardown

from .states import BILLING, DANA, IDENTITY, NOW, OPERATOR, TARGET, VAULT_ID, found, policy

NAME, ABOUT = "secret wandb-api-key", "aoai-ml → kv-ml"
SECRET_ID = f"{VAULT_ID}/secrets/wandb-api-key"
OTHER_IDENTITY = "a0000005-0000-4000-8000-000000000000"
CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
VERBS = ("get", "list", "set", "delete", "recover", "backup", "restore", "purge")
NO_KEY = "the function app, and jobs that report to W&B by themselves, no longer get a key"
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"


def marked(
    who: str, role: str, purpose: Purpose, *, account: str = "aoai-ml", scope: str = VAULT_ID, mark: str = ""
) -> Assignment:
    text = mark or description(purpose, Owner(account, "wandb-api-key"), switching=scope == VAULT_ID)
    name = f"{scope}/roles/{who}-{purpose.name}"
    return Assignment(name, scope, role, who, NOW - timedelta(days=9), description=text, derived=True)


YOURS = marked(OPERATOR, SECRETS_OFFICER, Purpose.OPERATOR)
OF_ACCOUNT = marked(IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY)
OF_OTHER = marked(OTHER_IDENTITY, SECRETS_OFFICER, Purpose.IDENTITY, account="aoai-two")
OF_THIRD = marked(DANA, SECRETS_OFFICER, Purpose.IDENTITY, account="aoai-three")
READER = marked(DANA, SECRETS_USER, Purpose.READER, scope=SECRET_ID)
CARRIED = marked(BILLING, SECRETS_USER, Purpose.CARRIED_OVER)
ALL = (CARRIED, YOURS, OF_ACCOUNT, READER)
BILLINGS_POLICY = policy(BILLING, secrets="get")


def plan(observed: Observed, *versions: SecretVersion, restore: bool = False) -> Plan:
    """The plan without its actions."""
    whole = plan_teardown(TARGET, observed, versions, restore=restore)
    return replace(whole, steps=tuple(replace(step, action=None) for step in whole.steps))


def actions(observed: Observed, *, restore: bool = False) -> list[object]:
    return [step.action for step in plan_teardown(TARGET, observed, (), restore=restore).work]


def version(*, ours: bool = True, enabled: bool = True) -> SecretVersion:
    return SecretVersion("v", enabled, NOW, None, {"created-by": "azure-openai-wandb"} if ours else {})


def on_rbac(
    *assignments: Assignment, policies: tuple[AccessPolicy, ...] = (), secret: SecretState = SecretState.PRESENT
) -> Observed:
    """A vault that setup has put on Azure RBAC."""
    observed = found(*policies, assignments=assignments, identity=IDENTITY, rbac=True, secret=secret)
    vault = replace(observed.vault, tags=switched({}, NOW))
    return replace(observed, vault=vault, own_secrets={"wandb-api-key": "aoai-ml"})


def on_policies(
    *policies: AccessPolicy, noted: Collection[str] = (), secret: SecretState = SecretState.PRESENT
) -> Observed:
    """A vault on access policies, with the principals noted whose entries setup created."""
    observed = found(*policies, identity=IDENTITY, secret=secret)
    tags: dict[str, str] = {}
    for object_id in noted:
        tags = with_entry(tags, object_id, VERBS, Owner("aoai-ml", "wandb-api-key"))
    return replace(observed, vault=replace(observed.vault, tags=tags), own_secrets={"wandb-api-key": "aoai-ml"})


DELETED = Step(Verb.REMOVE, NAME, "deleted; recoverable until Azure purges it", before="present", danger=NO_KEY)
STAYS_FOR_OTHER = Step(Verb.NOTE, NAME, "stays: aoai-two may use it, too")
STAYS_ON_RBAC = Step(
    Verb.NOTE,
    "vault access model",
    "stays Azure RBAC, to which setup switched it; --restore-access-policies switches back",
)
ON_POLICIES = Step(Verb.ALREADY, "vault access model", "access policies")
IDENTITY_STAYS = Step(
    Verb.NOTE,
    "account identity",
    "stays, because others may use it; to take it away",
    command="az cognitiveservices account identity remove -g rg-ml -n aoai-ml",
)


def removed(shown: str, assignment: Assignment, purpose: str) -> Step:
    why = f"setup gave it: {purpose}"
    return Step(Verb.REMOVE, "role", shown, why=why, before=assignment.scope)


def restored(policies: str) -> Step:
    return Step(
        Verb.CHANGE,
        "vault access model",
        "Azure RBAC → access policies",
        before="Azure RBAC",
        after="access policies",
        danger=f"its {policies} again; roles on it, including inherited ones, give no access to what it holds",
    )


FROM_READER = removed(f"{USER} → dana", READER, "reader")
FROM_ACCOUNT = removed(f"{OFFICER} → aoai-ml", OF_ACCOUNT, "account identity")
FROM_YOU = removed(f"{OFFICER} → you", YOURS, "operator")
FROM_BILLING = removed(f"{USER} → billing-api", CARRIED, "carried over from access policy")
GAVE_BEFORE = "the vault's access policies gave that before"


def handed_over(shown: str) -> Step:
    why = "its description names that account and secret instead"
    to = "aoai-two/wandb-api-key"
    return Step(Verb.CHANGE, "role", f"{shown} stays for {to}", why=why, before="aoai-ml/wandb-api-key", after=to)
