"""The shared parts of the steps of a proof: the resources, which are deleted in the end, and a way to run our own
commands on them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from provisioning.azure.client import Azure
from provisioning.azure.proof_group import ProofGroup, Resource
from provisioning.cli.output.console import Ui
from provisioning.cli.session import Session
from provisioning.clock import attempts
from provisioning.errors import NotOursError, TimedOutError
from provisioning.models import Account, Vault
from provisioning.planning.steps import Plan, Step
from provisioning.wandb_key import Key

MARK = "azure-openai-wandb-proof"
"""The tag of the group, and of everything that the template deploys into it."""
LIMIT = timedelta(minutes=20)
"""How long Azure may take to create, delete or show something."""
_OURS = {"microsoft.cognitiveservices/accounts", "microsoft.keyvault/vaults"}
_BY_AZURE = {"microsoft.alertsmanagement/smartdetectoralertrules", "microsoft.eventgrid/systemtopics"}
"""Types of resources that Azure adds by itself, to an Application Insights and, with Defender, to a storage account."""
_SMART_DETECTION = "application insights smart detection"
"""The action group that Azure adds with the first of those rules."""


class NotPossibleError(Exception):
    """A step cannot be tried here. The message names what it needs."""


class _Progress(Ui):
    """Shows the waits of a command. Its plan and its result are for the step that runs it."""

    def __init__(self) -> None:
        super().__init__(as_json=True)

    def proposal(self, plan: Plan) -> None:
        """See Ui."""

    def done(self, step: Step, seconds: float, note: str) -> None:
        """See Ui."""

    def note(self, text: str, style: str = "") -> None:
        """See Ui."""

    def answer(self, document: Mapping[str, Any], summary: Any) -> None:
        """See Ui."""


@dataclass(frozen=True)
class Trial:
    """One run of `prove`. All names derive from the group's id, so that a later run finds what an interrupted one left."""

    session: Session
    azure: Azure
    group: ProofGroup
    location: str
    key: Key | None = None
    new_key: Key | None = None
    project: str = ""

    @property
    def _suffix(self) -> str:
        return hashlib.sha256(self.group.id.lower().encode()).hexdigest()[:10]

    @property
    def account_name(self) -> str:
        """The account's name, which is unique in all of Azure."""
        return f"aoai-proof-{self._suffix}"

    @property
    def vault_name(self) -> str:
        """The name of the vault that setup creates."""
        return f"kv-proof-{self._suffix}"

    @property
    def used_vault_name(self) -> str:
        """The name of the vault on access policies, which others use."""
        return f"kv-used-{self._suffix}"

    @property
    def account(self) -> Account:
        """The account as it is now."""
        return self.azure.account(self.group.name, self.account_name)

    def vault(self, name: str = "") -> Vault:
        """A vault as it is now."""
        return self.azure.vaults.get(self.group.name, name or self.vault_name)

    def run(self, command: Callable[[Session], object], *, key: Key | None = None, **target: Any) -> dict[str, Any]:
        """Run one of our commands on the proof's account and vault, and return its document."""
        fields = {"resource_group": self.group.name, "account": self.account_name, "vault": self.vault_name, **target}
        session = replace(
            self.session,
            target=replace(self.session.target, **fields),
            ui=_Progress(),
            connect=lambda: self.azure,
            provided_key=lambda: key or self.key,
            facts={},
        )
        command(session)
        return session.facts

    def until(self, done: Callable[[], bool], what: str) -> timedelta:
        """Poll until a condition holds, and return how long that took.

        Raises:
            TimedOutError: it did not hold in time.
        """
        clock, ui = self.session.clock, self.session.ui
        for elapsed in attempts(clock, LIMIT, lambda elapsed, budget: ui.waiting(what, elapsed, budget)):
            if done():
                return elapsed
        raise TimedOutError(f"{what[0].upper()}{what[1:]} did not happen in time.", hint="Run the same command again.")

    def clean(self) -> bool:
        """Delete the group, and purge what Azure keeps of it. Return whether there was anything to delete.

        Raises:
            NotOursError: the group, or something in it, was not made by this command. Nothing is deleted.
        """
        tags, location = self.group.tags(), self.location
        if tags is not None:
            self._refuse_foreign(tags)
            location = tags[MARK]
            self.group.delete()
            self.until(lambda: self.group.tags() is None, f"the deletion of {self.group.name}")
        kept = [
            (self.account_name, self.group.deleted_account, self.group.purge_account),
            (self.vault_name, self.group.deleted_vault, self.group.purge_vault),
            (self.used_vault_name, self.group.deleted_vault, self.group.purge_vault),
        ]
        purged = [each for each in kept if each[1](each[0], location)]
        for name, _, purge in purged:
            purge(name, location)
        for name, deleted, _ in purged:
            self.until(lambda: not deleted(name, location), f"the purge of {name}")  # noqa: B023 - called at once
        return tags is not None or bool(purged)

    def _refuse_foreign(self, tags: Mapping[str, str]) -> None:
        if MARK not in tags:
            raise NotOursError(
                f"Resource group {self.group.name} was not created by `prove`. Nothing was deleted.",
                hint="Name a group that does not exist with -g.",
            )
        foreign = [each.name for each in self.group.resources() if not self._is_ours(each)]
        if foreign:
            raise NotOursError(
                f"{self.group.name} contains what `prove` did not create: {', '.join(foreign)}. Nothing was deleted.",
                hint="Move or delete it, and run the command with --clean.",
            )

    def _is_ours(self, resource: Resource) -> bool:
        kind, name = resource.type.lower(), resource.name.lower()
        names = {self.account_name, self.vault_name, self.used_vault_name}
        by_azure = kind in _BY_AZURE or (kind == "microsoft.insights/actiongroups" and name == _SMART_DETECTION)
        return MARK in resource.tags or by_azure or (kind in _OURS and name in names)
