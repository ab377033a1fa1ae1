"""doctor: check every link between the operator and W&B, and name the broken ones with a remedy. Writes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from provisioning import shell
from provisioning.app_models import FunctionAppName
from provisioning.azure.client import Azure
from provisioning.checks import chain, contributor, function_app
from provisioning.checks.chain import Chain
from provisioning.checks.report import Finding, Report, ok, warning
from provisioning.cli.output import documents, summaries
from provisioning.cli.session import Session
from provisioning.errors import BrokenLinkError
from provisioning.planning.access.principals import NO_MFA
from provisioning.wandb_key import Key, WandbAccount

SIGN_IN = "sign-in"
CHECKS = (SIGN_IN, *chain.CHECKS)
"""The names of the checks in order. The checks of a function app follow them."""
APP_CHECKS = tuple(function_app.CHECKS)


def doctor(session: Session, app: FunctionAppName | None, contributors: Sequence[str] = ()) -> None:
    """Run every check. A check that depends on a failed one is skipped; the others still run.

    Raises:
        BrokenLinkError: at least one check failed.
    """
    with reported(session) as report:
        _examine(report, session, app, contributors)


@contextmanager
def reported(session: Session) -> Iterator[Report]:
    """Print checks as they are made in the block, and conclude with the command's result.

    Raises:
        BrokenLinkError: at least one check failed.
    """
    report = Report(session.ui.check)
    try:
        yield report
    finally:
        session.facts["checks"] = [documents.check(each) for each in report.checks]
    if report.failures:
        raise BrokenLinkError(_failures(report), hint=report.failures[0].remedy)
    session.ui.answer({"ok": True, **session.facts}, summaries.healthy(report.checks))


def _examine(report: Report, session: Session, app: FunctionAppName | None, contributors: Sequence[str]) -> None:
    contributor_checks = contributor.checks(contributors)
    signed_in: list[Azure] = []
    report.run({SIGN_IN: lambda session: sign_in(session, signed_in)}, session)
    if not signed_in:
        report.skip((*CHECKS[1:], *contributor_checks, *(APP_CHECKS if app else ())), "sign-in failed")
        return

    def check_key(key: Key) -> WandbAccount:
        return session.check_key(key, session.wandb_base_url, session.wandb_entity)

    subject = Chain(signed_in[0], session.target, session.clock, check_key, app)
    report.run(chain.CHECKS, subject)
    report.run(contributor_checks, subject)
    if app:
        report.run(function_app.CHECKS, subject)


def sign_in(session: Session, signed_in: list[Azure]) -> Finding:
    """Sign in, and add the client to the list."""
    azure = session.connect()
    signed_in.append(azure)
    caller, subscription = azure.caller, azure.subscription
    session.facts |= documents.signed_in(caller, subscription)
    seen = f"{caller.name} through {caller.via}, subscription {subscription.name} (…{subscription.id[-4:]})"
    return (
        warning(f"{seen}; {NO_MFA}", shell.mfa_login(caller.via, caller.tenant_id)) if caller.mfa is False else ok(seen)
    )


def _failures(report: Report) -> str:
    """The sentence that names the checks that failed."""
    return f"{len(report.failures)} of {len(report.checks)} checks failed: {', '.join(each.name for each in report.failures)}."
