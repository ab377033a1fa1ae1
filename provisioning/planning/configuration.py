"""Signs that Terraform, Bicep or another tool manages a resource and may put back what setup changes. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from provisioning.models import Account, Vault
from provisioning.planning.actions import AllowByPolicy, EnableIdentity, SwitchToRbac
from provisioning.planning.ownership import SWITCHED
from provisioning.planning.steps import Plan, Step, Verb

_TOOL = re.compile("terraform|bicep|pulumi", re.IGNORECASE)
_MODEL = (
    f'rbac_authorization_enabled = true and lifecycle {{ ignore_changes = [tags["{SWITCHED}"]] }} (Terraform), '
    "or enableRbacAuthorization: true (Bicep)"
)
_ENTRIES = "its access_policy blocks and tags (Terraform), or accessPolicies (Bicep)"
_IDENTITY = "identity { type = \"SystemAssigned\" } (Terraform), or identity: { type: 'SystemAssigned' } (Bicep)"
"""The lines that a configuration must contain (hashicorp/terraform-provider-azurerm 5, key_vault and
cognitive_account).
"""


def configuration_notes(plan: Plan, deployments: Sequence[str]) -> Iterator[Step]:
    """Note each changed resource that a configuration seems to manage, with the lines to change there."""
    for action in (step.action for step in plan.work):
        match action:
            case SwitchToRbac() if signs := [*_of_vault(action.vault), *map(_deployed, deployments)]:
                yield _note(action.vault.name, signs, _MODEL)
            case AllowByPolicy() if signs := [*_of_vault(action.vault), *map(_deployed, deployments)]:
                yield _note(action.vault.name, signs, _ENTRIES)
                return  # one line is enough for all entries
            case EnableIdentity() if signs := _tags(action.account):
                yield _note(action.account.name, signs, _IDENTITY)
            case _:
                pass


def _note(name: str, signs: Sequence[str], lines: str) -> Step:
    return Step(
        Verb.NOTE,
        "configuration",
        f"{name} may be managed by Terraform, Bicep or another tool ({'; '.join(signs)})",
        danger=f"its next run may undo the change; adapt the configuration first: {lines}",
    )


def _deployed(name: str) -> str:
    return f"deployment {name}"


def _of_vault(vault: Vault) -> list[str]:
    return [*_tags(vault), *(["last changed by an application"] if vault.by_application else [])]


def _tags(resource: Vault | Account) -> list[str]:
    """Return the tags that name such a tool."""
    tags: Mapping[str, str] = resource.tags
    return [f"tag {name}: {value}" for name, value in sorted(tags.items()) if _TOOL.search(f"{name} {value}")]
