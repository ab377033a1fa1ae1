"""A scenario's governance: groups, management groups, policies, deny assignments."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sandbox.azure.policy import BUILT_IN, rule
from sandbox.scenario.tenant import Script


class GroupScript(Script):
    """A resource group of a subscription other than the first, and the name of that one. Names of groups are unique."""

    name: str
    subscription: str


class ManagementGroupScript(Script):
    """A management group; without a parent it is below the root."""

    name: str
    parent: str | None = None


class PolicyAssignmentScript(Script):
    """An assigned policy: a built-in `definition` by its title, or a custom rule for resources of a `type`.

    `if` is a rule as in policy definitions; `set` are the fields that the effect modify sets. `initiative` is the name of
    the set of definitions that the policy is assigned with. `exclude` are scopes; `enforced: false` only reports.
    """

    name: str
    scope: str = "subscription"
    effect: Literal["deny", "modify", "denyAction", "audit"]
    definition: str | None = None
    type: str = ""
    condition: dict[str, Any] | None = Field(None, alias="if")
    changes: dict[str, Any] = Field(default_factory=dict, alias="set")
    parameters: dict[str, Any] = Field(default_factory=dict)
    initiative: str = ""
    exclude: list[str] = Field(default_factory=list)
    enforced: bool = True

    @model_validator(mode="after")
    def _defined(self) -> Self:
        if self.definition is not None and self.definition not in BUILT_IN:
            raise ValueError(f"{self.definition!r} is not a definition that the sandbox knows: {', '.join(BUILT_IN)}")
        if (self.definition is None) != bool(self.type):
            raise ValueError("a policy has a built-in definition, or a type of resources")
        if bool(self.changes) != (self.effect == "modify"):
            raise ValueError("`set` goes with the effect modify")
        rule(self.condition)
        return self


class DenyAssignmentScript(Script):
    """A deny assignment, as managed applications and deployment stacks make them. `principals`: names, or everybody."""

    name: str
    scope: str
    principals: list[str] | Literal["everybody"] = "everybody"
    exclude: list[str] = Field(default_factory=list)
    actions: list[str] = Field(default_factory=list)
    not_actions: list[str] = Field(default_factory=list)
    data_actions: list[str] = Field(default_factory=list)
    not_data_actions: list[str] = Field(default_factory=list)
