"""The owners of everything that setup adds, recorded in Azure itself, so that teardown needs no state file. Pure.

The record of a role assignment is its description, that of a secret its tags, that of a switch or an access-policy
entry the vault's tags. Others can write these, too, so a record alone proves nothing: owned.py has the other proofs.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256

from provisioning.models import Target

OWNER = "azure-openai-wandb"
"""This program's name in every record: at the start of descriptions and tag names, and in the secret's created-by."""

SWITCHED = OWNER
"""Vault tag: setup switched the vault to Azure RBAC, and the date."""
_ENTRY = f"{OWNER}-entry-"
"""Start of a vault tag's name, before a principal's object id: the permissions that setup added to its access policy."""
_ENTRIES_OF_0_1 = f"{OWNER}-access-policies"
"""Vault tag of version 0.1: the object ids of the principals whose access policies setup created."""

ACCOUNT_TAG = "azure-openai-account"
"""Tag of a secret: the account that it was written for."""

SECRET_TAG_LIMIT = 15  # tags of a secret (Microsoft, "About Azure Key Vault secrets")
CONTENT_TYPE = "Weights & Biases API key"
"""Content type of a secret that setup creates. A secret that exists keeps its own."""

_SWITCHED_VALUE = "switched-to-rbac"
TAG_LIMIT = 50
"""Tags of a resource (Microsoft, "Use tags to organize your Azure resources"). A record of an entry is always shorter than
the 256 characters of a value."""


class Purpose(StrEnum):
    """The purpose of a role or an access-policy entry."""

    OPERATOR = "operator"
    IDENTITY = "account identity"
    READER = "reader"
    CONTRIBUTOR = "contributor"
    CARRIED_OVER = "carried over from access policy"


@dataclass(frozen=True)
class Owner:
    """The secret and the Azure OpenAI account for which setup added something.

    Attributes:
        place: a digest of the account's ARM id, because accounts in other groups may have the same name; empty in records of
            version 0.1.
    """

    account: str
    secret: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.account}/{self.secret}"

    @property
    def record(self) -> str:
        """The owner as it is recorded."""
        return f"{account_record(self)}/{self.secret}"


def owner(target: Target, account_id: str) -> Owner:
    """Return the owner of what setup adds for this target."""
    return Owner(target.account, target.secret, place_of(account_id))


def place_of(account_id: str) -> str:
    """Return the digest that stands for an account's ARM id in records, which have no room for the id."""
    return sha256(account_id.lower().encode()).hexdigest()[:8]


def account_record(owner: Owner) -> str:
    """Return the account as it is recorded: its name and its place."""
    return f"{owner.account}#{owner.place}" if owner.place else owner.account


def recorded_owner(record: str, secret: str) -> Owner:
    """Return the owner of a secret from the record of its account."""
    account, _, place = record.partition("#")
    return Owner(account, secret, place)


# --- role assignments ------------------------------------------------------------------------------------------------

_SWITCHING = "; before the switch to Azure RBAC"
_ACCOUNT, _SECRET = r"[A-Za-z0-9][\w.-]{0,63}(?:#[0-9a-f]{8})?", r"[0-9A-Za-z-]{1,127}"
_DESCRIPTION = re.compile(
    rf"{OWNER}: (?P<purpose>{'|'.join(Purpose)})"
    rf"(?: of (?P<account>{_ACCOUNT})(?:/(?P<secret>{_SECRET}))?)?(?P<switching>{_SWITCHING})?"
)


@dataclass(frozen=True)
class RoleRecord:
    """The record of a role assignment.

    Attributes:
        account: the owner's account; version 0.1 recorded it for identities only.
        secret: the owner's secret; empty in a record of version 0.1.
        place: see Owner.
        switching: the role was given while the vault was on access policies, so it proves a switch of setup.
    """

    purpose: Purpose
    account: str = ""
    secret: str = ""
    switching: bool = False
    place: str = ""

    @property
    def owner(self) -> Owner:
        """The recorded owner."""
        return Owner(self.account, self.secret, self.place)


def description(purpose: Purpose, owner: Owner, *, switching: bool = False) -> str:
    """Return the description of a role assignment."""
    return f"{OWNER}: {purpose} of {owner.record}" + (_SWITCHING if switching else "")


def role_record(text: str | None) -> RoleRecord | None:
    """Return the record in the description of a role assignment; None if it is not one of setup."""
    found = _DESCRIPTION.fullmatch(text or "")
    if found is None:
        return None
    known = recorded_owner(found["account"] or "", found["secret"] or "")
    return RoleRecord(Purpose(found["purpose"]), known.account, known.secret, bool(found["switching"]), known.place)


