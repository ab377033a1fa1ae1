"""The engine's commands. Data goes to stdout, everything else to stderr."""

import errno
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

import click

from function_app.cli.check import check
from function_app.cli.console import LogFormatter, echo, echo_error, replace_unencodable
from function_app.cli.dashboard import dashboard
from function_app.cli.options import Duration, destination, output_option
from function_app.cli.report import INTERRUPTED, Document, Report, Table, added_up, fail, fail_interrupted
from function_app.cli.submit import submit
from function_app.errors import SettingsError, SyncError
from function_app.models import DatasetPolicy, Outcome, Result, Selection
from function_app.settings import Settings
from function_app.startup import importing
from function_app.text import duration

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_PROGRAM = "aoai-wandb"  # the console command
_DRY = "Nothing was written: this was a dry run."


def run() -> None:
    """Run the command line and exit.

    A full disk or a closed terminal is not a bug: print one line, if it can still be read, and exit with status 1.
    """
    replace_unencodable()
    # Discard the SDKs' log records, which Python would print: our own messages contain what matters in them.
    logging.getLogger().addHandler(logging.NullHandler())
    program = _PROGRAM if Path(sys.argv[0]).stem == _PROGRAM else "python -m function_app"
    try:
        sys.exit(main(prog_name=program, standalone_mode=False))
    except click.Abort:
        fail_interrupted("json" if _wants_json(sys.argv[1:]) else "table")
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and _wants_json(sys.argv[1:]):
            fail(UsageError(error.format_message(), f"{program} --help"), "json", error.exit_code)
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        with suppress(OSError):
            echo_error(
                f"Output or temporary files cannot be written: {error.strerror}.",
                "Free some disk space and run the same command again: what is done is in W&B.",
            )
        with Path(os.devnull).open("wb") as nowhere:
            for stream in (1, 2):  # flushing them when Python exits would fail again and change the exit status
                os.dup2(nowhere.fileno(), stream)
        sys.exit(1)


