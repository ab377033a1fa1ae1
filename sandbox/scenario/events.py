"""An event of a scenario: other people's actions, and the moment when they happen."""

from typing import Self

from pydantic import Field, model_validator

from sandbox.runtime.events import Trigger
from sandbox.scenario.access_actions import (
    Action,
    AddAccessPolicy,
    AddLock,
    AssignPolicy,
    AssignRole,
    ChangeRole,
    ChangeSubscription,
    Deny,
    RemoveAccessPolicy,
    RemoveLock,
    RemovePolicy,
    RemoveRole,
)
from sandbox.scenario.actions import (
    AddPrincipal,
    AddVault,
    Advance,
    ChangeAccount,
    ChangeFunctionApp,
    ChangeMembers,
    ChangeSecret,
    ChangeVault,
    DeleteAccount,
    DeletePrincipal,
    DeleteSecret,
    DeleteVault,
    MoveVault,
    PurgeSecret,
    PurgeVault,
    RecoverSecret,
    RecoverVault,
    WriteSecret,
)
from sandbox.scenario.builder import Builder
from sandbox.scenario.tenant import Script


class Do(Script):
    """One action: a mapping with one key, the action's name."""

    add_access_policy: AddAccessPolicy | None = None
    remove_access_policy: RemoveAccessPolicy | None = None
    assign_role: AssignRole | None = None
    remove_role: RemoveRole | None = None
    change_role: ChangeRole | None = None
    add_lock: AddLock | None = None
    remove_lock: RemoveLock | None = None
    assign_policy: AssignPolicy | None = None
    remove_policy: RemovePolicy | None = None
    deny: Deny | None = None
    change_subscription: ChangeSubscription | None = None
    change_vault: ChangeVault | None = None
    delete_vault: DeleteVault | None = None
    recover_vault: RecoverVault | None = None
    purge_vault: PurgeVault | None = None
    add_vault: AddVault | None = None
    move_vault: MoveVault | None = None
    write_secret: WriteSecret | None = None
    change_secret: ChangeSecret | None = None
    delete_secret: DeleteSecret | None = None
    recover_secret: RecoverSecret | None = None
    purge_secret: PurgeSecret | None = None
    change_account: ChangeAccount | None = None
    delete_account: DeleteAccount | None = None
    change_function_app: ChangeFunctionApp | None = None
    add_principal: AddPrincipal | None = None
    delete_principal: DeletePrincipal | None = None
    change_members: ChangeMembers | None = None
    advance: Advance | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("each item of do is a mapping with one key, the name of an action")
        return self

    @property
    def name(self) -> str:
        """The action's name."""
        return next(iter(self.model_fields_set))

    @property
    def action(self) -> Action:
        """The action."""
        action: Action = getattr(self, self.name)
        return action


class EventScript(Trigger):
    """Somebody else's actions, in their order, at one moment of a command."""

    do: list[Do] = Field(min_length=1)

    def apply(self, builder: Builder) -> None:
        """Act now."""
        for each in self.do:
            each.action.apply(builder)

    @property
    def label(self) -> str:
        """The actions in words, for logs."""
        return ", ".join(each.name for each in self.do)
