"""Locks, policies, deny assignments, ends and conditions of roles are reported before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from provisioning.observation.governance import observe_rights
from tests.conftest import Load

from ...bench import Bench
from ..vault_in_use import held

VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
VAULTS = "Microsoft.KeyVault/vaults"
OFFICER, USER = "Key Vault Secrets Officer", "Key Vault Secrets User"
ON_RBAC = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
ON_POLICIES = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "billing-api", "secrets": ["get"]}]}
PEOPLE = [{"name": "operator", "kind": "user"}, {"name": "billing-api", "kind": "managed identity"}]
APPS = {"name": "apps", "kind": "group", "members": ["billing-api"]}
FREEZE = {"name": "freeze", "level": "ReadOnly"}
DEMANDED = {"name": "rbac-only", "definition": "Azure Key Vault should use RBAC permission model", "effect": "deny"}
KEPT = {"name": "keeps-rbac", "effect": "modify", "type": VAULTS, "set": {"properties.enableRbacAuthorization": True}}
MAXIMUM = "Secrets should have the specified maximum validity period"
LIMITED = {"name": "max-90", "definition": MAXIMUM, "parameters": {"maximumValidityInDays": 90}, "effect": "deny"}
DATED = {"name": "p", "definition": "Key Vault secrets should have an expiration date", "effect": "deny"}
TAGGED = {"name": "cost-center", "effect": "deny", "type": VAULTS, "if": {"field": "tags.cost-center", "exists": False}}
PRIVATE = {"field": "properties.publicNetworkAccess", "notEquals": "Disabled"}
NO_PUBLIC = {"name": "private", "effect": "deny", "type": VAULTS, "if": PRIVATE}
NO_ROLES = {"name": "no-roles", "effect": "deny", "type": "Microsoft.Authorization/roleAssignments"}
OF_APP = {"name": "managed-app", "scope": "rg-ml", "actions": ["Microsoft.Authorization/*"], "not_actions": ["*/read"]}
OF_DATA = {"name": "managed-app", "scope": VAULT, "data_actions": ["*"]}
OWNER = {"principal": "operator", "role": "Owner", "scope": "rg-ml"}
ABOVE = [OWNER | {"scope": "subscription"}]
ASSIGNER = {"principal": "operator", "role": "Role Based Access Control Administrator", "scope": "rg-ml"}
DELEGATED = [OWNER | {"role": "Contributor"}, ASSIGNER | {"may_assign": {"principal_types": ["ServicePrincipal"]}}]
BILLINGS = {"principal": "billing-api", "role": USER, "scope": VAULT}
LANDING_ZONE: dict[str, Any] = {"management_groups": [{"name": "mg"}], "subscription": {"management_group": "mg"}}


def world(*, vault: Mapping[str, Any] = ON_POLICIES, **rest: Any) -> dict[str, Any]:
    account = {"name": "aoai-ml", "group": "rg-ml", "system_identity": True}
    data = {"extends": "contoso", "accounts": [account], "vaults": [dict(vault)], "assignments": [OWNER]}
    return data | {"transitions": {"rbac_propagation": 0}} | rest


@dataclass
class Stop:
    """How setup stops, with these options: the error, words of its message and of its hint."""

    error: type[errors.ProvisioningError]
    words: str
    hint: str
    options: Mapping[str, Any] = field(default_factory=dict)


STOPS: dict[str, tuple[dict[str, Any], Stop]] = {
    "a lock on the group": (
        {"locks": [FREEZE | {"scope": "rg-ml"}]},
        Stop(errors.LockedError, "freeze", "az lock list -g rg-ml"),
    ),
    "a lock on the subscription": (
        {"locks": [FREEZE], "assignments": ABOVE},
        Stop(errors.LockedError, "freeze", "az lock list -o table"),
    ),
    "a disabled subscription": (
        {"subscription": {"state": "Disabled"}},
        Stop(errors.SubscriptionDisabledError, "disabled", "billing owner"),
    ),
    "a policy against the switch": (
        {"policies": [TAGGED]},
        Stop(errors.PolicyError, "the switch to Azure RBAC by policy cost-center", "exemption"),
    ),
    "a policy against the new vault": (
        {"vaults": [], "policies": [NO_PUBLIC]},
        Stop(errors.PolicyError, "creating kv-ml by policy private", "exemption", {"create_vault": True}),
    ),
    "a policy against roles": (
        {"policies": [NO_ROLES]},
        Stop(errors.PolicyError, f"role {OFFICER} by policy no-roles", "exemption"),
    ),
    "no way back": ({"policies": [DEMANDED]}, Stop(errors.NoWayBackError, "rbac-only", "--accept-no-way-back")),
    "a policy that undoes the way back": (
        {"policies": [KEPT]},
        Stop(errors.NoWayBackError, "keeps-rbac", "--accept-no-way-back"),
    ),
    "access policies under a policy": (
        {"policies": [DEMANDED | {"scope": "mg", "initiative": "guardrails"}], **LANDING_ZONE},
        Stop(errors.PolicyError, "access policies by policy rbac-only", "exemption", {"by_access_policy": True}),
    ),
    "access policies under a policy that undoes them": (
        {"policies": [KEPT]},
        Stop(errors.PolicyError, "keeps-rbac", "exemption", {"by_access_policy": True}),
    ),
    "a limit of secrets' lifetimes": (
        {"vaults": [ON_RBAC], "policies": [LIMITED | {"initiative": "guardrails"}], "assignments": ABOVE},
        Stop(errors.PolicyError, "at most 90 days", "--secret-lifetime 90d"),
    ),
    "a secret that does not expire": (
        {"vaults": [ON_RBAC], "policies": [DATED]},
        Stop(errors.PolicyError, "an expiration date", "--secret-lifetime 180d", {"secret_lifetime": None}),
    ),
    "a deny assignment": (
        {"deny_assignments": [OF_APP]},
        Stop(errors.DenyAssignmentError, "managed-app", "deployment stacks"),
    ),
    "a deny assignment on secrets": (
        {"vaults": [ON_RBAC], "deny_assignments": [OF_DATA]},
        Stop(errors.DenyAssignmentError, "managed-app", "deployment stacks"),
    ),
    "a deny assignment for somebody else": (
        {"deny_assignments": [OF_DATA | {"principals": ["billing-api"]}]},
        Stop(errors.AccessWouldBeLostError, "billing-api: deny assignment managed-app forbids", "--accept-loss"),
    ),
    "a deny assignment for somebody else's group": (
        {"principals": [*PEOPLE, APPS], "deny_assignments": [OF_DATA | {"scope": "rg-ml", "principals": ["apps"]}]},
        Stop(errors.AccessWouldBeLostError, "billing-api: deny assignment managed-app forbids", "--accept-loss"),
    ),
    "a condition": (
        {"assignments": DELEGATED},
        Stop(errors.MissingRightsError, "has a condition", "without a condition"),
    ),
    "a right that ends": (
        {"assignments": [OWNER | {"expires_in": "15m"}]},
        Stop(errors.MissingRightsError, "your role Owner ends in 15 min", "PIM"),
    ),
    "a role that ends and cannot be made permanent": (
        {"assignments": [OWNER, BILLINGS | {"expires_in": "4h"}]},
        Stop(errors.AccessWouldBeLostError, f"its role {USER} ends on", "--accept-loss"),
    ),
}


@pytest.mark.parametrize(("above", "stop"), STOPS.values(), ids=list(STOPS))
def test_setup_stops_before_anything_is_written(load: Load, bench: Bench, above: dict[str, Any], stop: Stop) -> None:
    load(world(**above))
    refused = bench.setup_is_refused(errors.ProvisioningError, hint=stop.hint, **stop.options)
    assert type(refused) is stop.error, refused
    assert stop.words in refused.message
    assert "Nothing was written." in refused.message


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
    bench.happens(*({"assign_policy": policy} for policy in policies))
    for do, error, restore in above:
        bench.happens(do)
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
    roles = [
        BILLINGS | {"role": "Key Vault Administrator", "scope": "rg-ml", "expires_in": "4h"},
        BILLINGS | {"principal": "apps"},
        BILLINGS | {"scope": "mg"},
    ]
    load(world(principals=[*PEOPLE, APPS], assignments=[OWNER, *roles], **LANDING_ZONE))
    steps = [s for s in setup.plan(bench.session()).steps if "billing-api" in s.detail]
    assert [s.verb for s in steps] == ["add"]
    assert "Key Vault Administrator ends on" in steps[0].why
    bench.setup(propagation_wait=timedelta(0))
    assert ("billing-api", USER) in held(bench)


@pytest.mark.parametrize(
    "given",
    [
        {"principal": "admins", "role": "Owner", "scope": "mg"},
        {"principal": "operator", "role": "Switcher", "scope": "rg-ml"},
        OWNER | {"expires_in": "2h"},
    ],
    ids=["nested groups at a management group", "a custom role", "an activation that outlasts the run"],
)
def test_rights_are_judged_by_actions_and_not_by_the_names_of_roles(load: Load, bench: Bench, given: Any) -> None:
    team = {"name": "team", "kind": "group", "members": ["operator"]}
    people = [*PEOPLE, team, {"name": "admins", "kind": "group", "members": ["team"]}]
    actions = [f"{VAULTS}/*", "Microsoft.Authorization/*", "Microsoft.CognitiveServices/accounts/*", "*/read"]
    roles = [{"name": "Switcher", "actions": actions}]
    load(world(principals=people, assignments=[given], roles=roles, **LANDING_ZONE))
    bench.setup(propagation_wait=timedelta(0))
    assert bench.vault.rbac


def test_the_right_to_switch_is_checked_again_before_the_switch(load: Load, bench: Bench) -> None:
    """A condition that comes while setup waits stops it with the vault as it was."""
    narrowed = OWNER | {"condition": "@Resource[…] …", "condition_met": True}
    load(world(events=[{"after": "RoleAssignments_Create", "nth": 2, "do": [{"change_role": narrowed}]}]))
    bench.setup_fails(errors.MissingRightsError, "The access model was not changed")
    assert not bench.vault.rbac


def test_unreadable_governance_is_named_and_not_an_error(load: Load, bench: Bench) -> None:
    authorization = ("roleAssignments/*", "roleDefinitions/read", "permissions/read")
    rights = [f"{VAULTS}/*", *(f"Microsoft.Authorization/{right}" for right in authorization)]
    rights.append("Microsoft.CognitiveServices/accounts/*")
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
    load(world(deny_assignments=[deny]))
    session = bench.session()
    azure, observed = session.observe()
    made = setup.plan(session)
    assert session.governance.unread == ()
    bench.fault(op, {"status": 403})
    _, known = observe_rights(azure, session.target, observed, made, session.governance)
    assert known.unread == (named,)
    assert known.who == session.governance.who


def test_an_access_policy_of_an_app_registration_is_noted_and_blocks_nothing(load: Load, bench: Bench) -> None:
    people = [*PEOPLE, {"name": "old-app", "kind": "app registration"}]
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "old-app", "secrets": ["get"]}]}
    load(world(vault=vault, principals=people))
    made = setup.plan(bench.session())
    assert [s.command[:31] for s in made.steps if "gives access to nobody" in s.detail] == [
        "az keyvault delete-policy -n kv"
    ]
    bench.setup(propagation_wait=timedelta(0))
    assert bench.vault.rbac
