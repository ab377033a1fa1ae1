"""`python -m sandbox run | up | shell | demo`."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from sandbox.cloud import Cloud
from sandbox.demo import STOPPED, wait_for_interrupt
from sandbox.demo import demo as play_demo
from sandbox.pages.site import page
from sandbox.scenario.reader import Scenario
from sandbox.shell import command as shell_command
from sandbox.shell import settings, welcome

_SCENARIO = click.option(
    "--scenario", "-s", default="demo", show_default=True, help="The world to start from: a name, or a YAML file."
)
_TRACE = click.option(
    "--trace",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every HTTP exchange to this file, one JSON object a line, secrets masked.",
)
_AS = click.option(
    "--as",
    "principal",
    default="operator",
    show_default=True,
    help="Who the command is signed in as: a user (through az), application (AZURE_* variables) or managed identity "
    "(token endpoint) of the scenario; 'nobody' for no one.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A loopback Azure and W&B for development, tests and the demo.

    Programs run in it unmodified, on their production host names: the sandbox only gives them an environment (a proxy,
    a throw-away certificate authority, a way to get tokens). Nothing reaches the internet, no account is needed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # on Windows, a file or a pipe lacks some characters
        sys.stdout.reconfigure(errors="replace")


def run() -> None:
    """Run the command line and exit."""
    try:
        sys.exit(main(prog_name="python -m sandbox", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(STOPPED, err=True)
        sys.exit(130)


@main.command("run", context_settings={"ignore_unknown_options": True})
@_SCENARIO
@_TRACE
@_AS
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def _run(scenario: str, trace: Path | None, principal: str, command: tuple[str, ...]) -> None:
    """Run COMMAND inside the sandbox; its exit status is the sandbox's.

    Variables that name accounts or keys (AZURE_…, WANDB_…, OPENAI_…) are not passed on, so that nothing real is used by
    mistake; set them for the command itself:

    python -m sandbox run -- env WANDB_ENTITY=acme python -m function_app sync --dry-run
    """
    with Cloud(_load(scenario), trace=trace, page=page) as cloud:
        status = _child(command, _environment(cloud, principal))
        for line in cloud.world.events.log:
            click.echo(f"sandbox: event at {line}", err=True)
        for event in cloud.world.events.pending:
            click.echo(f"sandbox: this event did not happen: {event}", err=True)
        for fault in cloud.world.faults.unmet:
            click.echo(f"sandbox: no request met this fault: {fault.op}", err=True)
        for what in dict.fromkeys(cloud.world.unmodelled):
            click.echo(f"sandbox: nothing here answers {what}", err=True)
        for host in dict.fromkeys(cloud.denied):
            click.echo(f"sandbox: {host} is not part of this world and was refused", err=True)
    sys.exit(status)


@main.command()
@_SCENARIO
@_TRACE
@_AS
def up(scenario: str, trace: Path | None, principal: str) -> None:
    """Keep a sandbox open until Ctrl-C: prints its page's address, and its environment for a shell (PowerShell on Windows).

    A real Azure CLI works in there too, called by its path (the az on the PATH only stands for a signed-in person):
    `az login --identity`, `--service-principal`, or `--use-device-code`, whose code one enters with

    curl -d '{"user_code": "CODE", "principal": "operator"}' $SANDBOX_CONTROL/device
    """
    with Cloud(_load(scenario), trace=trace, page=page) as cloud:
        for name, value in sorted(_environment(cloud, principal).items()):
            if os.environ.get(name) != value:
                click.echo(_assignment(name, value))
        click.echo(
            f"\nPage: {cloud.url}/   Move the clock: curl -d '{{\"advance\": 60}}' {cloud.url}/_sandbox/clock", err=True
        )
        click.echo("Ctrl-C ends it.", err=True)
        wait_for_interrupt()


@main.command()
@click.option("--scenario", "-s", default="shell", show_default=True, help="The world: a name, or a YAML file.")
@_TRACE
@_AS
def shell(scenario: str, trace: Path | None, principal: str) -> None:
    """Open a shell in the sandbox, with everything set: resources, endpoints, a deployed function app and two W&B keys.

    The commands need no further options but -g rg-ml. The az there can assign roles, as doctor asks for it.
    """
    with Cloud(_load(scenario), trace=trace, page=page) as cloud:
        environment = _environment(cloud, principal) | settings(cloud)
        environment |= {"PS1": "(sandbox) $ ", "PROMPT": "(sandbox) %# "}
        click.echo(welcome(cloud.url), err=True)
        sys.exit(_child(shell_command(environment), environment))


@main.command()
@click.option(
    "--page/--no-page", "show_page", default=None, help="Keep a page open at the end (default: on a terminal)."
)
@_SCENARIO
@_TRACE
def demo(*, show_page: bool | None, scenario: str, trace: Path | None) -> None:
    """Provision, sync and show the result: everything on real SDKs, in under half a minute."""
    keep = sys.stdout.isatty() if show_page is None else show_page
    sys.exit(play_demo(_load(scenario), keep_page=keep, trace=trace))


def _load(name: str) -> Scenario:
    try:
        return Scenario.load(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--scenario") from None


def _environment(cloud: Cloud, principal: str) -> dict[str, str]:
    try:
        return cloud.environment(None if principal == "nobody" else principal)
    except (KeyError, ValueError) as error:
        raise click.BadParameter(str(error.args[0]), param_hint="--as") from None


def _assignment(name: str, value: str) -> str:
    """Return the line that sets a variable, for PowerShell on Windows and for POSIX shells elsewhere."""
    if os.name == "nt":
        escaped = value.replace("'", "''")
        return f"$env:{name} = '{escaped}'"
    return f"export {name}={shlex.quote(value)}"


def _child(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end. Ctrl-C also reaches the child, on the same terminal, so it can end by itself."""
    program = shutil.which(command[0], path=environment.get("PATH")) or command[0]  # Windows would search its own PATH
    try:
        child = subprocess.Popen([program, *command[1:]], env=environment)
    except OSError as error:
        raise click.ClickException(f"{command[0]} cannot be started: {error.strerror}") from None
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
