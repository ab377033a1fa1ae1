"""Change the vault: create or recover it, add access-policy entries, and switch its access model."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from provisioning import shell
from provisioning.azure.transport.errors import BadRequestError
from provisioning.clock import attempts, pause_until
from provisioning.durations import spell
from provisioning.errors import (
    AccessNotEffectiveError,
    BusyError,
    ConflictError,
    FailedError,
    InterruptedByUserError,
    MissingRightsError,
    PolicyError,
    ProvisioningError,
    ServiceError,
    ThrottledError,
    UnreachableError,
)
from provisioning.execution import side_effects
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import APART, LATE, READS, SETTLING, OutdatedPlanError, Services
from provisioning.execution.sign_in import WAY_BACK
from provisioning.models import Principal, Vault, VaultState
from provisioning.planning.access.permissions import missing_permissions
from provisioning.planning.actions import AllowByPolicy, AwaitVault, CreateVault, RecoverVault, Rescue, SwitchToRbac
from provisioning.planning.ownership import switched, unswitched, was_switched, with_entry

# --- existence -------------------------------------------------------------------------------------------------------


def create(services: Services, action: CreateVault) -> Vault:
    """Create the vault, unless somebody else has created it after the plan was made: a PUT would replace it."""
    wanted, vaults = action.vault, services.azure.vaults
    if vaults.find(wanted.group, wanted.name):
        raise ConflictError(
            f"Key Vault {wanted.name} was created by somebody else after the plan was made.",
            hint="Run the same command again: it plans with the existing vault.",
        )
    return vaults.create(
        wanted.group, wanted.name, wanted.location, rbac=wanted.rbac, purge_protection=action.purge_protection
    )


def recover(services: Services, action: RecoverVault) -> Vault:
    """Recover the deleted vault."""
    deleted = action.vault
    return services.azure.vaults.recover(deleted.group, deleted.name, deleted.location)


def wait_until_registered(services: Services, action: AwaitVault) -> Vault:
    """Wait until the vault's host name is registered."""
    for _ in services.attempts(SETTLING, "the vault's host name to be registered"):
        found = services.azure.vaults.get(action.vault.group, action.vault.name)
        if found.state is VaultState.READY:
            return found
    raise BusyError(
        f"The host name of {action.vault.name} is still being registered after {spell(SETTLING)}.",
        hint="Run the same command again in some minutes.",
    )


# --- access policies -------------------------------------------------------------------------------------------------


def allow(services: Services, action: AllowByPolicy, vault: Vault, principal: Principal) -> str:
    """Add permissions to an access policy. They are recorded first, so that no record is lost in an interruption."""
    group, vaults = vault.group, services.azure.vaults
    now = read_to_tag(services, vault)
    permissions = missing_permissions(now.policies, principal.object_id, action.permissions)
    if not permissions:
        return "others gave it in the meantime, so teardown will leave it"
    try:
        tags = with_entry(now.tags, principal.object_id, permissions, action.owner)
    except ValueError as full:
        note = f"not recorded, so teardown will leave it: {full}"
    else:
        note = tag(services, now, tags) if tags != now.tags else ""
    vaults.change_policy(group, vault, "add", principal.object_id, permissions)
    return note


def tag(services: Services, now: Vault, tags: Mapping[str, str]) -> str:
    """Replace the tags of a vault, and return what else that changed. `now` is the vault as it was just read.

    Raises:
        ConflictError: the write switched a vault from access policies to Azure RBAC. It was switched back, if possible.
    """
    after = services.azure.vaults.tag(now.group, now, tags)
    services.tags[now.id.lower()] = after.tags
    if after.rbac and not now.rbac:
        cause = ConflictError(
            f"Writing a tag switched {now.name} to Azure RBAC, probably because of an Azure Policy.",
            hint="`az policy state list` shows policies.",
        )
        raise _switched_back(services, now, cause)
    return side_effects.of_vault(services, now, after, tags)


def read_to_tag(services: Services, vault: Vault) -> Vault:
    """Read the vault before a write that repeats its tags, until two reads in a row show the same ones.

    The first of the two is the plan's, or the answer to the latest write. A read that differs from that answer may be older
    than the write, as may a second one that agrees with it, until LATE has passed.
    """
    written = services.tags.get(vault.id.lower())
    seen = vault.tags if written is None else written
    pause = timedelta(seconds=APART) if written is None else LATE
    for _ in range(READS):
        now = services.azure.vaults.get(vault.group, vault.name)
        if now.tags == seen:
            return now
        seen = now.tags
        pause_until(
            services.clock,
            services.clock.now() + pause,
            pause,
            lambda elapsed, budget: services.reporter.waiting(f"reads of {vault.name} to agree", elapsed, budget),
        )
        pause = timedelta(seconds=APART)
    raise _changing(vault)


