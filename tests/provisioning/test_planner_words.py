"""Whole plans, line by line: what is done, and every word that an operator reads before saying yes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from provisioning.models import (
    SECRETS_OFFICER,
    SECRETS_USER,
    AccessPolicy,
    KeyState,
    Network,
    Observed,
    Principal,
    Scope,
    Secret,
    SecretState,
    VaultState,
)
from provisioning.planning.ownership import Purpose
from provisioning.planning.setup import plan
from provisioning.planning.steps import (
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    EnableIdentity,
    Loss,
    Plan,
    RecoverVault,
    Step,
    StoreSecret,
    SwitchToRbac,
    Verb,
)

from .planner_states import (
    BILLING,
    DANA,
    GROUP_ID,
    IDENTITY,
    NOW,
    OPERATOR,
    TARGET,
    VAULT_ID,
    WAIT,
    assigned,
    found,
    policy,
)

YOU, ACCOUNT = Principal(OPERATOR, "you", "User"), Principal(IDENTITY, "aoai-ml", "ServicePrincipal")
BILLING_API, DANA_HERSELF = Principal(BILLING, "billing-api", "ServicePrincipal"), Principal(DANA, "dana", "User")
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"
CRYPTO_USER, CERTIFICATE_USER = "12338af0-0e69-4776-bea7-57ae8d297424", "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"
ALL_OF_SECRETS = ("get", "list", "set", "delete", "recover", "backup", "restore", "purge")
ABOUT = "aoai-ml → kv-ml"
FOR_JOBS = "to read the secret when a fine-tuning job reports to W&B"
REACHES_ALL = "reaches every secret of the vault, as access policies do"

IDENTITY_THERE = Step(Verb.ALREADY, "account identity", f"SystemAssigned, principal {IDENTITY}")
TO_YOU = Step(
    Verb.ADD,
    "role",
    "Key Vault Secrets Officer → you",
    why="to store the secret",
    after="Key Vault Secrets Officer on kv-ml",
    action=AssignRole(SECRETS_OFFICER, OFFICER, YOU, purpose=Purpose.OPERATOR),
)
TO_ACCOUNT = Step(
    Verb.ADD,
    "role",
    "Key Vault Secrets Officer → aoai-ml",
    why=FOR_JOBS,
    after="Key Vault Secrets Officer on kv-ml",
    action=AssignRole(SECRETS_OFFICER, OFFICER, None, fresh=True, purpose=Purpose.IDENTITY),
)
WAITING = Step(
    Verb.WAIT,
    "roles take effect",
    "up to 10 m before the switch",
    why="others depend on this vault, and no service tells when a role has arrived",
    action=AwaitRoles(WAIT, None),
)
SWITCH = Step(
    Verb.CHANGE,
    "vault access model",
    "access policies → Azure RBAC",
    before="access policies",
    after="Azure RBAC",
    danger="its 3 access policies stop counting (they stay stored)",
    action=SwitchToRbac(),
)
ON_RBAC = Step(Verb.ALREADY, "vault access model", "Azure RBAC")
STORE = Step(
    Verb.ADD,
    "secret wandb-api-key",
    "the W&B key; expires 2026-08-29",
    why="unless it is there already, which you cannot see yet",
    before="not visible to you yet",
    after="the W&B key",
    action=StoreSecret(),
)


def enabled(observed: Observed, *, kept: str = "", before: str = "none", after: str = "SystemAssigned") -> Step:
    return Step(
        Verb.ADD,
        "account identity",
        f"SystemAssigned for aoai-ml{kept}",
        why="so that it can read the W&B key from the vault",
        before=before,
        after=after,
        action=EnableIdentity(observed.account),
    )


def carried(who: Principal, role_id: str, name: str, had: str, *, danger: str = "", guards: bool = True) -> Step:
    return Step(
        Verb.ADD,
        "role",
        f"{name} → {who.label}",
        why=f"had {had} by access policy",
        before=had,
        after=name,
        danger=danger,
        action=AssignRole(role_id, name, who, guards=guards, purpose=Purpose.CARRIED_OVER),
    )


def test_a_vault_that_others_use_by_access_policy() -> None:
    observed = found(
        policy(BILLING, secrets="get list"),
        policy(DANA, keys="sign", storage="get"),
        policy(OPERATOR, secrets="get set", keys="list"),
    )
    yours = "secrets get, set; keys list"
    more_keys = "also gives keys get, list, update, backup, decrypt, encrypt, verify, unwrapkey, wrapkey"
    more_certificates = "also gives certificates get, list"
    assert plan(TARGET, observed, KeyState.NONE) == Plan(
        ABOUT,
        (
            enabled(observed),
            carried(BILLING_API, SECRETS_USER, USER, "secrets get, list"),
            carried(DANA_HERSELF, CRYPTO_USER, "Key Vault Crypto User", "keys sign; storage get", danger=more_keys),
            carried(YOU, CERTIFICATE_USER, "Key Vault Certificate User", yours, danger=more_certificates, guards=False),
            replace(TO_YOU, why=f"to store the secret; had {yours} by access policy", before=yours),
            TO_ACCOUNT,
            WAITING,
            SWITCH,
            replace(STORE, why="unless it is there already, which you cannot see yet; setup asks for the key"),
        ),
        (Loss("dana", DANA, "no role fits storage get, list"),),
    )


def test_an_interrupted_run_goes_on_and_the_identity_that_reads_by_access_policy_is_guarded() -> None:
    observed = found(
        policy(BILLING, secrets="get"),
        policy(DANA, "app-1", secrets="get"),
        policy(IDENTITY, secrets="get"),
        assignments=(assigned(BILLING, SECRETS_USER, age=timedelta(minutes=4)),),
        identity=IDENTITY,
    )
    to_account = AssignRole(SECRETS_OFFICER, OFFICER, ACCOUNT, fresh=True, guards=True, purpose=Purpose.IDENTITY)
    of_billing = "Key Vault Secrets User → billing-api"
    assert plan(TARGET, observed, KeyState.OTHER) == Plan(
        ABOUT,
        (
            IDENTITY_THERE,
            Step(Verb.ALREADY, "role", of_billing, why="has secrets get by access policy", before="secrets get"),
            TO_YOU,
            replace(
                TO_ACCOUNT, why=f"{FOR_JOBS}; had secrets get by access policy", before="secrets get", action=to_account
            ),
            replace(WAITING, action=AwaitRoles(WAIT, NOW - timedelta(minutes=4))),
            SWITCH,
            STORE,
        ),
        (Loss("dana", DANA, "only through application app-1: Azure RBAC has no compound identities"),),
    )


@pytest.mark.parametrize(
    ("entries", "danger"),
    [((), ""), ((policy(OPERATOR, secrets="all"),), "its 1 access policy stops counting (they stay stored)")],
)
def test_the_switch_says_how_many_access_policies_stop_counting(entries: tuple[AccessPolicy, ...], danger: str) -> None:
    (switch,) = (step for step in plan(TARGET, found(*entries), KeyState.OTHER).steps if step.action == SwitchToRbac())
    assert switch == replace(SWITCH, danger=danger)


def test_what_is_in_place() -> None:
    both = (assigned(OPERATOR, SECRETS_OFFICER), assigned(IDENTITY, SECRETS_OFFICER))
    observed = found(assignments=both, identity=IDENTITY, rbac=True)
    observed = replace(observed, secret=Secret(SecretState.PRESENT, expires=NOW + timedelta(days=100)))
    assert plan(TARGET, observed, KeyState.SAME) == Plan(
        ABOUT,
        (
            IDENTITY_THERE,
            Step(Verb.ALREADY, "role", "Key Vault Secrets Officer → you"),
            Step(Verb.ALREADY, "role", "Key Vault Secrets Officer → aoai-ml"),
            ON_RBAC,
            Step(Verb.ALREADY, "secret wandb-api-key", "holds this key; expires 2026-06-10"),
        ),
    )


def test_grants_by_access_policy_ask_only_for_what_is_missing() -> None:
    target = replace(TARGET, by_access_policy=True, identity_role=SECRETS_USER, readers=(DANA, BILLING))
    observed = found(policy(OPERATOR, secrets="get list"), policy(DANA, secrets="get"), identity=IDENTITY)
    assert plan(target, observed, KeyState.OTHER) == Plan(
        ABOUT,
        (
            IDENTITY_THERE,
            Step(
                Verb.CHANGE,
                "access policy",
                "secrets set, delete, recover, backup, restore, purge → you",
                why="to store the secret; has secrets get, list",
                before="secrets get, list",
                after="secrets get, list, set, delete, recover, backup, restore, purge",
                action=AllowByPolicy(YOU, ALL_OF_SECRETS[2:], new=False),
            ),
            allowed("secrets get, list → aoai-ml", FOR_JOBS, ACCOUNT, ("get", "list")),
            Step(Verb.ALREADY, "access policy", "secrets get → dana"),
            allowed("secrets get → billing-api", "to read the secret", BILLING_API, ("get",)),
            Step(Verb.ALREADY, "vault access model", "access policies (--vault-access-policy)"),
            STORE,
        ),
    )


def allowed(detail: str, why: str, who: Principal | None, verbs: tuple[str, ...], danger: str = REACHES_ALL) -> Step:
    after = f"secrets {', '.join(verbs)}"
    action = AllowByPolicy(who, verbs, new=True)
    return Step(Verb.ADD, "access policy", detail, why=why, after=after, danger=danger, action=action)


def without_vault(*, rbac: bool, identity: str | None = None) -> Observed:
    observed = found(identity=identity)
    return replace(observed, vault=replace(observed.vault, state=VaultState.MISSING, rbac=rbac, location="westeurope"))


def test_a_vault_that_is_made() -> None:
    observed = without_vault(rbac=True)
    create = Step(
        Verb.ADD,
        "vault",
        "kv-ml in westeurope: standard, Azure RBAC, soft delete for 90 days, purge protection",
        why="it is not there; --create-key-vault",
        before="missing",
        after="Azure RBAC",
        danger="purge protection is irreversible: once deleted, its name and content stay for 90 days whatever happens",
        action=CreateVault("westeurope", purge_protection=True, rbac=True),
    )
    target = replace(TARGET, create_vault=True)
    made = plan(target, observed, KeyState.OTHER)
    assert made == Plan(ABOUT, (create, enabled(observed), TO_YOU, TO_ACCOUNT, STORE))


def test_a_vault_that_is_made_with_access_policies_and_without_purge_protection() -> None:
    target = replace(TARGET, create_vault=True, by_access_policy=True, purge_protection=False)
    verbs = ", ".join(ALL_OF_SECRETS)
    create = Step(
        Verb.ADD,
        "vault",
        "kv-ml in westeurope: standard, access policies, soft delete for 90 days",
        why="it is not there; --create-key-vault",
        before="missing",
        after="access policies",
        danger="without purge protection a deleted vault can be purged for good, keys and all",
        action=CreateVault("westeurope", purge_protection=False, rbac=False),
    )
    observed = without_vault(rbac=False)
    assert plan(target, observed, KeyState.OTHER) == Plan(
        ABOUT,
        (
            create,
            enabled(observed),
            allowed(f"secrets {verbs} → you", "to store the secret", YOU, ALL_OF_SECRETS, danger=""),
            allowed(f"secrets {verbs} → aoai-ml", FOR_JOBS, None, ALL_OF_SECRETS),
            STORE,
        ),
    )


def test_a_deleted_vault_comes_back_before_more_can_be_planned() -> None:
    observed = found()
    observed = replace(observed, vault=replace(observed.vault, state=VaultState.DELETED, location="westeurope"))
    recover = Step(
        Verb.CHANGE,
        "vault",
        "bring kv-ml back from the deleted state",
        why="--recover-key-vault",
        before="deleted, recoverable",
        after="as it was when it was deleted",
        danger="role assignments do not come back: who else used it by role has to be given that again",
        action=RecoverVault("westeurope"),
    )
    then = Step(Verb.NOTE, "then", "setup looks again and plans the rest: how the vault grants access shows only then")
    assert plan(TARGET, observed, KeyState.OTHER) == Plan(ABOUT, (recover, then), partial=True)


def test_what_is_still_coming_into_being_is_waited_for_and_networks_are_warned_of() -> None:
    observed = found(rbac=True, state="Updating")
    observed = replace(
        observed,
        vault=replace(observed.vault, state=VaultState.REGISTERING, network=Network.PRIVATE),
        account=replace(observed.account, user_identities=("/a",)),
    )
    assert plan(TARGET, observed, KeyState.OTHER) == Plan(
        ABOUT,
        (
            Step(
                Verb.WAIT,
                "vault",
                "the host name of kv-ml is being registered",
                why="it is new or was just recovered, perhaps by an interrupted run",
                action=AwaitVault(),
            ),
            Step(
                Verb.WAIT,
                "account",
                "aoai-ml is updating",
                why="a change is under way, perhaps from an interrupted run",
                action=AwaitAccount(),
            ),
            enabled(
                observed,
                kept=", 1 user-assigned kept",
                before="UserAssigned",
                after="SystemAssigned, UserAssigned",
            ),
            TO_YOU,
            TO_ACCOUNT,
            ON_RBAC,
            STORE,
            Step(
                Verb.NOTE,
                "vault network",
                "kv-ml answers private endpoints only",
                danger="aoai-ml and the function app may be shut out: neither Azure OpenAI nor Azure Functions is among "
                "Key Vault's trusted services",
            ),
        ),
    )


def test_roles_on_the_one_secret_and_what_is_held_beyond_them() -> None:
    stranger = "0000000a-0000-4000-8000-000000000000"
    target = replace(
        TARGET,
        identity_role=SECRETS_USER,
        identity_scope=Scope.SECRET,
        readers=(BILLING.upper(), DANA, stranger.upper(), BILLING),
    )
    observed = found(
        assignments=(
            assigned(OPERATOR, SECRETS_OFFICER),
            assigned(IDENTITY, SECRETS_OFFICER),
            assigned(BILLING, SECRETS_USER),
            assigned(BILLING, CRYPTO_USER),  # reads no secret
            replace(assigned(DANA, SECRETS_USER), scope=f"{VAULT_ID}/secrets/wandb-api-key"),
            replace(assigned(DANA, SECRETS_OFFICER), id="other", scope=GROUP_ID),
        ),
        identity=IDENTITY,
        rbac=True,
        secret=SecretState.DELETED,
    )
    recovered = "recovered, and a new version if it holds another key; expires 2026-08-29"
    unknown = Principal(stranger, kind="ServicePrincipal")
    assert plan(target, observed, KeyState.OTHER) == Plan(
        ABOUT,
        (
            IDENTITY_THERE,
            Step(Verb.ALREADY, "role", "Key Vault Secrets Officer → you"),
            ON_RBAC,
            replace(STORE, verb=Verb.CHANGE, detail=recovered, why="", before="deleted, recoverable"),
            on_secret(ACCOUNT, FOR_JOBS, Purpose.IDENTITY),
            on_secret(BILLING_API, "to read the secret", Purpose.READER),
            Step(Verb.ALREADY, "role", "Key Vault Secrets User → dana on secret wandb-api-key"),
            on_secret(unknown, "to read the secret", Purpose.READER),
            beyond("Key Vault Secrets Officer → aoai-ml at kv-ml"),
            beyond("Key Vault Secrets User → billing-api at kv-ml"),
            beyond("Key Vault Secrets Officer → dana at rg-ml", assignment="other"),
        ),
    )


def on_secret(who: Principal, why: str, purpose: Purpose) -> Step:
    return Step(
        Verb.ADD,
        "role",
        f"Key Vault Secrets User → {who.label} on secret wandb-api-key",
        why=why,
        after="Key Vault Secrets User on secret wandb-api-key",
        action=AssignRole(SECRETS_USER, USER, who, secret="wandb-api-key", fresh=True, purpose=purpose),
    )


def beyond(held: str, assignment: str = "id") -> Step:
    return Step(
        Verb.NOTE,
        "more than asked",
        f"{held}; asked for: Key Vault Secrets User on the secret",
        danger="setup takes nothing away that others may count on",
        command=f"az role assignment delete --ids {assignment}",
    )
