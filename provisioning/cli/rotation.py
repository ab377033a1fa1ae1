"""rotate-key: write a new W&B key as the secret's current version and disable the previous one."""

from datetime import timedelta
from functools import partial

from provisioning.azure.client import Azure
from provisioning.cli.output import documents, summaries
from provisioning.cli.session import Session
from provisioning.errors import KeyNotStoredError, MissingRightsError, NotInPlaceError
from provisioning.execution.secret import CheckedKey
from provisioning.execution.services import LATE
from provisioning.models import Observed, SecretState, Target
from provisioning.observation.inventory import observe
from provisioning.planning.actions import RotateSecret
from provisioning.planning.rotation import plan_rotation
from provisioning.planning.secret import key_state
from provisioning.planning.steps import Plan
from provisioning.wandb_key import Key

REFRESH = timedelta(minutes=5)
"""How long the function app uses a key before it reads the vault again; a test compares it with function_app."""


def rotate(session: Session, *, yes: bool, interactive: bool, dry_run: bool = False) -> None:
    """Check the new key with W&B, write it, read it back, disable the versions that it replaces, and verify.

    Raises:
        KeyNotStoredError: there is no secret to rotate.
        MissingRightsError: this identity may not read the secret.
        ProvisioningError: from Azure or W&B. Run again with the same key to continue.
    """
    azure, observed = session.observe()
    _rotatable(session.target, observed)
    key, account = session.new_key()
    made = session.plan(azure, observed, partial(_plan, session.target, azure, key))
    session.facts |= {**documents.plan(made), "wandb": documents.wandb(account), "applied": []}
    if dry_run:
        session.ui.plan(made)
        session.ui.answer({"ok": True, **session.facts}, ())
        return
    session.preflight(azure, made)
    session.ui.proposal(made)
    if made.changes:
        session.consent(made, yes=yes, interactive=interactive)
        # No role is new here, so waiting does not help an operator who may read but not write.
        services = session.services(azure, access_timeout=timedelta(0))

        def replan() -> Plan:
            return _plan(session.target, azure, key, observe(azure, session.target, session.clock))

        session.apply(services, made, CheckedKey(key.value, account.entity), replan, observed.at)
        observed = _verified(session, azure, key)
    written = any(isinstance(s.action, RotateSecret) for s in made.work)
    current = {"version": observed.secret.version, "expires": documents.timestamp(observed.secret.expires)}
    session.ui.answer(
        {"ok": True, **session.facts, "rotated": written, **current},
        summaries.rotated(
            observed, session.target, session.wandb_base_url, REFRESH, written=written, changed=bool(made.changes)
        ),
    )


def _rotatable(target: Target, observed: Observed) -> None:
    state = observed.secret.state
    if state in (SecretState.PRESENT, SecretState.DISABLED):
        return
    if state is SecretState.UNKNOWN:
        raise MissingRightsError(
            f"You may not read secret {target.secret} in vault {observed.vault.name}. Nothing was written.",
            hint="`setup` assigns you the role. If it did so minutes ago, run the same command again.",
        )
    raise KeyNotStoredError(
        f"Secret {target.secret} is {state.value}: there is no key to rotate.",
        hint="`setup` with the new key stores it"
        + ("." if state is SecretState.MISSING else ", and recovers the secret."),
    )


def _plan(target: Target, azure: Azure, key: Key, observed: Observed) -> Plan:
    versions = azure.secrets(observed.vault).versions(target.secret)
    return plan_rotation(target, observed, versions, key_state(observed.secret, key.value))


def _verified(session: Session, azure: Azure, key: Key) -> Observed:
    def look() -> tuple[Observed, Plan]:
        observed = observe(azure, session.target, session.clock)
        return observed, _plan(session.target, azure, key, observed)

    observed, after = session.settle(azure, look, LATE, "the vault to show the result")
    if after.work:
        raise NotInPlaceError(
            f"All steps were applied, but these are still pending: {after.left}.",
            hint="Somebody else may be writing to the secret. Run the same command again.",
        )
    session.ui.note("verified: the vault returns the new key", "green")
    return observed
