"""The JSON documents and the closing lines of each command: what programs and people get from the same facts. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from provisioning.checks.diagnosis import Check, State
from provisioning.cli.columns import Row
from provisioning.durations import spell
from provisioning.models import Caller, Observed, SecretState, Subscription, Target, WandbAccount
from provisioning.planning.steps import Loss, Plan, Step, Verb


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
    rest["command"] = each.command
    return shown | {name: text for name, text in rest.items() if text}


def signed_in(caller: Caller, subscription: Subscription) -> dict[str, Any]:
    """Who acts, and where."""
    return {
        "signed_in": {"name": caller.name, "object_id": caller.object_id, "kind": caller.kind, "via": caller.via},
        "subscription": {"id": subscription.id, "name": subscription.name},
    }


def scene(observed: Observed, target: Target) -> dict[str, Any]:
    """Who acted on what."""
    return {
        **signed_in(observed.caller, observed.subscription),
        "resource_group": target.resource_group,
        "account": {"name": observed.account.name, "id": observed.account.id, "endpoint": observed.account.endpoint},
        "vault": {"name": observed.vault.name, "id": observed.vault.id, "url": observed.vault.uri},
        "secret": target.secret,
        "secret_expires": moment(observed.secret.expires),
    }


def plan(each: Plan) -> dict[str, Any]:
    """A plan: its steps in order, and what cannot be carried over."""
    return {
        "changes": len(each.changes),
        "steps": [step(s) for s in each.steps],
        "losses": losses(each.losses),
        "warnings": [f"{s.resource}: {s.danger}" for s in each.steps if s.danger and s.action is None],
    }


def losses(each: Iterable[Loss]) -> list[dict[str, str]]:
    """Access that the switch to Azure RBAC would take away."""
    return [{"principal": x.principal, "object_id": x.object_id, "reason": x.reason} for x in each]


def rights(missing: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Actions of the control plane that the caller lacks, each with the scope where it would be needed."""
    return [{"action": action, "scope": scope} for action, scope in missing]


def wandb(account: WandbAccount | None) -> dict[str, Any] | None:
    """Whom the W&B key belongs to; None where no key was at hand."""
    if account is None:
        return None
    return {"username": account.username, "entity": account.entity, "may_write": account.may_write}


def in_place(observed: Observed, target: Target, known: Mapping[str, str]) -> list[str]:
    """What to do with what is now in place: the portal form, which has no public API, the app's settings, the way on."""
    return [
        "In place.",
        "",
        "For the portal form (Foundry (classic): fine-tuning, Manage integrations):",
        f"  Key Vault URL  {observed.vault.uri}",
        f"  Secret name    {target.secret}",
        "",
        "Settings for the function app:",
        *(f"  {name}={value}" for name, value in known.items()),
        "",
        "Next: deploy it, as docs/deploy.md in this project's repository says, with what `setup -o json` prints. Then:",
        f"  {command('doctor', target, observed.subscription.id)} --function-app NAME --function-app-group GROUP",
    ]


def command(name: str, target: Target, subscription_id: str) -> str:
    """A command for the same chain, to be copied whatever was said by options and what by variables; but for --cloud."""
    where = f"--subscription {subscription_id} -g {target.resource_group}"
    which = f"--openai-account {target.account} --key-vault {target.vault} --secret-name {target.secret}"
    return f"python -m provisioning {name} {where} {which}"


def moment(when: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    return when.astimezone(UTC).isoformat(timespec="seconds") if when else None


def rotated(
    observed: Observed, target: Target, base_url: str | None, taken_up: timedelta, *, written: bool
) -> list[str]:
    """What rotate-key leaves, and what is still to be done in W&B, where the old key goes on working."""
    until = f", expires {observed.secret.expires:%Y-%m-%d}" if observed.secret.expires else ""
    lines = [
        "Rotated." if written else "The vault holds this key already: nothing to rotate.",
        f"  secret {target.secret} in {observed.vault.uri}, version {observed.secret.version}{until}",
    ]
    if not written:
        return lines
    where = base_url.rstrip("/") if base_url else "https://wandb.ai"
    return [
        *lines,
        f"Running functions take up the new key within {spell(taken_up)}, without a restart.",
        "Next: revoke the old key, which W&B accepts until then:",
        f"  {where}/settings, or the team's settings where it is a service account's",
    ]


def torn_down(target: Target, stays: Collection[Step], *, changed: bool, deleted: bool) -> list[str | Row]:
    """What teardown did and what it left; what a deleted secret can still become."""
    lines: list[str | Row] = ["Taken away." if changed else "Nothing to take away."]
    if deleted:
        named = f"--vault-name {target.vault} -n {target.secret}"
        lines += [
            "The secret can be recovered until Azure purges it: `setup` does that.",
            "By hand, with a role on the vault's secrets:",
            f"  back      az keyvault secret recover {named}",
            f"  for good  az keyvault secret purge {named}",
        ]
    notes = [Row("", s.resource, s.detail, command=s.command) for s in stays]
    return [*lines, "What stays:", *notes] if notes else lines


def status(each: Plan) -> list[str | Row]:
    """Drift, resource by resource."""
    verdict = "in place" if not each.work else f"{_things(len(each.changes))}; `setup` puts it right"
    rows = [Row(_found(s), s.resource, s.detail, danger=s.danger, command=s.command) for s in each.steps]
    return [f"{each.about}: {verdict}", *rows]


def _things(count: int) -> str:
    return "1 thing differs" if count == 1 else f"{count} things differ"


def _found(each: Step) -> str:
    """What drift is called: not to see a thing is not to know that it is missing."""
    return "not visible" if each.before == SecretState.UNKNOWN else _FOUND[each.verb]


_FOUND = {
    Verb.ALREADY: "in place",
    Verb.ADD: "missing",
    Verb.CHANGE: "differs",
    Verb.WAIT: "not settled",
    Verb.NOTE: "note",
}


def check(each: Check) -> dict[str, str]:
    """One link of the chain, as doctor found it."""
    shown = {"name": each.name, "state": each.state.value, "seen": each.seen}
    return shown | ({"remedy": each.remedy} if each.remedy else {})


def healthy(checks: Collection[Check]) -> list[str]:
    """doctor's closing line when nothing failed."""
    counts = Counter(each.state for each in checks)
    rest = ", ".join(f"{counts[state]} {word}" for state, word in _NOTABLE.items() if counts[state])
    return [f"{counts[State.OK]} of {len(checks)} checks ok" + (f"; {rest}" if rest else "") + "."]


_NOTABLE = {State.WARNING: "to look at", State.SKIPPED: "skipped"}