# --- the switch ------------------------------------------------------------------------------------------------------


def switch(services: Services, action: SwitchToRbac, registered: datetime | None) -> str:
    """Switch the vault to Azure RBAC. Switch it back if anything fails before the vault accepts the operator.

    Raises:
        OutdatedPlanError: the access model or the access policies have changed; nothing was written.
        ProvisioningError: something failed; the message says which access model the vault has now.
    """
    now = read(services, action.vault, agreed=action.shared)
    if now.tags != action.vault.tags and not action.shared:  # the switch repeats the tags
        now = read(services, now, agreed=True)
    if changes := differences(action.vault, now):
        raise OutdatedPlanError(
            f"Others changed {now.name} after the plan was made: {changes}. The vault was not switched.",
            hint="Run the same command again: it plans with the vault as it is now.",
        )
    try:
        _turn_on(services, now)
        try:
            _require_switched(services, now, agreed=action.shared)
            _, took = wait_for_access(services, now, action.owner.secret, registered, WAY_BACK)
            after = _require_switched(services, now, agreed=action.shared)
        except ProvisioningError as error:
            raise _switched_back(services, now, error) from error
    except KeyboardInterrupt:
        outcome = _switched_back(services, now, None)
        raise InterruptedByUserError(f"Interrupted during the switch. {outcome.message}", hint=outcome.hint) from None
    except ProvisioningError:
        raise
    except BaseException:  # such as a closed terminal, on which progress cannot be printed
        _switched_back(services, now, None)
        raise
    changed = side_effects.of_vault(services, now, after, switched(now.tags, services.clock.now()))
    return f"the vault accepts you after {spell(took)}" + (f"; {changed}" if changed else "")


def read(services: Services, vault: Vault, *, agreed: bool) -> Vault:
    """Read the vault; if `agreed`, until two reads in a row show the same access model, access policies and tags."""
    found = services.azure.vaults.get(vault.group, vault.name)
    for _ in range(READS - 1 if agreed else 0):
        services.clock.sleep(APART)
        again = services.azure.vaults.get(vault.group, vault.name)
        if not differences(found, again) and found.tags == again.tags:
            return again
        found = again
    if agreed:
        raise _changing(vault)
    return found


def read_back(services: Services, vault: Vault) -> Vault:
    """Read a vault that should be on its access policies. A single read that shows Azure RBAC may be late."""
    found = services.azure.vaults.get(vault.group, vault.name)
    return read(services, vault, agreed=True) if found.rbac else found


def _changing(vault: Vault) -> ConflictError:
    return ConflictError(
        f"Every read of {vault.name} shows different access policies or tags: others are changing it.",
        hint="Agree with those who change the vault, then run the same command again.",
    )


def _turn_on(services: Services, now: Vault) -> None:
    """Write the switch. If the answer is unclear, read the vault to find out; if that is unclear, too, switch back.

    The write may still take effect after a read that does not show it.
    """
    vaults = services.azure.vaults
    try:
        answer = vaults.use_rbac(now.group, now, switched(now.tags, services.clock.now()), enabled=True)
    except ProvisioningError as error:  # a refusal may also be the answer to a retry whose first attempt succeeded
        unclear = isinstance(error, UnreachableError | ServiceError) and not isinstance(error, ThrottledError)
        with suppress(ProvisioningError):
            found = vaults.get(now.group, now.name)
            if found.rbac and (unclear or was_switched(found.tags)):
                return
        if unclear:
            raise _switched_back(services, now, error) from error
        raise
    if not answer.rbac:
        raise ConflictError(
            f"Azure accepted the request to switch {now.name} to Azure RBAC, but the vault is still on access policies.",
            hint="An Azure Policy may enforce access policies: `az policy state list` shows it. Roles stay assigned.",
        )


def _require_switched(services: Services, before: Vault, *, agreed: bool) -> Vault:
    """Read the vault, which must be on Azure RBAC with the access policies that the switch was made for."""
    after = read(services, before, agreed=agreed)
    if changes := differences(replace(before, rbac=True), after):
        raise ConflictError(
            f"The switch of {before.name} to Azure RBAC was accepted, but others changed the vault at the same time: "
            f"{changes}.",
            hint="Run the same command again: it plans with the vault as it is now.",
        )
    return after


