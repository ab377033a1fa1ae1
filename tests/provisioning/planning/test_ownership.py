"""Records of ownership: what setup writes is recognized, and nothing else is."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.planning import ownership
from provisioning.planning.ownership import Owner, Purpose, RoleRecord

WORDS = st.text(min_size=1, max_size=20)
OTHERS = st.dictionaries(WORDS.filter(lambda name: not name.startswith(ownership.OWNER)), WORDS, max_size=4)
IDS = st.sets(st.uuids().map(str), max_size=6)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{1,20}", fullmatch=True)


@given(st.sampled_from(Purpose), NAMES, NAMES, st.booleans())
def test_a_role_records_its_purpose_and_its_owner(purpose: Purpose, account: str, secret: str, switching: bool) -> None:
    for place in ("", ownership.place_of("/subscriptions/S/…/accounts/A")):
        text = ownership.description(purpose, Owner(account, secret, place), switching=switching)
        assert ownership.role_record(text) == RoleRecord(purpose, account, secret, switching, place)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("for billing", None),
        ("azure-openai-wandb: something else", None),
        ("azure-openai-wandb: operator of aoai-ml/prod, and more", None),
        ("azure-openai-wandb: operator", RoleRecord(Purpose.OPERATOR)),
        ("azure-openai-wandb: account identity of aoai-ml", RoleRecord(Purpose.IDENTITY, "aoai-ml")),
    ],
)
def test_descriptions_of_others_are_no_records_and_those_of_0_1_name_no_secret(text: str, expected: RoleRecord) -> None:
    assert ownership.role_record(text) == expected


def test_the_secrets_tags_name_who_wrote_it_and_no_person() -> None:
    tags = ownership.secret_tags(Owner("aoai-ml", "x"), "acme")
    assert tags == {"created-by": "azure-openai-wandb", "azure-openai-account": "aoai-ml", "wandb-entity": "acme"}
    assert ownership.wrote(tags)
    assert ownership.wrote(ownership.secret_tags(Owner("aoai-ml", "x"), None))
    assert not ownership.wrote({"created-by": "somebody"})
    assert not ownership.wrote(None)


@given(OTHERS)
def test_the_vaults_own_tags_survive_the_switch_and_the_way_back(others: dict[str, str]) -> None:
    there = ownership.switched(others, datetime(2026, 11, 21, tzinfo=UTC))
    assert there == others | {"azure-openai-wandb": "switched-to-rbac 2026-11-21"}
    assert ownership.was_switched(there)
    assert not ownership.was_switched(others)
    assert ownership.unswitched(there) == others
    assert ownership.switched_since(there, date(2026, 11, 21))
    assert not ownership.switched_since(there, date(2026, 11, 22))
    assert not ownership.switched_since(others, date(2026, 11, 21))


@given(OTHERS, IDS)
def test_recorded_entries_are_found_again_beside_other_tags(others: dict[str, str], ids: set[str]) -> None:
    tags, first, second = others, Owner("aoai-ml", "prod", "0badcafe"), Owner("aoai-ml", "staging")
    for each in ids:
        tags = ownership.with_entry(tags, each.upper(), ["get", "list"], first)
        tags = ownership.with_entry(tags, each, ["list", "set"], second)
    assert ownership.entries(tags) == {each: ownership.Entry(("get", "list", "set"), first) for each in ids}
    for each in ids:
        tags = ownership.without_entry(tags, each)
    assert tags == others


def test_a_record_stays_within_the_limits_of_tags() -> None:
    longest = Owner("a" * 64, "s" * 127, "0badcafe")
    everything = ["get", "list", "set", "delete", "recover", "backup", "restore", "purge"]
    (value,) = ownership.with_entry({}, "0" * 36, everything, longest).values()
    assert len(value) <= 256
    full = {f"tag-{n}": "" for n in range(50)}
    with pytest.raises(ValueError, match="50 tags"):
        ownership.with_entry(full, "0" * 36, ["get"], longest)


def test_the_tag_of_0_1_keeps_the_principals_that_are_not_removed() -> None:
    tags = {"azure-openai-wandb-access-policies": "A b", "cost-center": "ml"}
    assert ownership.entries_of_0_1(tags) == {"a", "b"}
    left = ownership.without_entries_of_0_1(tags, ["B"])
    assert ownership.entries_of_0_1(left) == {"a"}
    assert ownership.without_entries_of_0_1(left, ["a"]) == {"cost-center": "ml"}
