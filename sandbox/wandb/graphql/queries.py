"""The root of W&B's GraphQL queries. Field names: see wandb_graphql.py."""

from dataclasses import dataclass

from sandbox.wandb.graphql.artifact_nodes import ArtifactNode, CollectionNode
from sandbox.wandb.graphql.paging import Connection, Context, page
from sandbox.wandb.graphql.people import EntityNode, OrganizationNode, ServerInfo, UserNode
from sandbox.wandb.graphql.run_nodes import ProjectNode
from sandbox.wandb.store import decoded_id

UNCATEGORIZED = "uncategorized"  # where runs go that name no project


@dataclass(frozen=True)
class ClientIdMapping:
    """The id a server gave to what a client had named before."""

    server_id: str


@dataclass(frozen=True)
class Query:
    """What can be asked. What the caller may not see is null, as if it did not exist (UNVERIFIED)."""

    context: Context

    @property
    def server_info(self) -> ServerInfo:
        """What the server can."""
        return ServerInfo()

    @property
    def viewer(self) -> UserNode:
        """Who asks."""
        return UserNode(self.context.user, self.context)

    def entity(self, name: str | None = None) -> EntityNode | None:
        """An entity by name."""
        found = self.context.visible(name)
        return EntityNode(found, self.context) if found else None

    def organization(self, name: str) -> OrganizationNode | None:
        """One of the caller's organizations by name."""
        return next((each for each in self.viewer.organizations if each.name == name), None)

    def project(self, name: str | None = None, entity_name: str | None = None) -> ProjectNode | None:
        """A project by name."""
        entity = self.context.visible(entity_name)
        found = self.context.store.project(entity.name, name or UNCATEGORIZED) if entity else None
        return ProjectNode(found, self.context) if found else None

    def model(self, name: str | None = None, entity_name: str | None = None) -> ProjectNode | None:
        """The same under its older name."""
        return self.project(name, entity_name)

    def models(
        self, entity_name: str | None = None, after: str | None = None, first: int | None = None
    ) -> Connection[ProjectNode]:
        """An entity's projects."""
        entity = self.context.visible(entity_name)
        found = self.context.store.projects(entity.name) if entity else []
        return page([ProjectNode(each, self.context) for each in found], first, after)

    def artifact(self, node_id: str) -> ArtifactNode | None:
        """A version by id."""
        found = self.context.store.artifact(node_id)
        visible = found is not None and self.context.visible(found.sequence.entity) is not None
        return ArtifactNode(found, self.context) if found and visible else None

    def artifact_collection(self, node_id: str) -> CollectionNode | None:
        """A collection by id."""
        match decoded_id(node_id):
            case ["ArtifactCollection", number] if number.isdigit():
                found = self.context.store.collection_by_number(int(number))
            case _:
                found = None
        visible = found is not None and self.context.visible(found.entity) is not None
        return CollectionNode(found, self.context) if found and visible else None

    def client_id_mapping(self, client_id: str) -> ClientIdMapping | None:
        """The server's id for a client's."""
        found = self.context.store.by_client_id(client_id)
        return ClientIdMapping(found.id) if found else None
