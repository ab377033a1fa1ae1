"""A scenario: what the tenant looks like at the start, how its services behave, which faults happen. YAML or a dict."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from sandbox.azure.governance import Lock, Subscription
from sandbox.azure.openai.service import OpenAIAccount
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.tenant import CLOUDS, CloudNames, SignIn, Tenant, Transitions
from sandbox.runtime.clock import Clock
from sandbox.runtime.faults import Fault
from sandbox.scenario import governance
from sandbox.scenario import tenant as scripts
from sandbox.scenario.builder import Builder
from sandbox.scenario.events import EventScript
from sandbox.scenario.wandb import WandbScript


class ClockScript(scripts.Script):
    """When virtual time starts, and how many virtual seconds pass in a real one (0: only when advanced).

    By default it starts now, because programs compare the service's times with the clock of their machine.
    """

    start: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    rate: float = 0.0


class Scenario(scripts.Script):
    """The complete initial state of a world."""

    title: str = ""
    clock: ClockScript = Field(default_factory=ClockScript)
    cloud: Literal["public", "us government", "china"] = "public"
    tenant_id: str = "72f988bf-0000-4000-8000-0000000000bb"
    management_groups: list[governance.ManagementGroupScript] = Field(default_factory=list)
    subscription: Subscription = Subscription()
    subscriptions: list[Subscription] = Field(default_factory=list)
    """All subscriptions except the first."""
    groups: list[str | governance.GroupScript] = Field(default=["rg-ml"])
    principals: list[scripts.PrincipalScript] = Field(default_factory=list)
    roles: list[scripts.RoleScript] = Field(default_factory=list)
    assignments: list[scripts.AssignmentScript] = Field(default_factory=list)
    locks: list[Lock] = Field(default_factory=list)
    policies: list[governance.PolicyAssignmentScript] = Field(default_factory=list)
    deny_assignments: list[governance.DenyAssignmentScript] = Field(default_factory=list)
    pim: bool = True
    """Whether the tenant has the licence for Privileged Identity Management."""
    vaults: list[scripts.VaultScript] = Field(default_factory=list)
    accounts: list[scripts.AccountScript] = Field(default_factory=list)
    function_apps: list[scripts.FunctionAppScript] = Field(default_factory=list)
    wandb: WandbScript = Field(default_factory=WandbScript)
    transitions: Transitions = Field(default_factory=Transitions)
    sign_in: SignIn = Field(default_factory=SignIn)
    faults: list[Fault] = Field(default_factory=list)
    events: list[EventScript] = Field(default_factory=list)
    latency: Annotated[float, Field(ge=0)] = 0.0
    """The latency of each request, in real seconds, for all services."""

    @model_validator(mode="after")
    def _roles_exist(self) -> Self:
        """Assignments name roles that are built in, or the scenario's own."""
        roles = {*ROLE_IDS, *(each.name for each in self.roles)}
        later = [do.assign_role for event in self.events for do in event.do if do.assign_role]
        for each in [*self.assignments, *later]:
            for name in (each.role, *((each.may_assign and each.may_assign.roles) or ())):
                if name not in roles:
                    raise ValueError(f"{name!r} is not a role that the sandbox knows: {', '.join(sorted(roles))}")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        """Events name what the scenario has, or what an earlier event adds."""
        vaults = {v.name.lower() for v in self.vaults}
        accounts = {a.name.lower() for a in self.accounts}
        for do in (do for event in self.events for do in event.do):
            if do.add_vault:
                vaults.add(do.add_vault.name.lower())
            for kind, known in (("vault", vaults), ("account", accounts)):
                name = getattr(do.action, kind, None)
                if name is not None and name.lower() not in known:
                    raise ValueError(f"{do.name}: this scenario has no {kind} {name!r}")
        return self

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Scenario":
        """Read a scenario from the data of a YAML file. `extends: NAME` starts from another one and replaces its top-level keys.

        Raises:
            ValueError: with one line for each thing that is wrong.
        """
        try:
            return cls.model_validate(_extended(data))
        except ValidationError as error:
            lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise ValueError("this scenario cannot be read:\n" + "\n".join(lines)) from None

    @classmethod
    def load(cls, name: str) -> "Scenario":
        """Read a scenario by the name of one that comes with the sandbox, or by the path of a file.

        Raises:
            ValueError: no such scenario, or it cannot be read.
        """
        return cls.parse(_file(name))

    def openai_accounts(self, builder: Builder) -> list[OpenAIAccount]:
        """The accounts in the form for the data plane, with their ARM ids."""
        suffix = self._names().openai_suffix
        return [
            a.model_copy(
                update={
                    "resource_id": builder.account_id(a),
                    "endpoint": a.endpoint or (None if a.platform else f"{a.name}.{suffix}"),
                }
            )
            for a in self.accounts
        ]

    def _names(self) -> CloudNames:
        return CLOUDS[self.cloud]

    def builder(self, clock: Clock) -> Builder:
        """A builder whose tenant is in the state that this scenario starts from."""
        tenant = Tenant(self.tenant_id, self.subscription.id.lower(), clock, self._names(), has_pim=self.pim)
        tenant.transitions, tenant.sign_in = self.transitions.model_copy(), self.sign_in
        builder = Builder(tenant)
        steps: list[tuple[Callable[[Any], object], Iterable[Any]]] = [
            (builder.add_management_group, self.management_groups),
            (builder.add_subscription, [self.subscription, *self.subscriptions]),
            (builder.add_group, self.groups),
            (builder.add_lock, self.locks),
            (builder.assign_policy, self.policies),
            (builder.add_principal, self.principals),
            (builder.add_account, self.accounts),
            (builder.add_function_app, self.function_apps),
            # After accounts and apps, whose identities may be members.
            (lambda group: builder.set_members(group.name, group.members), self.principals),
            (builder.add_vault, self.vaults),
            (builder.add_role, self.roles),
            (lambda entry: tenant.rbac.add(builder.assignment(entry)), self.assignments),
            (builder.add_deny_assignment, self.deny_assignments),
        ]
        for add, parts in steps:
            for part in parts:
                add(part)
        for gone in [v for v in tenant.vaults.values() if v.deleted is not None]:
            tenant.rbac.forget(gone.id)
        return builder


def read(name: str) -> dict[str, Any]:
    """Return the complete data of a scenario, by name or path, merged with the scenario that it extends.

    Raises:
        ValueError: there is none of this name, or it is not YAML.
    """
    return _extended(_file(name))


def _extended(data: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in data.items() if key != "extends"}
    return {**read(data["extends"]), **own} if "extends" in data else own


def _file(name: str) -> dict[str, Any]:
    here = resources.files("sandbox") / "scenarios"
    known = sorted(f.name.removesuffix(".yaml") for f in here.iterdir() if f.name.endswith(".yaml"))
    if name in known:
        text = (here / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise ValueError(f"no scenario {name!r}: name a YAML file or one of {', '.join(known)}")
    try:
        data: dict[str, Any] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not YAML: {error}") from None
    return data
