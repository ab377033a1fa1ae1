"""Governance above resources: subscriptions and their state, management groups, locks. No protocol here.

Locks: Microsoft, "Lock your resources to protect your infrastructure".
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sandbox.azure.rbac import within

ROOT = "/providers/Microsoft.Management/managementGroups/"
WRITABLE = ("Enabled", "Warned", "PastDue")


State = Literal["Enabled", "Warned", "PastDue", "Disabled", "Deleted"]


class Subscription(BaseModel):
    """A subscription. `assignment_limit`: how many role assignments it can have; `unregistered`: resource providers.

    `tenant_id`: another tenant's, whose tokens it takes; with `delegated` also those of this tenant, but no role has data
    actions there (Azure Lighthouse).
    """

    model_config = ConfigDict(extra="forbid")

    id: str = "5b1f6d1c-0000-4000-8000-0000000000aa"
    name: str = "contoso-ml"
    state: State = "Enabled"
    management_group: str | None = None
    tenant_id: str = ""
    assignment_limit: int = 4000
    unregistered: list[str] = []
    delegated: bool = False

    @property
    def scope(self) -> str:
        """Its ARM id."""
        return f"/subscriptions/{self.id}"


class Lock(BaseModel):
    """A management lock. `scope` is the subscription, group or resource that it was put on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    scope: str = "subscription"
    level: Literal["ReadOnly", "CanNotDelete"]
    notes: str = ""

    @property
    def id(self) -> str:
        """The ARM id."""
        return f"{self.scope}/providers/Microsoft.Authorization/locks/{self.name}"

    def forbids(self, action: str, scope: str) -> bool:
        """Whether the lock forbids an action at `scope`. A lock below a resource also forbids deleting the resource.

        ReadOnly also refuses reads by POST, such as of keys and app settings.
        """
        if action.lower().endswith("/delete"):
            return within(scope, self.scope) or within(self.scope, scope)
        writes = action.lower().endswith(("/write", "/action"))
        return self.level == "ReadOnly" and writes and within(scope, self.scope)
