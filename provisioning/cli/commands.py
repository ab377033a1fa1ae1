"""The command line. Exit status: 0 done, 1 failed, 2 usage or drift, 3 not found or not ready, 130 interrupted."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from provisioning import shell, wandb_key
from provisioning.cli import deployable
from provisioning.cli.arguments import naming
from provisioning.cli.arguments.deployment_options import preflight_options, proof_options, verify_app_options
from provisioning.cli.arguments.options import (
    app_group_options,
    chain_options,
    compared_key_option,
    consent_options,
    contributor_option,
    function_app_options,
    identity_option,
    key_options,
    lifetime_option,
    output_options,
    proof_group_options,
    rescue_options,
    target_options,
    teardown_options,
    vault_options,
    wandb_options,
)
from provisioning.cli.arguments.parameters import Span
from provisioning.cli.output import streams
from provisioning.cli.output.console import Ui, wants_json
from provisioning.clock import SystemClock
from provisioning.errors import InterruptedByUserError, ProvisioningError, UsageError

# A command imports the SDKs when it is called: they take 0.4 s, which --help and a wrong command line do not need.
if TYPE_CHECKING:
    from pydantic import SecretStr

    from provisioning.azure.client import Azure
    from provisioning.cli.session import Session

_Result = TypeVar("_Result")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100})
@click.version_option(package_name="azure-openai-wandb", message="%(prog)s %(version)s")
def cli() -> None:
    """Prepare Azure and Weights & Biases (W&B), so that Azure OpenAI fine-tuning jobs can report to W&B.

    \b
    `setup` does the following, and `status` checks it:
      - the Azure OpenAI account has a system-assigned managed identity
      - the Key Vault uses Azure RBAC, and every principal that had access by
        access policy has it by role
      - you and the account's identity are Key Vault Secrets Officers (or you chose
        a smaller role for the identity)
      - the vault contains the W&B API key, and W&B accepts the key

    The commands act as the account of your `az login`. It is always safe to run a command again.
    """


@cli.command("plan")
@target_options
@vault_options
@key_options
@lifetime_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with status 2 if there is something to change.")
@output_options
def _plan(*, detailed_exitcode: bool, **given: Any) -> int:
    """Show what setup would do. Writes nothing. Needs no W&B key, but compares a given one."""
    from provisioning.cli import setup

    made = _run(given, setup.plan)
    return 2 if detailed_exitcode and made.work else 0


@cli.command("setup")
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
    help="How long to wait for your access to the vault. If it runs out after the switch, setup switches back.",
)
@output_options
def _setup(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Show the plan, ask for consent, apply it, and verify the result.

    After an interruption or a failure, run it again: it continues where it stopped. A second run writes nothing.
    """
    from provisioning.cli import setup

    if dry_run:
        _run(given, setup.plan)
    else:
        interactive = streams.stdin().isatty()
        _run(given, lambda session: setup.setup(session, yes=yes, interactive=interactive))
    return 0


@cli.command("status")
@target_options
@compared_key_option
@output_options
def _status(**given: Any) -> int:
    """Show which resources are in place. Exit status 2 if something differs.

    If a W&B key is given, the secret has to hold that key.
    """
    from provisioning.cli import setup

    return 2 if _run(given, setup.status).work else 0


