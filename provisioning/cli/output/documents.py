"""The JSON documents, which are a contract (docs/cli-output.md). Pure data without formatting."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from provisioning.checks.report import Check
from provisioning.errors import ProvisioningError
from provisioning.models import Caller, Observed, Subscription, Target, Vault
from provisioning.planning.steps import Loss, Plan, Step
from provisioning.wandb_key import WandbAccount


def settings(observed: Observed, target: Target, wandb: WandbAccount | None, base_url: str | None) -> dict[str, str]:
    """Return the settings of the function app that this command knows."""
    known = {
        "AZURE_OPENAI_ENDPOINTS": observed.account.endpoint,
        "KEY_VAULT_URL": observed.vault.uri,
        "WANDB_SECRET_NAME": target.secret,
    }
    if wandb:
        known["WANDB_ENTITY"] = wandb.entity
    if base_url:
        known["WANDB_BASE_URL"] = base_url
    return known


def step(step: Step) -> dict[str, str]:
    """One line of a plan."""
    shown = {"verb": step.verb.value, "resource": step.resource, "detail": step.detail}
    rest = {"why": step.why, "before": step.before, "after": step.after, "danger": step.danger}
    rest["command"] = step.command
    return shown | {name: text for name, text in rest.items() if text}


def signed_in(caller: Caller, subscription: Subscription) -> dict[str, Any]:
    """The signed-in principal and the subscription."""
    return {
        "signed_in": {"name": caller.name, "object_id": caller.object_id, "kind": caller.kind, "via": caller.via},
        "subscription": {"id": subscription.id, "name": subscription.name},
    }


def scene(observed: Observed, target: Target) -> dict[str, Any]:
    """The fields that all commands but doctor share."""
    return {
        **signed_in(observed.caller, observed.subscription),
        "resource_group": target.resource_group,
        "account": {"name": observed.account.name, "id": observed.account.id, "endpoint": observed.account.endpoint},
        "vault": vault(observed.vault),
        "secret": target.secret,
        "secret_expires": timestamp(observed.secret.expires),
    }


def vault(vault: Vault) -> dict[str, str]:
    """A Key Vault."""
    return {"name": vault.name, "id": vault.id, "url": vault.uri}


def plan(plan: Plan) -> dict[str, Any]:
    """A plan: its steps in order, and the access that would be lost."""
    return {
        "changes": len(plan.changes),
        "steps": [step(s) for s in plan.steps],
        "losses": losses(plan.losses),
        "warnings": [f"{s.resource}: {s.danger}" for s in plan.steps if s.danger and s.action is None],
    }


def losses(each: Iterable[Loss]) -> list[dict[str, str]]:
    """List access that the switch to Azure RBAC would take away."""
    return [{"principal": x.principal, "object_id": x.object_id, "reason": x.reason} for x in each]


def rights(missing: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Control-plane actions that the caller lacks, each with the scope where it is needed."""
    return [{"action": action, "scope": scope} for action, scope in missing]


def refusal(error: ProvisioningError | None) -> dict[str, str] | None:
    """Return why governance (a lock, a policy) will refuse the plan; None if nothing is known to."""
    return {"code": error.code, "message": error.message, "hint": error.hint} if error else None


def wandb(account: WandbAccount | None) -> dict[str, Any] | None:
    """The owner of the W&B key; None if no key was given."""
    if account is None:
        return None
    return {"username": account.username, "entity": account.entity, "may_write": account.may_write}


def check(check: Check) -> dict[str, str]:
    """One result of doctor."""
    shown = {"name": check.name, "state": check.state.value, "seen": check.seen}
    return shown | ({"remedy": check.remedy} if check.remedy else {})


def timestamp(when: datetime | None) -> str | None:
    """Format a time as ISO 8601 in UTC."""
    return when.astimezone(UTC).isoformat(timespec="seconds") if when else None
