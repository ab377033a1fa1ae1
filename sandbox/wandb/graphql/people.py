"""GraphQL types of users, entities, organizations and the server."""

from typing import Any

from sandbox.wandb.graphql.context import Context
from sandbox.wandb.graphql.executor import Types
from sandbox.wandb.graphql.paging import Connection, page
from sandbox.wandb.store import encoded_id
from sandbox.wandb.users import Entity, EntityKind, Organization, Role, User

# What wandb 0.31 queries before it uses a newer operation. The sandbox has these; the real list is UNVERIFIED.
_FEATURES = """
LARGE_FILENAMES ARTIFACT_TAGS CLIENT_IDS ARTIFACT_COLLECTION_MEMBERSHIP_FILES
USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP
ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE TOTAL_COUNT_IN_FILE_CONNECTION ARTIFACT_COLLECTIONS_FILTERING_SORTING
ARTIFACT_DIGEST_ALGORITHM
"""
FEATURES = _FEATURES.split()


def organizations(user: User, context: Context) -> list[Organization]:
    """The organizations of a user's teams."""
    found = [each.organization for each in context.store.teams_of(user)]
    return list({each.name: each for each in found if each}.values())


def _teams(user: User, context: Context) -> Connection:
    """The user's own entity and their teams."""
    return page([each for each in context.store.teams_of(user) if each.kind is not EntityKind.ORGANIZATION])


def _members(entity: Entity, context: Context) -> list[dict[str, object]]:
    users = context.store.users
    return [
        {
            "id": encoded_id("User", users[username].number),
            "name": users[username].name,
            "username": username,
            "email": users[username].email,
            "role": role,
            "admin": role is Role.ADMIN,
            "pending": False,
            "accountType": "MEMBER",
        }
        for username, role in entity.members.items()
    ]


def _integrations(entity: Entity, _: Context, **paging: Any) -> Connection:
    """The Slack channels of a team."""
    channels = [
        {
            "__typename": "SlackIntegration",
            "id": encoded_id("Integration", number),
            "teamName": "t",
            "channelName": name,
        }
        for number, name in enumerate(entity.slack, start=1)
    ]
    return page(channels, **paging)


TYPES: Types = {
    "User": {
        "id": lambda user, _: encoded_id("User", user.number),
        "entity": lambda user, _: user.default_entity,
        "admin": False,
        "flags": "{}",
        "deletedAt": None,
        "apiKeys": lambda *_: page(()),  # keys are not shown
        "teams": _teams,
        "organizations": organizations,
    },
    "Entity": {  # plan and storage are invented
        "id": lambda entity, _: encoded_id("Entity", entity.number),
        "available": False,
        "photoUrl": None,
        "readOnly": lambda entity, context: not entity.may_write(context.user),
        "readOnlyAdmin": False,
        "isTeam": lambda entity, _: entity.kind is EntityKind.TEAM,
        "entityType": lambda entity, _: entity.kind,
        "privateOnly": True,
        "storageBytes": 0,
        "codeSavingEnabled": False,
        "defaultAccess": "PRIVATE",
        "isPaid": True,
        "integrations": _integrations,
        "members": _members,
        "user": lambda entity, context: context.store.users.get(entity.name),
        "xxhashDigestsEnabled": False,
    },
    "Organization": {
        "id": lambda organization, _: encoded_id("Organization", organization.name),
        "orgEntity": lambda organization, context: context.store.entities[organization.entity],
        "coreWeaveOrganizationId": None,
    },
}
