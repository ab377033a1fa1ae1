"""plan, setup and status: the same look and the same plan, handed to another executor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import documents, wandb_key
from .access import permits
from .azure import Azure
from .errors import (
    AccessWouldBeLostError,
    DeclinedError,
    KeyRefusedError,
    MissingRightsError,
    NotConfirmedError,
    NotInPlaceError,
)
from .executor import Apply, Show
from .model import AssignRole, KeyState, Observed, Plan, SecretState, Target, WandbAccount
from .observe import observe
from .planner import key_state, plan, rights
from .ui import Ui
from .waiting import Clock
from .wandb_key import Key

_ROLE_FOR = {
    "Microsoft.CognitiveServices/accounts/write": "Cognitive Services Contributor",
    "Microsoft.KeyVault/vaults/write": "Key Vault Contributor",
    "Microsoft.Authorization/roleAssignments/write": "Role Based Access Control Administrator",
}


@dataclass
class Workflow:
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

    # --- the commands ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Show what setup would do; write nothing."""
        azure, observed = self._look()
        key = self.given_key()
        account = self._check(key) if key else None
        made = plan(self.target, observed, key_state(observed.secret, key.value if key else None))
        missing = self._missing_rights(azure, observed, made)
        self.facts |= {**documents.plan(made), "wandb": documents.wandb(account), "missing_rights": missing}
        Show(self.ui).run(made)
        for action, scope in missing:
            self.ui.note(f"  ! you may not {action} at {scope}", "red")
        self.ui.answer({"ok": True, **self.facts}, ())
        return made

    def status(self) -> Plan:
        """Show drift; write nothing, ask nothing."""
        _, observed = self._look()
        made = plan(self.target, observed, KeyState.NONE)
        self.facts |= {**documents.plan(made), "in_place": not made.work}
        self.ui.answer({"ok": True, **self.facts}, documents.status(made))
        return made

    def setup(self, *, yes: bool, interactive: bool) -> None:
        """Bring everything in place, then look again whether it is."""
        azure, observed = self._look()
        self._preflight(azure, observed, plan(self.target, observed, KeyState.NONE))
        key, account = self._key(observed)
        made = plan(self.target, observed, key_state(observed.secret, key.value))
        self.facts |= {**documents.plan(made), "wandb": documents.wandb(account), "applied": []}
        self.ui.proposal(made)
        if made.changes:
            self._consent(made, yes=yes, interactive=interactive)
        apply = Apply(azure, self.target, observed, key.value, self.clock, self.ui, self.access_timeout)
        try:
            apply.run(made)
        finally:
            self.facts["applied"] = [documents.step(s) for s in apply.done]
        if made.work:
            observed = self._verified(azure, key)
            if any(isinstance(s.action, AssignRole) for s in made.work):
                self.ui.note("New roles of others than you may take up to ten minutes to take effect.")
        known = documents.settings(observed, self.target, account, self.wandb_base_url)
        form = {"vault_url": observed.vault.uri, "secret_name": self.target.secret}
        self.facts |= documents.scene(observed, self.target)
        self.ui.answer(
            {"ok": True, **self.facts, "portal_form": form, "settings": known},
            documents.in_place(observed, self.target, known),
        )

    # --- what they share ---------------------------------------------------------------------------------------

    def _look(self) -> tuple[Azure, Observed]:
        azure = self.connect()
        self.ui.signed_in(azure.caller, azure.subscription)
        observed = observe(azure, self.target, self.clock)
        self.facts |= documents.scene(observed, self.target)
        return azure, observed

    def _check(self, key: Key) -> WandbAccount:
        account = self.check_key(key, self.wandb_base_url, self.wandb_entity)
        may = {True: ", may write", None: ""}[account.may_write]
        self.ui.note(f"W&B knows the key from {key.origin}: user {account.username}, entity {account.entity}{may}")
        return account

    def _key(self, observed: Observed) -> tuple[Key, WandbAccount]:
        """The key to store: given, else the one in the vault if W&B still knows it, else asked for."""
        if given := self.given_key():
            return given, self._check(given)
        if observed.secret.state is SecretState.PRESENT and observed.secret.value:
            kept = Key(observed.secret.value, f"secret {self.target.secret}")
            try:
                return kept, self._check(kept)
            except KeyRefusedError as error:
                self.ui.note(error.message, "yellow")
        asked = self.ask_key()
        return asked, self._check(asked)

    def _preflight(self, azure: Azure, observed: Observed, made: Plan) -> None:
        """Refuse before anything is written what is bound to fail, or to take access away."""
        if made.losses and not self.target.accept_loss:
            who = "; ".join(f"{loss.principal}: {loss.reason}" for loss in made.losses)
            self.facts["losses"] = documents.losses(made.losses)
            raise AccessWouldBeLostError(
                f"The switch to Azure RBAC would take access away from {len(made.losses)}: {who}. Nothing was written.",
                hint="Assign them roles by hand, or remove their access policies; --accept-loss goes on without them.",
            )
        if missing := self._missing_rights(azure, observed, made):
            what = "; ".join(f"{action} at {scope}" for action, scope in missing)
            roles = ", ".join(dict.fromkeys(_ROLE_FOR[action] for action, _ in missing))
            raise MissingRightsError(
                f"You ({azure.caller.name}) may not: {what}. Nothing was written.",
                hint=f"These roles give it: {roles} (Owner gives all). If one was assigned minutes ago, run `az login` "
                "again; an eligible role (PIM) has to be activated first.",
            )

    def _missing_rights(self, azure: Azure, observed: Observed, made: Plan) -> list[tuple[str, str]]:
        needed = rights(made, observed)
        if not needed:
            return []
        mine = azure.roles.mine_in_group(self.target.resource_group)
        open_ = [(action, scope) for action, scope in needed if not permits(mine, action)]
        here = {scope: azure.roles.mine_at(scope) for scope in {scope for _, scope in open_}}
        return [(action, scope) for action, scope in open_ if not permits(here[scope], action)]

    def _consent(self, made: Plan, *, yes: bool, interactive: bool) -> None:
        if yes:
            return
        if not interactive:
            raise NotConfirmedError(
                f"There are {len(made.changes)} changes to make and no terminal to ask on. Nothing was written.",
                hint="Read the plan above, then run the command again with --yes.",
            )
        if not self.ui.confirm(f"Apply these {len(made.changes)} changes?"):
            raise DeclinedError("Nothing was written.", hint="Run the command again when you want the changes.")

    def _verified(self, azure: Azure, key: Key) -> Observed:
        """Look once more, with fresh eyes: what still has to be done is what is not in place."""
        observed = observe(azure, self.target, self.clock)
        left = plan(self.target, observed, key_state(observed.secret, key.value)).work
        if left:
            what = "; ".join(f"{s.resource} {s.detail}" for s in left)
            raise NotInPlaceError(
                f"Everything was done, and yet this is not in place: {what}.",
                hint="Azure may be slow to show it, or somebody else is changing it: run the same command again.",
            )
        self.ui.note("verified by looking again: roles and access model in Azure, the key in the vault", "green")
        return observed
