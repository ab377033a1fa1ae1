"""Locks, policies, deny assignments, ends and conditions of roles are reported before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from provisioning.observation.governance import observe_rights
from provisioning.planning.access.permissions import CANDIDATES
from sandbox.runtime.faults import Fault
from sandbox.scenario.events import Do, EventScript
from tests.conftest import Load

from ...bench import Bench

VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
VAULTS = "Microsoft.KeyVault/vaults"
OFFICER = "Key Vault Secrets Officer"
ON_RBAC = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
ON_POLICIES = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "billing-api", "secrets": ["get"]}]}
DEMANDED = {"name": "rbac-only", "definition": "Azure Key Vault should use RBAC permission model", "effect": "deny"}
KEPT = {"name": "keeps-rbac", "effect": "modify", "type": VAULTS, "set": {"properties.enableRbacAuthorization": True}}
LIMITED = {
    "name": "max-90",
    "initiative": "guardrails",
    "definition": "Secrets should have the specified maximum validity period",
    "effect": "deny",
    "parameters": {"maximumValidityInDays": 90},
}
TAGGED = {"name": "cost-center", "effect": "deny", "type": VAULTS, "if": {"field": "tags.cost-center", "exists": False}}
PRIVATE = {"field": "properties.publicNetworkAccess", "notEquals": "Disabled"}
OWNER = {"principal": "operator", "role": "Owner", "scope": "rg-ml"}
DELEGATED = [
    {"principal": "operator", "role": "Contributor", "scope": "rg-ml"},
    {
        "principal": "operator",
        "role": "Role Based Access Control Administrator",
        "scope": "rg-ml",
        "may_assign": {"principal_types": ["ServicePrincipal"]},
    },
]
LANDING_ZONE: dict[str, Any] = {"management_groups": [{"name": "mg"}], "subscription": {"management_group": "mg"}}


def world(*, vault: Mapping[str, Any] = ON_POLICIES, **rest: Any) -> dict[str, Any]:
    account = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
    data = {"extends": "contoso", "accounts": [account], "vaults": [dict(vault)], "assignments": [OWNER]}
    return data | {"transitions": {"rbac_propagation": 0}} | rest


@dataclass
class Stop:
    """What is above, and how setup stops."""

    error: type[errors.ProvisioningError]
    words: str
    hint: str
    world: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


STOPS = {
    "a lock on the group": Stop(
        errors.LockedError,
        "freeze",
        "az lock list -g rg-ml",
        {"locks": [{"name": "freeze", "scope": "rg-ml", "level": "ReadOnly"}]},
    ),
    "a lock on the subscription": Stop(
        errors.LockedError,
        "freeze",
        "az lock list -o table",
        {"locks": [{"name": "freeze", "level": "ReadOnly"}], "assignments": [OWNER | {"scope": "subscription"}]},
    ),
    "a disabled subscription": Stop(
        errors.SubscriptionDisabledError, "disabled", "billing owner", {"subscription": {"state": "Disabled"}}
    ),
    "a policy against the switch": Stop(
        errors.PolicyError, "the switch to Azure RBAC by policy cost-center", "exemption", {"policies": [TAGGED]}
    ),
    "a policy against the new vault": Stop(
        errors.PolicyError,
        "creating kv-ml by policy private",
        "exemption",
        {"vaults": [], "policies": [{"name": "private", "effect": "deny", "type": VAULTS, "if": PRIVATE}]},
        {"create_vault": True},
    ),
    "a policy against roles": Stop(
        errors.PolicyError,
        f"role {OFFICER} by policy no-roles",
        "exemption",
        {"policies": [{"name": "no-roles", "effect": "deny", "type": "Microsoft.Authorization/roleAssignments"}]},
    ),
    "no way back": Stop(errors.NoWayBackError, "rbac-only", "--accept-no-way-back", {"policies": [DEMANDED]}),
    "a policy that undoes the way back": Stop(
        errors.NoWayBackError, "keeps-rbac", "--accept-no-way-back", {"policies": [KEPT]}
    ),
    "access policies under a policy": Stop(
        errors.PolicyError,
        "access policies by policy rbac-only",
        "exemption",
        {"policies": [DEMANDED | {"scope": "mg", "initiative": "guardrails"}], **LANDING_ZONE},
        {"by_access_policy": True},
    ),
    "access policies under a policy that undoes them": Stop(
        errors.PolicyError, "keeps-rbac", "exemption", {"policies": [KEPT]}, {"by_access_policy": True}
    ),
    "a limit of secrets' lifetimes": Stop(
        errors.PolicyError,
        "at most 90 days",
        "--secret-lifetime 90d",
        {"vaults": [ON_RBAC], "policies": [LIMITED], "assignments": [OWNER | {"scope": "subscription"}]},
    ),
    "a secret that does not expire": Stop(
        errors.PolicyError,
        "an expiration date",
        "--secret-lifetime 180d",
        {
            "vaults": [ON_RBAC],
            "policies": [
                {"name": "p", "definition": "Key Vault secrets should have an expiration date", "effect": "deny"}
            ],
        },
        {"secret_lifetime": None},
    ),
    "a deny assignment": Stop(
        errors.DenyAssignmentError,
        "managed-app",
        "deployment stacks",
        {
            "deny_assignments": [
                {
                    "name": "managed-app",
                    "scope": "rg-ml",
                    "actions": ["Microsoft.Authorization/*"],
                    "not_actions": ["*/read"],
                }
            ]
        },
    ),
    "a deny assignment on secrets": Stop(
        errors.DenyAssignmentError,
        "managed-app",
        "deployment stacks",
        {"vaults": [ON_RBAC], "deny_assignments": [{"name": "managed-app", "scope": VAULT, "data_actions": ["*"]}]},
    ),
    "a deny assignment for somebody else": Stop(
        errors.AccessWouldBeLostError,
        "billing-api: deny assignment managed-app forbids",
        "--accept-loss",
        {
            "deny_assignments": [
                {"name": "managed-app", "scope": VAULT, "data_actions": ["*"], "principals": ["billing-api"]}
            ]
        },
    ),
    "a deny assignment for somebody else's group": Stop(
        errors.AccessWouldBeLostError,
        "billing-api: deny assignment managed-app forbids",
        "--accept-loss",
        {
            "principals": [
                {"name": "operator", "kind": "user"},
                {"name": "billing-api", "kind": "managed identity"},
                {"name": "apps", "kind": "group", "members": ["billing-api"]},
            ],
            "deny_assignments": [
                {"name": "managed-app", "scope": "rg-ml", "data_actions": ["*"], "principals": ["apps"]}
            ],
        },
    ),
    "a condition": Stop(
        errors.MissingRightsError, "has a condition", "without a condition", {"assignments": DELEGATED}
    ),
    "a right that ends": Stop(
        errors.MissingRightsError,
        "your role Owner ends in 15 min",
        "PIM",
        {"assignments": [OWNER | {"expires_in": "15m"}]},
    ),
    "a role that ends and cannot be made permanent": Stop(
        errors.AccessWouldBeLostError,
        "its role Key Vault Secrets User ends on",
        "--accept-loss",
        {
            "assignments": [
                OWNER,
                {"principal": "billing-api", "role": "Key Vault Secrets User", "scope": VAULT, "expires_in": "4h"},
            ]
        },
    ),
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=list(STOPS))
def test_setup_stops_before_anything_is_written(load: Load, bench: Bench, stop: Stop) -> None:
    load(world(**stop.world))
    with pytest.raises(errors.ProvisioningError) as refused:
        bench.setup(**stop.options)
    assert type(refused.value) is stop.error, refused.value
    assert stop.words in refused.value.message
    assert stop.hint in refused.value.hint
    assert "Nothing was written." in refused.value.message
    assert bench.cloud.writes == 0


def test_teardown_also_stops_before_anything_is_written(load: Load, bench: Bench) -> None:
    load(world())
    bench.setup(propagation_wait=timedelta(0))
    writes = bench.cloud.writes
    undeletable = {"listOfResourceTypesDisallowedForDeletion": ["Microsoft.Authorization/roleAssignments"]}
    above: list[tuple[dict[str, Any], type[errors.ProvisioningError], bool]] = [
        ({"add_lock": {"name": "keep", "scope": "rg-ml", "level": "CanNotDelete"}}, errors.LockedError, False),
        ({"remove_lock": {"name": "keep"}}, errors.PolicyError, False),
        ({"remove_policy": {"name": "no-deletes"}}, errors.PolicyError, True),
    ]
    policies = [
        {"name": "no-deletes", "definition": "Do not allow deletion of resource types", "effect": "denyAction"}
        | {"parameters": undeletable},
        DEMANDED,
    ]
    for policy in policies:
        bench.cloud.world.schedule(EventScript(at=0, do=[Do.model_validate({"assign_policy": policy})]))
    for do, error, restore in above:
        bench.cloud.world.schedule(EventScript(at=0, do=[Do.model_validate(do)]))
        with pytest.raises(error):
            bench.teardown(restore=restore)
    assert bench.cloud.writes == writes


def test_without_a_way_back_the_plan_says_so_and_consent_is_asked_for(load: Load, bench: Bench) -> None:
    firewall = {"name": "firewalls-on", "effect": "modify", "type": VAULTS, "set": {"tags.by": "policy"}}
    load(world(policies=[DEMANDED, firewall]))
    session = bench.session()
    notes = {s.resource: f"{s.detail} {s.danger}" for s in setup.plan(session).steps if s.verb == "note"}
    assert "firewalls-on sets tags.by to policy with every write" in notes["policy"]
    assert "policy rbac-only demands Azure RBAC" in notes["way back"]
    assert session.facts["obstacle"]["code"] == "no-way-back"
    bench.setup(accept_no_way_back=True, propagation_wait=timedelta(0))
    assert bench.vault.rbac


def test_a_role_that_ends_covers_nobody_and_the_plan_says_until_when(load: Load, bench: Bench) -> None:
    """Nor does one through a group or a management group."""
    group = {"name": "apps", "kind": "group", "members": ["billing-api"]}
    people = [{"name": "operator", "kind": "user"}, {"name": "billing-api", "kind": "managed identity"}, group]
    held = [
        {"principal": "billing-api", "role": "Key Vault Administrator", "scope": "rg-ml", "expires_in": "4h"},
        {"principal": "apps", "role": "Key Vault Secrets User", "scope": VAULT},
        {"principal": "billing-api", "role": "Key Vault Secrets User", "scope": "mg"},
    ]
    load(world(principals=people, assignments=[OWNER, *held], **LANDING_ZONE))
    steps = [s for s in setup.plan(bench.session()).steps if "billing-api" in s.detail]
    assert [s.verb for s in steps] == ["add"]
    assert "Key Vault Administrator ends on" in steps[0].why
    bench.setup(propagation_wait=timedelta(0))
    assert (bench.vault.id, "Key Vault Secrets User") in {
        (a.scope, CANDIDATES[a.role_id])
        for a in bench.cloud.world.tenant.rbac.held(_id(bench), bench.vault.id, now=2e12)
    }


def _id(bench: Bench) -> str:
    return bench.cloud.world.tenant.named("billing-api").object_id


@pytest.mark.parametrize(
    "held",
    [
        {"principal": "admins", "role": "Owner", "scope": "mg"},
        {"principal": "operator", "role": "Switcher", "scope": "rg-ml"},
        OWNER | {"expires_in": "2h"},
    ],
    ids=["nested groups at a management group", "a custom role", "an activation that outlasts the run"],
)
def test_rights_are_judged_by_actions_and_not_by_the_names_of_roles(
    load: Load, bench: Bench, held: dict[str, Any]
) -> None:
    people = [
        {"name": "operator", "kind": "user"},
        {"name": "billing-api", "kind": "managed identity"},
        {"name": "team", "kind": "group", "members": ["operator"]},
        {"name": "admins", "kind": "group", "members": ["team"]},
    ]
    actions = [f"{VAULTS}/*", "Microsoft.Authorization/*", "Microsoft.CognitiveServices/accounts/*", "*/read"]
    roles = [{"name": "Switcher", "actions": actions}]
    load(world(principals=people, assignments=[held], roles=roles, **LANDING_ZONE))
    bench.setup(propagation_wait=timedelta(0))
    assert bench.vault.rbac


def test_the_right_to_switch_is_checked_again_before_the_switch(load: Load, bench: Bench) -> None:
    """A condition that comes while setup waits stops it with the vault as it was."""
    narrowed = {
        "principal": "operator",
        "role": "Owner",
        "scope": "rg-ml",
        "condition": "@Resource[…] …",
        "condition_met": True,
    }
    load(world(events=[{"after": "RoleAssignments_Create", "nth": 2, "do": [{"change_role": narrowed}]}]))
    with pytest.raises(errors.MissingRightsError, match="The access model was not changed"):
        bench.setup()
    assert not bench.vault.rbac


def test_unreadable_governance_is_named_and_not_an_error(load: Load, bench: Bench) -> None:
    rights = [
        f"{VAULTS}/*",
        "Microsoft.Authorization/roleAssignments/*",
        "Microsoft.Authorization/roleDefinitions/read",
    ]
    rights += ["Microsoft.Authorization/permissions/read", "Microsoft.CognitiveServices/accounts/*"]
    held = {"principal": "operator", "role": "Narrow", "scope": "rg-ml"}
    load(world(assignments=[held], roles=[{"name": "Narrow", "actions": rights}], pim=False))
    made = setup.plan(bench.session())
    unread = [s.detail for s in made.steps if s.resource == "not read"]
    assert unread == ["locks, deny assignments, when roles end, policies, deployments"]
    bench.setup(propagation_wait=timedelta(0))


@pytest.mark.parametrize(
    ("op", "named"),
    [
        ("DenyAssignments_ListForScope", "deny assignments"),
        ("DirectoryObjects_GetMemberObjects", "your groups, which deny assignments may name"),
    ],
)
def test_what_cannot_be_read_just_before_the_switch_is_named(load: Load, bench: Bench, op: str, named: str) -> None:
    deny = {"name": "stack", "scope": "rg-ml", "actions": ["Microsoft.Web/*"], "principals": ["billing-api"]}
    cloud = load(world(deny_assignments=[deny]))
    session = bench.session()
    azure, observed = session.observe()
    made = setup.plan(session)
    assert session.governance.unread == ()
    cloud.world.faults.faults.append(Fault.model_validate({"op": op, "do": {"status": 403}}))
    _, known = observe_rights(azure, session.target, observed, made, session.governance)
    assert known.unread == (named,)
    assert known.who == session.governance.who


def test_an_access_policy_of_an_app_registration_is_noted_and_blocks_nothing(load: Load, bench: Bench) -> None:
    people = [{"name": "operator", "kind": "user"}, {"name": "old-app", "kind": "app registration"}]
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "old-app", "secrets": ["get"]}]}
    load(world(vault=vault, principals=people))
    made = setup.plan(bench.session())
    assert [s.command[:31] for s in made.steps if "gives access to nobody" in s.detail] == [
        "az keyvault delete-policy -n kv"
    ]
    bench.setup(propagation_wait=timedelta(0))
    assert bench.vault.rbac
