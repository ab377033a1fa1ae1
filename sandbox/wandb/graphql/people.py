"""GraphQL nodes of users, entities, organizations and the server. Field names: see wandb_graphql.py."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.wandb.graphql.paging import Connection, Context, page
from sandbox.wandb.store import encoded_id
from sandbox.wandb.users import Entity, EntityKind, Organization, Role, User

# What wandb 0.31 asks before it uses a newer operation. The ones the stand-in answers; the real list is UNVERIFIED.
FEATURES = (
    "LARGE_FILENAMES",
    "ARTIFACT_TAGS",
    "CLIENT_IDS",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING",
    "ARTIFACT_DIGEST_ALGORITHM",
)


@dataclass(frozen=True)
class ServerFeature:
    """One thing the server can."""

    name: str
    is_enabled: bool = True


@dataclass(frozen=True)
class ServerInfo:
    """What the server says of itself."""

    features: Sequence[ServerFeature] = tuple(map(ServerFeature, FEATURES))


class _Person:
    """What a user shows of themselves, on their own and as a member of a team."""

    user: User

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("User", self.user.number)

    @property
    def name(self) -> str:
        """As people write it."""
        return self.user.name

    @property
    def username(self) -> str:
        """Unique; also the name of the user's own entity."""
        return self.user.username

    @property
    def email(self) -> str:
        """Where alerts go."""
        return self.user.email


@dataclass(frozen=True)
class UserNode(_Person):
    """A user."""

    user: User
    context: Context
    admin: bool = False
    flags: str = "{}"
    deleted_at: str | None = None

    @property
    def entity(self) -> str:
        """Where runs go when none is named."""
        return self.user.default_entity

    @property
    def api_keys(self) -> Connection[object]:
        """Keys are not shown."""
        return page(())

    @property
    def teams(self) -> "Connection[EntityNode]":
        """The user's own entity and their teams."""
        return page([EntityNode(each, self.context) for each in self._entities if each.kind != EntityKind.ORGANIZATION])

    @property
    def organizations(self) -> "list[OrganizationNode]":
        """The organizations of the user's teams."""
        found = {each.organization.name: each.organization for each in self._entities if each.organization}
        return [OrganizationNode(each, self.context) for each in found.values()]

    @property
    def _entities(self) -> list[Entity]:
        return self.context.store.teams_of(self.user)


@dataclass(frozen=True)
class MemberNode(_Person):
    """A member of a team."""

    user: User
    role: Role
    pending: bool = False
    photo_url: str | None = None
    account_type: str = "MEMBER"
    api_key: str | None = None

    @property
    def admin(self) -> bool:
        """Whether an admin of the team."""
        return self.role is Role.ADMIN


@dataclass(frozen=True)
class EntityNode:
    """What owns projects. Plan and storage are made up."""

    entity: Entity
    context: Context
    available: bool = False
    photo_url: str | None = None
    read_only_admin: bool = False
    private_only: bool = True
    storage_bytes: int = 0
    code_saving_enabled: bool = False
    default_access: str = "PRIVATE"
    is_paid: bool = True
    xxhash_digests_enabled: bool = False

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("Entity", self.entity.number)

    @property
    def name(self) -> str:
        """Unique."""
        return self.entity.name

    @property
    def is_team(self) -> bool:
        """Not a person's own."""
        return self.entity.kind is EntityKind.TEAM

    @property
    def entity_type(self) -> str:
        """USER, TEAM or ORGANIZATION."""
        return self.entity.kind

    @property
    def read_only(self) -> bool:
        """Whether the caller may only look."""
        return not self.entity.may_write(self.context.user)

    @property
    def members(self) -> list[MemberNode]:
        """People with their roles."""
        users = self.context.store.users
        return [MemberNode(users[username], role) for username, role in self.entity.members.items()]

    @property
    def organization(self) -> "OrganizationNode | None":
        """Of a team or of an organization's entity; a person's own entity has none."""
        found = self.entity.organization
        return OrganizationNode(found, self.context) if found else None

    @property
    def user(self) -> UserNode | None:
        """Whose own entity this is."""
        owner = self.context.store.users.get(self.entity.name)
        return UserNode(owner, self.context) if owner else None


@dataclass(frozen=True)
class OrganizationNode:
    """An organization."""

    organization: Organization
    context: Context
    core_weave_organization_id: str | None = None

    @property
    def id(self) -> str:
        """Stable."""
        return encoded_id("Organization", self.organization.name)

    @property
    def name(self) -> str:
        """As shown."""
        return self.organization.name

    @property
    def org_entity(self) -> EntityNode:
        """The entity that owns the registries."""
        return EntityNode(self.context.store.entities[self.organization.entity], self.context)
