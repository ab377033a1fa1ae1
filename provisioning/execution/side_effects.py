"""Changes that a write made besides those that it asked for. An Azure Policy with the effect Modify may cause such a
change at any write.
"""

from collections.abc import Iterator, Mapping

from provisioning.execution.services import Services
from provisioning.models import Account, Vault


def of_vault(services: Services, before: Vault, after: Vault, tags: Mapping[str, str] | None = None) -> str:
    """Report what else changed in a vault; `tags` are those that the write asked for, if it did."""
    found = [*_rules(before, after), *_tags(before.tags if tags is None else tags, after.tags)]
    return _reported(services, before.name, found)


def of_account(services: Services, before: Account, after: Account) -> str:
    """Report what else changed in an account."""
    found = [*_rules(before, after), *_tags(before.tags, after.tags)]
    if before.local_auth != after.local_auth:
        found.append(f"API keys are {'enabled' if after.local_auth else 'disabled'} now")
    return _reported(services, before.name, found)


def _rules(before: Vault | Account, after: Vault | Account) -> Iterator[str]:
    """Yield the network rules that were added or removed. Public access is one of them."""
    for sign, rules in (("new", after.rules - before.rules), ("gone", before.rules - after.rules)):
        if rules:
            yield f"network rules {sign}: {', '.join(sorted(rules))}"


def _tags(requested: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[str]:
    different = sorted(name for name in {*requested, *shown} if requested.get(name) != shown.get(name))
    if different:
        yield f"tags: {', '.join(different)}"


def _reported(services: Services, name: str, found: list[str]) -> str:
    """Record the differences for the end of the command, and return them as a note to the step."""
    if not found:
        return ""
    text = f"{name} also changed in other ways, probably because of an Azure Policy: {'; '.join(found)}"
    services.side_effects.append(text)
    return text
