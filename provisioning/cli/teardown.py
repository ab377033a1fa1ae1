"""teardown: remove what setup added, and nothing else."""

from collections.abc import Callable

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.cli.output import documents, summaries
from provisioning.cli.session import Session
from provisioning.errors import MissingRightsError, NotInPlaceError, NotOursError, VaultDeletedError
from provisioning.execution.access import wait_for_access
from provisioning.execution.services import SETTLING
from provisioning.models import Observed, SecretState
from provisioning.observation.removal import observe_for_removal
from provisioning.planning.actions import RemoveEntries, RemoveRole, RemoveSecret
from provisioning.planning.owned import proves_switch
from provisioning.planning.steps import Plan, Verb
from provisioning.planning.teardown import hidden, plan_teardown
from provisioning.resource_ids import same


def teardown(session: Session, *, restore: bool, yes: bool, interactive: bool, dry_run: bool = False) -> None:
    """Show what setup added, remove it, and verify. Run again after an interruption to continue.

    With `restore`, a vault that setup switched is switched back to its access policies.

    Raises:
        NotOursError: the vault is on Azure RBAC, and nothing proves that setup switched it.
        MissingRightsError: the secret may exist but is not visible, or a right is missing.
        AccessWouldBeLostError: principals would lose access when the vault is switched back.
        ProvisioningError: from Azure.
    """
    azure = session.sign_in()
    observed = _observe(session, azure, restore=restore)
    session.facts |= documents.scene(observed, session.target)
    _refuse(session, observed, restore=restore)
    made = session.plan(azure, observed, _planning(session, azure, observed, restore=restore))
    unseen = observed.secret.state is SecretState.UNKNOWN and any(isinstance(s.action, RemoveSecret) for s in made.work)
    if unseen and not dry_run:  # which secrets need a role shows only after the vault lets the operator in
        session.preflight(azure, made, "Switching back to access policies")
        wait_for_access(session.services(azure), observed.vault, session.target.secret)
        observed = _observe(session, azure, restore=restore)
        made = session.plan(azure, observed, _planning(session, azure, observed, restore=restore))
    session.facts |= {**documents.plan(made), "applied": []}
    if dry_run:
        session.ui.plan(made)
        session.ui.answer({"ok": True, **session.facts}, ())
        return
    _require_listed(observed, made)
    session.preflight(azure, made, "Switching back to access policies")
    session.ui.proposal(made)
    after, deleted = made, False

    def replan() -> Plan:
        observed = _observe(session, azure, restore=restore)
        return session.plan_again(azure, observed, _planning(session, azure, observed, restore=restore))

    if made.work:
        session.consent(made, yes=yes, interactive=interactive)
        executor = session.apply(session.services(azure), made, None, replan, observed.at, confirmed=not yes)
        deleted = executor.secret_deleted
        after = _verified(session, azure, restore=restore)
    notes = [s for s in after.steps if s.verb is Verb.NOTE]
    permanent = any(isinstance(s.action, RemoveSecret) and s.action.permanent for s in made.work)
    session.ui.answer(
        {"ok": True, **session.facts, "secret_deleted": deleted, "stays": [documents.step(s) for s in notes]},
        summaries.torn_down(session.target, notes, changed=bool(made.work), recoverable=deleted and not permanent),
    )


def _observe(session: Session, azure: Azure, *, restore: bool) -> Observed:
    try:
        return observe_for_removal(azure, session.target, session.clock, restore=restore)
    except VaultDeletedError as error:
        target = session.target
        raise VaultDeletedError(
            error.message,
            hint="Everything that setup added to it is gone, and its roles do not come back. What is left is the account's "
            "identity: "
            + shell.command(
                *("az", "cognitiveservices", "account", "identity", "remove"),
                *("-g", target.resource_group, "-n", target.account),
            ),
        ) from error


def _refuse(session: Session, observed: Observed, *, restore: bool) -> None:
    target, vault = session.target, observed.vault
    if restore and vault.rbac and not proves_switch(observed):
        raise NotOursError(
            f"Vault {vault.name} is on Azure RBAC, and nothing proves that setup switched it: the proof is a tag "
            "of the vault together with a role that setup gave for the switch. Nothing was written.",
            hint="Omit --restore-access-policies. To go back anyway: " + shell.rescue(vault.id),
        )
    if hidden(target, observed):
        raise MissingRightsError(
            f"You may not read secret {target.secret} in vault {vault.name}, which setup may have stored. Nothing was "
            "written.",
            hint="Ask the person who ran setup to run teardown, or run `setup` yourself first, which assigns you the role.",
        )


def _require_listed(observed: Observed, made: Plan) -> None:
    """Stop if the secrets cannot be listed and something would be removed that another secret of setup may also need."""
    actions = [step.action for step in made.work]
    whole = [a for a in actions if isinstance(a, RemoveRole) and same(a.assignment.scope, observed.vault.id)]
    shared = whole or any(isinstance(a, RemoveEntries) for a in actions)
    lists = "the secret permission `list` in your access policy"
    if observed.vault.rbac:
        lists = "a role that lists them, such as Key Vault Secrets Officer without a condition"
    if shared and observed.own_secrets is None and observed.secret.state is not SecretState.UNKNOWN:
        raise MissingRightsError(
            f"You may not list the secrets of {observed.vault.name}, one of which may need the access that teardown removes. "
            "Nothing was written.",
            hint=f"Ask for {lists}. Then run the same command again.",
        )


def _planning(session: Session, azure: Azure, observed: Observed, *, restore: bool) -> Callable[[Observed], Plan]:
    """Return what makes the plan of teardown, with the versions of the secret as they are now."""
    there = observed.secret.state in (SecretState.PRESENT, SecretState.DISABLED)
    versions = azure.secrets(observed.vault).versions(session.target.secret) if there else ()
    return lambda observed: plan_teardown(session.target, observed, versions, restore=restore)


def _verified(session: Session, azure: Azure, *, restore: bool) -> Plan:
    """Read again until nothing is left to remove. Azure's listings may be some seconds late."""

    def look() -> tuple[Observed, Plan]:
        observed = observe_for_removal(azure, session.target, session.clock, restore=restore)
        return observed, _planning(session, azure, observed, restore=restore)(observed)

    _, after = session.settle(azure, look, SETTLING, "Azure to show the removal")
    if after.work:
        raise NotInPlaceError(
            f"All steps were applied, but these still exist: {after.left}.",
            hint="Azure may be slow to show it, or somebody else is changing it. Run the same command again.",
        )
    session.ui.note("verified: what setup added is gone", "green")
    return after
