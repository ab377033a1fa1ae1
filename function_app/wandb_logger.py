"""`sync()`: the engine with the signature of wandb's WandbLogger.sync, so that switching is a change of one import.

Its parameters work as W&B documents them ("OpenAI API", WandbLogger), not as wandb 0.31 implements them: `num_fine_tunes` are
the most recent jobs, on any page; a job is waited for while it can end; one job's failure does not affect the others.
"""

import argparse
import inspect
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import click
import openai
import wandb
from pydantic import SecretStr, ValidationError, model_validator

from function_app.azure.openai import Account
from function_app.data.wandb_server import wandb_server
from function_app.engine.engine import Engine, Interrupted
from function_app.engine.retry import Patience
from function_app.errors import AccountError, NotThereError, SettingsError, SyncError
from function_app.models import OPENAI, Conventions, DatasetPolicy, Outcome, Result, Selection
from function_app.settings import PREVIEW, Settings
from function_app.text import duration
from function_app.tracking.wandb.client import BY_HAND, DEFAULT_SERVER
from function_app.tracking.wandb.core.internals import server_in_force
from function_app.tracking.wandb.core.sdk import as_a_guest, found_key
from function_app.wiring import engine_from

EVERY = 60.0
"""Seconds between two checks while waiting for jobs (W&B, WandbLogger documentation)."""

_OFFLINE = frozenset({"offline", "dryrun", "disabled"})
_OTHER_RUNS = ("WANDB_SWEEP_ID", "WANDB_LAUNCH")
_SUPPORTED = ("name", "notes", "group", "job_type", "tags", "config")  # of wandb.init's parameters
_STABLE = re.compile(r"\d{4}-\d{2}-\d{2}")
_OPENAI_HOST = "api.openai.com"

Say = Callable[[str], None]


def sync(
    fine_tune_job_id: str | None = None,
    openai_client: openai.OpenAI | None = None,
    num_fine_tunes: int | None = None,
    project: str = "OpenAI-Fine-Tune",
    entity: str | None = None,
    overwrite: bool = False,  # noqa: FBT001, FBT002 (WandbLogger's signature)
    wait_for_job_success: bool = True,  # noqa: FBT001, FBT002 (as above)
    log_datasets: bool = True,  # noqa: FBT001, FBT002 (as above)
    model_artifact_name: str | None = "model-metadata",
    model_artifact_type: str = "model",
    **kwargs_wandb_init: Any,
) -> list[Outcome]:
    """Bring W&B up to date with fine-tuning jobs, and print a line for each on stderr.

    The W&B API key comes from Key Vault if KEY_VAULT_URL is set, else from `wandb login` or WANDB_API_KEY.
    If a run of yours is active in this process, it is not affected.

    Args:
        fine_tune_job_id: only this job; None for all jobs.
        openai_client: an `OpenAI` or `AzureOpenAI` client; None to use the environment: AZURE_OPENAI_ENDPOINTS
            with `az login` or AZURE_OPENAI_API_KEY, or OPENAI_API_KEY alone.
        num_fine_tunes: only this number of most recent jobs.
        project: the W&B project.
        entity: its team or user; None for WANDB_ENTITY or the key's default.
        overwrite: make a new run for each of these jobs and mark its previous run as superseded. W&B never reuses a run
            id, so a run cannot be overwritten in place.
        wait_for_job_success: check every 60 seconds until every job has ended that can end by itself. A paused
            job can do so only on the Developer tier, where the service resumes it. The runs are updated in the meantime.
        log_datasets: whether training and validation files go to W&B, as SYNC_DATASETS says (full).
        model_artifact_name: the artifact for the models; None for one artifact for each base model and suffix.
        model_artifact_type: its type.
        **kwargs_wandb_init: `name`, `notes`, `group`, `job_type`, `tags` and `config` of new runs. `id` is used as
            fine_tune_job_id, as in OpenAI's cookbook, because a run has the id of its job.

    Returns:
        What was done for each job. A failed job has a reason and does not affect the others.

    Raises:
        SyncError: nothing could be done: a wrong argument or setting, no such job, or W&B or the account refused.
        TypeError: wandb.init has no such parameter.
    """
    selection = _selection(_job_id(fine_tune_job_id, kwargs_wandb_init), num_fine_tunes)
    conventions = conventions_from(kwargs_wandb_init, model_artifact_name, model_artifact_type)
    settings = _settings(openai_client, project, entity, log_datasets=log_datasets)
    with _engine(settings, openai_client, conventions) as engine:
        try:
            return follow(engine, selection, overwrite=overwrite, wait=wait_for_job_success, say=_print)
        except Interrupted:
            raise KeyboardInterrupt from None


