"""plan, setup and status: one observation and one plan, which is shown, applied, or compared."""

from collections.abc import Callable

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.checks import access
from provisioning.cli.output import documents, summaries
from provisioning.cli.session import Session, lacking
from provisioning.errors import NotInPlaceError, ProvisioningError, UnreachableError
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import LATE, SETTLING
from provisioning.models import Observed
from provisioning.observation.inventory import observe
from provisioning.planning.actions import AssignRole
from provisioning.planning.secret import key_state
from provisioning.planning.setup import plan_setup
from provisioning.planning.steps import Plan
from provisioning.wandb_key import Key


def plan(session: Session) -> Plan:
    """Show what setup would do. Write nothing."""
    azure, observed = session.observe()
    key = session.provided_key()
    account = session.check(key) if key else None
    made = session.plan(azure, observed, _planning(session, key))
    missing = session.missing_rights(azure, made)
    refusal = session.obstacle(made)
    session.facts |= {
        **documents.plan(made),
        "wandb": documents.wandb(account),
        "missing_rights": documents.rights(missing),
        "obstacle": documents.refusal(refusal),
    }
    session.ui.plan(made)
    for action, scope in missing:
        session.ui.note(f"  ! you may not {lacking(action, scope)}", "red")
    if refusal:
        session.ui.note(f"  ! {refusal.message}", "red")
    session.ui.answer({"ok": True, **session.facts}, ())
    return made


def _planning(session: Session, key: Key | None) -> Callable[[Observed], Plan]:
    """Return what makes the plan of setup from the current state, with the key that is to be stored if it is known."""

    def make(observed: Observed) -> Plan:
        return plan_setup(session.target, observed, key_state(observed.secret, key.value if key else None))

    return make


def status(session: Session) -> Plan:
    """Show drift. Write nothing and ask nothing."""
    _, observed = session.observe()
    made = _planning(session, session.provided_key())(observed)
    session.facts |= {**documents.plan(made), "in_place": not made.work}
    session.ui.answer({"ok": True, **session.facts}, summaries.status(made))
    return made


def setup(session: Session, *, yes: bool, interactive: bool) -> None:
    """Apply the plan, then read everything again to verify it."""
    azure, observed = session.observe()
    session.preflight(azure, session.plan(azure, observed, _planning(session, None)))
    key, account = session.key(observed)
    session.facts |= {"wandb": documents.wandb(account), "applied": []}

    def replan() -> Plan:
        return session.plan_again(azure, observe(azure, session.target, session.clock), _planning(session, key))

    def apply_plan(observed: Observed) -> Plan:
        made = session.plan(azure, observed, _planning(session, key))
        session.facts |= documents.plan(made)
        session.ui.proposal(made)
        session.refuse(made)
        if made.changes:
            session.consent(made, yes=yes, interactive=interactive)
        session.apply(session.services(azure), made, CheckedKey(key.value, account.entity), replan, observed.at)
        return made

    made = apply_plan(observed)
    work = made.work
    if made.partial:
        observed = _observe_recovered(session, azure)
        session.preflight(azure, session.plan(azure, observed, _planning(session, None)))
        work += apply_plan(observed).work
    if work:
        observed = _verified(session, azure, key)
        if any(isinstance(s.action, AssignRole) for s in work):
            session.ui.note("New roles of other principals may take up to ten minutes to work.")
    offer = _data_role(azure, observed) if work else []
    session.facts["warnings"] = [*session.facts.get("warnings", ()), *filter(None, [" ".join(offer)])]
    known = documents.settings(observed, session.target, account, session.wandb_base_url)
    form = {"vault_url": observed.vault.uri, "secret_name": session.target.secret}
    model = "rbac" if observed.vault.rbac else "policy"
    session.facts |= documents.scene(observed, session.target)
    session.ui.answer(
        {"ok": True, **session.facts, "portal_form": form, "settings": known, "vault_access": model},
        summaries.in_place(observed, session.target, known, offer),
    )


def _data_role(azure: Azure, observed: Observed) -> list[str]:
    """Offer the role that lists jobs if the operator has none: an Owner has no data actions, and doctor and sync need them."""
    caller, account = observed.caller, observed.account
    try:
        held = access.to_jobs(azure, account, caller.object_id)
    except ProvisioningError:
        return []
    if held.by or held.conditional:
        return []
    command = shell.assign_role(caller.object_id, caller.kind, "Cognitive Services OpenAI User", account.id)
    return [
        "You may not list the account's jobs yet, which doctor and sync need. To give yourself the role:",
        f"  {command}",
    ]


def _observe_recovered(session: Session, azure: Azure) -> Observed:
    """Observe the state after a recovery. Name servers may take a while to resolve the vault's host again."""
    return session.services(azure).retry_on(
        UnreachableError,
        lambda: observe(azure, session.target, session.clock),
        SETTLING,
        "the recovered vault to answer",
    )


def _verified(session: Session, azure: Azure, key: Key) -> Observed:
    """Read everything again. A plan that still has work means that something is not in place."""

    def look() -> tuple[Observed, Plan]:
        observed = observe(azure, session.target, session.clock)
        return observed, plan_setup(session.target, observed, key_state(observed.secret, key.value))

    observed, after = session.settle(azure, look, LATE, "Azure to show the result")
    if after.work:
        raise NotInPlaceError(
            f"All steps were applied, but these are not in place: {after.left}.",
            hint="Azure may be slow to show it, or somebody else is changing it. Run the same command again.",
        )
    session.ui.note("verified: roles and access model in Azure, the key in the vault", "green")
    return observed
