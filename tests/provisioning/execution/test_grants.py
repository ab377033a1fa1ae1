"""Access by the operator's choice: by role or by access policy, as narrow as requested, and never less than requested."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from provisioning.models import SECRETS_OFFICER, SECRETS_USER, Scope
from provisioning.planning.actions import AwaitRoles, SwitchToRbac
from provisioning.planning.steps import Verb
from provisioning.resource_ids import assignment_name
from sandbox.azure.roles import ROLES
from sandbox.cloud import Cloud
from tests.conftest import Load

from ..bench import GOOD_KEY, OPERATOR_ENV, Bench
from ..conftest import Call
from .vault_in_use import OFFICER, OWNER, SCOPE, SOON, USER

ALL = ["get", "list", "set", "delete", "recover", "backup", "restore", "purge"]
ON_SECRET = "/secrets/wandb-api-key"
JOBS = "Cognitive Services OpenAI User"
NOBODY = "00000000-0000-4000-8000-00000000dead"


def world(*assignments: dict[str, Any], vault: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Contoso, where only these principals have access to the vault."""
    vaults = [{"name": "kv-ml", "group": "rg-ml", "rbac": True, **(vault or {})}]
    return {"extends": "contoso", "vaults": vaults, "assignments": [OWNER, *assignments], **more}


ON_POLICIES: dict[str, Any] = {"rbac": None, "policies": []}


def held(bench: Bench) -> set[tuple[str, str, str]]:
    """(who, role, on which secret) at the vault or below it."""
    tenant = bench.tenant
    return {
        (tenant.principals[a.principal_id].alias, ROLES[a.role_id].name, a.scope[len(bench.vault.id) :])
        for a in tenant.rbac.assignments.values()
        if a.scope.startswith(bench.vault.id)
    }


def allowed(bench: Bench) -> dict[str, list[str]]:
    """Permissions on secrets by principal."""
    tenant = bench.tenant
    return {tenant.principals[p.object_id].alias: p.permissions.get("secrets", []) for p in bench.vault.policies}


def notes(bench: Bench, **options: Any) -> list[str]:
    made = setup.status(bench.session(**options))
    assert not made.work, "more than asked is no drift"
    return [s.detail for s in made.steps if s.verb is Verb.NOTE]


# --- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "scope", "rbac", "expected"),
    [
        (SECRETS_USER, Scope.VAULT, None, (USER, "")),
        (SECRETS_OFFICER, Scope.SECRET, True, (OFFICER, ON_SECRET)),
        (SECRETS_USER, Scope.SECRET, None, (USER, ON_SECRET)),
    ],
)
def test_the_accounts_identity_gets_the_requested_role_at_the_requested_scope(
    load: Load, bench: Bench, role: str, scope: Scope, rbac: bool | None, expected: tuple[str, str]
) -> None:
    load(world(vault={"rbac": rbac}))
    asked: dict[str, Any] = {"identity_role": role, "identity_scope": scope}
    bench.setup(**asked)
    assert held(bench) == {("operator", OFFICER, ""), ("aoai-ml", *expected)}
    assert bench.idle(**asked)


def test_readers_get_the_one_secret_and_nothing_else(load: Load, bench: Bench) -> None:
    load(world())
    readers = (bench.id_of("function-app"), bench.id_of("dana").upper(), bench.id_of("dana"))
    bench.setup(readers=readers)
    assert {each for each in held(bench) if each[2]} == {(who, USER, ON_SECRET) for who in ("function-app", "dana")}
    name = assignment_name(bench.vault.id + ON_SECRET, readers[0], SECRETS_USER)  # that of a template
    assert name in bench.tenant.rbac.assignments
    assert [s.resource.split()[0] for s in bench.ui.steps[-3:]] == ["secret", "role", "role"], "the secret is there"
    assert bench.idle(readers=readers)


@pytest.mark.parametrize("who", ["function-app", "aoai-ml"])
def test_a_role_on_the_secret_that_ends_does_not_count_as_in_place(load: Load, bench: Bench, who: str) -> None:
    """As with every role that ends, none can be added before. That is a note, and after the end the role is given."""
    ends = {"principal": who, "role": USER, "scope": SCOPE + ON_SECRET, "expires_in": "4h"}
    account = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
    load(world(ends, accounts=[account]) | SOON)
    asked: dict[str, Any] = {"identity_role": SECRETS_USER, "identity_scope": Scope.SECRET}
    asked["readers"] = (bench.id_of("function-app"),)
    bench.setup(**asked)
    assert f"Key Vault Secrets User → {who} on secret wandb-api-key" in notes(bench, **asked)
    bench.cloud.clock.advance(5 * 3600)
    bench.setup(**asked)
    assert notes(bench, **asked) == []


def test_a_role_on_the_secret_is_read_back_again_if_the_listing_is_late(load: Load, bench: Bench) -> None:
    late = {"op": "RoleAssignments_ListForScope", "when": {"nth": [3, 4]}, "do": {"status": 200, "body": {"value": []}}}
    load(world(faults=[late]) | SOON)
    bench.setup(readers=(bench.id_of("function-app"),))
    assert bench.clock.slept == 1 + 2


