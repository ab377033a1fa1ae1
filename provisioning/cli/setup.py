"""plan, setup and status: the same look and the same plan, handed to another executor."""

from provisioning.azure.client import Azure
from provisioning.cli import documents
from provisioning.cli.session import Session, may_not
from provisioning.errors import NotInPlaceError, UnreachableError
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import SETTLING
from provisioning.models import KeyState, Observed
from provisioning.observation.inventory import observe
from provisioning.planning.actions import AssignRole
from provisioning.planning.secret import key_state
from provisioning.planning.setup import plan_setup
from provisioning.planning.steps import Plan
from provisioning.wandb_key import Key


def plan(session: Session) -> Plan:
    """Show what setup would do; write nothing."""
    azure, observed = session.look()
    key = session.given_key()
    account = session.check(key) if key else None
    made = plan_setup(session.target, observed, key_state(observed.secret, key.value if key else None))
    missing = session.missing_rights(azure, made)
    session.facts |= {
        **documents.plan(made),
        "wandb": documents.wandb(account),
        "missing_rights": documents.rights(missing),
    }
    session.ui.plan(made)
    for action, scope in missing:
        session.ui.note(f"  ! you may not {may_not(action, scope)}", "red")
    session.ui.answer({"ok": True, **session.facts}, ())
    return made


def status(session: Session) -> Plan:
    """Show drift; write nothing, ask nothing."""
    _, observed = session.look()
    made = plan_setup(session.target, observed, KeyState.NONE)
    session.facts |= {**documents.plan(made), "in_place": not made.work}
    session.ui.answer({"ok": True, **session.facts}, documents.status(made))
    return made


def setup(session: Session, *, yes: bool, interactive: bool) -> None:
    """Bring everything in place, then look again whether it is."""
    azure, observed = session.look()
    session.preflight(azure, plan_setup(session.target, observed, KeyState.NONE))
    key, account = session.key(observed)
    session.facts |= {"wandb": documents.wandb(account), "applied": []}

    def bring_about(observed: Observed) -> Plan:
        made = plan_setup(session.target, observed, key_state(observed.secret, key.value))
        session.facts |= documents.plan(made)
        session.ui.proposal(made)
        if made.changes:
            session.consent(made, yes=yes, interactive=interactive)
        session.apply(session.services(azure), made, CheckedKey(key.value, account.entity))
        return made

    made = bring_about(observed)
    work = made.work
    if made.partial:
        observed = _look_again(session, azure)
        session.preflight(azure, plan_setup(session.target, observed, KeyState.NONE))
        work += bring_about(observed).work
    if work:
        observed = _verified(session, azure, key)
        if any(isinstance(s.action, AssignRole) for s in work):
            session.ui.note("New roles of others than you may take up to ten minutes to take effect.")
    known = documents.settings(observed, session.target, account, session.wandb_base_url)
    form = {"vault_url": observed.vault.uri, "secret_name": session.target.secret}
    session.facts |= documents.scene(observed, session.target)
    session.ui.answer(
        {"ok": True, **session.facts, "portal_form": form, "settings": known},
        documents.in_place(observed, session.target, known),
    )


def _look_again(session: Session, azure: Azure) -> Observed:
    """Observe after a recovery. Name servers may take a while to know the vault's host again."""
    return session.services(azure).retry_on(
        UnreachableError,
        lambda: observe(azure, session.target, session.clock),
        SETTLING,
        "the recovered vault to answer",
    )


def _verified(session: Session, azure: Azure, key: Key) -> Observed:
    """Look once more, with fresh eyes: what still has to be done is what is not in place."""
    observed = observe(azure, session.target, session.clock)
    left = plan_setup(session.target, observed, key_state(observed.secret, key.value)).left
    if left:
        raise NotInPlaceError(
            f"Everything was done, and yet this is not in place: {left}.",
            hint="Azure may be slow to show it, or somebody else is changing it: run the same command again.",
        )
    session.ui.note("verified by looking again: roles and access model in Azure, the key in the vault", "green")
    return observed
