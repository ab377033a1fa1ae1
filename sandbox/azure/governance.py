"""Governance above resources: subscriptions and their state, management groups, locks. No protocol here.

Locks: Microsoft, "Lock your resources to protect your infrastructure".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.azure.rbac import within

ROOT = "/providers/Microsoft.Management/managementGroups/"
WRITABLE = ("Enabled", "Warned", "PastDue")


@dataclass
class Subscription:
    """A subscription. `assignment_limit`: how many role assignments it can have; `unregistered`: resource providers.

    `delegated`: another tenant's, in which principals of this one act through Azure Lighthouse.
    """

    id: str
    name: str
    tenant_id: str
    state: str = "Enabled"
    assignment_limit: int = 4000
    unregistered: Sequence[str] = ()
    delegated: bool = False

    @property
    def scope(self) -> str:
        """Its ARM id."""
        return f"/subscriptions/{self.id}"


@dataclass(frozen=True)
class Lock:
    """A management lock. `scope` is the subscription, group or resource that it was put on."""

    name: str
    scope: str
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