@contextmanager
def _engine(settings: Settings, client: openai.OpenAI | None, conventions: Conventions) -> Iterator[Engine]:
    """The engine, in a process that belongs to the caller."""
    accounts = None if client is None else [_CallersAccount(client)]
    with (
        as_a_guest(settings.wandb_base_url or DEFAULT_SERVER),
        engine_from(settings, guest=True, accounts=accounts, conventions=conventions, limits=BY_HAND) as engine,
    ):
        yield engine


def _selection(job: str | None, last: int | None) -> Selection:
    if last is not None and last < 0:
        raise SettingsError(f"num_fine_tunes is {last}, but a number of jobs cannot be negative.")
    return Selection(frozenset({job})) if job else Selection(last=last)


def follow(
    engine: Engine,
    selection: Selection,
    *,
    overwrite: bool,
    wait: bool,
    say: Say,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Outcome]:
    """Mirror these jobs. With `wait`, repeat this until every job has ended that can end without a person.

    Raises:
        SyncError: the first pass failed, or too many in a row did (`Patience`).
    """
    outcomes = _by_job(engine.sync(selection, overwrite=overwrite, report=lambda outcome: say(_line(outcome))))
    patience = Patience()
    while wait and (open_ones := [each for each in outcomes.values() if _can_end(each)]):
        say(f"Waiting for {len(open_ones)} of {len(outcomes)} jobs. The next check is in {duration(EVERY)}.")
        sleep(EVERY)
        try:
            news = _by_job(engine.sync(Selection(frozenset(each.job for each in open_ones))))
        except SyncError as error:
            if not patience.outlasts(error):
                raise
            say(f"{error.message} Trying again.")
            continue
        patience.reset()
        known = {each.message for each in outcomes.values()}
        outcomes = {name: each for name, each in outcomes.items() if each.job} | news
        for each in news.values():
            if not _can_end(each) or (each.result is Result.FAILED and each.message not in known):
                say(_line(each))
    return list(outcomes.values())


def conventions_from(given: Mapping[str, Any], model_artifact: str | None, model_type: str) -> Conventions:
    """Convert the parameters of wandb.init to conventions for new runs.

    Raises:
        SettingsError: a value is not supported.
        TypeError: wandb.init has no such parameter.
    """
    known = inspect.signature(wandb.init).parameters
    for name in given:
        if name not in known:
            raise TypeError(f"sync() got an unexpected keyword argument {name!r}")
    mode = given.get("mode") or os.environ.get("WANDB_MODE")
    if mode in _OFFLINE:
        raise SettingsError(
            f"W&B is {mode} (mode or WANDB_MODE), but sync() must read the runs in W&B to find pending jobs.",
            "Set it to online.",
        )
    if within := [name for name in _OTHER_RUNS if os.environ.get(name)]:
        raise SettingsError(
            f"{' and '.join(within)} is set: in a sweep or a job of W&B Launch, the SDK gives every run another id.",
            "Call sync() in another process.",
        )
    ignored = sorted(
        name for name, value in given.items() if name not in _SUPPORTED and name != "mode" and value is not None
    )
    if ignored:
        _print(f"Ignored: {', '.join(ignored)}. Of wandb.init's parameters, sync() supports {', '.join(_SUPPORTED)}.")
    tags = given.get("tags") or ()
    return Conventions(
        name=given.get("name"),
        notes=given.get("notes"),
        group=given.get("group"),
        job_type=given.get("job_type"),
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        config=_config(given.get("config")),
        model_artifact=model_artifact,
        model_type=model_type,
    )


