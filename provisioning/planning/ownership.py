"""Who owns what setup adds, recorded in Azure itself, so that teardown needs no state file. Pure.

The record of a role assignment is its description, that of a secret its tags, that of a switch or an access-policy
entry the vault's tags. Others can write these, too, so a record alone proves nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from provisioning.models import Target

OWNER = "azure-openai-wandb"
"""This program's name in every record: at the start of descriptions and tag names, and in the secret's created-by."""

SWITCHED = OWNER
"""Vault tag: setup switched the vault to Azure RBAC, and the date."""
ENTRIES = f"{OWNER}-access-policies"
"""Vault tag: the object ids of the principals whose access-policy entries setup created."""

_SWITCHED_VALUE = "switched-to-rbac"
_TAG_LIMIT = 256  # characters of a tag's value (Microsoft, "Use tags to organize your Azure resources")


class Purpose(StrEnum):
    """What a role or an access-policy entry is for."""

    OPERATOR = "operator"
    IDENTITY = "account identity"
    READER = "reader"
    CARRIED_OVER = "carried over from access policy"


@dataclass(frozen=True)
class Owner:
    """What setup adds, it adds for one secret and one Azure OpenAI account."""

    account: str
    secret: str


def owner(target: Target) -> Owner:
    """Return the owner of what setup adds for this target."""
    return Owner(target.account, target.secret)


# --- role assignments ------------------------------------------------------------------------------------------------


def description(purpose: Purpose, owner: Owner) -> str:
    """Return the description of a role assignment. Only the account's identity belongs to one account."""
    return f"{OWNER}: {purpose}" + (f" of {owner.account}" if purpose is Purpose.IDENTITY else "")


def purpose_of(text: str | None) -> Purpose | None:
    """Return what an assignment with this description is for; None if it has no record of setup."""
    for purpose in Purpose:
        if text and text.startswith(f"{OWNER}: {purpose}"):
            return purpose
    return None


def account_of(text: str | None) -> str | None:
    """Return the account whose identity an assignment with this description is for."""
    start = f"{OWNER}: {Purpose.IDENTITY} of "
    return text.removeprefix(start) if text and text.startswith(start) else None


# --- the secret ------------------------------------------------------------------------------------------------------


def secret_tags(owner: Owner, entity: str | None) -> dict[str, str]:
    """Return the secret's tags, which the portal shows: who wrote it, for which account and for which W&B entity."""
    shown = {"created-by": OWNER, "azure-openai-account": owner.account}
    return shown | ({"wandb-entity": entity} if entity else {})


def wrote(tags: Mapping[str, str] | None) -> bool:
    """Return whether these are the tags of a version that setup or rotate-key wrote."""
    return tags is not None and tags.get("created-by") == OWNER


# --- the vault -------------------------------------------------------------------------------------------------------


def switched(tags: Mapping[str, str], at: datetime) -> dict[str, str]:
    """Return all tags of the vault with the switch to Azure RBAC recorded: Azure replaces the whole set."""
    return {**tags, SWITCHED: f"{_SWITCHED_VALUE} {at:%Y-%m-%d}"}


def was_switched(tags: Mapping[str, str]) -> bool:
    """Return whether the tags record that setup switched the vault to Azure RBAC."""
    return tags.get(SWITCHED, "").startswith(_SWITCHED_VALUE)


def unswitched(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the vault's tags without the record of the switch."""
    return {name: value for name, value in tags.items() if name != SWITCHED}


def entries(tags: Mapping[str, str]) -> frozenset[str]:
    """Return the object ids, in lower case, of the principals whose access-policy entries setup created."""
    return frozenset(tags.get(ENTRIES, "").split())


def with_entries(tags: Mapping[str, str], object_ids: Iterable[str]) -> dict[str, str]:
    """Return the vault's tags with these principals recorded as well. Without any principal there is no tag.

    Raises:
        ValueError: a tag does not hold so many principals (more than six).
    """
    return _recorded(tags, entries(tags) | {i.lower() for i in object_ids})


def without_entries(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the vault's tags without the record of access-policy entries."""
    return _recorded(tags, ())


def _recorded(tags: Mapping[str, str], ids: Collection[str]) -> dict[str, str]:
    others = {name: value for name, value in tags.items() if name != ENTRIES}
    value = " ".join(sorted(ids))
    if len(value) > _TAG_LIMIT:
        raise ValueError(f"{len(ids)} principals do not fit into a tag of {_TAG_LIMIT} characters")
    return others | ({ENTRIES: value} if value else {})
