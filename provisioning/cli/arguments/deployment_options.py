"""Options of the commands about a deployment: preflight, verify-app and prove. The commands themselves import SDKs."""

from pathlib import Path
from typing import Any

import click

from provisioning.cli.arguments.options import option, with_options
from provisioning.cli.arguments.parameters import Span

PROOF_GROUP = "rg-azure-openai-wandb-proof"
"""The resource group of `prove`, by default."""


def preflight_options(command: Any) -> Any:
    """Options that specify the deployment."""
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    return with_options(
        command,
        option("-l", "--location", default="", help="Region of the resource group."),
        option(
            "--azd-parameters",
            type=click.Path(dir_okay=False, path_type=Path),
            default=Path("infra/main.parameters.json"),
            help="The file that maps azd's environment to parameters.",
        ),
        option("--azd-env", type=path, help="The .env file of azd's environment: .azure/NAME/.env"),
        option("--parameters", "files", multiple=True, type=path, help="A parameter file, as for az."),
        option("-p", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter, as for az."),
    )


def verify_app_options(command: Any) -> Any:
    """Options that name the app, and how long to wait."""
    return with_options(
        command,
        option("--function-app", env="AZURE_FUNCTION_APP", required=True, metavar="NAME|ID", help="The function app."),
        option(
            "--wait", type=Span(), default="10m", metavar="TIME", help="How long to wait for the host to index the app."
        ),
    )


def proof_options(command: Any) -> Any:
    """The options of `prove` that no other command has."""
    return with_options(
        command,
        option("-g", "--resource-group", default=PROOF_GROUP, metavar="NAME", help="The group to create and delete."),
        option("-l", "--location", env="AZURE_LOCATION", default="swedencentral", help="The region."),
        option("--wandb-project", default="azure-openai-wandb-proof", metavar="NAME", help="W&B project to sync to."),
        option("--new-wandb-key-file", "new_key_file", metavar="FILE", help="A second W&B key, for rotate-key."),
        option("--report", type=click.Path(dir_okay=False, path_type=Path), help="The file for the report."),
        option("--clean", is_flag=True, help="Only delete what an interrupted run left behind."),
    )
