"""Other people's changes of access and governance while a program runs."""

from typing import Any

from sandbox.azure.governance import Lock, State
from sandbox.scenario.builder import Builder
from sandbox.scenario.governance import DenyAssignmentScript, PolicyAssignmentScript
from sandbox.scenario.tenant import AssignmentScript, Script


class Action(Script):
    """Something that a person or a pipeline does. On a resource that is gone it does nothing."""

    def apply(self, builder: Builder) -> None:
        """Change the tenant now."""
        self._change(builder)

    def _change(self, builder: Builder) -> None:
        raise NotImplementedError


# --- access ---------------------------------------------------------------------------------------------------------


class AssignRole(AssignmentScript, Action):
    """Assign a role. It works after `transitions.rbac_propagation` virtual seconds, unless `effective` says at once."""

    effective: bool = False

    def _change(self, builder: Builder) -> None:
        now, later = builder.tenant.clock.time(), builder.tenant.transitions.rbac_propagation
        effective = now if self.effective else now + later
        builder.tenant.rbac.add(builder.assignment(self, created=now, effective=effective))


class RemoveRole(Action):
    """Remove a principal's assignments of a role at a scope; without `role` all at that scope."""

    principal: str
    role: str | None = None
    scope: str = "subscription"

    def _change(self, builder: Builder) -> None:
        rbac = builder.tenant.rbac
        rbac.assignments = {k: a for k, a in rbac.assignments.items() if not self._means(builder, a)}

    def _means(self, builder: Builder, assignment: Any) -> bool:
        return (
            assignment.principal_id == builder.principal_id(self.principal)
            and assignment.scope.lower() == builder.scope(self.scope).lower()
            and (self.role is None or assignment.role_id == builder.role_id(self.role))
        )


class ChangeRole(RemoveRole):
    """Change the condition or the description of a principal's assignments at a scope."""

    condition: str | None = None
    condition_met: bool = True
    description: str | None = None

    def _change(self, builder: Builder) -> None:
        for assignment in builder.tenant.rbac.assignments.values():
            if self._means(builder, assignment):
                if "condition" in self.model_fields_set:
                    assignment.condition = self.condition
                    assignment.condition_version = "2.0" if self.condition else None
                    assignment.condition_met = self.condition_met
                if "description" in self.model_fields_set:
                    assignment.description = self.description


# --- from above -------------------------------------------------------------------------------------------------------


class AddLock(Lock, Action):
    """Put a lock on something, as in the scenario's `locks`."""

    def _change(self, builder: Builder) -> None:
        builder.add_lock(self)


class RemoveLock(Action):
    """Remove a lock."""

    name: str

    def _change(self, builder: Builder) -> None:
        builder.tenant.locks = [lock for lock in builder.tenant.locks if lock.name != self.name]


class AssignPolicy(PolicyAssignmentScript, Action):
    """Assign a policy, as in the scenario's `policies`; one of the same name is replaced."""

    def _change(self, builder: Builder) -> None:
        builder.assign_policy(self)


class RemovePolicy(Action):
    """Remove an assigned policy."""

    name: str

    def _change(self, builder: Builder) -> None:
        builder.tenant.policies = [policy for policy in builder.tenant.policies if policy.name != self.name]


class Deny(DenyAssignmentScript, Action):
    """Add a deny assignment, as in the scenario's `deny_assignments`."""

    def _change(self, builder: Builder) -> None:
        builder.add_deny_assignment(self)


class ChangeSubscription(Action):
    """Disable a subscription, or enable it again."""

    name: str = "contoso-ml"
    state: State

    def _change(self, builder: Builder) -> None:
        for subscription in builder.tenant.subscriptions.values():
            if subscription.name == self.name:
                subscription.state = self.state
