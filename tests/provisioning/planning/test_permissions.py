"""Access-policy permissions → data actions → roles."""

import csv
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.models import AccessPolicy, Permissions, RoleDefinition
from provisioning.planning.access.permissions import (
    CANDIDATES,
    KNOWN_ACTIONS,
    cover,
    data_actions,
    grants,
    own_policies,
    permissions_today,
    permits,
    summary,
)
from sandbox.azure.roles import ROLES

TABLE = Path(__file__).parents[4] / "shared" / "recordings" / "keyvault_access_policy_to_rbac.csv"
DEFINED = {
    i: RoleDefinition(i, ROLES[i].name, tuple(ROLES[i].data_actions), tuple(ROLES[i].not_data_actions))
    for i in CANDIDATES
}
VAULTS = "Microsoft.KeyVault/vaults/"
EVERYTHING = {
    "keys": "get list update create import delete recover backup restore decrypt encrypt unwrapKey wrapKey verify sign "
    "purge release rotate getRotationPolicy setRotationPolicy",
    "secrets": "get list set delete recover backup restore purge",
    "certificates": "get list update create import delete recover backup restore manageContacts manageIssuers getIssuers "
    "listIssuers setIssuers deleteIssuers purge",
}

actions = st.sets(st.sampled_from(sorted(a for a in KNOWN_ACTIONS if "storageaccounts" not in a)))
roles = st.sets(st.sampled_from(sorted(DEFINED))).map(lambda ids: [DEFINED[i] for i in sorted(ids)])


def policy(**permissions: str) -> AccessPolicy:
    return AccessPolicy("someone", {kind: tuple(verbs.split()) for kind, verbs in permissions.items()})


def names(needed: frozenset[str], *held: RoleDefinition) -> set[str]:
    return {r.name.removeprefix("Key Vault ") for r in cover(needed, held, list(DEFINED.values())).add}


def needs(**permissions: str) -> frozenset[str]:
    return data_actions(policy(**permissions))[0]


@pytest.mark.contract
@pytest.mark.skipif(not TABLE.exists(), reason="Microsoft's table is not beside the repository")
def test_our_table_of_permissions_matches_microsofts() -> None:
    with TABLE.open() as file:
        for row in csv.DictReader(file):
            kind, verb = row["Access Policy Permission"].split()
            kind = {"Key": "keys", "Secret": "secrets", "Certificate": "certificates", "Storage": "storage"}[kind]
            assert needs(**{kind: verb}) == set(row["RBAC Data Action"].split(";")), row


def test_letter_case_does_not_count() -> None:
    assert needs(secrets="GET lIsT", keys="WRAPKEY") == needs(secrets="get list", keys="wrapKey")


def test_all_means_every_permission_of_its_kind() -> None:
    assert needs(secrets="all") == needs(secrets=EVERYTHING["secrets"])
    assert data_actions(policy(certificates="All"))[1] == ()


def test_unknown_permissions_are_reported_and_not_guessed() -> None:
    found, unknown = data_actions(policy(secrets="get teleport", wishes="get"))
    assert found == {VAULTS + "secrets/getSecret/action"}
    assert unknown == ("secrets teleport", "wishes get")


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ({"secrets": "get"}, {"Secrets User"}),
        ({"secrets": "get list"}, {"Secrets User"}),
        ({"secrets": "list"}, {"Reader"}),  # metadata of everything rather than one secret's value
        ({"secrets": "get set"}, {"Secrets Officer"}),
        ({"keys": "get wrapKey unwrapKey"}, {"Crypto Service Encryption User"}),
        ({"keys": "sign"}, {"Crypto User"}),
        ({"certificates": "get list", "secrets": "get"}, {"Certificate User"}),
        ({"keys": EVERYTHING["keys"], "secrets": EVERYTHING["secrets"]}, {"Crypto Officer", "Secrets Officer"}),
        ({"secrets": EVERYTHING["secrets"], "certificates": EVERYTHING["certificates"]},
         {"Certificates Officer", "Secrets Officer"}),
        (EVERYTHING, {"Administrator"}),
        ({}, set()),
    ],
)  # fmt: skip
def test_the_least_powerful_roles_are_chosen(permissions: dict[str, str], expected: set[str]) -> None:
    assert names(needs(**permissions)) == expected


