"""Waits until the vault's data plane accepts the operator."""

from contextlib import suppress
from datetime import datetime, timedelta

from provisioning import shell
from provisioning.errors import AccessNotEffectiveError, NotSignedInError, UnreachableError
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Secret, SecretState, Vault
from provisioning.planning.vault import just_switched


def wait_for_access(
    services: Services,
    vault: Vault,
    secret: str,
    registered: datetime | None = None,
    way_back: timedelta = timedelta(0),
) -> tuple[Secret, timedelta]:
    """Read the secret until the vault accepts the operator. Return the secret and how long it took.

    `registered` is when this run saw the vault's host name being registered. Name servers may not know a new name yet.
    `way_back` is how much of the operator's sign-in must be left at the end.

    Raises:
        AccessNotEffectiveError: the vault still refuses the operator after the access timeout.
        ProvisioningError: from Azure.
    """
    secrets = services.azure.secrets(vault)
    for elapsed in services.attempts(services.access_timeout, "the vault to accept you"):
        try:
            found = secrets.read(secret)
        except UnreachableError:
            if registered is None or services.clock.now() - registered >= SETTLING:
                raise
            continue
        if found.state is not SecretState.UNKNOWN:
            return found, elapsed
        if services.azure.sign_in_lasts < way_back and not _renewed(services, way_back):
            raise AccessNotEffectiveError(
                f"The vault {vault.name} still refuses you, and your sign-in ends soon and cannot be renewed.",
                hint="Sign in again and run the same command again.",
            )
    hint = ""
    if just_switched(vault, services.clock.now()):
        hint = f" Setup switched the vault within the last day. {shell.way_back(vault.id)}"
    raise AccessNotEffectiveError(
        f"The vault {vault.name} still refuses you.",
        hint="A new role can take longer than usual to work: run the same command again in some minutes." + hint,
    )


def _renewed(services: Services, needed: timedelta) -> bool:
    """Try to renew the operator's sign-in, and return whether it lasts as long as needed."""
    with suppress(NotSignedInError):
        services.azure.renew_sign_in(needed)
    return services.azure.sign_in_lasts >= needed
