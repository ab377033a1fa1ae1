"""An event of a scenario: other people's actions, and the moment when they happen."""

import re
from typing import Self

from pydantic import Field, create_model, model_validator

from sandbox.runtime.events import Trigger
from sandbox.scenario import access_actions, actions
from sandbox.scenario.access_actions import Action
from sandbox.scenario.builder import Builder
from sandbox.scenario.tenant import Script

_ACTIONS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): (kind | None, None)
    for module in (access_actions, actions)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Action) and kind is not Action and not name.startswith("_")
}
"""The classes of actions, by their names in a scenario: AddVault is add_vault."""


class Do(create_model("_Actions", __base__=Script, **_ACTIONS)):  # type: ignore[misc] # as pydantic documents it
    """One action: a mapping with one key, the action's name."""

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("each item of do is a mapping with one key, the name of an action")
        return self

    @property
    def name(self) -> str:
        """The action's name."""
        return str(next(iter(self.model_fields_set)))

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
