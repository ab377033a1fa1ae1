"""What doctor finds: one Check a link of the chain; and the judgements that need no look at the outside. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from provisioning.durations import spell
from provisioning.models import AccessPolicy, Assignment, RoleDefinition
from provisioning.planning.permissions import grants, own_policies

READ_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"  # noqa: S105 - the name of a right
READ_JOBS = "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read"
READ_FILES = "Microsoft.CognitiveServices/accounts/OpenAI/files/read"
PROPAGATION = timedelta(minutes=10)
"""How long a new role may take to work (Microsoft, RBAC troubleshooting)."""


class State(StrEnum):
    """How a link of the chain is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One link: what was seen and, where something is to be done, the next command."""

    name: str
    state: State
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class UserIdentity:
    """A user-assigned managed identity of a function app. `id` is its ARM id."""

    id: str
    client_id: str
    principal_id: str

    @property
    def name(self) -> str:
        """As people call it."""
        return self.id.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class FunctionApp:
    """A function app as Azure Resource Manager shows it."""

    name: str
    state: str
    system_identity: str | None = None  # the principal's object id
    user_identities: tuple[UserIdentity, ...] = ()


@dataclass(frozen=True)
class IndexedFunction:
    """A function that the host of a function app has found."""

    name: str
    disabled: bool = False


@dataclass(frozen=True)
class Access:
    """What gives a principal the data actions it needs. `maybe`: under conditions, which cannot be evaluated here."""

    by: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    since: datetime | None = None  # the youngest of `by`, where that is known

    def age(self, now: datetime) -> str:
        """Words for an access that may be too young to work; empty for the rest."""
        if self.since is None or now - self.since >= PROPAGATION:
            return ""
        young = spell(timedelta(seconds=max(0, round((now - self.since).total_seconds()))))
        return f" (for {young}: a new role may take {spell(PROPAGATION)} to work)"


def by_role(assignments: Iterable[Assignment], roles: Mapping[str, RoleDefinition], actions: Collection[str]) -> Access:
    """The access that one principal's assignments give it. Each action has to come from some role; they may be several."""
    held = [a for a in assignments if a.role_id in roles]
    sure = [a for a in held if not a.conditional]
    if by := _giving(sure, roles, actions):
        return Access(_names(by, roles), since=max((a.created for a in by if a.created), default=None))
    return Access(maybe=_names(_giving(held, roles, actions), roles))


def by_policy(policies: Iterable[AccessPolicy], object_id: str, verb: str) -> Access:
    """The access to secrets that a vault's access policies give a principal, which is itself and no application's user."""
    verbs = {v.lower() for p in own_policies(policies, object_id) for v in p.permissions.get("secrets", ())}
    return Access(by=("an access policy",)) if verbs & {verb, "all"} else Access()


def _giving(
    held: Iterable[Assignment], roles: Mapping[str, RoleDefinition], actions: Collection[str]
) -> list[Assignment]:
    """Those that give any of the actions, if together they give all; the oldest of each role."""
    helping = [a for a in held if any(grants(roles[a.role_id], action) for action in actions)]
    if not all(any(grants(roles[a.role_id], action) for a in helping) for action in actions):
        return []
    oldest: dict[str, Assignment] = {}
    for each in helping:
        known = oldest.setdefault(each.role_id, each)
        if each.created and known.created and each.created < known.created:
            oldest[each.role_id] = each
    return list(oldest.values())


def _names(assignments: Iterable[Assignment], roles: Mapping[str, RoleDefinition]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(roles[a.role_id].name for a in assignments))
