"""verify-app: wait after a deployment until the host has indexed the app's functions. Writes nothing."""

from datetime import timedelta

from provisioning.app_models import FunctionAppName
from provisioning.azure.client import Azure
from provisioning.checks import function_app
from provisioning.checks.chain import Chain
from provisioning.cli.doctor import SIGN_IN, reported, sign_in
from provisioning.cli.session import Session
from provisioning.clock import attempts
from provisioning.errors import HostUnavailableError

APP_CHECKS = ("function app", "app functions", "app version", "app alerts")
CHECKS = (SIGN_IN, *APP_CHECKS)
"""The names of the checks in order."""


def run(session: Session, app: FunctionAppName, budget: timedelta) -> None:
    """Wait until the host has indexed all functions or the time is up, then run doctor's checks of the app alone.

    Raises:
        BrokenLinkError: the app does not run, or a function is missing.
    """
    with reported(session) as report:
        signed_in: list[Azure] = []
        report.run({SIGN_IN: lambda session: sign_in(session, signed_in)}, session)
        if not signed_in:
            report.skip(APP_CHECKS, "sign-in failed")
            return

        subject = Chain(signed_in[0], session.target, session.clock, session.check, app)
        report.run({"function app": function_app.function_app}, subject)
        if subject.site:
            _wait(session, signed_in[0], app, budget)
        report.run({name: function_app.CHECKS[name] for name in APP_CHECKS[1:]}, subject)


def _wait(session: Session, azure: Azure, app: FunctionAppName, budget: timedelta) -> None:
    """Return when the functions are there, or the time is up. A host that does not answer may be starting."""

    def progress(elapsed: timedelta, budget: timedelta) -> None:
        session.ui.waiting("the host to index the functions", elapsed, budget)

    for _ in attempts(session.clock, budget, progress):
        try:
            found = {each.name for each in azure.function_apps.functions(app)}
        except HostUnavailableError:
            continue
        if found.issuperset(function_app.FUNCTIONS):
            return
