"""W&B automations that tell a team's Slack channel when a job's run fails or finishes. Opt-in: `dashboard --automations`.

Whether run-state automations are available depends on the W&B plan and the user's role. W&B decides that, and its
refusal is passed on. A pause cannot trigger an automation, so the app's alerts remain. That W&B accepts these
automations is UNVERIFIED: they have the form that wandb 0.31 builds, but none has been created on W&B's servers.
"""

from dataclasses import dataclass

from function_app.errors import WandbError
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.core.internals import automation_input

_MARK = "Made by azure-openai-wandb."
"""Part of the description of every automation that we create."""

_ASK = """
query Automations($entity: String!, $project: String!) {
  entity(name: $entity) {
    integrations(first: 100) { edges { node { __typename ... on SlackIntegration { id channelName } } } }
  }
  project(name: $project, entityName: $entity) { id name triggers { id name description } }
}
"""
_CREATE = """
mutation CreateAutomation($input: CreateFilterTriggerInput!) {
  result: createFilterTrigger(input: $input) { trigger { id name } }
}
"""


class AutomationError(WandbError):
    """The automations cannot be created."""


@dataclass(frozen=True)
class Automations:
    """The names of the automations that were created, and of those that existed."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


def save_automations(api: WandbApi) -> Automations:
    """Create the automations that the project does not have yet, for the team's first Slack channel.

    An automation with our name that somebody else made is left alone.

    Raises:
        AutomationError: the team has no Slack channel, or there is no such project.
        KeyRefusedError, WandbBusyError, WandbError: W&B refuses, or cannot be reached.
    """
    found = api.query(_ASK, {})
    project = found.get("project")
    if project is None:
        raise AutomationError(f"There is no project {api.entity}/{api.project} in W&B yet, or the key may not see it.")
    edges = ((found.get("entity") or {}).get("integrations") or {}).get("edges") or []
    channels = [edge["node"] for edge in edges if edge["node"].get("__typename") == "SlackIntegration"]
    if not channels:
        raise AutomationError(
            f"The team {api.entity} has no Slack channel in W&B.",
            "A team admin connects one in W&B: Team Settings, Slack. Then run this command again.",
        )
    there = {trigger["name"] for trigger in project.get("triggers") or []}
    created, existing = [], []
    for state in ("failed", "finished"):
        name = f"Fine-tuning {state}: {api.entity}/{api.project}"
        if name in there:
            existing.append(name)
            continue
        api.query(_CREATE, {"input": _automation(name, state, project, str(channels[0]["id"]))})
        created.append(name)
    return Automations(tuple(created), tuple(existing))


def _automation(name: str, state: str, project: dict[str, str], channel: str) -> dict[str, object]:
    """Return the input of the mutation, as wandb's own models build it."""
    from wandb.automations import OnRunState, RunEvent, SendNotification
    from wandb.automations.scopes import ProjectScope

    scope = ProjectScope.model_validate({"__typename": "Project", "id": project["id"], "name": project["name"]})
    event = OnRunState(scope=scope, filter=RunEvent.state.in_([state]))  # type: ignore[arg-type] # it wraps it
    text = f"A fine-tuning job's run in {project['name']} {state}."
    notify = SendNotification(integration_id=channel, title=f"Fine-tuning {state}", message=text)
    return automation_input(event >> notify, name, _MARK)
