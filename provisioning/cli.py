"""The command line. Exit status: 0 done; 1 failed; 2 usage, or drift where asked for; 3 not there or not ready; 130."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from . import setup as setup_command
from . import wandb_key
from .azure import Azure
from .errors import InterruptedByUserError, ProvisioningError, UsageError
from .model import Target
from .options import Span, key_options, target_options
from .session import Session
from .signin import cloud, credential
from .ui import Ui
from .waiting import SystemClock

_Result = TypeVar("_Result")

PROGRAM = "python -m provisioning"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100})
def cli() -> None:
    """Prepare Azure and Weights & Biases (W&B), so that Azure OpenAI fine-tuning jobs can report to W&B.

    \b
    What `setup` brings in place, and `status` watches:
      - the Azure OpenAI account has a system-assigned managed identity
      - the Key Vault is on Azure RBAC, and everybody who had access by access policy has it by role
      - you and the account's identity are Key Vault Secrets Officers
      - the vault holds the W&B API key, and W&B knows the key

    You are whoever `az login` signed in, or what DefaultAzureCredential finds. Running it again is always safe.
    """


@cli.command()
@target_options
@key_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there is something to do.")
def plan(*, detailed_exitcode: bool, **given: Any) -> int:
    """Show what setup would do. Writes nothing; needs no W&B key, but compares one that is given."""
    made = _run(given, setup_command.plan)
    return 2 if detailed_exitcode and made.work else 0


@cli.command()
@target_options
@key_options
@click.option("-y", "--yes", is_flag=True, help="Apply without asking.")
@click.option("--dry-run", is_flag=True, help="The same as plan.")
@click.option(
    "--access-timeout",
    default="10m",
    type=Span(),
    metavar="TIME",
    help="How long the vault may take to let you in; after the switch it is then switched back.",
)
def setup(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Show the plan, ask, apply it, and check the result.

    Interrupted or failed half way, run it again: what is done is recognised. A second run writes nothing.
    """
    if dry_run:
        _run(given, setup_command.plan)
    else:
        interactive = sys.stdin.isatty()
        _run(given, lambda session: setup_command.setup(session, yes=yes, interactive=interactive))
    return 0


@cli.command()
@target_options
def status(**given: Any) -> int:
    """Say what is in place and what is not, thing by thing. Exit status 2 when something differs."""
    return 2 if _run(given, setup_command.status).work else 0


def _run(given: dict[str, Any], command: Callable[[Session], _Result]) -> _Result:
    """Run one command; whatever it raises for people, they get in three parts and with its exit status."""
    ui = Ui(as_json=given["output"] == "json")
    if given["verbose"]:
        _show_requests()
    session = _session(ui, given)
    try:
        return command(session)
    except ProvisioningError as error:
        _fail(ui, error, session.facts)
    except KeyboardInterrupt:
        _fail(ui, _interrupted(session), session.facts)


def _session(ui: Ui, given: dict[str, Any]) -> Session:
    where = cloud(given["cloud"])
    base_url = given.get("wandb_base_url")
    return Session(
        target=Target(
            resource_group=given["resource_group"],
            account=given["openai_account"],
            vault=given["key_vault"],
            secret=given["secret_name"],
            propagation_wait=given["propagation_wait"],
            accept_loss=given["accept_loss"],
        ),
        ui=ui,
        clock=SystemClock(),
        connect=lambda: Azure(where, credential(where), given["subscription"]),
        given_key=lambda: wandb_key.given(os.environ, given["wandb_key_file"], sys.stdin),
        ask_key=lambda: wandb_key.asked(sys.stdin, base_url),
        wandb_base_url=base_url,
        wandb_entity=given.get("wandb_entity"),
        **({"access_timeout": given["access_timeout"]} if "access_timeout" in given else {}),
    )


def _interrupted(session: Session) -> InterruptedByUserError:
    if session.facts.get("applied"):
        return InterruptedByUserError(
            "Interrupted after all changes were made.", hint="`status` shows what is in place."
        )
    return InterruptedByUserError("Interrupted; nothing was written.", hint="Run the command again when you like.")


def _show_requests() -> None:
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("provisioning")
    logger.setLevel(logging.INFO)
    logger.addHandler(shown)


def _fail(ui: Ui, error: ProvisioningError, facts: dict[str, Any]) -> NoReturn:
    ui.failed(error, facts)
    sys.exit(error.exit_status)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False))
    except click.Abort:
        sys.exit(InterruptedByUserError.exit_status)
    except click.ClickException as error:
        if not _wants_json(arguments):
            error.show()
            sys.exit(error.exit_code)
        _fail(Ui(as_json=True), UsageError(error.format_message(), hint=f"{PROGRAM} --help"), {})


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line that could not be parsed asks for JSON."""
    return any(
        word in ("-ojson", "--output=json") or (word in ("-o", "--output") and after == "json")
        for word, after in zip(arguments, [*arguments[1:], ""], strict=True)
    )
