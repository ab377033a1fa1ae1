"""The JSON documents and the closing lines of each command: what programs and people get from the same facts. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from .model import Observed, Target, WandbAccount
from .steps import Loss, Plan, Step, Verb


def settings(observed: Observed, target: Target, wandb: WandbAccount | None, base_url: str | None) -> dict[str, str]:
    """The function app's settings that this command knows."""
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


def step(each: Step) -> dict[str, str]:
    """One line of a plan."""
    shown = {"verb": each.verb.value, "resource": each.resource, "detail": each.detail}
    rest = {"why": each.why, "before": each.before, "after": each.after, "danger": each.danger}
    return shown | {name: text for name, text in rest.items() if text}


def scene(observed: Observed, target: Target) -> dict[str, Any]:
    """Who acted on what."""
    caller, subscription = observed.caller, observed.subscription
    return {
        "signed_in": {"name": caller.name, "object_id": caller.object_id, "kind": caller.kind, "via": caller.via},
        "subscription": {"id": subscription.id, "name": subscription.name},
        "resource_group": target.resource_group,
        "account": {"name": observed.account.name, "id": observed.account.id, "endpoint": observed.account.endpoint},
        "vault": {"name": observed.vault.name, "id": observed.vault.id, "url": observed.vault.uri},
        "secret": target.secret,
    }


def plan(each: Plan) -> dict[str, Any]:
    """A plan: its steps in order, and what cannot be carried over."""
    return {"changes": len(each.changes), "steps": [step(s) for s in each.steps], "losses": losses(each.losses)}


def losses(each: Iterable[Loss]) -> list[dict[str, str]]:
    """Access that the switch to Azure RBAC would take away."""
    return [{"principal": x.principal, "object_id": x.object_id, "reason": x.reason} for x in each]


def wandb(account: WandbAccount | None) -> dict[str, Any] | None:
    """Whom the W&B key belongs to; None where no key was at hand."""
    if account is None:
        return None
    return {"username": account.username, "entity": account.entity, "may_write": account.may_write}


def in_place(observed: Observed, target: Target, known: Mapping[str, str]) -> list[str]:
    """What to do with what is now in place: the portal form, which has no public API, and the app's settings."""
    return [
        "In place.",
        "",
        "For the portal form (Foundry (classic) portal: fine-tuning, Manage integrations, Weights & Biases):",
        f"  Key Vault URL  {observed.vault.uri}",
        f"  Secret name    {target.secret}",
        "",
        "Settings for the function app (infra/):",
        *(f"  {name}={value}" for name, value in known.items()),
    ]


def status(each: Plan) -> list[str]:
    """Drift, resource by resource."""
    words = {Verb.ALREADY: "in place", Verb.ADD: "missing", Verb.CHANGE: "differs", Verb.WAIT: "not settled"}
    width = max(len(s.resource) for s in each.steps)
    lines = [f"  {words[s.verb]:<11}  {s.resource:<{width}}  {s.detail}" for s in each.steps]
    verdict = "in place" if not each.work else f"{len(each.changes)} things differ; `setup` puts them right"
    return [f"{each.about}: {verdict}", *lines]
