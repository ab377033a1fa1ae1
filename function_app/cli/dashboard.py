"""`python -m function_app dashboard`: a ready W&B workspace for fine-tuning runs."""

from typing import Any, Self

import click
from pydantic import model_validator

from function_app.cli.console import echo, echo_json
from function_app.cli.options import destination, output_option
from function_app.cli.report import fail
from function_app.errors import SettingsError, SyncError
from function_app.settings import Settings

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
@output_option
def dashboard(project: str | None, *, overwrite: bool, output: str) -> None:
    """Save a W&B workspace for fine-tuning runs.

    It shows loss, accuracy and reward by step, live and final; hyperparameters against the final validation loss; failures;
    datasets; and runs side by side. It is one saved view of the project, found by its name. Run this after an upgrade to
    update it. Sections that you have added are kept.

    \b
    Settings   WANDB_ENTITY, WANDB_PROJECT (OpenAI-Fine-Tune), WANDB_BASE_URL;
               KEY_VAULT_URL and WANDB_SECRET_NAME (wandb-api-key), or WANDB_API_KEY
    Needs      wandb-workspaces: pip install '.[dashboard]'

    \b
    Exit status: 0 the dashboard exists, 1 it could not be saved, 2 usage or settings.
    """
    given: dict[str, Any] = dict(destination(project, None))
    try:
        done = _save(_Settings.take(**given), overwrite=overwrite)
    except SettingsError as error:
        fail(error, output, 2)
    except SyncError as error:
        fail(error, output)
    if output == "json":
        echo_json({"ok": True, "dashboard": done[0], "url": done[1]})
    else:
        echo(done[1])
        echo(_SAYS[done[0]], err=True)


def _save(settings: Settings, *, overwrite: bool) -> tuple[str, str]:
    # The SDKs take a second to import, which --help does not need.
    from function_app.authoring.dashboard import save
    from function_app.wiring import open_wandb

    with open_wandb(settings) as api:
        done = save(api, overwrite=overwrite)
    return done.saved.value, done.url
