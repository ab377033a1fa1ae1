"""A plan and its steps: frozen data with a few derived views."""

from dataclasses import dataclass
from enum import StrEnum

from provisioning.planning.actions import Action, Right


class Verb(StrEnum):
    """The kind of a step."""

    ALREADY = "ok"
    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    WAIT = "wait"
    NOTE = "note"


@dataclass(frozen=True)
class Step:
    """One line of the plan.

    A step without an action needs no change, or is left to the operator, who may run `command`.
    """

    verb: Verb
    resource: str
    detail: str
    why: str = ""
    before: str = ""
    after: str = ""
    danger: str = ""
    command: str = ""
    action: Action | None = None


@dataclass(frozen=True)
class Loss:
    """Access that a principal would lose if the vault's access model changes."""

    principal: str
    object_id: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The steps in the order in which they are applied.

    A `partial` plan is the first of two: the rest can be planned only after it has been applied. `no_way_back` are the
    policies that would refuse to undo the switch of the vault.
    """

    about: str  # account → vault
    steps: tuple[Step, ...]
    losses: tuple[Loss, ...] = ()
    partial: bool = False
    no_way_back: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(s for s in self.steps if s.verb in (Verb.ADD, Verb.CHANGE, Verb.REMOVE))

    @property
    def work(self) -> tuple[Step, ...]:
        """The steps that change something or wait."""
        return tuple(s for s in self.steps if s.action is not None)

    @property
    def rights(self) -> tuple[Right, ...]:
        """The control-plane rights that the plan requires, without duplicates."""
        return tuple(dict.fromkeys(right for step in self.steps if step.action for right in step.action.rights))

    @property
    def extent(self) -> frozenset[tuple[str, ...]]:
        """The extent of the consent to the plan: its changes, and the access that they take away."""
        changes = (step.action.extent for step in self.changes if step.action)
        losses = {("loss", loss.object_id.lower(), loss.reason) for loss in self.losses}
        return frozenset[tuple[str, ...]](losses).union(*changes)

    @property
    def left(self) -> str:
        """The pending work in words; empty if there is none."""
        return "; ".join(f"{s.resource} {s.detail}" for s in self.work)

    @property
    def already(self) -> tuple[Step, ...]:
        """The steps that need no change."""
        return tuple(s for s in self.steps if s.verb is Verb.ALREADY)