_EXEMPT = (
    "The policy would also stop `rescue`: `az policy state list` shows it, and its owner can grant an exemption first."
)


def _switched_back(services: Services, before: Vault, cause: ProvisioningError | None) -> ProvisioningError:
    """Switch the vault back to its access policies, read it, and return the error that describes its state."""
    what = f"{cause.message} " if cause else ""
    refusal: ProvisioningError | None = None
    try:
        refusal = _turn_off(services, before)
        now = read_back(services, before)
    except ProvisioningError as error:
        return _unknown(cause, before, f"{what}Switching back failed: {(refusal or error).message}")
    except KeyboardInterrupt:
        return _unknown(cause, before, f"{what}Switching back was interrupted.")
    side_effects.of_vault(services, before, now)
    if now.rbac:
        policy = refusal is None or isinstance(refusal, PolicyError)
        way_back = f"{_EXEMPT} {shell.way_back(now.id)}" if policy else shell.way_back(now.id)
        why = (
            f"Switching back failed: {refusal.message}"
            if refusal
            else "Switching back had no effect, probably because of an Azure Policy."
        )
        return _kind(cause)(
            f"{what}{why} The vault {now.name} is still on Azure RBAC, where access policies have no effect.",
            hint=f"Run the same command again in some minutes to wait for the roles, which stay assigned. {way_back}",
        )
    return _kind(cause)(
        f"{what}The vault {now.name} was switched back to access policies, which are effective again.",
        hint="The roles stay assigned and keep propagating: run the same command again in some minutes, or wait "
        "longer with --access-timeout 30m.",
    )


_PATIENCE = timedelta(minutes=2)
"""How long switching back is tried, if it fails for a reason that may pass. The sign-in lasts longer than that."""


def _turn_off(services: Services, before: Vault) -> ProvisioningError | None:
    """Switch the vault back to its access policies. Return the last refusal, if it did not succeed."""
    vaults = services.azure.vaults
    refusal: ProvisioningError | None = None

    def report(elapsed: timedelta, budget: timedelta) -> None:
        with suppress(OSError):  # the terminal may be closed
            services.reporter.waiting("the vault to be switched back", elapsed, budget)

    for _ in attempts(services.clock, _PATIENCE, report):
        # If the vault cannot be read, its tags stay, that of the switch among them.
        tags: Mapping[str, str] | None = None
        with suppress(ProvisioningError):
            tags = unswitched(vaults.get(before.group, before.name).tags)
        try:
            vaults.use_rbac(before.group, before, tags, enabled=False)
        except (FailedError, BusyError) as error:
            refusal = error
            if isinstance(error, BadRequestError):
                break
        except ProvisioningError as error:
            return error
        else:
            return None
    return refusal


def _unknown(cause: ProvisioningError | None, vault: Vault, what: str) -> ProvisioningError:
    return _kind(cause)(
        f"{what} The vault {vault.name} may be on Azure RBAC, where access policies have no effect.",
        hint="Run the same command again: it continues with the vault's current state. " + shell.way_back(vault.id),
    )


def _kind(cause: ProvisioningError | None) -> type[ProvisioningError]:
    return type(cause) if cause else AccessNotEffectiveError


def rescue(services: Services, action: Rescue) -> str:
    """Put the vault on its access policies with the smallest possible request."""
    vaults = services.azure.vaults
    try:
        after = vaults.use_rbac(action.vault.group, action.vault, None, enabled=False)
    except MissingRightsError as error:
        raise MissingRightsError(
            error.message, hint=f"Ask somebody who may, to run: {shell.rescue(action.vault.id)}. {shell.MAY_RESCUE}"
        ) from error
    return side_effects.of_vault(services, action.vault, after)


def differences(planned: Vault, now: Vault) -> str:
    """Say what changed in the vault's access model and access policies; empty if nothing did."""
    if planned.rbac != now.rbac:
        return f"it now uses {'Azure RBAC' if now.rbac else 'access policies'}"
    then, there = _permissions(planned), _permissions(now)
    who = sorted({object_id for object_id, *_ in then ^ there})
    return f"the access policies of {', '.join(who)}" if who else ""


def _permissions(vault: Vault) -> frozenset[tuple[str, str, str, str]]:
    return frozenset(
        (policy.object_id.lower(), (policy.application_id or "").lower(), kind, verb.lower())
        for policy in vault.policies
        for kind, verbs in policy.permissions.items()
        for verb in verbs
    )