def test_a_reader_that_the_directory_does_not_show_is_taken_for_a_service_principal(load: Load, bench: Bench) -> None:
    """If Azure refuses that type, the other types are tried."""
    load(world(faults=[{"op": "DirectoryObjects_GetByIds", "do": {"status": 403}}]))
    bench.setup(readers=(bench.id_of("function-app"), bench.id_of("dana")))
    assert {who for who, _, where in held(bench) if where} == {"function-app", "dana"}
    tried = [e.status for e in bench.cloud.world.trace.exchanges if e.operation == "RoleAssignments_Create"]
    assert tried.count(400) == 1


def test_the_type_of_a_principal_is_always_sent(load: Load, bench: Bench) -> None:
    """A right to assign roles may be conditioned on it. Without the directory, other types are tried after the first."""
    cloud = load({"extends": "contoso", "faults": [{"op": "DirectoryObjects_GetByIds", "do": {"status": 403}}]} | SOON)
    bench.setup()
    sent = [e.request["body"] for e in cloud.world.trace.exchanges if e.operation == "RoleAssignments_Create"]
    assert sent
    assert all(body["properties"].get("principalType") for body in sent)


def test_a_reader_that_the_directory_does_not_know_is_a_warning(load: Load, bench: Bench) -> None:
    load(world())
    made = setup.status(bench.session(readers=(NOBODY, bench.id_of("function-app"))))
    warned = {step.detail for step in made.steps if "enterprise application" in (step.danger or "")}
    assert [who.split()[-4] for who in warned] == [NOBODY]


@pytest.mark.parametrize(
    "options", [{"readers": (NOBODY,)}, {"readers": (NOBODY,), "by_access_policy": True}, {"contributors": (NOBODY,)}]
)
def test_a_reader_that_the_directory_does_not_know_stops_setup(load: Load, bench: Bench, options: Any) -> None:
    load(world(vault=ON_POLICIES if "by_access_policy" in options else None))
    bench.setup_is_refused(errors.PrincipalMissingError, r"dead.* Nothing was written", hint="client id", **options)


def test_narrowing_adds_the_requested_role_removes_nothing_and_names_the_broader_one(load: Load, bench: Bench) -> None:
    load(world())
    bench.setup()
    assert notes(bench) == []
    narrow: dict[str, Any] = {"identity_role": SECRETS_USER, "identity_scope": Scope.SECRET}
    bench.setup(**narrow)
    assert {where for who, _, where in held(bench) if who == "aoai-ml"} == {"", ON_SECRET}
    [note] = notes(bench, **narrow)
    assert note == "Key Vault Secrets Officer → aoai-ml at kv-ml; requested: Key Vault Secrets User on the secret"
    bench.happens({"remove_role": {"principal": "aoai-ml", "scope": bench.vault.id}})
    assert notes(bench, **narrow) == []
    assert bench.idle(**narrow), "what is left is enough"


# --- carrying over: every kind of principal and of permission ---------------------------------------------------------

KINDS = ["user", "group", "application", "managed identity"]


def test_every_kind_of_principal_is_carried_over_and_may_be_a_reader(load: Load, bench: Bench) -> None:
    principals = [{"name": "operator", "kind": "user"}, *({"name": kind, "kind": kind} for kind in KINDS)]
    policies = [{"principal": kind, "secrets": ["get"]} for kind in KINDS]
    load(world(principals=principals, vault={"rbac": False, "policies": policies}))
    bench.setup(readers=tuple(bench.id_of(kind) for kind in KINDS))
    assert held(bench) >= {(kind, USER, where) for kind in KINDS for where in ("", ON_SECRET)}


# --- access policies -------------------------------------------------------------------------------------------------


def test_a_vault_may_stay_on_access_policies(load: Load, bench: Bench) -> None:
    theirs = {"principal": "billing-api", "secrets": ["Get"], "keys": ["sign"]}
    load(world(vault={"rbac": None, "policies": [theirs]}))
    options: dict[str, Any] = {"by_access_policy": True, "readers": (bench.id_of("function-app"),)}
    bench.setup(**options)
    assert bench.vault.rbac is None
    assert allowed(bench) == {"billing-api": ["Get"], "operator": ALL, "aoai-ml": ALL, "function-app": ["get"]}
    assert bench.vault.policies[0].permissions["keys"] == ["sign"], "others' entries stay as they are"
    assert bench.stored == [GOOD_KEY]
    assert not any(isinstance(s.action, AwaitRoles | SwitchToRbac) for s in bench.ui.steps)
    assert bench.clock.slept == 0
    assert bench.idle(**options)


def test_the_permission_all_covers_every_permission(load: Load, bench: Bench) -> None:
    load(world(vault={"rbac": None, "policies": [{"principal": "operator", "secrets": ["all"]}]}))
    bench.setup(by_access_policy=True)
    assert [s.detail for s in bench.ui.steps if "you" in s.detail.split()] == []


