"""Applies a plan, one step after the other. Each step can be done again: what is so already is no error."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from pydantic import SecretStr

from .azure import Azure
from .errors import (
    AccessNotEffectiveError,
    BusyError,
    ConflictError,
    InterruptedByUserError,
    KeyNotGivenError,
    PrincipalMissingError,
    ProvisioningError,
)
from .model import (
    CHANGING,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    EnableIdentity,
    Observed,
    Plan,
    Principal,
    Secret,
    SecretState,
    Step,
    StoreSecret,
    SwitchToRbac,
    Target,
    Verb,
)
from .timespan import spell
from .vault_secrets import SecretDeletedError
from .waiting import Clock, Progress, attempts, pause_until

REPLICATION = timedelta(minutes=2)
"""How long a new identity may be unknown to parts of the directory (Microsoft, RBAC troubleshooting)."""
SETTLING = timedelta(minutes=3)
"""How long Azure may take to show what it was just told, or to finish what it accepted."""

_T = TypeVar("_T")


class Narrator(Protocol):
    """Who tells the operator what happens."""

    def plan(self, plan: Plan) -> None:
        """The steps to come."""

    def done(self, step: Step, seconds: float, note: str) -> None:
        """A step is done."""

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Still waiting."""


class Executor(Protocol):
    """What a plan is handed to."""

    def run(self, plan: Plan) -> None:
        """Do with the plan what this executor does."""


@dataclass
class Show:
    """Shows the plan and does nothing: this is `plan` and `--dry-run`."""

    narrator: Narrator

    def run(self, plan: Plan) -> None:
        """See Executor."""
        self.narrator.plan(plan)


