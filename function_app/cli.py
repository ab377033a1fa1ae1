"""The engine's commands. Data goes to stdout, everything else to stderr."""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import click

from function_app.errors import SettingsError, SyncError
from function_app.model import Outcome, Result, Selection
from function_app.settings import DatasetPolicy, Settings

_INTERRUPTED = 130
_COLUMNS = ("RESULT", "JOB", "STATUS", "STEP", "WHAT", "RUN")
_WIDTHS = (7, 38, 9, 6, 44, 0)
_COLOURS = {Result.SYNCED: "green", Result.FAILED: "red", Result.SKIPPED: "yellow", Result.OWED: "cyan"}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Mirror fine-tuning jobs of Azure OpenAI, or OpenAI, into Weights & Biases.

    This is what the function app does at every tick, run by hand. W&B holds the state, so any command can be repeated
    and interrupted; settings are environment variables with the names of the app settings.
    """


@main.command()
@click.option("--job", "jobs", multiple=True, metavar="ID", help="Only this job (repeatable).")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the N newest jobs of each account.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Only jobs created since (UTC).")
@click.option("--dry-run", is_flag=True, help="Show what is owed and write nothing.")
@click.option("--follow", is_flag=True, help="Go on until every selected job has come to its end.")
@click.option(
    "--interval", default=30.0, show_default=True, metavar="SECONDS", help="With --follow: between two looks."
)
@click.option(
    "--datasets",
    type=click.Choice([policy.value for policy in DatasetPolicy]),
    help="How much of the training files goes to W&B, in place of SYNC_DATASETS.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-v", "--verbose", count=True, help="Every job, and a log on stderr; twice for more.")
def sync(
    jobs: tuple[str, ...],
    last: int | None,
    since: datetime | None,
    *,
    dry_run: bool,
    follow: bool,
    interval: float,
    datasets: str | None,
    output: str,
    verbose: int,
) -> None:
    """Bring W&B up to date with the jobs.

    \b
    Where the jobs are   AZURE_OPENAI_ENDPOINTS, one or several, with `az login` or AZURE_OPENAI_API_KEY;
                         or OPENAI_API_KEY alone, for OpenAI's own platform
    Where they go        WANDB_ENTITY, WANDB_PROJECT (OpenAI-Fine-Tune), WANDB_BASE_URL
    With which key       KEY_VAULT_URL and WANDB_SECRET_NAME (wandb-api-key), or WANDB_API_KEY
    With which data      SYNC_DATASETS: full (default), sample, reference or off

    \b
    Exit status: 0 all well, 1 some job or account failed (the others are done), 2 usage or settings,
    130 interrupted (what was done stays done; run it again to go on).
    """
    _log_to_stderr(verbose)
    show: _Shown = _Json() if output == "json" else _Table(everything=verbose > 0)
    try:
        settings = Settings.load()
        if datasets:
            settings = settings.model_copy(update={"sync_datasets": DatasetPolicy(datasets)})
        created = since.replace(tzinfo=UTC).timestamp() if since else None
        chosen = Selection(frozenset(jobs), last, created)
        _sync(settings, chosen, show, dry_run=dry_run, pause=interval if follow else None)
    except SettingsError as error:
        show.failed(error, 2)
    except SyncError as error:
        show.failed(error, 1)


def _sync(settings: Settings, selection: Selection, show: "_Shown", *, dry_run: bool, pause: float | None) -> NoReturn:
    from function_app.tick import (
        Interrupted,
        engine_from,
    )  # the SDKs take a second to import; --help does not need them

    outcomes: Sequence[Outcome] = ()
    with engine_from(settings, managed_identity=False) as engine:
        try:
            while True:
                outcomes = engine.sync(selection, dry_run=dry_run, report=show.outcome)
                if pause is None or all(outcome.final for outcome in outcomes):
                    break
                time.sleep(pause)
        except Interrupted as stopped:
            show.done(stopped.outcomes, interrupted=True)
            sys.exit(_INTERRUPTED)
        except KeyboardInterrupt:
            show.done(outcomes, interrupted=True)
            sys.exit(_INTERRUPTED)
    show.done(outcomes)
    sys.exit(int(any(outcome.result is Result.FAILED for outcome in outcomes)))


class _Shown(Protocol):
    """How outcomes reach people, or programs."""

    def outcome(self, outcome: Outcome) -> None:
        """One job is done."""

    def done(self, outcomes: Sequence[Outcome], *, interrupted: bool = False) -> None:
        """The tick is done, or was interrupted."""

    def failed(self, error: SyncError, status: int) -> NoReturn:
        """Nothing could be done at all."""


class _Table:
    """A line for each job as it is done, and one that sums up."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._headed = False

    def outcome(self, outcome: Outcome) -> None:
        if outcome.result is Result.CURRENT and not self._everything:
            return
        if not self._headed:
            click.secho(_line(_COLUMNS), bold=True)
            self._headed = True
        what = "; ".join(outcome.did) or outcome.why
        step = "" if outcome.last_step is None else str(outcome.last_step)
        cells = (outcome.result, outcome.job or f"({outcome.account})", outcome.status, step, what)
        click.secho(_line((*cells, outcome.run_url)), fg=_COLOURS.get(outcome.result))
        if outcome.result is Result.FAILED:
            click.echo(f"  {outcome.job or outcome.account}: {outcome.why} {outcome.hint}".rstrip(), err=True)

    def done(self, outcomes: Sequence[Outcome], *, interrupted: bool = False) -> None:
        counts = Counter(outcome.result for outcome in outcomes)
        said = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result]) or "no jobs"
        click.echo(f"{len([each for each in outcomes if each.job])} jobs: {said}", err=True)
        if interrupted:
            click.echo("Interrupted. What is shown stands; run the same command again to go on.", err=True)

    def failed(self, error: SyncError, status: int) -> NoReturn:
        click.secho(f"Error: {error.message}", fg="red", err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        sys.exit(status)


class _Json:
    """One document at the end, also of a failure."""

    def outcome(self, outcome: Outcome) -> None:
        """The document comes when all is done."""

    def done(self, outcomes: Sequence[Outcome], *, interrupted: bool = False) -> None:
        ok = not interrupted and all(outcome.result is not Result.FAILED for outcome in outcomes)
        document = {"ok": ok, "interrupted": interrupted, "jobs": [asdict(outcome) for outcome in outcomes]}
        click.echo(json.dumps(document, indent=2))

    def failed(self, error: SyncError, status: int) -> NoReturn:
        said = {"code": type(error).__name__, "message": error.message, "hint": error.hint}
        click.echo(json.dumps({"ok": False, "error": said}, indent=2))
        sys.exit(status)


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _log_to_stderr(verbose: int) -> None:
    """Ours at -v, with more at -vv; never the SDKs' own, which at DEBUG have bodies in them."""
    ours = logging.getLogger("function_app")
    ours.setLevel((logging.ERROR, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours.addHandler(handler)
