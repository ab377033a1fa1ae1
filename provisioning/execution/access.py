"""Waits until the vault's data plane accepts the operator."""

from datetime import datetime, timedelta

from provisioning import shell
from provisioning.errors import AccessNotEffectiveError, UnreachableError
from provisioning.execution.services import SETTLING, Services
from provisioning.models import Secret, SecretState, Vault
from provisioning.planning.vault import just_switched


def wait_for_access(
    services: Services, vault: Vault, secret: str, registered: datetime | None = None
) -> tuple[Secret, timedelta]:
    """Read the secret until the vault accepts the operator. Return the secret and how long it took.

    `registered` is when this run saw the vault's host name being registered. Name servers may not know a new name yet.

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
    way_back = ""
    if just_switched(vault, services.clock.now()):
        way_back = f" Setup switched the vault within the last day. {shell.way_back(vault.id)}"
    raise AccessNotEffectiveError(
        f"The vault {vault.name} still refuses you.",
        hint="A new role can take longer than usual to work: run the same command again in some minutes." + way_back,
    )
