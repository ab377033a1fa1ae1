"""The closing lines of each command, for people. Their data is the same as the JSON document's."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

from provisioning import shell
from provisioning.checks.report import Check, State
from provisioning.cli.output.columns import Row
from provisioning.durations import spell
from provisioning.models import Observed, SecretState, Target
from provisioning.planning.secret import expiry_warning
from provisioning.planning.steps import Plan, Step, Verb


def in_place(observed: Observed, target: Target, settings: Mapping[str, str], offer: Collection[str]) -> list[str]:
    """setup: the values for the portal form, which has no public API, the app's settings, an offer, and the next command."""
    doctor = shell.provisioning("doctor", target, observed.subscription.id)
    return [
        "In place.",
        "",
        "For the portal form (Foundry (classic): fine-tuning, Manage integrations):",
        f"  Key Vault URL  {observed.vault.uri}",
        f"  Secret name    {target.secret}",
        "",
        "Settings for the function app:",
        *(f"  {name}={value}" for name, value in settings.items()),
        "",
        *offer,
        *([""] if offer else []),
        "Next: deploy the function app as docs/deploy.md describes, with the output of `setup -o json`. Then run:",
        f"  {doctor} --function-app NAME --function-app-group GROUP",
    ]


def status(each: Plan) -> list[str | Row]:
    """status: drift, resource by resource."""
    count = len(each.changes)
    differ = "1 resource differs" if count == 1 else f"{count} resources differ"
    verdict = f"{differ}; `setup` corrects that" if each.work else "in place"
    rows = [Row(_state(s), s.resource, s.detail, danger=s.danger, command=s.command) for s in each.steps]
    return [f"{each.about}: {verdict}", *rows]


def _state(step: Step) -> str:
    """The state of one resource. One that is not visible may still exist."""
    return "not visible" if step.before == SecretState.UNKNOWN else _STATES[step.verb]


_STATES = {
    Verb.ALREADY: "in place",
    Verb.ADD: "missing",
    Verb.CHANGE: "differs",
    Verb.WAIT: "not settled",
    Verb.NOTE: "note",
}


def rotated(
    observed: Observed, target: Target, base_url: str | None, refresh: timedelta, *, written: bool, changed: bool
) -> list[str]:
    """rotate-key: the current version, and the step that remains in W&B, which still accepts the old key."""
    until = f", expires {observed.secret.expires:%Y-%m-%d}" if observed.secret.expires else ""
    lines = [
        "Rotated."
        if written
        else f"The vault already holds this key: {'its expiry was changed' if changed else _NO_ROTATION}.",
        f"  secret {target.secret} in {observed.vault.uri}, version {observed.secret.version}{until}",
    ]
    if not written:
        warning = expiry_warning(observed.secret.expires, observed.at)
        return [*lines, f"  {warning}"] if warning else lines
    server = base_url.rstrip("/") if base_url else "https://wandb.ai"
    return [
        *lines,
        f"Running functions use the new key within {spell(refresh)}, without a restart.",
        "Next: revoke the old key, which W&B accepts until then:",
        f"  {server}/settings, or the team's settings for a service account's key",
    ]


_NO_ROTATION = "nothing to rotate"


def torn_down(target: Target, remaining: Collection[Step], *, changed: bool, recoverable: bool) -> list[str | Row]:
    """teardown: what remains, and how to recover or purge a deleted secret that is recoverable."""
    lines: list[str | Row] = ["Removed." if changed else "Nothing to remove."]
    if recoverable:
        named = ("--vault-name", target.vault, "-n", target.secret)
        lines += [
            "`setup` can recover the secret until Azure purges it.",
            "To do it by hand, with a role on the vault's secrets:",
            f"  recover  {shell.command('az', 'keyvault', 'secret', 'recover', *named)}",
            f"  purge    {shell.command('az', 'keyvault', 'secret', 'purge', *named)}",
        ]
    rows = [Row("", s.resource, s.detail, command=s.command) for s in remaining]
    return [*lines, "Remaining:", *rows] if rows else lines


def healthy(checks: Collection[Check]) -> list[str]:
    """doctor: the closing line if no check failed."""
    counts = Counter(each.state for each in checks)
    words = {State.WARNING: "warning" if counts[State.WARNING] == 1 else "warnings", State.SKIPPED: "skipped"}
    rest = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    return [f"{counts[State.OK]} of {len(checks)} checks ok" + (f"; {rest}" if rest else "") + "."]
