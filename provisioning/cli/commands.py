"""The command line. Exit status: 0 done; 1 failed; 2 usage, or drift where asked for; 3 not there or not ready; 130."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import fields
from itertools import zip_longest
from typing import Any, NoReturn, TypeVar

import click

from provisioning import wandb_key
from provisioning.azure.client import Azure
from provisioning.azure.sign_in import cloud, credential
from provisioning.checks.function_app import AppName
from provisioning.cli import doctor as doctor_command
from provisioning.cli import rotation, streams
from provisioning.cli import setup as setup_command
from provisioning.cli import teardown as teardown_command
from provisioning.cli.console import Ui
from provisioning.cli.options import (
    Span,
    chain_options,
    consent_options,
    function_app_options,
    key_options,
    lifetime_option,
    output_options,
    target_options,
    teardown_options,
    vault_options,
    wandb_options,
)
from provisioning.cli.session import Session
from provisioning.clock import SystemClock
from provisioning.errors import InterruptedByUserError, ProvisioningError, UsageError
from provisioning.models import Scope, Target

_Result = TypeVar("_Result")

PROGRAM = "python -m provisioning"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100})
def cli() -> None:
    """Prepare Azure and Weights & Biases (W&B), so that Azure OpenAI fine-tuning jobs can report to W&B.

    \b
    What `setup` brings in place, and `status` watches:
      - the Azure OpenAI account has a system-assigned managed identity
      - the Key Vault is on Azure RBAC, and everybody who had access by access
        policy has it by role
      - you and the account's identity are Key Vault Secrets Officers, unless
        you choose less for the identity
      - the vault holds the W&B API key, and W&B knows the key

    You are whoever `az login` signed in, or what DefaultAzureCredential finds. Running it again is always safe.
    """


@cli.command()
@target_options
@vault_options
@key_options
@lifetime_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there is something to do.")
@output_options
def plan(*, detailed_exitcode: bool, **given: Any) -> int:
    """Show what setup would do. Writes nothing; needs no W&B key, but compares one that is given."""
    made = _run(given, setup_command.plan)
    return 2 if detailed_exitcode and made.work else 0


@cli.command()
@target_options
@vault_options
@key_options
@lifetime_option
@consent_options
@click.option(
    "--access-timeout",
    default="10m",
    type=Span(),
    metavar="TIME",
    help="How long the vault may take to let you in; after the switch it is then switched back.",
)
@output_options
def setup(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Show the plan, ask, apply it, and check the result.

    Interrupted or failed half way, run it again: what is done is recognised. A second run writes nothing.
    """
    if dry_run:
        _run(given, setup_command.plan)
    else:
        interactive = streams.stdin().isatty()
        _run(given, lambda session: setup_command.setup(session, yes=yes, interactive=interactive))
    return 0


@cli.command()
@target_options
@output_options
def status(**given: Any) -> int:
    """Say what is in place and what is not, thing by thing. Exit status 2 when something differs."""
    return 2 if _run(given, setup_command.status).work else 0


