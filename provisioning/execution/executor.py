"""Apply a plan step by step. A step can be repeated: it recognizes what is already in place."""

from collections.abc import Callable
from datetime import datetime, timedelta

from provisioning.errors import ConflictError, InterruptedByUserError, TimedOutError
from provisioning.execution import account, removal, roles, secret, sign_in, vault
from provisioning.execution.roles import NewAssignment
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import OutdatedPlanError, Services
from provisioning.models import Principal, Vault
from provisioning.planning.actions import (
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    ChangeExpiry,
    CreateVault,
    DisableVersion,
    EnableIdentity,
    ForgetSwitch,
    HandOverRole,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RemoveSecret,
    Rescue,
    RestoreAccessPolicies,
    RotateSecret,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.steps import Plan, Step, Verb

PLANS = 3
"""How many times setup plans, while others change the vault, before it stops with a conflict."""
FRESH_FOR = timedelta(seconds=10)
"""How old the reads of a plan may be when it first takes something away. If they are older, it is made again."""
_TAKING = (SwitchToRbac, RestoreAccessPolicies, RemoveEntries, RemoveRole)
"""Actions that may take access away from somebody who is not the subject of the action."""

_SHOWN = 0.1
"""Seconds. Shorter waits are not reported."""


class Executor:
    """Applies plans. Steps share no state; the executor passes what one step produces to the steps that need it.

    Attributes:
        done: the steps that changed something, even if a later one failed.
        secret_deleted: whether the secret was deleted.
    """

    def __init__(self, services: Services, key: CheckedKey | None = None) -> None:
        self._services = services
        self._key = key
        self.done: list[Step] = []
        self.secret_deleted = False
        self._identities: dict[str, Principal] = {}  # by account in lower case, enabled in this execution
        self._vaults: dict[str, tuple[Vault, datetime]] = {}  # by id in lower case; when their host name was registered
        self._assigned: list[NewAssignment] = []  # at whole vaults
        self._youngest: datetime | None = None  # when the last role was assigned that somebody else depends on
        self._created: datetime | None = None  # the same in Azure's time, which may differ from the local time
        self._aged: datetime | None = None  # roles created until then, in Azure's time, have been waited for

    def converge(self, plan: Plan, replan: Callable[[], Plan], read: datetime, *, confirmed: bool = False) -> None:
        """Apply the plan, and plan again if its reads are old or the state has changed. A new plan may only be smaller.

        `read` is when the plan's reads were made. With `confirmed`, the operator has answered a question since then, and the
        plan is made again at once.

        Raises:
            ConflictError: others made changes, and the new plan is larger than the first one, or they did so too often.
            TimedOutError: Azure answers too slowly for a plan with recent reads.
            ProvisioningError: from `run`.
        """
        agreed = plan.extent
        outdated: OutdatedPlanError | None = None
        for number in range(PLANS):
            try:
                if (number or not confirmed) and self.run(plan, read):
                    return
                outdated = None
            except OutdatedPlanError as error:
                outdated = error
            plan, read = replan(), self._services.clock.now()
            if plan.extent - agreed:
                raise self._conflict(plan, agreed) from outdated
        raise outdated or TimedOutError(
            f"Azure answered so slowly that {PLANS} plans were out of date before access could be taken away. {self._progress}",
            hint="It is safe to run the same command again.",
        )

    def run(self, plan: Plan, read: datetime) -> bool:
        """Apply the steps in order. Return False if everything must be planned again before something is taken away.

        Raises:
            OutdatedPlanError: the state that a step relies on has changed; the step wrote nothing.
            InterruptedByUserError: Ctrl-C; the message lists the changes that were made.
            ProvisioningError: a step failed; the changes of earlier steps remain.
        """
        current: Step | None = None
        clock = self._services.clock
        changed, taking = len(self._assigned), False
        try:
            for step in plan.work:
                if isinstance(step.action, SwitchToRbac):
                    sign_in.require_lasting(self._services)
                    roles.require_listed(self._services, self._assigned, "the vault was not switched")
                if isinstance(step.action, _TAKING) and not taking:
                    if len(self._assigned) > changed or clock.now() - read > FRESH_FOR:
                        return False
                    taking = True
                current, started = step, clock.now()
                note = self._apply(step)
                if step.verb is not Verb.WAIT:
                    self.done.append(step)
                current = None
                took = (clock.now() - started).total_seconds()
                if step.verb is not Verb.WAIT or took >= _SHOWN:
                    self._services.reporter.done(step, took, note)
        except KeyboardInterrupt:
            raise InterruptedByUserError(
                self._interruption(plan, current),
                hint="Nothing needs to be undone: run the same command again to continue.",
            ) from None
        return True

    def _apply(self, step: Step) -> str:  # noqa: C901 - one case for each action, and mypy reports a missing one
        """Apply one step and return a note about it."""
        services = self._services
        match step.action:
            case CreateVault() as action:
                return self._registered(vault.create(services, action))
            case RecoverVault() as action:
                return self._registered(vault.recover(services, action))
            case AwaitVault() as action:
                return self._registered(vault.wait_until_registered(services, action))
            case EnableIdentity() as action:
                return self._enable(action)
            case AwaitAccount() as action:
                return account.wait_until_settled(services, action).state
            case AssignRole() as action:
                return self._assign(action)
            case AllowByPolicy() as action:
                return vault.allow(services, action, self._vault(action.vault), self._principal(action))
            case AwaitRoles() as action:
                self._wait_for_roles(action)
            case SwitchToRbac() as action:
                return vault.switch(services, action, self._since(action.vault))
            case RotateSecret() as action:
                return secret.rotate(services, action, self._vault(action.vault), self._key)
            case StoreSecret() as action:
                return secret.store(services, action, self._vault(action.vault), self._key, self._since(action.vault))
            case ChangeExpiry() as action:
                return secret.change_expiry(services, action, self._vault(action.vault))
            case DisableVersion() as action:
                secret.disable(services, action)
            case RemoveSecret() as action:
                removed = removal.remove_secret(services, action)
                self.secret_deleted |= removed.deleted
                return removed.note
            case RemoveRole() as action:
                removal.remove_role(services, action)
            case RestoreAccessPolicies() as action:
                return removal.restore_access_policies(services, action)
            case Rescue() as action:
                return vault.rescue(services, action)
            case ForgetSwitch() as action:
                return removal.forget_switch(services, action)
            case HandOverRole() as action:
                removal.hand_over_role(services, action)
            case RemoveEntries() as action:
                return removal.remove_entries(services, action)
            case None:
                pass
        return ""

    def _enable(self, action: EnableIdentity) -> str:
        identity = account.enable_identity(self._services, action)
        self._identities[action.account.name.lower()] = identity
        return f"principal {identity.object_id}"

    def _assign(self, action: AssignRole) -> str:
        assigned = roles.assign(self._services, action, self._principal(action))
        if assigned is None:
            return "skipped: the directory does not know the principal"
        if action.at_vault:
            self._assigned.append(assigned)
        if action.required_for_switch:
            self._youngest = self._services.clock.now()
            self._created = assigned.created
        return ""

    def _wait_for_roles(self, action: AwaitRoles) -> None:
        """Wait for the roles of this execution, and for the existing ones that no earlier wait has covered."""
        covered = action.newest is not None and self._aged is not None and action.newest <= self._aged
        known = [t for t in (None if covered else action.newest, self._youngest) if t]
        roles.wait_for_effect(self._services, action, max(known, default=None))
        self._aged = max((t for t in (action.newest, self._created) if t), default=None)

    def _principal(self, action: AssignRole | AllowByPolicy) -> Principal:
        """Return the principal of the action: the named one, or the identity that an earlier step enabled."""
        principal = action.principal or self._identities.get(action.owner.account.lower())
        if principal is None:
            raise ConflictError(
                "The account's identity was removed before it could be given access.",
                hint="Run the same command again.",
            )
        return principal

    def _registered(self, made: Vault) -> str:
        self._vaults[made.id.lower()] = made, self._services.clock.now()
        return made.uri

    def _vault(self, planned: Vault) -> Vault:
        """Return the vault as an earlier step left it; otherwise as the plan saw it."""
        return self._vaults[planned.id.lower()][0] if planned.id.lower() in self._vaults else planned

    def _since(self, planned: Vault) -> datetime | None:
        return self._vaults[planned.id.lower()][1] if planned.id.lower() in self._vaults else None

    def _interruption(self, plan: Plan, current: Step | None) -> str:
        """Describe which changes an interrupted execution has made."""
        where = ""
        if current:
            doing = "while waiting for" if current.verb is Verb.WAIT else "in the middle of"
            where = f" {doing}: {current.resource} {current.detail}"
        total = len(self.done) + sum(step not in self.done for step in plan.changes)  # a second plan is shorter
        return f"Interrupted{where}. {len(self.done)} of {total} changes were made: {self._changes}."

    @property
    def _changes(self) -> str:
        return "; ".join(f"{s.resource} {s.detail}" for s in self.done) or "none"

    @property
    def _progress(self) -> str:
        return f"These changes were made: {self._changes}." if self.done else "Nothing was written."

    def _conflict(self, plan: Plan, agreed: frozenset[tuple[str, ...]]) -> ConflictError:
        """Describe a new plan that goes beyond the one that the operator agreed to."""
        more = [f"{s.resource} {s.detail}" for s in plan.changes if s.action and s.action.extent - agreed]
        more += [
            f"{x.principal} would lose access ({x.reason})"
            for x in plan.losses
            if ("loss", x.object_id.lower(), x.reason) not in agreed
        ]
        return ConflictError(
            f"Others made changes after the plan was shown, and it now needs more: {'; '.join(more)}. {self._progress}",
            hint="Run the same command again: it shows the new plan without what is already done.",
        )
