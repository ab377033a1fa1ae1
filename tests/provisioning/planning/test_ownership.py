"""Records of ownership: what setup writes is recognised, and nothing else is."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.planning import ownership
from provisioning.planning.ownership import Owner, Purpose

WORDS = st.text(min_size=1, max_size=20)
OTHERS = st.dictionaries(WORDS.filter(lambda name: not name.startswith(ownership.OWNER)), WORDS, max_size=4)
IDS = st.sets(st.uuids().map(str), max_size=6)


@given(st.sampled_from(Purpose), st.from_regex(r"[a-z][a-z0-9-]{1,20}", fullmatch=True))
def test_a_role_says_what_it_is_for_and_whose_identity(purpose: Purpose, account: str) -> None:
    said = ownership.description(purpose, Owner(account, "wandb-api-key"))
    assert ownership.purpose_of(said) is purpose
    assert ownership.account_of(said) == (account if purpose is Purpose.IDENTITY else None)


@pytest.mark.parametrize("said", [None, "", "for billing", "azure-openai-wandb: something else"])
def test_what_others_say_about_their_roles_is_no_mark(said: str | None) -> None:
    assert ownership.purpose_of(said) is None
    assert ownership.account_of(said) is None


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


@given(OTHERS, IDS)
def test_noted_principals_are_found_again_beside_other_tags(others: dict[str, str], ids: set[str]) -> None:
    tags = others
    for each in ids:
        tags = ownership.with_entries(tags, [each.upper()])
    assert ownership.entries(tags) == ids
    assert ownership.without_entries(tags) == others


def test_a_tag_that_is_full_is_refused_rather_than_cut() -> None:
    ids = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(7)]
    assert len(ownership.entries(ownership.with_entries({}, ids[:6]))) == 6
    with pytest.raises(ValueError, match="7 principals"):
        ownership.with_entries({}, ids)