def test_access_policies_on_a_vault_with_rbac_are_refused_with_a_reason(load: Load, bench: Bench) -> None:
    load(world())
    bench.setup_is_refused(
        errors.WrongVaultError, "have no effect", hint="rescue --key-vault /subscr", by_access_policy=True
    )


def test_a_new_vault_can_be_on_access_policies_elsewhere_and_without_purge_protection(load: Load, bench: Bench) -> None:
    load(world() | {"vaults": []})
    bench.setup(by_access_policy=True, create_vault=True, location="westeurope", purge_protection=False)
    assert (bench.vault.rbac, bench.vault.location, bench.vault.purge_protection) == (False, "westeurope", None)
    assert set(allowed(bench)) == {"operator", "aoai-ml"}


# --- the options -----------------------------------------------------------------------------------------------------


def test_the_plan_follows_the_options_of_the_command(call: Call, cloud: Cloud) -> None:
    dana = cloud.world.tenant.named("dana").object_id
    narrow = ("--identity-role", "secrets-user", "--identity-scope", "secret")
    done = call("plan", *narrow, "-o", "json", env=OPERATOR_ENV | {"KEY_VAULT_READERS": dana})
    steps = [s["detail"] for s in json.loads(done.stdout)["steps"]]
    assert "Key Vault Secrets User → aoai-ml on secret wandb-api-key" in steps
    assert "Key Vault Secrets User → dana@contoso.example on secret wandb-api-key" in steps
    assert "Key Vault Secrets Officer → aoai-ml" not in steps


# --- what no role can replace ----------------------------------------------------------------------------------------

CERTIFICATES = "f3c21649-0979-4721-ac85-b0216b2cf413"
ELSEWHERE = "99999999-0000-4000-8000-0000000000cc"
SOMEONE = {"principal": "someone", "secrets": ["get"]}
OTHERS = [{"name": "billing-db-password", "value": "x"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policies": [SOMEONE | {"tenant_id": ELSEWHERE}]}, f"belongs to tenant {ELSEWHERE}"),
        ({"policies": [SOMEONE]}, "App Service certificates"),
        ({"policies": [], "tenant_id": ELSEWHERE}, f"belongs to tenant {ELSEWHERE}"),
    ],
    ids=["another tenant", "App Service certificates", "a vault of another tenant"],
)
def test_access_that_only_works_by_access_policy_stops_the_switch(
    load: Load, bench: Bench, changes: dict[str, Any], words: str
) -> None:
    application = {"name": "someone", "kind": "application", "app_id": CERTIFICATES}
    people = [{"name": "operator", "kind": "user"}, application]
    load(world(principals=people, vault={"rbac": False, **changes}))
    bench.setup_is_refused((errors.AccessWouldBeLostError, errors.WrongVaultError), words)
    assert not bench.vault.rbac


# --- the account's identity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "options", "marked"),
    [
        (OTHERS, {}, "it also reaches the other secrets of this vault"),
        ([], {}, ""),
        (OTHERS, {"identity_scope": Scope.SECRET}, ""),
    ],
    ids=["other secrets", "none", "one secret only"],
)
def test_a_role_on_a_vault_with_other_secrets_is_marked_with_the_narrower_options(
    load: Load, bench: Bench, others: list[dict[str, str]], options: dict[str, Any], marked: str
) -> None:
    load(world(OWNER | {"role": OFFICER}, vault={"secrets": others}))
    (step,) = [s for s in setup.plan(bench.session(**options)).steps if "→ aoai-ml" in s.detail]
    assert step.danger.startswith(marked)
    assert ("--identity-scope secret" in step.danger and "--no-account-identity" in step.danger) is bool(marked)


@pytest.mark.parametrize("by_policy", [False, True])
def test_the_accounts_identity_can_be_left_out(load: Load, bench: Bench, *, by_policy: bool) -> None:
    load(world(vault=ON_POLICIES))
    options: dict[str, Any] = {"with_identity": False, "by_access_policy": by_policy}
    bench.setup(**options)
    assert bench.account.system_identity is None
    assert {who for who, *_ in held(bench)} | set(allowed(bench)) == {"operator"}
    assert bench.idle(**options)
    assert not setup.status(bench.session(**options)).work


@pytest.mark.parametrize(("role", "options"), [(None, []), (JOBS, []), (JOBS, ["--no-account-identity"])], ids=str)
def test_setup_offers_the_role_that_doctor_and_sync_need_for_jobs(
    load: Load, call: Call, role: str | None, options: list[str]
) -> None:
    """An Owner may change the account, and may not list its jobs. doctor accepts that the identity was left out."""
    load(world(*([OWNER | {"role": role}] if role else [])) | SOON)
    env = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
    done = call("setup", "--yes", *options, env=env)
    assert done.returncode == 0, done.stderr
    assert (f"--role '{JOBS}'" in done.stdout) is (role is None)
    assert (call("doctor", *options, env=env).returncode == 0) is (role is not None)
