"""A scenario's governance: subscriptions, management groups, locks, policies, deny assignments."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sandbox.azure.policy import BUILT_IN, rule
from sandbox.scenario.tenant import Script


class SubscriptionScript(Script):
    """A subscription. `tenant_id`: another tenant's, whose tokens it takes; with `delegated` also those of this tenant, but no
    role has data actions there (Azure Lighthouse).
    """

    id: str = "5b1f6d1c-0000-4000-8000-0000000000aa"
    name: str = "contoso-ml"
    state: Literal["Enabled", "Warned", "PastDue", "Disabled", "Deleted"] = "Enabled"
    management_group: str | None = None
    tenant_id: str | None = None
    assignment_limit: int = 4000
    unregistered: list[str] = Field(default_factory=list)
    delegated: bool = False


class GroupScript(Script):
    """A resource group of a subscription other than the first, and the name of that one. Names of groups are unique."""

    name: str
    subscription: str


class ManagementGroupScript(Script):
    """A management group; without a parent it is below the root."""

    name: str
    parent: str | None = None


class LockScript(Script):
    """A management lock on a subscription, a group or a resource."""

    name: str
    scope: str = "subscription"
    level: Literal["ReadOnly", "CanNotDelete"]
    notes: str = ""


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