# --- the secret ------------------------------------------------------------------------------------------------------


def secret_tags(owner: Owner, entity: str | None) -> dict[str, str]:
    """Return the secret's tags, which the portal shows: who wrote it, for which account and for which W&B entity."""
    shown = {"created-by": OWNER, ACCOUNT_TAG: account_record(owner)}
    return shown | ({"wandb-entity": entity} if entity else {})


def kept_tags(existing: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a new version: those of the version before it, and ours as far as there is room.

    Azure Policy may require tags of others on every version, so these come first.
    """
    kept = dict(existing)
    for name, value in ours.items():
        if name in kept or len(kept) < SECRET_TAG_LIMIT:
            kept[name] = value
    return kept


def wrote(tags: Mapping[str, str] | None) -> bool:
    """Return whether these are the tags of a version that setup or rotate-key wrote."""
    return tags is not None and tags.get("created-by") == OWNER


# --- the vault -------------------------------------------------------------------------------------------------------


def switched(tags: Mapping[str, str], at: datetime) -> dict[str, str]:
    """Return all tags of the vault, and the record of the switch to Azure RBAC: Azure replaces the whole set."""
    return {**tags, SWITCHED: f"{_SWITCHED_VALUE} {at:%Y-%m-%d}"}


def was_switched(tags: Mapping[str, str]) -> bool:
    """Return whether the tags record that setup switched the vault to Azure RBAC."""
    return tags.get(SWITCHED, "").startswith(_SWITCHED_VALUE)


def switched_since(tags: Mapping[str, str], day: date) -> bool:
    """Return whether the tags record a switch by setup on this day or later."""
    when = tags.get(SWITCHED, "").removeprefix(_SWITCHED_VALUE).strip()
    try:
        return was_switched(tags) and date.fromisoformat(when) >= day
    except ValueError:
        return False


def unswitched(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the vault's tags without the record of the switch."""
    return {name: value for name, value in tags.items() if name != SWITCHED}


@dataclass(frozen=True)
class Entry:
    """The record of an access-policy entry: the permissions on secrets that setup added, and for whom."""

    verbs: tuple[str, ...]
    owner: Owner


_ENTRY_VALUE = re.compile(rf"(?P<verbs>[a-z]+(?: [a-z]+)*): (?P<account>{_ACCOUNT})/(?P<secret>{_SECRET})")


def entries(tags: Mapping[str, str]) -> dict[str, Entry]:
    """Return the records of access-policy entries by the principal's object id, in lower case."""
    found = {}
    for name, value in tags.items():
        if name.startswith(_ENTRY) and (known := _ENTRY_VALUE.fullmatch(value)):
            owner = recorded_owner(known["account"], known["secret"])
            found[name.removeprefix(_ENTRY).lower()] = Entry(tuple(known["verbs"].split()), owner)
    return found


def with_entry(tags: Mapping[str, str], object_id: str, verbs: Iterable[str], owner: Owner) -> dict[str, str]:
    """Return the vault's tags with these permissions recorded, in addition to those that are already recorded.

    The first owner stays: teardown hands the record over if another secret needs the entry then.

    Raises:
        ValueError: the vault has no room for another tag.
    """
    known = entries(tags).get(object_id.lower(), Entry((), owner))
    merged = Entry((*known.verbs, *(v for v in verbs if v not in known.verbs)), known.owner)
    others = without_entry(tags, object_id)
    if len(others) >= TAG_LIMIT:
        raise ValueError(f"the vault has {len(others)} tags, and a resource can have {TAG_LIMIT}")
    return others | {_ENTRY + object_id.lower(): f"{' '.join(merged.verbs)}: {merged.owner.record}"}


def without_entry(tags: Mapping[str, str], object_id: str) -> dict[str, str]:
    """Return the vault's tags without the record of this principal's entry."""
    return {name: value for name, value in tags.items() if name.lower() != _ENTRY + object_id.lower()}


def entries_of_0_1(tags: Mapping[str, str]) -> frozenset[str]:
    """Return the object ids, in lower case, of the principals whose entries version 0.1 of setup created."""
    return frozenset(tags.get(_ENTRIES_OF_0_1, "").lower().split())


def without_entries_of_0_1(tags: Mapping[str, str], object_ids: Collection[str]) -> dict[str, str]:
    """Return the vault's tags without these principals in the record of version 0.1."""
    left = entries_of_0_1(tags) - {i.lower() for i in object_ids}
    others = {name: value for name, value in tags.items() if name != _ENTRIES_OF_0_1}
    return others | ({_ENTRIES_OF_0_1: " ".join(sorted(left))} if left else {})
