"""The `wandb:` part of a scenario: people, teams and organizations in W&B, and its initial runs."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sandbox.runtime.clock import Clock
from sandbox.scenario.tenant import Script
from sandbox.wandb.options import ServerOptions
from sandbox.wandb.runs import SILENCE, Nullable, RunState
from sandbox.wandb.store import Store
from sandbox.wandb.users import REGISTRY, Entity, EntityKind, Organization, Role, User

Key = Annotated[str, Field(min_length=40)]  # what the SDK accepts as a key


class UserScript(Script):
    """A person: API keys, and the default entity of their runs (by default the person's own)."""

    username: str
    name: str = ""
    email: str = ""
    keys: list[Key] = Field(default_factory=list)
    default_entity: str | None = None


class TeamScript(Script):
    """A team, its members by username, and the organization it belongs to."""

    name: str
    members: dict[str, Role] = Field(default_factory=dict)
    organization: str | None = None


class OrganizationScript(Script):
    """An organization: the entity that owns its registries, and the registries (without `wandb-registry-`)."""

    name: str
    entity: str
    registries: list[str] = Field(default_factory=list)


class RunScript(Script):
    """A run that exists at the start: `config` as people see it, `history` as rows, `age` in virtual seconds.

    `raw_config` adds entries as they are stored, as an old SDK or a script left them: one that is not an object makes
    the run impossible to open for the SDK, and so does each of `null_fields`. Without `sdk_mark` the SDK takes the run
    for one that does not exist. `moved_from` is the project where the run was before, `deleted` puts it into the trash.
    """

    entity: str
    project: str
    id: str
    user: str
    name: str | None = None
    state: RunState = RunState.FINISHED
    config: dict[str, Any] = Field(default_factory=dict)
    summary: dict[str, Any] = Field(default_factory=dict)
    history: list[dict[str, Any]] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None
    age: float = 0.0
    raw_config: dict[str, Any] = Field(default_factory=dict)
    null_fields: set[Nullable] = Field(default_factory=set)
    sdk_mark: bool = True
    moved_from: str | None = None
    deleted: bool = False


class WandbScript(Script):
    """W&B at the start."""

    users: list[UserScript] = Field(default_factory=list)
    teams: list[TeamScript] = Field(default_factory=list)
    organizations: list[OrganizationScript] = Field(default_factory=list)
    runs: list[RunScript] = Field(default_factory=list)
    server: ServerOptions = Field(default_factory=ServerOptions)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        usernames = {user.username for user in self.users}
        entities = usernames | {team.name for team in self.teams}
        organizations = {organization.name for organization in self.organizations}
        for team in self.teams:
            _known(team.members, usernames, f"members of team {team.name}")
            _known({team.organization} - {None}, organizations, f"organization of team {team.name}")
        for user in self.users:
            _known({user.default_entity} - {None}, entities, f"default entity of {user.username}")
        _known((run.entity for run in self.runs), entities, "entities of runs")
        _known((run.user for run in self.runs), usernames, "users of runs")
        return self

    def build(self, clock: Clock) -> Store:
        """Return a store with this state."""
        store = Store(clock, self.server.model_copy(deep=True))
        for user in self.users:
            self._add_user(store, user)
        organizations = {each.name: Organization(each.name, each.entity) for each in self.organizations}
        for team in self.teams:
            organization = organizations.get(team.organization or "")
            number = store.next_number()
            entity = Entity(number, team.name, EntityKind.TEAM, organization, dict(team.members))
            store.entities[team.name] = entity
        for each in self.organizations:
            self._add_organization(store, each, organizations[each.name])
        for run in self.runs:
            _add_run(store, run)
        return store

    def _add_user(self, store: Store, script: UserScript) -> None:
        default = script.default_entity or script.username
        name = script.name or script.username
        user = User(store.next_number(), script.username, name, script.email, default)
        store.add_user(user, list(script.keys))
        own = Entity(store.next_number(), user.username, EntityKind.USER, members={user.username: Role.ADMIN})
        store.entities[user.username] = own

    def _add_organization(self, store: Store, script: OrganizationScript, organization: Organization) -> None:
        """All members of its teams may link into its registries; finer roles are not modelled."""
        members: dict[str, Role] = {}
        for team in self.teams:
            if team.organization == script.name:
                for name, role in team.members.items():
                    members[name] = min(role, members.get(name, role), key=list(Role).index)
        entity = Entity(store.next_number(), script.entity, EntityKind.ORGANIZATION, organization, members)
        store.entities[script.entity] = entity
        for registry in script.registries:
            store.add_project(script.entity, f"{REGISTRY}{registry}")


def _add_run(store: Store, script: RunScript) -> None:
    user = store.users[script.user]
    project = store.add_project(script.entity, script.moved_from or script.project, user)
    run = store.add_run(project, script.id, user)
    now = store.clock.time()
    run.created_at = now - script.age
    match script.state:
        case RunState.CRASHED:
            run.heartbeat_at = now - SILENCE - 1
        case RunState.RUNNING:
            run.phase = script.state
        case _:
            run.phase = script.state
            run.heartbeat_at = run.created_at
    run.name = script.name or run.name
    run.group, run.job_type, run.notes = script.group, script.job_type, script.notes
    run.set_tags(list(script.tags))
    for key, value in script.config.items():
        run.set_config(key, value)
    if script.sdk_mark:
        run.raw_config["_wandb"] = {"value": {"t": {}}}
    run.raw_config |= script.raw_config
    run.null_fields = set(script.null_fields)
    run.summary = dict(script.summary)
    run.add_rows(script.history)
    if script.moved_from:
        store.move_run(run, script.project)
    if script.deleted:
        store.delete_run(run)


def _known(names: Any, known: set[str], what: str) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"{what}: unknown {', '.join(unknown)}")
