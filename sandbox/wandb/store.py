"""The state of W&B: users, entities, projects, runs and artifacts, without any protocol.

Tests, pages and the demo read it. Its methods also play what people do in the W&B app: `delete_run`, `restore_run`,
`move_run`, `revoke`; a run's name, notes, tags and config are edited on the run.
"""

import base64
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sandbox.runtime.clock import Clock
from sandbox.wandb import rules
from sandbox.wandb.artifacts import Artifact, Collection
from sandbox.wandb.files import Storage
from sandbox.wandb.options import ServerOptions
from sandbox.wandb.runs import Alert, Run
from sandbox.wandb.users import Entity, User

UNCATEGORIZED = "uncategorized"  # the project of runs without one


@dataclass(eq=False)
class View:
    """A saved view of a project's workspace; `spec` is JSON."""

    number: int
    name: str
    type: str
    display_name: str
    description: str
    spec: str
    created_by: User


@dataclass(eq=False)
class Project:
    """A project of an entity; a registry is one, too."""

    number: int
    entity: str
    name: str
    created_at: float
    created_by: User | None = None
    description: str | None = None
    runs: dict[str, Run] = field(default_factory=dict)  # by id, oldest first
    deleted_runs: dict[str, Run] = field(default_factory=dict)  # by id; the ids cannot be used again
    moved_runs: dict[str, Run] = field(default_factory=dict)  # by id: runs that are in another project now
    collections: dict[str, Collection] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)
    triggers: list[dict[str, Any]] = field(default_factory=list)  # automations

    def collections_of(self, type_name: str) -> list[Collection]:
        """The collections of a type."""
        return [collection for collection in self.collections.values() if collection.type == type_name]

    @property
    def types(self) -> list[str]:
        """The artifact types in use, in order of appearance."""
        return list(dict.fromkeys(collection.type for collection in self.collections.values()))


