"""`python -m function_app submit`: check, upload, wait, create a fine-tuning job."""

import math
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from function_app.cli.check import read_grader
from function_app.cli.console import echo, echo_json
from function_app.cli.options import Duration, output_option, tokenizer_option
from function_app.cli.quote import NotConfirmedError, confirm, show
from function_app.cli.report import fail, fail_interrupted
from function_app.data.routes import Destination, NotMirrored
from function_app.errors import SettingsError, SyncError
from function_app.models import Job, Method
from function_app.settings import Settings

if TYPE_CHECKING:
    from function_app.authoring.quote import Quote
    from function_app.authoring.request import RequestedJob
    from function_app.authoring.submission import Submission, SubmissionResult
    from function_app.azure.openai import Account


class DeclinedError(SyncError):
    """The user answered no."""


_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def _hyperparameters(
    _context: click.Context, _parameter: click.Parameter, given: Sequence[str]
) -> dict[str, str | int | float]:
    chosen: dict[str, str | int | float] = {}
    for text in (part for each in given for part in each.split(",") if part.strip()):
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, such as n_epochs=3")
        chosen[name] = _number(value)
    return chosen


@click.command()
@click.option("--model", metavar="NAME", help="The base model.")
@click.option(
    "--continue-from",
    metavar="JOB|MODEL",
    help="Train a fine-tuned model further: the model itself, or the job that made it.",
)
@click.option("--training", type=_FILE, required=True, help="The training file (JSONL).")
@click.option("--validation", type=_FILE, help="The validation file; required for reinforcement.")
@click.option(
    "--suffix", metavar="TEXT", help="Part of the model's name: 1 to 64 characters; on Azure A-Z, a-z, 0-9, - and _."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    help="The same seed usually gives the same result.  [default: the service's choice]",
)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    help="The training method.  [default: the method that most examples fit]",
)
@click.option(
    "--hyperparameters",
    multiple=True,
    callback=_hyperparameters,
    metavar="NAME=VALUE",
    help="Repeatable or comma-separated; the service chooses the others.",
)
@click.option("--grader", type=_FILE, help="The grader for reinforcement, as JSON.")
@click.option(
    "--training-type",
    metavar="TYPE",
    help="Azure's training type: Standard, GlobalStandard, DatazoneStandard or Developer.",
)
@click.option(
    "--account", metavar="NAME", help="The account (or ACCOUNT/PROJECT), if AZURE_OPENAI_ENDPOINTS names several."
)
@tokenizer_option
@click.option("--dry-run", is_flag=True, help="Show what would be done and what it would cost, and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Wait until the job has ended or paused; status 1 if it has no model then.")
@click.option("--again", is_flag=True, help="Create the job even if a similar one exists.")
@click.option("--unchecked", is_flag=True, help="Upload the files even if `check` finds errors in them.")
@click.option(
    "--interval",
    type=Duration(),
    default="5s",
    show_default=True,
    metavar="TIME",
    help="Time between two checks of a file that the service is processing, or with --wait of the job (30s or more).",
)
@output_option
def submit(
    *,
    account: str | None,
    again: bool,
    tokenizer: str,
    dry_run: bool,
    yes: bool,
    wait: bool,
    interval: float,
    output: str,
    **job: Any,
) -> None:
    """Start a fine-tuning job, so that the next sync shows it in W&B.

    Checks the files, shows what it will do and cost (by your FINE_TUNING_PRICES), and asks. Then it uploads the files
    that the account does not have yet (same name and content), waits until they are processed, and creates the job. If it was
    interrupted, run it again to continue. If a similar job exists, it is shown and none is created, unless you pass --again.
    Two of these commands at the same moment do not see each other.

    \b
    Where   AZURE_OPENAI_ENDPOINTS, with `az login` or AZURE_OPENAI_API_KEY; or OPENAI_API_KEY alone
    Role    Cognitive Services OpenAI Contributor on the account

    \b
    Exit status: 0 the job exists (in a dry run: it could be created), 1 it does not (a file or the service refused, or you
    did), 2 usage or settings, 130 interrupted.
    """
    if (job["model"] is None) == (job["continue_from"] is None):
        raise click.UsageError("Pass either --model or --continue-from.")
    requested = _requested(**job)
    with _errors_reported(output):
        _submit(
            requested, account, output, _Flags(interval, tokenizer, again=again, dry_run=dry_run, yes=yes, wait=wait)
        )


def _requested(
    model: str | None,
    training: Path,
    *,
    continue_from: str | None,
    validation: Path | None,
    method: str | None,
    grader: Path | None,
    training_type: str | None,
    unchecked: bool,
    **same_name: Any,
) -> "RequestedJob":
    """The job that the options request; the other options have the names of the request's fields."""
    # The SDKs take a second to import, which --help does not need.
    from function_app.authoring.job_creation import JobRequest
    from function_app.authoring.request import RequestedJob, training_type_of

    return RequestedJob(
        request=JobRequest(
            model=model or continue_from or "",
            training_file="",
            method=Method(method) if method else Method.SUPERVISED,
            grader=read_grader(grader) if grader else None,
            training_type=training_type_of(training_type),
            **same_name,
        ),
        training=training,
        validation=validation,
        guess=method is None,
        unchecked=unchecked,
    )