@dataclass
class Apply:
    """Does what the plan says. `done` is what stands, also after an exception."""

    azure: Azure
    target: Target
    observed: Observed
    key: SecretStr | None
    clock: Clock
    narrator: Narrator
    access_timeout: timedelta
    done: list[Step] = field(default_factory=list)
    _identity: Principal | None = None  # the account's, once there is one
    _granted: list[tuple[str, str]] = field(default_factory=list)  # (principal, role): read back before the switch
    _guarded_at: datetime | None = None  # when the last role was assigned that somebody else depends on

    def run(self, plan: Plan) -> None:
        """See Executor.

        Raises:
            InterruptedByUserError: Ctrl-C; says what stands.
            ProvisioningError: a step failed; those before it stand.
        """
        under_way: Step | None = None
        try:
            for step in plan.work:
                under_way, started = step, self.clock.now()
                note = self._do(step)
                if step.verb is not Verb.WAIT:
                    self.done.append(step)
                under_way = None
                self.narrator.done(step, (self.clock.now() - started).total_seconds(), note)
        except KeyboardInterrupt:
            raise InterruptedByUserError(self._standing(plan, under_way), hint=_AGAIN) from None

    def _do(self, step: Step) -> str:
        match step.action:
            case EnableIdentity():
                return self._enable_identity()
            case AwaitAccount():
                return self._await_account()
            case AssignRole() as assign:
                return self._assign(assign)
            case AwaitRoles() as wait:
                return self._await_roles(wait)
            case SwitchToRbac():
                return self._switch()
            case StoreSecret():
                return self._store()
            case None:
                return ""

    # --- the account -------------------------------------------------------------------------------------------

    def _enable_identity(self) -> str:
        account = self.azure.enable_identity(self.target.resource_group, self.observed.account)
        if not account.principal_id:
            raise ConflictError(
                f"{account.name} accepted an identity and shows none.",
                hint="Somebody may have taken it away at the same moment: run the same command again.",
            )
        self._identity = Principal(account.principal_id, account.name, "ServicePrincipal")
        return f"principal {account.principal_id}"

    def _await_account(self) -> str:
        budget = SETTLING
        for _ in attempts(self.clock, budget, self._telling("the account's change to finish")):
            account = self.azure.account(self.target.resource_group, self.target.account)
            if account.state.lower() not in CHANGING:
                return account.state
        raise BusyError(
            f"{account.name} is still {account.state.lower()} after {spell(budget)}.",
            hint="Run the same command again when `az cognitiveservices account show` says Succeeded.",
        )

    # --- roles -------------------------------------------------------------------------------------------------

    def _assign(self, assign: AssignRole) -> str:
        principal = assign.principal or self._identity
        if principal is None:
            raise ConflictError(
                "The account's identity is gone before it got its role.", hint="Run the same command again."
            )
        try:
            self._insist(
                lambda: self.azure.roles.assign(self.observed.vault.id, principal, assign.role_id),
                PrincipalMissingError,
                REPLICATION if assign.fresh else timedelta(0),
                self._telling(f"the directory to know {principal.label}"),
            )
        except PrincipalMissingError:
            if assign.guards and self.target.accept_loss:
                return "skipped: the directory does not know it"
            raise
        self._granted.append((principal.object_id.lower(), assign.role_id))
        if assign.guards:
            self._guarded_at = self.clock.now()
        return ""

    def _await_roles(self, wait: AwaitRoles) -> str:
        """Wait out what is left of the propagation time, counted from the youngest role that somebody depends on.

        A role from an interrupted run is as old as Azure says; a clock of ours that is behind only waits longer.
        """
        youngest = max((t for t in (wait.newest, self._guarded_at) if t), default=None)
        if youngest is None:
            return ""
        end = min(youngest, self.clock.now()) + wait.wait
        pause_until(self.clock, end, wait.wait, self._telling("roles to take effect before the switch"))
        return ""

    def _read_back(self) -> None:
        """See every role in Azure's own listing before anything depends on it."""
        missing: list[tuple[str, str]] = []
        for _ in attempts(self.clock, SETTLING, self._telling("the new roles to be listed")):
            listed = {(a.principal_id.lower(), a.role_id) for a in self.azure.roles.at(self.observed.vault.id)}
            missing = [pair for pair in self._granted if pair not in listed]
            if not missing:
                return
        raise ConflictError(
            f"{len(missing)} of the roles just assigned are not listed; the vault was not switched.",
            hint="Somebody may be taking them away: run the same command again.",
        )

    # --- the vault ---------------------------------------------------------------------------------------------

    def _switch(self) -> str:
        group, vault = self.target.resource_group, self.observed.vault
        if self._granted:
            self._read_back()
        self.azure.use_rbac(group, vault, enabled=True)
        try:
            _, took = self._let_in()
        except AccessNotEffectiveError as error:
            raise self._switched_back(error) from error
        return f"secrets answer you after {spell(took)}"

    def _switched_back(self, refusal: AccessNotEffectiveError) -> AccessNotEffectiveError:
        """Put the vault back on its access policies; the error that tells so."""
        group, vault = self.target.resource_group, self.observed.vault
        what = f"After the switch to Azure RBAC the vault did not let you in within {spell(self.access_timeout)}"
        try:
            self.azure.use_rbac(group, vault, enabled=False)
        except ProvisioningError as error:
            return AccessNotEffectiveError(
                f"{what}, and switching back failed, so that it is still on Azure RBAC. {error.message}",
                hint="Run the same command again to wait for the roles, or go back to the access policies: "
                f"az keyvault update -g {group} -n {vault.name} --enable-rbac-authorization false",
            )
        return AccessNotEffectiveError(
            f"{what}, so it was switched back to access policies; everybody has the access they had. {refusal.message}",
            hint="The roles stay assigned and go on taking effect: run the same command again in some minutes, or give "
            "it longer with --access-timeout 30m.",
        )

    def _let_in(self) -> tuple[Secret, timedelta]:
        """The secret, once the vault's data plane accepts the operator, and how long that took."""
        secrets = self.azure.secrets(self.observed.vault)
        for elapsed in attempts(self.clock, self.access_timeout, self._telling("the vault to let you in")):
            found = secrets.read(self.target.secret)
            if found.state is not SecretState.UNKNOWN:
                return found, elapsed
        raise AccessNotEffectiveError(
            f"The vault {self.observed.vault.name} still refuses you.",
            hint="A role can take longer than usual: run the same command again in some minutes.",
        )

    # --- the secret --------------------------------------------------------------------------------------------

    def _store(self) -> str:
        if self.key is None:
            raise KeyNotGivenError("There is no W&B key to store.", hint="Give one: WANDB_API_KEY or --wandb-key-file.")
        key = self.key
        found, _ = self._let_in()
        if found.state is SecretState.DELETED:
            found = self._recover()
        if _holds(found, key):
            return "the vault held this key already"
        try:
            self._write(key)
        except SecretDeletedError:  # deleted, and reading deleted ones is not allowed: only writing could tell
            if not _holds(self._recover(), key):
                self._write(key)
        return ""

    def _write(self, key: SecretStr) -> None:
        secrets = self.azure.secrets(self.observed.vault)
        progress = self._telling("the vault to let you write")
        self._insist(
            lambda: secrets.write(self.target.secret, key), AccessNotEffectiveError, self.access_timeout, progress
        )

    def _recover(self) -> Secret:
        """Recover the deleted secret and wait until it can be read, which takes some moments."""
        secrets, name = self.azure.secrets(self.observed.vault), self.target.secret
        secrets.recover(name)
        for _ in attempts(self.clock, SETTLING, self._telling("the recovered secret to appear")):
            found = secrets.read(name)
            if found.state in (SecretState.PRESENT, SecretState.DISABLED):
                return found
        raise BusyError(
            f"Secret {name} was recovered and cannot be read after {spell(SETTLING)}.",
            hint="Run the same command again in a minute.",
        )

    # --- waiting, and being interrupted ------------------------------------------------------------------------

    def _insist(self, call: Callable[[], _T], on: type[ProvisioningError], budget: timedelta, progress: Progress) -> _T:
        """Call again while it raises `on`, until the budget is spent."""
        refusal: ProvisioningError | None = None
        for _ in attempts(self.clock, budget, progress):
            try:
                return call()
            except on as error:
                refusal = error
        if refusal is None:
            raise AssertionError("attempts() makes at least one")
        raise refusal

    def _telling(self, what: str) -> Progress:
        return lambda elapsed, budget: self.narrator.waiting(what, elapsed, budget)

    def _standing(self, plan: Plan, under_way: Step | None) -> str:
        """What an interrupted run leaves behind."""
        where = ""
        if under_way:
            doing = "while waiting for" if under_way.verb is Verb.WAIT else "in the middle of"
            where = f" {doing}: {under_way.resource} {under_way.detail}"
        stands = "; ".join(f"{s.resource} {s.detail}" for s in self.done) or "nothing"
        return f"Interrupted{where}. {len(self.done)} of {len(plan.changes)} changes stand: {stands}."


_AGAIN = "Nothing needs to be undone: run the same command again and it goes on from here."


def _holds(secret: Secret, key: SecretStr) -> bool:
    return secret.state is SecretState.PRESENT and secret.value == key