class Store:
    """Everything that W&B stores."""

    def __init__(self, clock: Clock, options: ServerOptions | None = None) -> None:
        self.clock = clock
        self.options = options or ServerOptions()
        self.storage = Storage(clock)
        self.alerts: list[Alert] = []
        self.entities: dict[str, Entity] = {}
        self.users: dict[str, User] = {}
        self._keys: dict[str, str] = {}
        self._projects: dict[tuple[str, str], Project] = {}
        self.artifacts_by_id: dict[str, Artifact] = {}  # in any state
        self.artifacts_by_client_id: dict[str, Artifact] = {}  # ids that clients gave, for references between artifacts
        self.collections_by_number: dict[int, Collection] = {}
        self._portfolios: list[Collection] = []
        self._numbers = count(1)

    def next_number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    # users and keys

    def add_user(self, user: User, keys: list[str]) -> None:
        """Add a person with API keys."""
        self.users[user.username] = user
        self._keys.update(dict.fromkeys(keys, user.username))

    def user_of(self, key: str) -> User | None:
        """Find the owner of a key; None when it is unknown or revoked."""
        username = self._keys.get(key)
        return self.users[username] if username else None

    def add_key(self, username: str, key: str) -> None:
        """Create a key, as a person does at /authorize."""
        self._keys[key] = self.users[username].username

    def revoke(self, key: str) -> None:
        """Delete a key, as a person does in their settings."""
        del self._keys[key]

    def teams_of(self, user: User) -> list[Entity]:
        """The entities that a user belongs to."""
        return [entity for entity in self.entities.values() if user.username in entity.members]

    # projects and runs

    def project(self, entity: str, name: str) -> Project | None:
        """Find a project."""
        return self._projects.get((entity, name))

    def projects(self, entity: str) -> list[Project]:
        """An entity's projects, oldest first."""
        return [project for project in self._projects.values() if project.entity == entity]

    def add_project(self, entity: str, name: str, user: User | None = None) -> Project:
        """Find a project, or create it.

        Raises:
            RefusedError: the name breaks a rule, or there is no such entity.
        """
        rules.check_name("project name", name)
        if entity not in self.entities:
            raise rules.not_found(f"entity {entity}")
        if (entity, name) not in self._projects:
            number = self.next_number()
            self._projects[entity, name] = Project(number, entity, name, self.clock.time(), created_by=user)
        return self._projects[entity, name]

    def runs(self, entity: str, project: str) -> list[Run]:
        """A project's runs, oldest first; none when there is no such project."""
        found = self.project(entity, project)
        return list(found.runs.values()) if found else []

    def run(self, entity: str, project: str, run_id: str) -> Run:
        """Get a run.

        Raises:
            KeyError: there is no such run.
        """
        return self._projects[entity, project].runs[run_id]

    def add_run(self, project: Project, run_id: str, user: User) -> Run:
        """Create a run in the state `running`.

        Raises:
            RefusedError: the id breaks a rule, or belonged to a deleted run.
        """
        rules.check_name("run name", run_id)
        path = f"{project.entity}/{project.name}/{run_id}"
        if run_id in project.deleted_runs:
            raise rules.RefusedError(409, f"run {path} was previously created and deleted; try a new run name")
        now = self.clock.time()
        name = f"sandbox-run-{len(project.runs) + 1}"
        run = Run(
            project.entity,
            project.name,
            run_id,
            name,
            user,
            self.storage,
            self.options,
            created_at=now,
            heartbeat_at=now,
        )
        project.runs[run_id] = run
        return run

    def delete_run(self, run: Run) -> None:
        """Delete a run; its id stays taken."""
        project = self._projects[run.entity, run.project]
        del project.runs[run.id]
        project.deleted_runs[run.id] = run

    def restore_run(self, entity: str, project: str, run_id: str) -> Run:
        """Undelete a run, as people can for 7 days; artifacts that were deleted with it stay deleted (W&B docs)."""
        found = self._projects[entity, project]
        found.runs[run_id] = found.deleted_runs.pop(run_id)
        return found.runs[run_id]

    def move_run(self, run: Run, project: str) -> None:
        """Move a run to another project of its entity; its artifacts stay behind (W&B docs, "Manage runs")."""
        old, new = self._projects[run.entity, run.project], self.add_project(run.entity, project, run.user)
        old.moved_runs[run.id] = new.runs[run.id] = old.runs.pop(run.id)
        run.project = project

    # artifacts

    def artifacts(self, entity: str, project: str) -> list[Artifact]:
        """Every committed version that was logged to a project, collection by collection."""
        found = self.project(entity, project)
        collections = found.collections.values() if found else ()
        return [version for each in collections if not each.portfolio for version in each.versions]

    def collection(self, entity: str, project: str, name: str) -> Collection:
        """Get a collection.

        Raises:
            KeyError: there is no such collection.
        """
        return self._projects[entity, project].collections[name]

    def add_collection(self, project: Project, name: str, type_name: str, *, portfolio: bool = False) -> Collection:
        """Find a collection, or create it.

        Raises:
            RefusedError: a name breaks a rule, or the collection has another type (status and wording UNVERIFIED).
        """
        rules.check_name("artifact name", name)
        rules.check_name("artifact type", type_name)
        if name not in project.collections:
            now = self.clock.time()
            number = self.next_number()
            made = Collection(number, project.entity, project.name, name, type_name, portfolio, created_at=now)
            project.collections[name] = self.collections_by_number[number] = made
            self._portfolios += [made] if portfolio else []
        collection = project.collections[name]
        if (collection.type, collection.portfolio) != (type_name, portfolio):
            raise rules.RefusedError(400, f"artifact collection {name!r} already exists with type {collection.type!r}")
        return collection

    def add_artifact(self, sequence: Collection, digest: str, run: Run | None, user: User | None = None) -> Artifact:
        """Begin a version; it is PENDING until the commit."""
        project = self._projects[sequence.entity, sequence.project]
        number = self.next_number()
        artifact = Artifact(
            id=encoded_id("Artifact", str(number)),
            sequence=sequence,
            storage=self.storage,
            project_number=project.number,
            digest=digest,
            created_at=self.clock.time(),
            created_by=run,
            user=user,
            members_before=len(sequence.members),
        )
        self.artifacts_by_id[artifact.id] = artifact
        return artifact

    def all_collections(self) -> list[Collection]:
        """Every collection of every project."""
        return [collection for project in self._projects.values() for collection in project.collections.values()]

    def portfolios_with(self, artifact: Artifact) -> list[Collection]:
        """The portfolios that a version is linked to."""
        return [each for each in self._portfolios if each.membership_of(artifact)]

    def delete_artifact(self, artifact: Artifact) -> None:
        """Delete a version, as people do; its number is not used again, and `latest` moves to the newest one left."""
        places = (artifact.sequence, *self.portfolios_with(artifact))
        artifact.state = "DELETED"
        for collection in places:
            collection.drop(artifact)


def encoded_id(kind: str, *parts: Any) -> str:
    """An id as W&B makes it: base64 of the kind and the identifying parts."""
    return base64.b64encode(":".join((kind, *map(str, parts))).encode()).decode()


def decoded_id(text: str) -> list[str]:
    """The parts of an id, kind first; empty when the text is not an id."""
    try:
        return base64.b64decode(text, validate=True).decode().split(":")
    except ValueError:
        return []
