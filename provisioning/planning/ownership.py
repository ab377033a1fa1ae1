"""How setup marks what it adds, so that teardown knows it again without a state file. Pure.

A role assignment says in its description what it is for, a secret in its tags, the vault in its own tags.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum

OWNER = "azure-openai-wandb"
"""Who made it: starts each description, is the secret's created-by and starts the names of the vault's tags."""

SWITCHED = OWNER
"""Vault tag: setup put the vault on Azure RBAC, and when."""
ENTRIES = f"{OWNER}-access-policies"
"""Vault tag: the object ids whose access-policy entries setup created."""

_SWITCHED_VALUE = "switched-to-rbac"
_TAG_LIMIT = 256  # characters of a tag's value (Microsoft, "Use tags to organize your Azure resources")


class Purpose(StrEnum):
    """Whom a role is for."""

    OPERATOR = "operator"
    IDENTITY = "account identity"
    READER = "reader"
    CARRIED_OVER = "carried over from access policy"


# --- role assignments ------------------------------------------------------------------------------------------------


def description(purpose: Purpose, account: str) -> str:
    """What a role assignment says about itself. Only the account's identity belongs to one account."""
    return f"{OWNER}: {purpose}" + (f" of {account}" if purpose is Purpose.IDENTITY else "")


def purpose_of(text: str | None) -> Purpose | None:
    """What an assignment with this description is for; None when it is not setup's."""
    for purpose in Purpose:
        if text and text.startswith(f"{OWNER}: {purpose}"):
            return purpose
    return None


def account_of(text: str | None) -> str | None:
    """Whose identity an assignment with this description is for."""
    start = f"{OWNER}: {Purpose.IDENTITY} of "
    return text.removeprefix(start) if text and text.startswith(start) else None


# --- the secret ------------------------------------------------------------------------------------------------------


def secret_tags(account: str, entity: str | None) -> dict[str, str]:
    """What an operator sees beside the secret in the portal: who wrote it, for which account, for which W&B entity."""
    shown = {"created-by": OWNER, "azure-openai-account": account}
    return shown | ({"wandb-entity": entity} if entity else {})


def wrote(tags: Mapping[str, str] | None) -> bool:
    """Whether a version with these tags was written by setup or rotate-key."""
    return tags is not None and tags.get("created-by") == OWNER


# --- the vault -------------------------------------------------------------------------------------------------------


def switched(tags: Mapping[str, str], at: datetime) -> dict[str, str]:
    """The vault's tags after setup put it on Azure RBAC; all of them, because Azure replaces the whole set."""
    return {**tags, SWITCHED: f"{_SWITCHED_VALUE} {at:%Y-%m-%d}"}


def was_switched(tags: Mapping[str, str]) -> bool:
    """Whether setup put the vault on Azure RBAC."""
    return tags.get(SWITCHED, "").startswith(_SWITCHED_VALUE)


def unswitched(tags: Mapping[str, str]) -> dict[str, str]:
    """The vault's tags once it is back on its access policies."""
    return {name: value for name, value in tags.items() if name != SWITCHED}


def entries(tags: Mapping[str, str]) -> frozenset[str]:
    """The principals, in lower case, whose access-policy entries setup created."""
    return frozenset(tags.get(ENTRIES, "").split())


def with_entries(tags: Mapping[str, str], object_ids: Iterable[str]) -> dict[str, str]:
    """The vault's tags with these principals noted as well; none noted leaves no tag.

    Raises:
        ValueError: more principals than a tag holds (six).
    """
    return _noted(tags, entries(tags) | {i.lower() for i in object_ids})


def without_entries(tags: Mapping[str, str]) -> dict[str, str]:
    """The vault's tags with no principals noted."""
    return _noted(tags, ())


def _noted(tags: Mapping[str, str], ids: Collection[str]) -> dict[str, str]:
    others = {name: value for name, value in tags.items() if name != ENTRIES}
    value = " ".join(sorted(ids))
    if len(value) > _TAG_LIMIT:
        raise ValueError(f"{len(ids)} principals do not fit into a tag of {_TAG_LIMIT} characters")
    return others | ({ENTRIES: value} if value else {})