@contextmanager
def _errors_reported(output: str) -> Iterator[None]:
    """Report an error or Ctrl-C, and exit."""
    try:
        yield
    except (SettingsError, NotConfirmedError) as error:
        fail(error, output, 2)
    except SyncError as error:
        fail(error, output)
    except OSError as error:
        if error.filename is None:  # stdout or stderr cannot be written: see cli.run
            raise
        fail(SyncError(f"{error.filename} cannot be read: {error.strerror}."), output)
    except KeyboardInterrupt:
        fail_interrupted(
            output, "Interrupted. Uploaded files are kept.", "Run the same command again: it continues from there."
        )


@dataclass(frozen=True)
class _Flags:
    interval: float
    tokenizer: str
    again: bool
    dry_run: bool
    yes: bool
    wait: bool


def _submit(requested: "RequestedJob", account: str | None, output: str, flags: _Flags) -> None:
    from function_app.authoring.request import RequestError, SubmitSettings, account_of
    from function_app.authoring.submission import Submission

    def tell(progress: str) -> None:
        echo(progress, err=True)

    settings = SubmitSettings.take()
    try:
        with account_of(settings, account) as place:
            submission = Submission(place, tell, flags.interval)
            quote = _quote(requested, place, submission, settings, flags)
            if flags.dry_run:
                _show_dry_run(quote, output)
                return
            show(quote, err=True)
            if not (flags.yes or quote.planned.twin or confirm("Create this job?")):
                raise DeclinedError("Nothing was uploaded or created.")
            done = submission.run(quote.planned, again=flags.again)
            if flags.wait:
                done = replace(done, job=submission.follow(done.job))
    except RequestError as error:
        raise click.UsageError(error.message) from None
    _report(done, settings, output)
    if flags.wait and done.job.fine_tuned_model is None:
        sys.exit(1)


def _quote(
    requested: "RequestedJob", place: "Account", submission: "Submission", settings: Settings, flags: _Flags
) -> "Quote":
    from function_app.authoring.checking.tokens import tokenizer_for
    from function_app.authoring.quote import quote_of
    from function_app.authoring.request import base_model_of, check_suffix, checked_request

    check_suffix(requested.request.suffix, place)
    model = base_model_of(place, requested.request.model)
    requested = replace(requested, request=replace(requested.request, model=model))
    request, training, validation = checked_request(requested, place, tokenizer_for(flags.tokenizer, model))
    planned = submission.plan(request, requested.training, requested.validation, again=flags.again)
    return quote_of(place, planned, (training, validation), settings.fine_tuning_prices)


def _show_dry_run(quote: "Quote", output: str) -> None:
    if output == "json":
        echo_json({"ok": True, "dry_run": True, **quote.document})
        return
    show(quote, err=False)
    echo("Nothing was uploaded or created: this was a dry run.", err=True)


def _report(done: "SubmissionResult", settings: Settings, output: str) -> None:
    job, goes = done.job, settings.routes.of(done.job)
    url = None if isinstance(goes, NotMirrored) else _run_url(job, goes, settings)
    if output == "json":
        document = {
            "ok": True,
            "job": job.id,
            "account": job.account,
            "status": job.status,
            "created": done.created,
            "answer_lost": done.lost,
            "model": job.model,
            "training_file": job.training_file,
            "validation_file": job.validation_file,
            "uploaded": list(done.uploaded),
            "run_project": None if isinstance(goes, NotMirrored) else goes.project,
            "run_url": url,
        }
        echo_json(document)
        return
    echo(job.id)
    if done.lost:
        echo(f"Created in {job.account}, {job.status}. The answer was lost, but the job is listed.", err=True)
    elif done.created:
        echo(f"Created in {job.account}, {job.status}.", err=True)
    else:
        echo(f"Not created: {job.account} already has such a job, {job.status}. --again creates another one.", err=True)
    if isinstance(goes, NotMirrored):
        echo(f"The job will not be mirrored to W&B: {goes.message}.", err=True)
    else:
        _print_next_steps(job, url or f"run {job.id} of the project {goes.project}")


def _print_next_steps(job: Job, run: str) -> None:
    echo(f"The next tick of the function app mirrors it: {run}", err=True)
    echo(f"To do it now: `python -m function_app sync --job {job.id} --follow`", err=True)


def _run_url(job: Job, goes: Destination, settings: Settings) -> str | None:
    """Return the address of the future run; None if no entity is set, because only the API key determines it then."""
    if goes.entity is None:
        return None
    from function_app.tracking.wandb.client import DEFAULT_SERVER, project_page

    return f"{project_page(goes.entity, goes.project, settings.wandb_base_url or DEFAULT_SERVER)}/runs/{quote(job.id)}"


def _number(text: str) -> str | int | float:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
