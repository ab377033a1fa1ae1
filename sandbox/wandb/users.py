"""Users of W&B, and entities (people, teams, organizations) with their members and roles."""

from dataclasses import dataclass, field
from enum import StrEnum

REGISTRY = "wandb-registry-"


class Role(StrEnum):
    """A member's role in a team, the strongest first (W&B docs, "Manage teams": view-only members cannot write)."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEW_ONLY = "view-only"


class EntityKind(StrEnum):
    """Kinds of owners of projects. An organization's entity owns its registries."""

    USER = "USER"
    TEAM = "TEAM"
    ORGANIZATION = "ORGANIZATION"


@dataclass(frozen=True)
class User:
    """An account, without its keys."""

    number: int
    username: str
    name: str
    email: str
    default_entity: str


@dataclass(frozen=True)
class Organization:
    """Teams under one contract; its entity holds the registries."""

    name: str
    entity: str


@dataclass
class Entity:
    """A person's entity, a team, or an organization's entity."""

    number: int
    name: str
    kind: EntityKind
    organization: Organization | None = None
    members: dict[str, Role] = field(default_factory=dict)  # by username
    slack: list[str] = field(default_factory=list)  # channels that an admin has connected

    def may_read(self, user: User) -> bool:
        """Whether the user is a member; projects are private, as a team's are by default."""
        return user.username in self.members

    def may_write(self, user: User) -> bool:
        """Whether the user is a member and not view-only."""
        return self.members.get(user.username, Role.VIEW_ONLY) is not Role.VIEW_ONLY
