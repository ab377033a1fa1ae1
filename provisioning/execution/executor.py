"""Applies a plan, one step after the other. Each step can be done again: what is so already is no error."""

from dataclasses import dataclass, field

from provisioning.errors import InterruptedByUserError
from provisioning.execution import account as do_account
from provisioning.execution import removal as do_removal
from provisioning.execution import roles as do_roles
from provisioning.execution import secret as do_secret
from provisioning.execution import vault as do_vault
from provisioning.execution.context import Context, Narrator
from provisioning.planning.steps import (
    AllowByPolicy,
    AssignRole,
    AwaitAccount,
    AwaitRoles,
    AwaitVault,
    CreateVault,
    DisableVersion,
    EnableIdentity,
    ForgetSwitch,
    Plan,
    RecoverVault,
    RemoveEntries,
    RemoveRole,
    RemoveSecret,
    RestoreAccessPolicies,
    RotateSecret,
    Step,
    StoreSecret,
    SwitchToRbac,
    Verb,
)


@dataclass
class Show:
    """Shows the plan and does nothing: this is `plan` and `--dry-run`."""

    narrator: Narrator

    def run(self, plan: Plan) -> None:
        """Tell the steps."""
        self.narrator.plan(plan)


@dataclass
class Apply:
    """Does what the plan says. `done` is what stands, also after an exception."""

    ctx: Context
    done: list[Step] = field(default_factory=list)

    def run(self, plan: Plan) -> None:
        """Do one step after the other.

        Raises:
            InterruptedByUserError: Ctrl-C; says what stands.
            ProvisioningError: a step failed; those before it stand.
        """
        under_way: Step | None = None
        try:
            for step in plan.work:
                under_way, started = step, self.ctx.clock.now()
                note = self._do(step)
                if step.verb is not Verb.WAIT:
                    self.done.append(step)
                under_way = None
                self.ctx.narrator.done(step, (self.ctx.clock.now() - started).total_seconds(), note)
        except KeyboardInterrupt:
            raise InterruptedByUserError(self._standing(plan, under_way), hint=_AGAIN) from None

    def _do(self, step: Step) -> str:  # noqa: C901 - one line for each action, and mypy sees that none is missing
        match step.action:
            case CreateVault() as creation:
                return do_vault.create(self.ctx, creation)
            case RecoverVault() as recovery:
                return do_vault.recover(self.ctx, recovery)
            case AwaitVault():
                return do_vault.await_vault(self.ctx)
            case EnableIdentity():
                return do_account.enable_identity(self.ctx)
            case AwaitAccount():
                return do_account.await_account(self.ctx)
            case AssignRole() as assign:
                return do_roles.assign(self.ctx, assign)
            case AllowByPolicy() as entry:
                return do_vault.allow(self.ctx, entry)
            case AwaitRoles() as wait:
                return do_roles.await_roles(self.ctx, wait)
            case SwitchToRbac():
                return do_vault.switch(self.ctx)
            case StoreSecret():
                return do_secret.store(self.ctx)
            case RotateSecret():
                return do_secret.rotate(self.ctx)
            case DisableVersion(version):
                return do_secret.disable(self.ctx, version)
            case RemoveSecret():
                return do_removal.remove_secret(self.ctx)
            case RemoveRole(assignment):
                return do_removal.remove_role(self.ctx, assignment)
            case RestoreAccessPolicies():
                return do_removal.restore_access_policies(self.ctx)
            case ForgetSwitch():
                return do_removal.forget_switch(self.ctx)
            case RemoveEntries(object_ids):
                return do_removal.remove_entries(self.ctx, object_ids)
            case None:
                return ""

    def _standing(self, plan: Plan, under_way: Step | None) -> str:
        """What an interrupted run leaves behind."""
        where = ""
        if under_way:
            doing = "while waiting for" if under_way.verb is Verb.WAIT else "in the middle of"
            where = f" {doing}: {under_way.resource} {under_way.detail}"
        stands = "; ".join(f"{s.resource} {s.detail}" for s in self.done) or "nothing"
        return f"Interrupted{where}. {len(self.done)} of {len(plan.changes)} changes stand: {stands}."


_AGAIN = "Nothing needs to be undone: run the same command again and it goes on from here."