@given(actions, roles)
def test_the_chosen_roles_cover_all_needed_permissions(needed: set[str], held: list[RoleDefinition]) -> None:
    coverage = cover(needed, held, list(DEFINED.values()))
    assert coverage.uncovered == set()
    assert all(any(grants(r, action) for r in (*held, *coverage.add)) for action in needed)


@given(actions)
def test_no_role_is_superfluous(needed: set[str]) -> None:
    chosen = cover(needed, (), list(DEFINED.values())).add
    for without in combinations(chosen, len(chosen) - 1) if chosen else ():
        assert not all(any(grants(r, action) for r in without) for action in needed)


@given(actions)
def test_over_grant_is_exactly_what_the_roles_give_beyond_the_need(needed: set[str]) -> None:
    coverage = cover(needed, (), list(DEFINED.values()))
    given_ = {a for a in KNOWN_ACTIONS if any(grants(r, a) for r in coverage.add)}
    assert coverage.over_grant == given_ - needed


@given(actions, roles, st.data())
def test_an_interrupted_migration_continues_with_the_missing_roles(
    needed: set[str], held: list[RoleDefinition], data: st.DataObject
) -> None:
    first = cover(needed, held, list(DEFINED.values())).add
    done = data.draw(st.sets(st.sampled_from(first))) if first else set()
    again = cover(needed, [*held, *done], list(DEFINED.values())).add
    assert set(again) == set(first) - done


@given(actions, st.permutations(sorted(DEFINED)))
def test_the_order_of_the_candidates_does_not_matter(needed: set[str], order: list[str]) -> None:
    assert cover(needed, (), [DEFINED[i] for i in order]).add == cover(needed, (), list(DEFINED.values())).add


def test_storage_keys_are_covered_only_where_a_needed_role_has_them_anyway() -> None:
    alone = cover(needs(storage="get"), (), list(DEFINED.values()))
    assert not alone.add
    assert alone.uncovered == {VAULTS + "storageaccounts/read"}
    assert cover(needs(**EVERYTHING, storage="all"), (), list(DEFINED.values())).uncovered == set()


def test_a_role_that_the_cloud_does_not_have_is_not_counted_on() -> None:
    user = DEFINED["4633458b-17de-408a-b874-0445c86b69e6"]
    assert cover(needs(secrets="get", keys="sign"), (), [user]).uncovered == {VAULTS + "keys/sign/action"}


def test_not_data_actions_are_subtracted() -> None:
    role = RoleDefinition("x", "x", (VAULTS + "secrets/*",), (VAULTS + "SECRETS/purge/action",))
    assert grants(role, VAULTS + "secrets/getSecret/action")
    assert not grants(role, VAULTS + "secrets/purge/action")


def test_data_actions_are_shown_as_permissions_of_access_policies() -> None:
    assert summary(needs(secrets="set delete", keys="sign")) == "keys sign; secrets set, delete"


def test_an_access_policy_is_shown_without_kinds_that_permit_nothing() -> None:
    assert permissions_today(policy(secrets="get List", keys="", storage="all")) == "secrets get, List; storage all"


def test_an_entry_through_an_application_is_a_separate_principal_and_case_is_ignored() -> None:
    own, through = AccessPolicy("Someone", {}), AccessPolicy("someone", {}, "an application")
    assert own_policies([AccessPolicy("another", {}), through, own], "someONE") == (own,)


@pytest.mark.parametrize("shows", ["keys/read", "secrets/readMetadata/action"])
def test_a_role_that_shows_more_is_preferred_to_one_that_may_do_more(shows: str) -> None:
    need = VAULTS + "secrets/getSecret/action"
    showing = RoleDefinition("z", "shows more", (need, VAULTS + shows))
    doing = RoleDefinition("a", "does more", (need, VAULTS + "secrets/purge/action"))
    assert cover({need}, (), [doing, showing]).add == (showing,)


@pytest.mark.parametrize(
    ("sets", "allowed"),
    [
        ([Permissions(("*",))], True),
        ([Permissions(("*",), ("Microsoft.Authorization/*/Write",))], False),
        ([Permissions(("*/read",)), Permissions(("microsoft.authorization/roleassignments/*",))], True),
        ([], False),
    ],
)
def test_one_permission_set_is_enough_and_exceptions_count_only_in_it(sets: list[Permissions], allowed: bool) -> None:
    assert permits(sets, "Microsoft.Authorization/roleAssignments/write") is allowed