@cli.command("rotate-key")
@chain_options
@key_options
@lifetime_option
@consent_options
@output_options
def _rotate_key(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Replace the W&B key in the vault with a new one.

    The new key is read as in setup and checked with W&B before anything is written. It becomes a new version of the
    secret. Then the previous versions that setup or rotate-key wrote are disabled. After an interruption, run it again
    with the same key. Running functions use the new key within minutes, without a restart.
    """
    from provisioning.cli import rotation

    interactive = streams.stdin().isatty()
    _run(given, lambda session: rotation.rotate(session, yes=yes, interactive=interactive, dry_run=dry_run))
    return 0


@cli.command("teardown")
@chain_options
@teardown_options
@consent_options
@output_options
def _teardown(*, restore_access_policies: bool, yes: bool, dry_run: bool, **given: Any) -> int:
    """Remove what setup added, and nothing else.

    That is the secret (which can be recovered), the roles that setup assigned, and the access policies that it created.
    The account's identity stays. The vault stays on Azure RBAC, with the roles that other principals need, unless you
    pass --restore-access-policies. After an interruption, run it again.
    """
    from provisioning.cli import teardown

    interactive, restore = streams.stdin().isatty(), restore_access_policies
    _run(
        given,
        lambda session: teardown.teardown(session, restore=restore, yes=yes, interactive=interactive, dry_run=dry_run),
    )
    return 0


@cli.command("rescue")
@rescue_options
@consent_options
@output_options
def _rescue(*, yes: bool, dry_run: bool, **given: Any) -> int:
    """Switch a vault back to its access policies, if setup could not do so itself.

    One small request that changes nothing else, no matter who switched the vault. Roles stay, and give no access to what the
    vault contains. It requires the rights to write the vault and to assign roles, without a condition: an Owner has both.
    """
    from provisioning.cli import rescue

    interactive = streams.stdin().isatty()
    _run(
        naming.vault_alone(given),
        lambda session: rescue.rescue(session, yes=yes, interactive=interactive, dry_run=dry_run),
    )
    return 0


@cli.command("doctor")
@chain_options
@identity_option
@wandb_options
@contributor_option
@function_app_options
@output_options
def _doctor(
    *, function_app: str | None, function_app_group: str | None, contributors: tuple[str, ...], **given: Any
) -> int:
    """Check every link between you and the function app, and name the broken one with its remedy.

    Writes nothing. Checks your sign-in, account, vault, secret, W&B key, job list, region, identities and the function app. A
    check that depends on a failed one is skipped. Exit status 1 if a check failed.
    """
    from provisioning.cli import doctor

    def examine(session: "Session") -> None:
        app = naming.function_app(session, function_app, function_app_group) if function_app else None
        doctor.doctor(session, app, contributors)

    _run(given, examine)
    return 0


@cli.command("preflight")
@app_group_options
@preflight_options
@output_options
def _preflight(*, location: str, **given: Any) -> int:
    """Check before a deployment of the function app what would stop it. Writes nothing.

    Reads the parameters as az or azd would pass them, and asks Azure whether the resource providers are registered, the
    region has Flex Consumption, you have the rights, and policies permit it. Exit status 1 if a check failed.
    """
    from provisioning.cli import preflight

    chosen = {name: given.pop(name) for name in ("files", "assignments", "azd_env", "azd_parameters")}
    group = given["resource_group"]
    _run(naming.group_alone(given), lambda session: preflight.run(session, preflight.read(**chosen), group, location))
    return 0


@cli.command("verify-app")
@app_group_options
@verify_app_options
@output_options
def _verify_app(*, function_app: str, wait: timedelta, **given: Any) -> int:
    """Wait after a deployment until the host has indexed the app's three functions. Writes nothing.

    The last step of every way to deploy: a deployment that is reported as successful can leave an app without functions.
    Needs Reader on the app. Exit status 1 if a function is missing when the time is up.
    """
    from provisioning.cli import verify_app

    _run(
        naming.group_alone(given),
        lambda session: verify_app.run(session, naming.function_app(session, function_app), wait),
    )
    return 0


@cli.command("prove")
@proof_group_options
@proof_options
@key_options
@consent_options
@output_options
def _prove(
    *, location: str, new_key_file: str | None, report: Path | None, clean: bool, yes: bool, dry_run: bool, **given: Any
) -> int:
    """Try on a real subscription what no test here can show, and write a report that names nobody.

    Creates a resource group with an Azure OpenAI account and two Key Vaults, runs the other commands on them, causes
    errors on purpose, measures, asks what you have tried by hand, and deletes everything. After a kill, the next run deletes
    what was left first. Exit status 1 if a step does not hold.
    """
    from provisioning.cli.proof import command

    project, interactive = given.pop("wandb_project"), streams.stdin().isatty()

    def prove(session: "Session") -> None:
        second = wandb_key.provided(None, new_key_file, streams.stdin())
        options = command.Options(location, project, second, report, yes=yes, interactive=interactive)
        command.clean(session, location) if clean else command.prove(session, options, dry_run=dry_run)

    nothing = dict.fromkeys(("openai_account", "key_vault"), "")
    _run(given | nothing | {"secret_name": "wandb-api-key"}, prove)
    return 0


cli.add_command(deployable.init)


def _run(given: dict[str, Any], command: "Callable[[Session], _Result]") -> _Result:
    """Run one command. Print a ProvisioningError with its hint and exit with its status."""
    ui = Ui(as_json=given["output"] == "json")
    try:
        session = _session(ui, naming.located(given))
    except ProvisioningError as error:
        _fail(ui, error, {})
    try:
        with _requests_shown() if given["verbose"] else nullcontext(), _chosen(given["cloud"]):
            return command(session)
    except ProvisioningError as error:
        _fail(ui, error, session.facts)
    except KeyboardInterrupt:
        _fail(ui, _interrupted(session.facts), session.facts)


@contextmanager
def _chosen(cloud: str | None) -> Iterator[None]:
    """Set AZURE_CLOUD for one command. Printed commands name the cloud by it, however it was given."""
    before = os.environ.get("AZURE_CLOUD")
    if cloud:
        os.environ["AZURE_CLOUD"] = cloud
    try:
        yield
    finally:
        os.environ.pop("AZURE_CLOUD", None)
        if before is not None:
            os.environ["AZURE_CLOUD"] = before


def _session(ui: Ui, given: dict[str, Any]) -> "Session":
    from provisioning.cli.session import Session

    base_url = given.get("wandb_base_url")
    from_environment: SecretStr | None = click.get_current_context().obj
    return Session(
        target=naming.target(given),
        ui=ui,
        clock=SystemClock(),
        connect=lambda: _connect(given, ui),
        provided_key=lambda: wandb_key.provided(from_environment, given["wandb_key_file"], streams.stdin()),
        prompt_for_key=lambda: wandb_key.prompt(streams.stdin(), base_url),
        wandb_base_url=base_url,
        wandb_entity=given.get("wandb_entity"),
        **({"access_timeout": given["access_timeout"]} if "access_timeout" in given else {}),
    )


def _connect(given: dict[str, Any], ui: Ui) -> "Azure":
    from provisioning.azure.client import Azure
    from provisioning.azure.identity.sign_in import cloud, credential

    where = cloud(given["cloud"])
    return Azure(
        where,
        credential(where),
        given["subscription"],
        vault_subscription=given["vault_subscription"],
        principal_type=given.get("principal_type") or "",
        waiting=ui.waiting,
    )


def _interrupted(facts: dict[str, Any]) -> InterruptedByUserError:
    if facts.get("applied"):
        return InterruptedByUserError(
            "Interrupted. The changes made so far remain.", hint="`status` shows what is in place."
        )
    return InterruptedByUserError("Interrupted; nothing was written.", hint="Run the command again.")


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
    streams.replace_unencodable()
    # Before any import of azure.identity, which starts a process: `uname -p`.
    key = wandb_key.pop_from_environment(os.environ)
    # Python would print SDK warnings to stderr. Our own messages contain what matters in them.
    logging.getLogger().addHandler(logging.NullHandler())
    program = shell.command(*shell.program())
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(cli.main(arguments, prog_name=program, standalone_mode=False, obj=key))
    except OSError as error:
        if not streams.is_write_error(error):
            raise
        streams.report_write_error(error)
        sys.exit(ProvisioningError.exit_status)
    except click.Abort:
        _fail(Ui(as_json=wants_json(arguments)), _interrupted({}), {})
    except click.ClickException as error:
        if not wants_json(arguments):
            error.show()
            sys.exit(error.exit_code)
        _fail(Ui(as_json=True), UsageError(error.format_message(), hint=f"{program} --help"), {})