class _CallersAccount(Account):
    """An account with the caller's client, which the caller will close."""

    def __init__(self, client: openai.OpenAI) -> None:
        clients = [client]
        version = str(client.default_query.get("api-version"))
        if isinstance(client, openai.AzureOpenAI) and (_STABLE.fullmatch(version) or version < PREVIEW):
            # These versions may not show that a job logs to W&B by itself, which would then be logged twice.
            clients.insert(0, client.copy(api_version=PREVIEW))
        first, *others = [lambda http, each=each: each for each in clients]
        super().__init__(account_name(str(client.base_url)), first, *others)

    def close(self) -> None:
        """Leave the client open."""


def account_name(base_url: str) -> str:
    """Return the name of the account at an address: the first label of an Azure host, or "openai" for OpenAI's platform."""
    host = urlsplit(base_url).hostname or base_url
    if host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}"):
        return OPENAI
    first = host.partition(".")[0]
    return host if first.isdecimal() else first


class _SettingsBesideClient(Settings):
    """Settings that do not have to name the accounts."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        return self


def _settings(client: openai.OpenAI | None, project: str, entity: str | None, *, log_datasets: bool) -> Settings:
    if client is not None and not isinstance(client, openai.OpenAI):
        what = type(client).__name__
        raise SettingsError(
            f"openai_client is of type {what}, but sync() requires an openai.OpenAI or openai.AzureOpenAI client."
        )
    # The server that the person is signed in to, determined once, so that key and runs go to the same one.
    try:
        server = wandb_server(os.environ.get("WANDB_BASE_URL") or server_in_force())
    except ValidationError as error:
        raise SettingsError(f"The W&B SDK refuses its settings: {error}", "Check the variables WANDB_…") from None
    except ValueError as error:
        raise SettingsError(f"WANDB_BASE_URL: {error}") from None
    given: dict[str, Any] = {"wandb_project": project, "wandb_routes": (), "wandb_base_url": server}
    if entity:
        given["wandb_entity"] = entity
    if not log_datasets:
        given["sync_datasets"] = DatasetPolicy.OFF
    if not os.environ.get("KEY_VAULT_URL"):
        given["wandb_api_key"] = _key(given["wandb_base_url"])
    return (Settings if client is None else _SettingsBesideClient).load(**given)


def _key(server: str) -> SecretStr:
    key = found_key(server)
    if key is None:
        raise SettingsError(
            "There is no W&B sign-in on this machine.", "Run `wandb login`, or set WANDB_API_KEY or KEY_VAULT_URL."
        )
    return key


def _job_id(fine_tune_job_id: str | None, given: dict[str, Any]) -> str | None:
    """Return the requested job, and remove `id` from the parameters for wandb.init."""
    run_id = given.pop("id", None)
    if not run_id:
        return fine_tune_job_id
    if fine_tune_job_id and run_id != fine_tune_job_id:
        raise SettingsError(
            f"id is {run_id}, but fine_tune_job_id is {fine_tune_job_id}; a run has the id of its job.", "Omit id."
        )
    _print("id is used as fine_tune_job_id, because a run has the id of its job.")
    return str(run_id)


def _config(given: object) -> Mapping[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    if isinstance(given, argparse.Namespace):
        return vars(given)
    raise SettingsError(
        f"config is of type {type(given).__name__}, but sync() requires a mapping or an argparse.Namespace."
    )


def _by_job(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """Return the outcomes by job. Those of unreachable accounts are by account.

    Raises:
        SyncError: no job was found: an account refused, or no account has the job.
    """
    found = list(outcomes)
    missing = next((each for each in found if each.result is Result.FAILED and not each.status), None)
    if missing and not any(each.status for each in found):
        if missing.job:
            raise NotThereError(f"{missing.account} has no job {missing.job}.", missing.hint)
        raise AccountError(missing.message, missing.hint)
    return {each.job or each.account: each for each in found}


def _can_end(outcome: Outcome) -> bool:
    return bool(outcome.job) and outcome.waiting_helps and outcome.result is not Result.SKIPPED


def _line(outcome: Outcome) -> str:
    hint = [outcome.hint] if outcome.result is Result.FAILED and outcome.hint else []
    what = "; ".join([outcome.summary, *outcome.warnings, *hint])
    parts = (f"{outcome.result:<8}", outcome.job or outcome.account, outcome.status, what, outcome.run_url)
    return "  ".join(part for part in parts if part)


def _print(line: str) -> None:
    click.echo(line, err=True)
