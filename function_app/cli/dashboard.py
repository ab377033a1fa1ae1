"""`python -m function_app dashboard`: a ready W&B workspace for fine-tuning runs."""

from typing import Self

import click
from pydantic import model_validator

from function_app.cli.console import echo, echo_json
from function_app.cli.report import fail
from function_app.data.routes import checked_name
from function_app.errors import SettingsError, SyncError
from function_app.settings import Settings

_SAYS = {
    "created": "Saved. Whoever may see the project may open it.",
    "updated": "Brought up to date.",
    "current": "It is there and up to date; what people have changed in it stays. --overwrite puts the standard one there.",
}


class _Settings(Settings):
    """The same settings for a command that asks Azure for nothing but the key."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.key_vault_url and not self.wandb_api_key:
            raise ValueError("KEY_VAULT_URL is not set: the vault that has the W&B API key (or WANDB_API_KEY, the key)")
        return self


@click.command()
@click.option("--project", metavar="[ENTITY/]PROJECT", help="In place of WANDB_ENTITY and WANDB_PROJECT.")
@click.option("--overwrite", is_flag=True, help="Put the standard dashboard in place of what people have made of it.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def dashboard(project: str | None, *, overwrite: bool, output: str) -> None:
    """Save a W&B workspace for fine-tuning runs.

    Loss, accuracy and reward by step, live and final; hyperparameters against the final validation loss; failures;
    datasets; runs side by side. It is one view of the project, found again by its name: run this after an upgrade to
    bring it up to date. Sections of your own in it stay.

    \b
    Settings   WANDB_ENTITY, WANDB_PROJECT (OpenAI-Fine-Tune), WANDB_BASE_URL;
               KEY_VAULT_URL and WANDB_SECRET_NAME (wandb-api-key), or WANDB_API_KEY
    Needs      wandb-workspaces: pip install '.[dashboard]'

    \b
    Exit status: 0 the dashboard is there, 1 it is not, 2 usage or settings.
    """
    entity, name = _named(project)
    try:
        settings = _Settings.take()
        done = _save(settings, entity or settings.wandb_entity, name or settings.wandb_project, overwrite=overwrite)
    except SettingsError as error:
        fail(error, output, 2)
    except SyncError as error:
        fail(error, output)
    if output == "json":
        echo_json({"ok": True, "dashboard": done[0], "url": done[1]})
    else:
        echo(done[1])
        echo(_SAYS[done[0]], err=True)


def _named(project: str | None) -> tuple[str | None, str | None]:
    if project is None:
        return None, None
    entity, slash, name = project.rpartition("/")
    try:
        return checked_name(entity) if slash else None, checked_name(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--project") from None


def _save(settings: Settings, entity: str | None, project: str, *, overwrite: bool) -> tuple[str, str]:
    # The SDKs take a second to import, which --help does not need.
    from function_app.authoring.dashboard import save
    from function_app.wiring import open_wandb

    chosen = settings.model_copy(update={"wandb_entity": entity, "wandb_project": project})
    with open_wandb(chosen) as api:
        done = save(api, overwrite=overwrite)
    return done.saved.value, done.url
