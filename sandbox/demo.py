"""`python -m sandbox demo`: provision, sync, watch a job train, repeat everything without a write, show the result."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from sandbox.cloud import Cloud
from sandbox.pages.site import page, summary
from sandbox.scenario.reader import Scenario
from sandbox.wandb.runs import RunState

ENTITY, PROJECT = "acme", "fine-tuning"
TARGET = {
    "AZURE_SUBSCRIPTION_ID": "5b1f6d1c-0000-4000-8000-0000000000aa",
    "AZURE_RESOURCE_GROUP": "rg-ml",
    "AZURE_OPENAI_ACCOUNT": "aoai-ml",
    "AZURE_KEY_VAULT": "kv-ml",
}
SETTINGS = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
    "WANDB_ENTITY": ENTITY,
    "WANDB_PROJECT": PROJECT,
}
STOPPED = "Stopped. Nothing is left behind: the sandbox was all in memory."
_MINUTES = 16  # virtual, between the ticks: a third of the running job's steps
_MOST_TICKS = 8


class DemoFailedError(Exception):
    """A step of the demo did not end as it should."""


class Demo:
    """The steps, in order, on one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._began = time.monotonic()

    def play(self) -> None:
        """Run all steps.

        Raises:
            DemoFailedError: a command failed, or what W&B shows is not what Azure says.
        """
        self._title(
            "A tenant as people have it", "aoai-ml has no identity; kv-ml is on access policies that others use"
        )
        self._title("Provision", "python -m provisioning setup … --propagation-wait 3s --yes")
        env = TARGET | {"WANDB_API_KEY": self._cloud.world.scenario.wandb.users[0].keys[0]}
        setup = ["provisioning", "setup", "--yes", "--propagation-wait", "3s"]
        self._run("operator", setup, env)
        self._title("Another user of the vault", "billing-api, which had its access by access policy, reads its secret")
        self._run(
            "billing-api",
            ["sandbox.actors", "read-secret", "https://kv-ml.vault.azure.net/", "billing-db-password"],
            {},
        )
        self._sync_until_settled()
        self._nothing_more_to_do(setup, env)

    def _sync_until_settled(self) -> None:
        for tick in range(1, _MOST_TICKS + 1):
            more = "the backlog at once" if tick == 1 else f"{_MINUTES} minutes later"
            self._title(
                f"Sync, tick {tick}: {more}", "python -m function_app sync   (as the function app's managed identity)"
            )
            if tick == 1:
                self._say(
                    "Its links are what W&B would serve. Here nothing leaves this machine: the runs are in a stand-in."
                )
            self._run("function-app", ["function_app", "sync"], SETTINGS)
            if self._settled():
                return
            self._cloud.clock.advance(_MINUTES * 60)
        raise DemoFailedError(f"after {_MOST_TICKS} ticks some job is still not settled in W&B")

    def _settled(self) -> bool:
        now = self._cloud.clock.time()
        runs = self._cloud.world.wandb.store.runs(ENTITY, PROJECT)
        jobs = self._cloud.world.scenario.accounts[0].jobs
        return len(runs) == len(jobs) and all(r.state(now) in (RunState.FINISHED, RunState.FAILED) for r in runs)

    def _nothing_more_to_do(self, setup: list[str], target: Mapping[str, str]) -> None:
        self._title("Run both again", "there is nothing left to do; the services count what they are asked to write")
        for name, principal, argv, env in (
            ("setup", "operator", setup, target),
            ("sync", "function-app", ["function_app", "sync"], SETTINGS),
        ):
            requests, writes = self._cloud.world.trace.requests, self._cloud.writes
            self._run(principal, argv, env)
            requests, writes = self._cloud.world.trace.requests - requests, self._cloud.writes - writes
            click.secho(f"   {name}: {writes} writes in {requests} requests", fg="green" if not writes else "red")
            if writes:
                raise DemoFailedError(f"the second {name} wrote {writes} times; it should have had nothing to write")

    def _title(self, title: str, detail: str) -> None:
        click.echo()
        click.secho(f"== {title} ", bold=True, nl=False)
        click.secho(f"[{time.monotonic() - self._began:.0f} s]", dim=True)
        self._say(detail)

    def _say(self, text: str) -> None:
        click.secho(f"   {text}", dim=True)

    def _run(self, principal: str, argv: list[str], env: Mapping[str, str]) -> None:
        """Run a command as a separate process, with its output shown as it comes."""
        whole = self._cloud.environment(principal) | {"PYTHONUNBUFFERED": "1"} | dict(env)
        child = subprocess.run([sys.executable, "-m", *argv], env=whole, check=False, stdin=subprocess.DEVNULL)
        if child.returncode:
            raise DemoFailedError(f"python -m {' '.join(argv[:2])} ended with exit status {child.returncode}")


def demo(scenario: Scenario, *, keep_page: bool, trace: Path | None = None) -> int:
    """Play the demo and return the exit status. With `keep_page`, a page stays open until Ctrl-C."""
    with Cloud(scenario, trace=trace, page=page) as cloud:
        if keep_page:
            click.secho(f"Watch it on a page while it runs: {cloud.url}/", bold=True)
        if status := played(cloud):
            return status
        if keep_page:
            click.secho(f"\nLook at it: {cloud.url}/    Ctrl-C ends the sandbox.", bold=True)
            wait_for_interrupt()
    return 0


def played(cloud: Cloud) -> int:
    """Play the demo on a cloud, print the resulting state, and return the exit status."""
    try:
        Demo(cloud).play()
    except DemoFailedError as error:
        click.secho(f"\nThe demo failed: {error}", fg="red", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo(f"\n{STOPPED}", err=True)
        return 130
    click.echo()
    click.echo(summary(cloud.world))
    for host in dict.fromkeys(cloud.denied):
        click.echo(f"Refused, as nothing may leave this machine: {host}", err=True)
    return 0


def wait_for_interrupt() -> None:
    """Until Ctrl-C."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo(f"\n{STOPPED}", err=True)
