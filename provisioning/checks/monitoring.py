"""doctor's checks of the function app's monitoring: its log, and whether somebody receives its alerts."""

from collections.abc import Callable, Mapping

from provisioning.checks.chain import Chain
from provisioning.checks.report import Finding, failed, known, ok, readable, skipped, warning
from provisioning.errors import UnreachableError

_SHOWN = 240  # characters of a log line
_RECEIVED = "Deploy again with alertEmails=… or actionGroupIds=… (docs/observability.md, Alerts)."


def app_log(chain: Chain) -> Finding:
    """The host can import the app's code. Functions may be listed although their code fails: the host keeps an older list."""
    known(chain.site, "the function app")
    app = known(chain.app, "the function app")
    try:
        found = readable(lambda: chain.azure.monitoring.import_error(app))
    except UnreachableError as error:
        return skipped(f"the logs cannot be reached from here: {error.message}")
    if found is None:
        return skipped("its resource group has no Application Insights")
    if not found:
        return ok("no import error in the last hour")
    return failed(
        f"its code cannot be imported: {found[:_SHOWN]}",
        "Deploy the complete package (docs/deploy.md, The package): a build in Azure may use another Python than the app.",
    )


def app_alerts(chain: Chain) -> Finding:
    """Alerts watch the app, and somebody receives them."""
    known(chain.site, "the function app")
    app = known(chain.app, "the function app")
    rules = readable(lambda: chain.azure.monitoring.alerts(app))
    if not rules:
        return warning("no alert rule of its resource group watches it", "Deploy the template (docs/deploy.md).")
    if silent := [each.name for each in rules if not each.receivers]:
        return warning(
            f"nobody receives {len(silent)} of {len(rules)} alert rules: no action group has a receiver", _RECEIVED
        )
    if disabled := [each.name for each in rules if not each.enabled]:
        return warning(f"disabled: {', '.join(disabled)}", "Deploy the template again, which enables them.")
    least = min(each.receivers for each in rules)
    return ok(f"{len(rules)} rules, {least} receiver{'s' if least > 1 else ''}")


CHECKS: Mapping[str, Callable[[Chain], Finding]] = {"app log": app_log, "app alerts": app_alerts}
"""The checks by name, in the order they run."""
