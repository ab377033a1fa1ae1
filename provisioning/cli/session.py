"""What the commands share: who acts, what is there, which key, may they, do they want to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from provisioning import wandb_key
from provisioning.azure.client import Azure
from provisioning.cli import documents
from provisioning.cli.console import Ui
from provisioning.clock import Clock
from provisioning.errors import (
    AccessWouldBeLostError,
    DeclinedError,
    KeyRefusedError,
    MissingRightsError,
    NotConfirmedError,
)
from provisioning.execution.executor import Executor
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import Services
from provisioning.models import Observed, SecretState, Target, WandbAccount
from provisioning.observation.inventory import observe
from provisioning.planning.permissions import permits
from provisioning.planning.steps import Plan
from provisioning.wandb_key import Key

_ROLE_FOR = {
    "Microsoft.CognitiveServices/accounts/write": "Cognitive Services Contributor",
    "Microsoft.KeyVault/vaults/write": "Key Vault Contributor",
    "Microsoft.KeyVault/vaults/accessPolicies/write": "Key Vault Contributor",
    "Microsoft.Authorization/roleAssignments/write": "Role Based Access Control Administrator",
    "Microsoft.Authorization/roleAssignments/delete": "Role Based Access Control Administrator",
}


def may_not(action: str, scope: str) -> str:
    """An action that the caller lacks, with the name of the resource or group where."""
    return f"{action} at {scope.rsplit('/', 1)[-1]}"


@dataclass
class Session:
    """One command's run: what was asked, and the doors to the outside."""

    target: Target
    ui: Ui
    clock: Clock
    connect: Callable[[], Azure]
    given_key: Callable[[], Key | None]
    ask_key: Callable[[], Key]
    check_key: Callable[[Key, str | None, str | None], WandbAccount] = wandb_key.check
    wandb_base_url: str | None = None
    wandb_entity: str | None = None
    access_timeout: timedelta = timedelta(minutes=10)
    facts: dict[str, Any] = field(default_factory=dict)  # of the JSON document, also when the command fails

    def sign_in(self) -> Azure:
        """Sign in and report who acts."""
        azure = self.connect()
        self.ui.signed_in(azure.caller, azure.subscription)
        return azure

    def look(self) -> tuple[Azure, Observed]:
        """Sign in, report who acts, and observe."""
        azure = self.sign_in()
        observed = observe(azure, self.target, self.clock)
        self.facts |= documents.scene(observed, self.target)
        return azure, observed

    def check(self, key: Key) -> WandbAccount:
        """Ask W&B whose key it is and whether it may write; says so."""
        account = self.check_key(key, self.wandb_base_url, self.wandb_entity)
        may = {True: ", may write", None: ""}[account.may_write]
        self.ui.note(f"W&B knows the key from {key.origin}: user {account.username}, entity {account.entity}{may}")
        return account

    def key(self, observed: Observed) -> tuple[Key, WandbAccount]:
        """The key to store: given, else the one in the vault if W&B still knows it, else asked for."""
        if given := self.given_key():
            return given, self.check(given)
        if observed.secret.state is SecretState.PRESENT and observed.secret.value:
            kept = Key(observed.secret.value, f"secret {self.target.secret}")
            try:
                return kept, self.check(kept)
            except KeyRefusedError as error:
                self.ui.note(error.message, "yellow")
        asked = self.ask_key()
        return asked, self.check(asked)

    def new_key(self) -> tuple[Key, WandbAccount]:
        """The key to change to: given, else asked for; never the one in the vault."""
        key = self.given_key()
        if key is None:
            self.ui.note(f"Asking for the new key, which replaces the one in secret {self.target.secret}.")
            key = self.ask_key()
        return key, self.check(key)

    def services(self, azure: Azure, access_timeout: timedelta | None = None) -> Services:
        """What the executor needs to apply a plan."""
        return Services(azure, self.clock, self.ui, self.access_timeout if access_timeout is None else access_timeout)

    def apply(self, services: Services, made: Plan, key: CheckedKey | None = None) -> Executor:
        """Apply the plan; the document lists the changes that stand, also if a step fails."""
        executor = Executor(services, key)
        try:
            executor.run(made)
        finally:
            self.facts["applied"] = [*self.facts.get("applied", ()), *map(documents.step, executor.done)]
        return executor

    @property
    def written(self) -> str:
        """What to say of a refusal: setup may have recovered the vault before it."""
        return "Nothing more was written." if self.facts.get("applied") else "Nothing was written."

    def preflight(self, azure: Azure, made: Plan, taking: str = "The switch to Azure RBAC") -> None:
        """Refuse before anything is written what is bound to fail, or to take access away; `taking` is what would."""
        if made.losses and not self.target.accept_loss:
            who = "; ".join(f"{loss.principal}: {loss.reason}" for loss in made.losses)
            self.facts["losses"] = documents.losses(made.losses)
            raise AccessWouldBeLostError(
                f"{taking} would take access away from {len(made.losses)}: {who}. {self.written}",
                hint="Give them another way in first, or take away what they do not need; --accept-loss goes on without "
                "them.",
            )
        if missing := self.missing_rights(azure, made):
            self.facts["missing_rights"] = documents.rights(missing)
            what = "; ".join(may_not(action, scope) for action, scope in missing)
            roles = ", ".join(dict.fromkeys(_ROLE_FOR[action] for action, _ in missing))
            raise MissingRightsError(
                f"{azure.caller.name} may not {what}. {self.written}",
                hint=f"These roles give it: {roles} (Owner gives all). If one was assigned minutes ago, run `az login` "
                "again; an eligible role (PIM) has to be activated first.",
            )

    def missing_rights(self, azure: Azure, made: Plan) -> list[tuple[str, str]]:
        """What the plan needs and the caller may not: actions, each with its scope."""
        needed = made.rights
        if not needed:
            return []
        mine = azure.roles.mine_in_group(self.target.resource_group)
        open_ = [(action, scope) for action, scope in needed if not permits(mine, action)]
        here = {scope: azure.roles.mine_at(scope) for scope in {scope for _, scope in open_}}
        return [(action, scope) for action, scope in open_ if not permits(here[scope], action)]

    def consent(self, made: Plan, *, yes: bool, interactive: bool) -> None:
        """Ask before changes are made, unless that was answered by --yes."""
        if yes:
            return
        if not interactive:
            raise NotConfirmedError(
                f"There are {len(made.changes)} changes to make and no terminal to ask on. {self.written}",
                hint="Read the plan above, then run the command again with --yes.",
            )
        if not self.ui.confirm(f"Apply these {len(made.changes)} changes?"):
            raise DeclinedError(self.written, hint="Run the command again when you want the changes.")
