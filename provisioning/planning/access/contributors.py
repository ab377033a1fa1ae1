"""The role of those who start fine-tuning jobs, on the Azure OpenAI account. Pure."""

from collections.abc import Iterator

from provisioning.models import OPENAI_CONTRIBUTOR, Assignment, Observed, Target
from provisioning.planning.access.grants import UNKNOWN_PRINCIPAL
from provisioning.planning.access.permissions import grants
from provisioning.planning.access.principals import CANNOT_ADD, ending, principal, until
from provisioning.planning.actions import NARROWED, AssignRole
from provisioning.planning.ownership import Purpose, owner
from provisioning.planning.steps import Step, Verb
from provisioning.resource_ids import same

ROLE = "Cognitive Services OpenAI Contributor"
_DATA = "Microsoft.CognitiveServices/accounts/OpenAI/"
SUBMITTING = (f"{_DATA}fine-tunes/write", f"{_DATA}files/write", f"{_DATA}fine-tunes/read", f"{_DATA}files/read")
"""The data actions that are needed to start jobs and to upload their files."""


def on_account(target: Target, observed: Observed) -> Iterator[Step]:
    """Plan the role for each contributor who has no lasting roles that permit the same."""
    account = observed.account
    for object_id in dict.fromkeys(each.lower() for each in target.contributors):
        who = principal(observed, object_id)
        shown = f"{who.label} on {account.name}"
        roles = observed.contributing.get(object_id, ())
        useful = [role for role in roles if any(grants(role, action) for action in SUBMITTING)]
        if all(any(grants(role, action) for role in useful) for action in SUBMITTING):
            names = " and ".join(dict.fromkeys(role.name for role in useful))
            yield Step(Verb.ALREADY, "role", f"{names} → {shown}", why="permits starting fine-tuning jobs")
            continue
        if blocked := ending(observed.on_account, object_id, OPENAI_CONTRIBUTOR, account.id):
            danger = f"{until(ROLE, blocked)}, {CANNOT_ADD}"
            yield Step(Verb.NOTE, "role", f"{ROLE} → {shown}", danger=danger)
            continue
        narrowed = next((a.id for a in observed.on_account if _is_narrowed(a, object_id, account.id)), "")
        yield Step(
            Verb.ADD,
            "role",
            f"{ROLE} → {shown}",
            why="; ".join(("to start fine-tuning jobs", *observed.ending.get(object_id, ()))),
            after=f"{ROLE} on {account.name}",
            danger=NARROWED if narrowed else UNKNOWN_PRINCIPAL if who.missing else "",
            action=AssignRole(
                observed.vault,
                OPENAI_CONTRIBUTOR,
                ROLE,
                who,
                owner(target, account.id),
                Purpose.CONTRIBUTOR,
                account_id=account.id,
                narrowed=narrowed,
            ),
        )


def _is_narrowed(assignment: Assignment, object_id: str, account_id: str) -> bool:
    """Whether this is the contributor's own assignment of the role, with a condition."""
    is_role = assignment.role_id == OPENAI_CONTRIBUTOR and same(assignment.scope, account_id)
    return is_role and assignment.conditional and same(assignment.principal_id, object_id)