class UsageError(SyncError):
    """The command line cannot be used."""


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line that click could not parse asks for JSON."""
    return any(
        word in ("-ojson", "--output=json") or (word in ("-o", "--output") and after == "json")
        for word, after in zip_longest(arguments, arguments[1:])
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="azure-openai-wandb", message="%(prog)s %(version)s")
def main() -> None:
    """Mirror fine-tuning jobs of Azure OpenAI, or OpenAI, into Weights & Biases.

    This does by hand what the function app does at every tick. W&B holds the state, so any command can be repeated
    and interrupted. Settings are environment variables with the names of the app settings.
    """


@main.command()
@click.option("--job", "jobs", multiple=True, metavar="ID", help="Only this job (repeatable).")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the N newest jobs of each account.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="TIME",
    help="Only jobs created since, in UTC: 2026-11-30, or 2026-11-30T12:00:00Z as W&B shows it.",
)
@click.option("--project", metavar="[ENTITY/]PROJECT", help="The W&B project; overrides WANDB_PROJECT.")
@click.option("--entity", metavar="NAME", help="The W&B team or user; overrides WANDB_ENTITY.")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="URL",
    help="The account's endpoint; overrides AZURE_OPENAI_ENDPOINTS (repeatable).",
)
@click.option("--dry-run", is_flag=True, help="Show what is pending, fail where a sync would, and write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace each run with a new one and mark the old run as superseded.")
@click.option(
    "--include-integrated", is_flag=True, help="Also mirror jobs whose own integration logs to W&B by itself."
)
@click.option(
    "--follow",
    is_flag=True,
    help="Continue until every selected job has ended. Waits for paused jobs only if the service resumes them.",
)
@click.option(
    "--interval",
    type=Duration(),
    default="30s",
    show_default=True,
    metavar="TIME",
    help="With --follow: time between two checks (30s, 2m).",
)
@click.option(
    "--datasets",
    type=click.Choice([policy.value for policy in DatasetPolicy]),
    help="How much of the training files goes to W&B; overrides SYNC_DATASETS.",
)
@output_option
@click.option("-v", "--verbose", count=True, help="Show every job, and a log on stderr; repeat for more.")
def sync(
    jobs: tuple[str, ...],
    last: int | None,
    since: datetime | None,
    *,
    project: str | None,
    entity: str | None,
    endpoints: tuple[str, ...],
    dry_run: bool,
    overwrite: bool,
    include_integrated: bool,
    follow: bool,
    interval: float,
    datasets: str | None,
    output: str,
    verbose: int,
) -> None:
    """Bring W&B up to date with the jobs.

    \b
    Where the jobs are   --endpoint or AZURE_OPENAI_ENDPOINTS, with `az login` or AZURE_OPENAI_API_KEY;
                         or OPENAI_API_KEY alone, for OpenAI's own platform
    Where they go        WANDB_ENTITY, WANDB_PROJECT (OpenAI-Fine-Tune), WANDB_BASE_URL;
                         rules of WANDB_ROUTES apply also with --project and --entity
    With which key       KEY_VAULT_URL and WANDB_SECRET_NAME (wandb-api-key); without them WANDB_API_KEY
    With which data      SYNC_DATASETS: full (default), sample, reference or off

    \b
    Exit status: 0 all well, 1 some job or account failed (the others are done), 2 usage or settings,
    130 interrupted (what was done remains; run it again to continue).
    """
    if dry_run and follow:
        raise click.UsageError("--follow waits for jobs to be mirrored, but --dry-run mirrors none: use one of them.")
    if overwrite and not (jobs or last or since):
        raise click.UsageError(
            "--overwrite makes a new run for every job: select the jobs with --job, --last or --since."
        )
    given = _overrides(project, entity, endpoints, datasets)
    _log_to_stderr(verbose)
    report: Report = Document() if output == "json" else Table(everything=verbose > 0)
    try:
        settings = Settings.take(**given)
        created = since.replace(tzinfo=UTC).timestamp() if since else None
        chosen = Selection(frozenset(jobs), last, created)
        flags = {"dry_run": dry_run, "overwrite": overwrite, "include_integrated": include_integrated}
        _sync(settings, chosen, report, flags, pause=interval if follow else None)
    except SettingsError as error:
        report.failed(error, 2)
    except SyncError as error:
        report.failed(error, 1)


def _overrides(
    project: str | None, entity: str | None, endpoints: tuple[str, ...], datasets: str | None
) -> dict[str, Any]:
    """Return the settings that the options override."""
    given: dict[str, Any] = dict(destination(project, entity))
    if endpoints:
        given["azure_openai_endpoints"] = endpoints
    if datasets:
        given["sync_datasets"] = DatasetPolicy(datasets)
    return given


def _sync(
    settings: Settings, selection: Selection, report: Report, asked: dict[str, bool], *, pause: float | None
) -> NoReturn:
    with importing():  # the SDKs, which --help does not need
        from function_app.engine.engine import Interrupted
        from function_app.engine.retry import Patience
        from function_app.tracking.wandb.client import BY_HAND
        from function_app.wiring import engine_from

    for text in settings.routes.ignored():
        echo(text, err=True, fg="yellow")
    done: list[Outcome] = []
    patience = Patience()
    try:
        with engine_from(settings, limits=BY_HAND) as engine:
            while True:
                try:
                    outcomes = engine.sync(
                        selection,
                        **asked,
                        begins=report.begins,
                        report=report.outcome,
                        stops=report.stops,
                    )
                except SyncError as error:
                    if pause is None or not done or not patience.outlasts(error):
                        raise
                    echo(f"{error.message} Trying again in {duration(pause)}.", err=True, fg="yellow")
                    time.sleep(pause)
                    continue
                patience.reset()
                done = added_up(done, outcomes)
                moving = sum(outcome.waiting_helps for outcome in outcomes)
                if pause is None or not moving:
                    break
                asked["overwrite"] = False  # the first pass has made the new runs
                report.waits(moving, pause)
                time.sleep(pause)
    except Interrupted as stopped:
        report.done(added_up(done, stopped.outcomes), interrupted=True)
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        report.done(done, interrupted=True)
        sys.exit(INTERRUPTED)
    report.done(done, note=_DRY if asked["dry_run"] else _why_ended_early(done) if pause is not None else "")
    sys.exit(int(any(outcome.result is Result.FAILED for outcome in done)))


def _why_ended_early(outcomes: Sequence[Outcome]) -> str:
    """Return why --follow ended before every job did."""
    statuses = Counter(outcome.status for outcome in outcomes if not outcome.final)
    if not statuses:
        return ""
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    return f"Not waited for: {counts}. These jobs do not continue until somebody resumes them; sync again then."


def _log_to_stderr(verbose: int) -> None:
    """Log our records at -v, and more at -vv. Never log the SDKs' records, which contain bodies at DEBUG."""
    ours = logging.getLogger("function_app")
    ours.setLevel((logging.ERROR, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours.addHandler(handler)


main.add_command(check)
main.add_command(submit)
main.add_command(dashboard)
