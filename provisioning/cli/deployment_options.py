"""Options of the commands about a deployment: preflight and verify-app. The commands themselves import SDKs."""

from pathlib import Path
from typing import Any

import click

from provisioning.cli.parameters import Span


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
