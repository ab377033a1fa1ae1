"""Makes sure that the operator's sign-in outlasts the switch of a vault: the probe, and the way back if that fails.

A pipeline's federated sign-in cannot be renewed after some minutes, and a session can be revoked. Between the switch and the end
of the probe this would leave the vault on Azure RBAC, with nobody to switch it back.
"""

from datetime import timedelta

from provisioning import clock
from provisioning.azure.identity.tokens import LEFT_AT_LEAST
from provisioning.durations import spell
from provisioning.errors import NotSignedInError
from provisioning.execution.services import Services

WAY_BACK = timedelta(minutes=4)
"""How much of the sign-in is kept for the way back. Shorter than LEFT_AT_LEAST, at which tokens are renewed."""
_ENOUGH = WAY_BACK + timedelta(minutes=2)


def require_lasting(services: Services) -> None:
    """Renew tokens that end before the switch is verified. Wait until that is possible if they end too soon.

    `az` and azure-identity return a cached token until five minutes before it ends. With more time left, the switch is
    possible: the probe ends in time for the way back.

    Raises:
        NotSignedInError: the sign-in cannot be renewed. The vault was not switched.
    """
    azure = services.azure
    needed = services.access_timeout + WAY_BACK
    _renew(services, needed)
    if azure.sign_in_lasts < _ENOUGH:
        wait = max(azure.sign_in_lasts - timedelta(seconds=LEFT_AT_LEAST - 1), timedelta(0))
        now = services.clock.now()
        clock.pause_until(
            services.clock,
            now + wait,
            wait,
            lambda elapsed, budget: services.reporter.waiting("your sign-in to be renewable", elapsed, budget),
        )
        _renew(services, needed)
    if azure.sign_in_lasts < _ENOUGH:
        raise NotSignedInError(_ENDS.format(spell(azure.sign_in_lasts), ""), hint=_AGAIN)


_UNCHANGED = "The vault was not switched."
_ENDS = "Your sign-in ends in {}, before the switch could be verified or undone, and cannot be renewed. {}" + _UNCHANGED
_AGAIN = "Sign in immediately before you run the same command again: the roles stay assigned."


def _renew(services: Services, needed: timedelta) -> None:
    try:
        services.azure.renew_sign_in(needed)
    except NotSignedInError as error:
        left = spell(services.azure.sign_in_lasts)
        raise NotSignedInError(_ENDS.format(left, f"{error.message} "), hint=error.hint) from error
