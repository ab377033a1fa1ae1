"""Who is meant in a plan, and what they hold already. Pure."""

from datetime import datetime

from .model import Observed, Principal


def operator(observed: Observed) -> Principal:
    """Who is signed in."""
    return Principal(observed.caller.object_id, "you", observed.caller.kind)


def account_identity(observed: Observed) -> Principal | None:
    """The account's system-assigned identity, once it has one."""
    account = observed.account
    return Principal(account.principal_id, account.name, "ServicePrincipal") if account.principal_id else None


def principal(observed: Observed, object_id: str) -> Principal:
    """Whose object id this is, by the best name known."""
    if is_operator(observed, object_id):
        return operator(observed)
    account = account_identity(observed)
    if account and account.object_id.lower() == object_id.lower():
        return account
    return observed.principals.get(object_id.lower(), Principal(object_id))


def is_operator(observed: Observed, object_id: str) -> bool:
    """Whether that is who is signed in. Letter case of object ids does not count."""
    return object_id.lower() == observed.caller.object_id.lower()


def held_by(observed: Observed, object_id: str) -> dict[str, datetime | None]:
    """The roles that a principal holds on the whole vault without conditions, and since when: the longest counts."""
    found: dict[str, datetime | None] = {}
    for each in observed.assignments:
        mine = each.principal_id.lower() == object_id.lower() and not each.conditional
        if mine and not each.scope.lower().startswith(observed.vault.id.lower() + "/"):
            known = [t for t in (found.get(each.role_id), each.created) if t]
            found[each.role_id] = min(known, default=None)
    return found
