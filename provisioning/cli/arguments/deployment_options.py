"""Options of the commands about a deployment: preflight, verify-app and prove. The commands themselves import SDKs."""

from pathlib import Path
from typing import Any

import click

from provisioning.cli.arguments.parameters import Span

PROOF_GROUP = "rg-azure-openai-wandb-proof"
"""The resource group of `prove`, by default."""


def preflight_options(command: Any) -> Any:
    """Options that specify the deployment."""
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    for each in (
        click.option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter, as for az."),
        click.option("--parameters", "files", multiple=True, type=path, help="A parameter file, as for az."),
        click.option("--azd-env", type=path, help="The .env file of azd's environment: .azure/NAME/.env"),
        click.option(
            "--azd-parameters",
            type=click.Path(dir_okay=False, path_type=Path),
            default=Path("infra/main.parameters.json"),
            help="The file that maps azd's environment to parameters.",
        ),
        click.option("-l", "--location", default="", help="Region of the resource group."),
    ):
        command = each(command)
    return command


def verify_app_options(command: Any) -> Any:
    """Options that name the app, and how long to wait."""
    for each in (
        click.option(
            "--wait", type=Span(), default="10m", metavar="TIME", help="How long to wait for the host to index the app."
        ),
        click.option(
            "--function-app",
            envvar="AZURE_FUNCTION_APP",
            show_envvar=True,
            required=True,
            metavar="NAME|ID",
            help="The function app.",
        ),
    ):
        command = each(command)
    return command


def proof_options(command: Any) -> Any:
    """The options of `prove` that no other command has."""
    for each in (
        click.option("--clean", is_flag=True, help="Only delete what an interrupted run left behind."),
        click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="The file for the report."),
        click.option("--new-wandb-key-file", "new_key_file", metavar="FILE", help="A second W&B key, for rotate-key."),
        click.option(
            "--wandb-project", default="azure-openai-wandb-proof", metavar="NAME", help="W&B project to sync to."
        ),
        click.option(
            "-l", "--location", envvar="AZURE_LOCATION", show_envvar=True, default="swedencentral", help="The region."
        ),
        click.option(
            "-g", "--resource-group", default=PROOF_GROUP, metavar="NAME", help="The group to create and delete."
        ),
    ):
        command = each(command)
    return command
