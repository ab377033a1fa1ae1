"""rotate-key: a new W&B key becomes the secret's current version, and the one before it is disabled."""

from datetime import timedelta

from provisioning.azure.client import Azure
from provisioning.cli import documents
from provisioning.cli.session import Session
from provisioning.errors import KeyNotStoredError, MissingRightsError, NotInPlaceError
from provisioning.execution.secret import CheckedKey
from provisioning.models import Observed, SecretState, Target
from provisioning.observation.inventory import observe
from provisioning.planning.actions import RotateSecret
from provisioning.planning.rotation import plan_rotation
from provisioning.planning.secret import key_state
from provisioning.planning.steps import Plan
from provisioning.wandb_key import Key

TAKEN_UP = timedelta(minutes=5)
"""How long the function app uses a key before it asks the vault again (function_app.vault.FRESH_FOR; a test agrees)."""


def rotate(session: Session, *, yes: bool, interactive: bool, dry_run: bool = False) -> None:
    """Check the new key with W&B, write it, see it read back, disable what it replaces, look again.

    Raises:
        KeyNotStoredError: there is no secret to rotate.
        MissingRightsError: the vault does not show this identity the secret.
        ProvisioningError: as the doors raise; run again with the same key, it goes on from there.
    """
    azure, observed = session.look()
    _rotatable(session.target, observed)
    key, account = session.new_key()
    made = _plan(session.target, azure, observed, key)
    session.facts |= {**documents.plan(made), "wandb": documents.wandb(account), "applied": []}
    if dry_run:
        session.ui.plan(made)
        session.ui.answer({"ok": True, **session.facts}, ())
        return
    session.ui.proposal(made)
    if made.changes:
        session.consent(made, yes=yes, interactive=interactive)
        # No role is new here, so waiting does not help an operator who may read and not write.
        services = session.services(azure, access_timeout=timedelta(0))
        session.apply(services, made, CheckedKey(key.value, account.entity))
        observed = _verified(session, azure, key)
    written = any(isinstance(s.action, RotateSecret) for s in made.work)
    current = {"version": observed.secret.version, "expires": documents.moment(observed.secret.expires)}
    session.ui.answer(
        {"ok": True, **session.facts, "rotated": written, **current},
        documents.rotated(observed, session.target, session.wandb_base_url, TAKEN_UP, written=written),
    )


def _rotatable(target: Target, observed: Observed) -> None:
    state = observed.secret.state
    if state in (SecretState.PRESENT, SecretState.DISABLED):
        return
    if state is SecretState.UNKNOWN:
        raise MissingRightsError(
            f"The vault {observed.vault.name} does not let you see secret {target.secret}. Nothing was written.",
            hint="`setup` gives you the role for it; if it did so minutes ago, run the same command again.",
        )
    raise KeyNotStoredError(
        f"Secret {target.secret} is {state.value}: there is no key to rotate.",
        hint="`setup` with the new key stores it"
        + ("." if state is SecretState.MISSING else ", and recovers the secret."),
    )


def _plan(target: Target, azure: Azure, observed: Observed, key: Key) -> Plan:
    versions = azure.secrets(observed.vault).versions(target.secret)
    return plan_rotation(target, observed, versions, key_state(observed.secret, key.value))


def _verified(session: Session, azure: Azure, key: Key) -> Observed:
    observed = observe(azure, session.target, session.clock)
    left = _plan(session.target, azure, observed, key).left
    if left:
        raise NotInPlaceError(
            f"Everything was done, and yet this is left: {left}.",
            hint="Somebody else may be writing to the secret: run the same command again.",
        )
    session.ui.note("verified by looking again: the vault gives out the new key", "green")
    return observed
