"""Remove what setup added: the secret, roles, access-policy entries, and the vault's switch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from provisioning.durations import spell
from provisioning.errors import BusyError, ConflictError
from provisioning.execution import side_effects
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import SETTLING, OutdatedPlanError, Services
from provisioning.execution.vault import differences, read_back, read_to_tag, tag
from provisioning.models import SecretState, SecretVersion
from provisioning.planning.access.permissions import own_policies
from provisioning.planning.actions import (
    ForgetSwitch,
    HandOverRole,
    RemoveEntries,
    RemoveRole,
    RemoveSecret,
    RestoreAccessPolicies,
)
from provisioning.planning.ownership import (
    entries,
    unswitched,
    was_switched,
    with_entry,
    without_entries_of_0_1,
    without_entry,
    wrote,
)


@dataclass(frozen=True)
class Removal:
    """The outcome for the secret."""

    note: str
    deleted: bool = False


def remove_secret(services: Services, action: RemoveSecret) -> Removal:
    """Delete the secret; if others wrote versions of it, disable only ours.

    Raises:
        OutdatedPlanError: the plan did not say that the deletion is permanent; nothing was written.
    """
    secrets, name = services.azure.secrets(action.vault), action.owner.secret
    found, _ = wait_for_access(services, action.vault, name)
    if found.state in (SecretState.MISSING, SecretState.DELETED):
        return Removal("it no longer existed")
    versions = _versions(services, action)
    ours = [v for v in versions if wrote(v.tags)]
    if not ours:
        return Removal("unchanged: setup did not write it")
    if len(ours) < len(versions):
        enabled = [v.version for v in ours if v.enabled]
        for version in enabled:
            secrets.disable(name, version)
        return Removal(
            f"{len(enabled)} versions disabled; the other {len(versions) - len(ours)} were not written by setup"
        )
    if not (action.permanent or all(v.recoverable for v in ours)):
        raise OutdatedPlanError(
            f"The deletion of secret {name} would be permanent, which the plan did not show. It was not deleted.",
            hint="Run the same command again: it plans with the secret as it is now.",
        )
    secrets.delete(name)
    for _ in services.attempts(SETTLING, "the secret to be deleted"):
        found = secrets.read(name)
        if action.permanent and found.state is SecretState.MISSING:
            return Removal("permanently", deleted=True)
        if found.state is SecretState.DELETED:
            return Removal(f"it will be purged on {found.purge:%Y-%m-%d}" if found.purge else "", deleted=True)
    if found.state is SecretState.MISSING:  # this identity may not see deleted secrets
        return Removal("", deleted=True)
    raise BusyError(
        f"Secret {name} was deleted, but can still be read after {spell(SETTLING)}.",
        hint="Run the same command again in a minute.",
    )


def _versions(services: Services, action: RemoveSecret) -> tuple[SecretVersion, ...]:
    """List the versions of the secret, then read the current one: the list may not show it yet (UNVERIFIED)."""
    listed = services.azure.secrets(action.vault).versions(action.owner.secret)
    current, _ = wait_for_access(services, action.vault, action.owner.secret)
    if current.state is not SecretState.PRESENT or current.version in {v.version for v in listed}:
        return listed
    return (
        *listed,
        SecretVersion(
            current.version,
            enabled=True,
            created=None,
            expires=current.expires,
            tags=current.tags,
            recoverable=action.vault.soft_delete,
        ),
    )


def remove_role(services: Services, action: RemoveRole) -> None:
    """Remove a role assignment, unless somebody has changed it, or the vault's access model, since the plan was made."""
    vault = action.vault
    if action.by_policy and read_back(services, vault).rbac:
        raise OutdatedPlanError(
            f"{vault.name} is on Azure RBAC, to which others switched it while its roles were removed. The rest was left.",
            hint="Run the same command again: it plans with the vault as it is now.",
        )
    if _as_planned(services, action):
        services.azure.roles.remove(action.assignment)


def hand_over_role(services: Services, action: HandOverRole) -> None:
    """Record the role assignment for another secret."""
    if _as_planned(services, action):
        services.azure.roles.describe(action.assignment, action.description)


def _as_planned(services: Services, action: RemoveRole | HandOverRole) -> bool:
    """Return whether the assignment is still there, and is the one that the plan saw."""
    planned = action.assignment
    now = services.azure.roles.get(planned)
    if now is None:
        return False
    if (now.role_id, now.principal_id.lower(), now.conditional, now.description) != (
        planned.role_id,
        planned.principal_id.lower(),
        planned.conditional,
        planned.description,
    ):
        raise OutdatedPlanError(
            f"Role assignment {planned.id} was changed by others since the plan was made, and was left as it is.",
            hint="Run the same command again: it plans with the assignment as it is now.",
        )
    return True


def restore_access_policies(services: Services, action: RestoreAccessPolicies) -> str:
    """Put the vault back on its stored access policies; the same request removes the record of the switch."""
    vaults, name = services.azure.vaults, action.vault.name
    now = read_to_tag(services, action.vault)
    if not was_switched(now.tags):
        raise OutdatedPlanError(
            f"The record of the switch was removed from {name} after the plan was made. The vault was not switched back.",
            hint="Run the same command again: it plans with the vault as it is now.",
        )
    if changes := differences(action.vault, now):
        raise OutdatedPlanError(
            f"Others changed {name} after the plan was made: {changes}. The vault was not switched back.",
            hint="Run the same command again: it plans with the vault as it is now.",
        )
    tags = unswitched(now.tags)
    services.tags[now.id.lower()] = vaults.use_rbac(now.group, now, tags, enabled=False).tags
    after = read_back(services, now)
    if after.rbac:
        raise ConflictError(
            f"Azure accepted the request to switch vault {name} back to access policies, but it is still on Azure RBAC.",
            hint="An Azure Policy may enforce Azure RBAC: `az policy state list` shows it. No role was removed.",
        )
    return side_effects.of_vault(services, now, after, tags)


def forget_switch(services: Services, action: ForgetSwitch) -> str:
    """Remove the record of a switch that somebody has reversed."""
    return _retag(services, action, unswitched)


def remove_entries(services: Services, action: RemoveEntries) -> str:
    """Take away what setup added to access-policy entries, then its record."""
    vaults = services.azure.vaults
    now = vaults.get(action.vault.group, action.vault.name)
    for object_id, verbs in action.entries:
        if own_policies(now.policies, object_id) != own_policies(action.vault.policies, object_id):
            raise OutdatedPlanError(
                f"The access policy of {object_id} was changed by others since the plan was made, and was left as it is.",
                hint="Run the same command again: it plans with the access policy as it is now.",
            )
        # Azure removes the permissions that are named, in the letter case that it shows.
        vaults.change_policy(now.group, now, "remove", object_id, verbs)

    def change(tags: Mapping[str, str]) -> dict[str, str]:
        left = without_entries_of_0_1(tags, action.forget)
        for object_id in action.forget:
            left = without_entry(left, object_id)
        for object_id, owner in action.hand_over:
            known = entries(left)[object_id.lower()]
            left = with_entry(without_entry(left, object_id), object_id, known.verbs, owner)
        return left

    return _retag(services, action, change)


def _retag(
    services: Services, action: ForgetSwitch | RemoveEntries, change: Callable[[Mapping[str, str]], dict[str, str]]
) -> str:
    """Change the vault's current tags: Azure replaces the whole set, and an earlier step may have changed it."""
    now = read_to_tag(services, action.vault)
    tags = change(now.tags)
    return tag(services, now, tags) if tags != now.tags else ""
