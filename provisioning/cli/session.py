"""The parts that commands share: sign-in, observation, the W&B key, the preflight, consent, and applying a plan."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from provisioning import shell, wandb_key
from provisioning.azure.client import Azure
from provisioning.cli.output import documents
from provisioning.cli.output.console import Ui
from provisioning.clock import Clock
from provisioning.durations import spell
from provisioning.errors import (
    AccessWouldBeLostError,
    ConditionalRoleError,
    DeclinedError,
    KeyRefusedError,
    MissingRightsError,
    NotConfirmedError,
    NotSignedInError,
    PrincipalMissingError,
    ProvisioningError,
    SubscriptionDisabledError,
)
from provisioning.execution.executor import Executor
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import Services
from provisioning.execution.sign_in import WAY_BACK
from provisioning.models import Caller, Observed, SecretState, Target
from provisioning.observation.governance import observe_governance, observe_rights
from provisioning.observation.inventory import observe
from provisioning.planning.access.principals import NO_MFA
from provisioning.planning.actions import AllowByPolicy, AssignRole, CreateVault, RecoverVault, SwitchToRbac
from provisioning.planning.governance import Governance, governed, obstacle
from provisioning.planning.ownership import Purpose
from provisioning.planning.steps import Plan, Step, Verb
from provisioning.resource_ids import name_of
from provisioning.wandb_key import Key, WandbAccount

_ROLE_FOR = {
    "Microsoft.CognitiveServices/accounts/write": "Cognitive Services Contributor",
    "Microsoft.KeyVault/vaults/write": "Key Vault Contributor",
    "Microsoft.KeyVault/vaults/accessPolicies/write": "Key Vault Contributor",
    "Microsoft.Authorization/roleAssignments/write": "Role Based Access Control Administrator",
    "Microsoft.Authorization/roleAssignments/delete": "Role Based Access Control Administrator",
}


def lacking(action: str, scope: str) -> str:
    """Describe a missing action, with the name of the resource or group where it is missing."""
    return f"{action} at {name_of(scope)}"


def _with_sign_in(made: Plan, caller: Caller) -> Plan:
    """Add a line about a sign-in with which Azure may refuse the first write."""
    if caller.mfa is not False:
        return made
    command = shell.mfa_login(caller.via, caller.tenant_id)
    note = Step(Verb.NOTE, "sign-in", f"of {caller.name}", danger=NO_MFA, command=command)
    return replace(made, steps=(*made.steps, note))


@dataclass
class Session:
    """One run of a command: its options, and its access to Azure, W&B, the clock and the operator."""

    target: Target
    ui: Ui
    clock: Clock
    connect: Callable[[], Azure]
    provided_key: Callable[[], Key | None]
    prompt_for_key: Callable[[], Key]
    check_key: Callable[[Key, str | None, str | None], WandbAccount] = wandb_key.check
    wandb_base_url: str | None = None
    wandb_entity: str | None = None
    access_timeout: timedelta = timedelta(minutes=10)
    facts: dict[str, Any] = field(default_factory=dict)  # the JSON document so far, also printed on failure
    governance: Governance = field(default_factory=Governance)  # governance for the latest plan
    _known: tuple[Observed, Observed, frozenset[tuple[str, ...]]] | None = (
        None  # observed, with ends, and for what plan
    )

    def sign_in(self) -> Azure:
        """Sign in and print who is signed in."""
        azure = self.connect()
        self.ui.signed_in(azure.caller, azure.subscription)
        return azure

    def observe(self) -> tuple[Azure, Observed]:
        """Sign in, print who is signed in, and read the current state."""
        azure = self.sign_in()
        observed = observe(azure, self.target, self.clock)
        self.facts |= documents.scene(observed, self.target)
        return azure, observed

    def plan(self, azure: Azure, observed: Observed, make: Callable[[Observed], Plan]) -> Plan:
        """Make a plan. If it changes something, read what governs the resources, and plan again with that. A previous
        read for the same observation and a larger plan is reused.
        """
        made = make(observed)
        if not made.changes:
            return made
        if self._known is None or self._known[0] is not observed or made.extent - self._known[2]:
            ended, self.governance = observe_governance(azure, self.target, observed, made)
            self._known = observed, ended, made.extent
        return _with_sign_in(governed(make(self._known[1]), self.governance), observed.caller)

    def plan_again(self, azure: Azure, observed: Observed, make: Callable[[Observed], Plan]) -> Plan:
        """Make the plan again in the middle of an execution, and stop if the operator's right to go on has ended."""
        made = make(observed)
        if made.changes:
            ended, self.governance = observe_rights(azure, self.target, observed, made, self.governance)
            made = governed(make(ended), self.governance)
            if self.governance.cannot_switch and (found := self.obstacle(made)):
                raise type(found)(f"{found.message} The access model was not changed.", hint=found.hint)
        return made

    def check(self, key: Key) -> WandbAccount:
        """Ask W&B for the owner of the key and whether it may write, and print that."""
        account = self.check_key(key, self.wandb_base_url, self.wandb_entity)
        may = {True: ", may write", None: ""}[account.may_write]
        self.ui.note(f"W&B accepts the key from {key.origin}: user {account.username}, entity {account.entity}{may}")
        return account

    def key(self, observed: Observed) -> tuple[Key, WandbAccount]:
        """Return the key to store: the given one, else the vault's if W&B accepts it, else the answer to a prompt."""
        if given := self.provided_key():
            return given, self.check(given)
        if observed.secret.state is SecretState.PRESENT and observed.secret.value:
            kept = Key(observed.secret.value, f"secret {self.target.secret}")
            try:
                return kept, self.check(kept)
            except KeyRefusedError as error:
                self.ui.note(error.message, "yellow")
        answer = self.prompt_for_key()
        return answer, self.check(answer)

    def new_key(self) -> tuple[Key, WandbAccount]:
        """Return the key to rotate to: the given one, else the answer to a prompt, but never the vault's."""
        key = self.provided_key()
        if key is None:
            self.ui.note(f"Enter the new key, which replaces the one in secret {self.target.secret}.")
            key = self.prompt_for_key()
        return key, self.check(key)

    def services(self, azure: Azure, access_timeout: timedelta | None = None) -> Services:
        """Return what the executor needs to apply a plan."""
        return Services(azure, self.clock, self.ui, self.access_timeout if access_timeout is None else access_timeout)

    def apply(
        self,
        services: Services,
        made: Plan,
        key: CheckedKey | None,
        replan: Callable[[], Plan],
        read: datetime,
        *,
        confirmed: bool = False,
    ) -> Executor:
        """Apply the plan, whose reads were made at `read`, and plan again if others change the state.

        The document lists the changes that were made.
        """
        executor = Executor(services, key)
        try:
            executor.converge(made, replan, read, confirmed=confirmed)
        finally:
            self.facts["applied"] = [*self.facts.get("applied", ()), *map(documents.step, executor.done)]
            for text in services.side_effects:
                self.ui.note(f"! {text}. This was not undone", "red")
            self.facts["warnings"] = [*self.facts.get("warnings", ()), *services.side_effects]
        return executor

    def settle(
        self, azure: Azure, look: Callable[[], tuple[Observed, Plan]], budget: timedelta, what: str
    ) -> tuple[Observed, Plan]:
        """Observe and plan until no work is left, or the budget is spent. Return the last observation and plan.

        `what` tells the operator what the wait is for.
        """
        for _ in self.services(azure).attempts(budget, what):
            seen, plan = look()
            if not plan.work:
                break
        return seen, plan

    @property
    def written(self) -> str:
        """Return a sentence for refusals that says whether setup, which may have recovered the vault, has written anything."""
        return "Nothing more was written." if self.facts.get("applied") else "Nothing was written."

    def preflight(self, azure: Azure, made: Plan, change: str = "The switch to Azure RBAC") -> None:
        """Stop before any write if the plan needs rights that the operator lacks, or takes access away.

        `change` names the change that takes access away.
        """
        if made.losses and not self.target.accept_loss:
            who = "; ".join(f"{loss.principal}: {loss.reason}" for loss in made.losses)
            self.facts["losses"] = documents.losses(made.losses)
            raise AccessWouldBeLostError(
                f"{change} would take access away from these principals ({len(made.losses)}): {who}. {self.written}",
                hint="Give them access in another way first, or remove access that they do not need; --accept-loss "
                "continues without them.",
            )
        self._refuse_narrowed(made)
        self._refuse_unknown(made)
        for each in (azure.subscription, azure.vault_subscription) if made.changes else ():
            if not each.writable:
                raise SubscriptionDisabledError(
                    f"Subscription {each.name} is {each.state.lower()} and read-only. {self.written}",
                    hint="Its billing owner must enable it again (Azure portal, Cost Management).",
                )
        if missing := self.missing_rights(azure, made):
            self.facts["missing_rights"] = documents.rights(missing)
            what = "; ".join(lacking(action, scope) for action, scope in missing)
            roles = ", ".join(dict.fromkeys(_ROLE_FOR[action] for action, _ in missing))
            raise MissingRightsError(
                f"{azure.caller.name} may not {what}. {self.written}",
                hint=f"These roles permit it: {roles} (Owner permits all). If one was assigned minutes ago, run `az login` "
                "again. Activate an eligible role (PIM) first.",
            )
        self.refuse(made)
        self._require_sign_in(azure, made)

    def _require_sign_in(self, azure: Azure, made: Plan) -> None:
        """Stop before any write if the sign-in for Key Vault is refused, or ends before the switch and cannot be renewed."""
        planned = [type(step.action) for step in made.work]
        needed = self.target.propagation_wait + self.access_timeout + WAY_BACK
        try:
            if CreateVault in planned or RecoverVault in planned:
                azure.sign_in_to_vaults()
            if SwitchToRbac in planned:
                azure.renew_sign_in(needed)
        except NotSignedInError as error:
            raise NotSignedInError(f"{error.message} {self.written}", hint=error.hint) from error
        if SwitchToRbac in planned and azure.sign_in_lasts < needed:
            self.ui.note(
                f"Your sign-in must be renewed in {spell(azure.sign_in_lasts)}, perhaps before the switch is verified. If that "
                "fails, setup stops before the switch. In a pipeline, sign in directly before this step.",
                "yellow",
            )

    def refuse(self, made: Plan) -> None:
        """Stop before any write if a lock, a policy or a deny assignment will refuse the plan."""
        if found := self.obstacle(made):
            raise type(found)(f"{found.message} {self.written}", hint=found.hint)

    def _refuse_narrowed(self, made: Plan) -> None:
        """Stop at roles that exist with a condition: setup neither removes the condition nor can assign the role beside it."""
        narrowed = [s for s in made.work if isinstance(s.action, AssignRole) and s.action.narrowed]
        if narrowed:
            scopes = {s.action.scope for s in narrowed if isinstance(s.action, AssignRole)}
            raise ConditionalRoleError(
                f"{'; '.join(s.detail for s in narrowed)}: already assigned, with a condition that may narrow it. {self.written}",
                hint=f"{' '.join(shell.review_condition(scope) for scope in sorted(scopes))} Setup does not remove a condition: "
                "remove it or the assignment yourself, and run the same command again.",
            )

    def _refuse_unknown(self, made: Plan) -> None:
        """Stop at named principals that the directory does not know: Azure would give the role to any id, and report success."""
        given = (s.action for s in made.work if isinstance(s.action, AssignRole | AllowByPolicy))
        named = (a for a in given if a.purpose in (Purpose.READER, Purpose.CONTRIBUTOR))
        unknown = [a.principal.object_id for a in named if a.principal and a.principal.missing]
        if unknown:
            raise PrincipalMissingError(
                f"The directory does not know {', '.join(unknown)}. {self.written}",
                hint="--reader and --contributor take the object id of a user, a group, an enterprise application or a managed "
                "identity, not the client id or the app registration's object id. If it is new, run the same command again in a "
                "few minutes.",
            )

    def obstacle(self, made: Plan) -> ProvisioningError | None:
        """The error for what will refuse the plan: a lock, a policy, a deny assignment, or a condition on a right."""
        return obstacle(made, self.governance, accept_no_way_back=self.target.accept_no_way_back)

    def missing_rights(self, azure: Azure, made: Plan) -> list[tuple[str, str]]:
        """Return the actions that the plan needs and the caller lacks, each with its scope."""
        return azure.roles.lacking(made.rights)

    def consent(self, made: Plan, *, yes: bool, interactive: bool) -> None:
        """Ask for consent, unless --yes gave it."""
        if yes:
            return
        if not interactive:
            raise NotConfirmedError(
                f"There are {len(made.changes)} changes to apply, but no terminal to ask for consent. {self.written}",
                hint="Read the plan above, then run the command again with --yes.",
            )
        if not self.ui.confirm(f"Apply these {len(made.changes)} changes?"):
            raise DeclinedError(self.written, hint="Run the command again to apply the changes.")
