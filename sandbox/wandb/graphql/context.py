"""The context of every GraphQL resolver: the state of W&B, the caller, and the caller's rights."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.wandb.rules import RefusedError, invalid, not_found, permission_denied
from sandbox.wandb.runs import Run
from sandbox.wandb.store import Project, Store, decoded_id
from sandbox.wandb.users import Entity, User


@dataclass(frozen=True)
class Context:
    """One request. `storage_url` is the object store's address for this client."""

    store: Store
    user: User
    storage_url: str

    @property
    def now(self) -> float:
        """Virtual time in epoch seconds."""
        return self.store.clock.time()

    def signed(self, method: str, path: str) -> str:
        """Sign the address of an object."""
        return self.store.storage.signed(self.storage_url, method, path)

    def visible(self, name: str | None) -> Entity | None:
        """Find an entity (the caller's default one when not named) that the caller may read."""
        entity = self.store.entities.get(name or self.user.default_entity)
        return entity if entity and entity.may_read(self.user) else None

    def writable(self, name: str | None, operation: str) -> Entity:
        """Get an entity (the caller's default one when not named) that the caller may write to.

        Raises:
            RefusedError: there is none, or the caller may not write there.
        """
        name = name or self.user.default_entity
        entity = self.store.entities.get(name)
        if entity is None:
            raise RefusedError(404, f"entity {name} not found during {operation}")
        if not entity.may_write(self.user):
            raise permission_denied()
        return entity

    def project(self, entity: str, name: str) -> Project:
        """Get a project that is known to exist."""
        project = self.store.project(entity, name)
        if project is None:
            raise not_found(f"project {entity}/{name}")
        return project

    def writable_run(self, entity: str, project: str, run_id: str, operation: str) -> Run:
        """Get a run that the caller may write to.

        Raises:
            RefusedError: there is none, or the caller may not write to it.
        """
        self.writable(entity, operation)
        found = self.store.project(entity, project)
        if found is None or run_id not in found.runs:
            raise not_found(f"run {entity}/{project}/{run_id}")
        return found.runs[run_id]

    def stored_run(self, storage_id: str, operation: str) -> Run:
        """Get a run that the caller may write to by its storage id."""
        match decoded_id(storage_id):
            case ["Run", "v1", run_id, project, entity]:
                return self.writable_run(entity, project, run_id, operation)
        raise invalid(f"invalid run id {storage_id!r}")


def when(seconds: float) -> str:
    """A time as W&B writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