@cli.command("rotate-key")
@chain_options
@key_options
@lifetime_option
@consent_options
@output_options
def rotate_key(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Put a new W&B key in place of the one in the vault.

    The new key comes as in setup, and W&B is asked about it before anything is written. It becomes a new version of
    the secret; when that reads back, the versions before it that setup or rotate-key wrote are disabled. Interrupted,
    run it again with the same key. Running functions take the key up within minutes, without a restart.
    """
    interactive = streams.stdin().isatty()
    _run(given, lambda session: rotation.rotate(session, yes=yes, interactive=interactive, dry_run=dry_run))
    return 0


@cli.command()
@chain_options
@teardown_options
@consent_options
@output_options
def teardown(*, restore_access_policies: bool, yes: bool, dry_run: bool, **given: Any) -> int:
    """Take away what setup added, and never what was there before.

    That is: the secret (it can be recovered), the roles that setup assigned, the access policies that it created. The
    account's identity stays. So does the vault's switch to Azure RBAC, with the roles that keep others working on it,
    unless you ask for the way back. Interrupted, run it again.
    """
    interactive, restore = streams.stdin().isatty(), restore_access_policies
    _run(
        given,
        lambda session: teardown_command.teardown(
            session, restore=restore, yes=yes, interactive=interactive, dry_run=dry_run
        ),
    )
    return 0


@cli.command()
@chain_options
@wandb_options
@function_app_options
@output_options
def doctor(*, function_app: str | None, function_app_group: str | None, **given: Any) -> int:
    """Find the link of the chain that is broken, and its remedy.

    Writes nothing. From who you are to the functions of the app: account, vault, secret, W&B, job list, identities. A check that
    depends on a broken one is skipped; the others are made all the same. Exit status 1 when one failed.
    """
    app = AppName(function_app_group or given["resource_group"], function_app) if function_app else None
    _run(given, lambda session: doctor_command.doctor(session, app))
    return 0


def _run(given: dict[str, Any], command: Callable[[Session], _Result]) -> _Result:
    """Run one command; whatever it raises for people, they get in three parts and with its exit status."""
    ui = Ui(as_json=given["output"] == "json")
    session = _session(ui, given)
    try:
        with _requests_shown() if given["verbose"] else nullcontext():
            return command(session)
    except ProvisioningError as error:
        _fail(ui, error, session.facts)
    except KeyboardInterrupt:
        _fail(ui, _interrupted(session), session.facts)


def _session(ui: Ui, given: dict[str, Any]) -> Session:
    base_url = given.get("wandb_base_url")
    from_environment = wandb_key.taken(os.environ)
    return Session(
        target=_target(given),
        ui=ui,
        clock=SystemClock(),
        connect=lambda: _connect(given["cloud"], given["subscription"]),
        given_key=lambda: wandb_key.given(from_environment, given["wandb_key_file"], streams.stdin()),
        ask_key=lambda: wandb_key.asked(streams.stdin(), base_url),
        wandb_base_url=base_url,
        wandb_entity=given.get("wandb_entity"),
        **({"access_timeout": given["access_timeout"]} if "access_timeout" in given else {}),
    )


def _target(given: dict[str, Any]) -> Target:
    """What the command's options say of it; options are called as the fields that they fill."""
    if given.get("create_vault") and given.get("recover_vault"):
        raise click.UsageError("--create-key-vault makes a new vault, --recover-key-vault brings one back: give one")
    if given.get("by_access_policy") and given.get("identity_scope") is Scope.SECRET:
        raise click.UsageError(
            "an access policy reaches every secret of the vault: --identity-scope secret needs roles"
        )
    said = {field.name: given[field.name] for field in fields(Target) if field.name in given}
    named = {"account": given["openai_account"], "vault": given["key_vault"], "secret": given["secret_name"]}
    return Target(**(said | named))


def _connect(cloud_name: str | None, subscription: str | None) -> Azure:
    where = cloud(cloud_name)
    return Azure(where, credential(where), subscription)


def _interrupted(session: Session) -> InterruptedByUserError:
    if session.facts.get("applied"):
        return InterruptedByUserError(
            "Interrupted; what was done before stands.", hint="`status` shows what is in place."
        )
    return InterruptedByUserError("Interrupted; nothing was written.", hint="Run the command again when you like.")


@contextmanager
def _requests_shown() -> Iterator[None]:
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("provisioning")
    logger.setLevel(logging.INFO)
    logger.addHandler(shown)
    try:
        yield
    finally:
        logger.removeHandler(shown)


def _fail(ui: Ui, error: ProvisioningError, facts: dict[str, Any]) -> NoReturn:
    ui.failed(error, facts)
    sys.exit(error.exit_status)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    streams.spell_out()
    # What SDKs log goes nowhere, where Python would print it bare: what matters of it is told by us.
    logging.getLogger().addHandler(logging.NullHandler())
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False))
    except OSError as error:
        if not streams.unwritable(error):
            raise
        _unheard(error)
    except click.Abort:
        sys.exit(InterruptedByUserError.exit_status)
    except click.ClickException as error:
        if not _wants_json(arguments):
            error.show()
            sys.exit(error.exit_code)
        _fail(Ui(as_json=True), UsageError(error.format_message(), hint=f"{PROGRAM} --help"), {})


def _unheard(error: OSError) -> NoReturn:
    """Nobody gets the answer, nor a document; whoever may still read stderr is told so."""
    with suppress(OSError):
        click.echo(f"error    The output cannot be written: {error.strerror}.", err=True)
        click.echo("next     Make room and run the same command again; what is done already is recognised.", err=True)
    streams.abandon()
    sys.exit(ProvisioningError.exit_status)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line that could not be parsed asks for JSON."""
    return any(
        word in ("-ojson", "--output=json") or (word in ("-o", "--output") and after == "json")
        for word, after in zip_longest(arguments, arguments[1:])
    )
