"""doctor: goes along the whole chain as the operator, and names the link that is broken and its remedy. Writes nothing."""

from provisioning.azure.client import Azure
from provisioning.checks import chain as chain_checks
from provisioning.checks.diagnosis import Check, State
from provisioning.checks.function_app import CHECKS as APP_CHECKS
from provisioning.checks.function_app import AppName, Chain, function_app
from provisioning.checks.walk import Walk
from provisioning.cli import documents
from provisioning.cli.session import Session
from provisioning.errors import BrokenLinkError

CHECKS = (
    "sign-in",
    "account",
    "account network",
    "account identity",
    "vault",
    "vault network",
    "vault access",
    "secret",
    "identity access",
    "W&B key",
    "job list",
)
"""The links in the order of the walk; those of a function app come after them."""


def doctor(session: Session, app: AppName | None) -> None:
    """Check link after link; one that depends on a broken one is skipped, the others are not.

    Raises:
        BrokenLinkError: at least one check failed.
    """
    walk = Walk(session.ui.check)
    try:
        _walk(walk, session, app)
    finally:
        session.facts["checks"] = [documents.check(each) for each in walk.checks]
    broken = [each for each in walk.checks if each.state is State.FAILED]
    if broken:
        raise BrokenLinkError(_told(broken, len(walk.checks)), hint=broken[0].remedy)
    session.ui.answer({"ok": True, **session.facts}, documents.healthy(walk.checks))


def _walk(walk: Walk, session: Session, app: AppName | None) -> None:
    azure = _sign_in(walk, session)
    if azure is None:
        walk.skip("sign-in failed", *CHECKS[1:], *(APP_CHECKS if app else ()))
        return
    account = chain_checks.account(walk, azure, session)
    vault = chain_checks.vault(walk, azure, session, account)
    secret = chain_checks.secret(walk, azure, session, vault)
    chain_checks.identity_access(walk, azure, session, account, vault)
    wandb = chain_checks.wandb(walk, session, secret)
    chain_checks.job_list(walk, azure, account)
    if app:
        function_app(walk, azure, session, app, Chain(account, vault, wandb))


def _sign_in(walk: Walk, session: Session) -> Azure | None:
    azure: Azure | None = None
    with walk.checking("sign-in"):
        azure = session.connect()
        caller, subscription = azure.caller, azure.subscription
        session.facts |= documents.signed_in(caller, subscription)
        walk.ok(
            "sign-in",
            f"{caller.name} through {caller.via}, subscription {subscription.name} (…{subscription.id[-4:]})",
        )
    return azure


def _told(broken: list[Check], total: int) -> str:
    return f"{len(broken)} of {total} checks failed: {', '.join(each.name for each in broken)}."
