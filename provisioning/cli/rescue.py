"""rescue: put a vault back on its access policies, when setup could not."""

from provisioning.cli.output import documents
from provisioning.cli.session import Session
from provisioning.errors import AccessWouldBeLostError, NotInPlaceError
from provisioning.execution.vault import read_back
from provisioning.planning.vault import plan_rescue


def rescue(session: Session, *, yes: bool, interactive: bool, dry_run: bool = False) -> None:
    """Show the change, apply it, and read the vault to verify it. On a vault with access policies nothing is written.

    Raises:
        AccessWouldBeLostError: the vault has no access policies, so nobody could use it.
        ProvisioningError: from Azure.
    """
    azure = session.sign_in()
    target = session.target
    vault = azure.vaults.get(target.key_vault_group, target.vault)
    made = plan_rescue(vault)
    session.facts |= {
        **documents.signed_in(azure.caller, azure.subscription),
        "vault": documents.vault(vault),
        **documents.plan(made),
        "applied": [],
    }
    if made.work and not vault.policies and not target.accept_loss:
        raise AccessWouldBeLostError(
            f"{vault.name} has no access policies: with them in effect, nobody could use what it holds. Nothing was written.",
            hint="If that is intended, pass --accept-loss.",
        )
    if dry_run:
        session.ui.plan(made)
        session.ui.answer({"ok": True, **session.facts}, ())
        return
    session.ui.proposal(made)
    if made.work:
        session.consent(made, yes=yes, interactive=interactive)
        services = session.services(azure)
        session.apply(services, made, None, lambda: made, session.clock.now())
        if read_back(services, vault).rbac:
            raise NotInPlaceError(
                f"{vault.name} was switched back, and is on Azure RBAC again.",
                hint="An Azure Policy or somebody else may enforce Azure RBAC: `az policy state list` shows policies.",
            )
    session.ui.answer({"ok": True, **session.facts}, [f"{vault.name} is on access policies."])
