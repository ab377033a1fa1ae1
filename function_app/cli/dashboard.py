"""`python -m function_app dashboard`: a ready W&B workspace for fine-tuning runs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import click
from pydantic import model_validator

from function_app.cli.console import echo, echo_json
from function_app.cli.options import destination, output_option
from function_app.cli.report import fail
from function_app.errors import SettingsError, SyncError
from function_app.settings import Settings

if TYPE_CHECKING:
    from function_app.authoring.dashboards.automations import Automations
    from function_app.authoring.dashboards.dashboard import Dashboard

_SAYS = {
    "created": "Saved. Everybody who can see the project can open it.",
    "updated": "Updated.",
    "current": "The dashboard is up to date, and people's changes to it are kept. --overwrite restores the standard dashboard.",
}


class _Settings(Settings):
    """Settings for a command that needs only the key from Azure."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.key_vault_url and not self.wandb_api_key:
            raise ValueError(
                "KEY_VAULT_URL is not set. Set it to the vault with the W&B API key, or set WANDB_API_KEY to the key"
            )
        return self


@click.command()
@click.option("--project", metavar="[ENTITY/]PROJECT", help="Overrides WANDB_ENTITY and WANDB_PROJECT.")
@click.option(
    "--overwrite", is_flag=True, help="Replace the dashboard, including people's changes, with the standard one."
)
@click.option("--automations", is_flag=True, help="Also notify the team's Slack channel of failed and finished runs.")
@output_option
def dashboard(project: str | None, *, overwrite: bool, automations: bool, output: str) -> None:
    """Save a W&B workspace for fine-tuning runs.

    It shows loss, accuracy and reward by step, live and final; hyperparameters against the final validation loss; failures;
    datasets; and runs side by side. It is one saved view of the project, found by its name. Run this after an upgrade to
    update it. Sections that you have added are kept.

    With --automations it creates two W&B automations, which need a Slack channel of the team and, by W&B's plan, an
    admin's key. Create them after the first sync: each run that fails or finishes later notifies the channel once.

    \b
    Settings   WANDB_ENTITY, WANDB_PROJECT (OpenAI-Fine-Tune), WANDB_BASE_URL;
               KEY_VAULT_URL and WANDB_SECRET_NAME (wandb-api-key); without them WANDB_API_KEY
    Needs      wandb-workspaces: pip install '.[dashboard]'

    \b
    Exit status: 0 the dashboard exists, 1 it could not be saved, 2 usage or settings.
    """
    given: dict[str, Any] = dict(destination(project, None))
    try:
        done, made = _save(_Settings.take(**given), overwrite=overwrite, automations=automations)
    except SettingsError as error:
        fail(error, output, 2)
    except SyncError as error:
        fail(error, output)
    document: dict[str, object] = {"ok": True, "dashboard": done.saved.value, "url": done.url}
    if output == "json":
        echo_json(document | ({"automations": asdict(made)} if made else {}))
        return
    echo(done.url)
    echo(_SAYS[done.saved.value], err=True)
    for name in made.created if made else ():
        echo(f"Created the automation {name!r}.", err=True)
    for name in made.existing if made else ():
        echo(f"The automation {name!r} exists.", err=True)


def _save(settings: Settings, *, overwrite: bool, automations: bool) -> "tuple[Dashboard, Automations | None]":
    # The SDKs take a second to import, which --help does not need.
    from function_app.authoring.dashboards.automations import save_automations
    from function_app.authoring.dashboards.dashboard import save
    from function_app.wiring import open_wandb

    with open_wandb(settings) as api:
        return save(api, overwrite=overwrite), save_automations(api) if automations else None
