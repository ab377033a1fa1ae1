"""Sessions of the W&B SDK. They are opened only to create a run and to upload artifacts.

A session that resumes a run reads its summary, config and tags, all of which may be outdated, and writes them back whole.
"""

import base64
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import wandb

from function_app.errors import WandbBusyError, WandbError
from function_app.text import duration
from function_app.tracking import Identity
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.core.internals import InUseError, release_run
from function_app.tracking.wandb.core.scratch import scratch
from function_app.tracking.wandb.core.sdk import UnclearError, errors, listen, opened, settings

PARTITIONED = "partitioned-table"
"""The only kind of table that a run can show without copying it (wandb 0.31, `PartitionedTable`)."""

EXAMPLES = f"examples.{PARTITIONED}.json"
"""The table of examples in a dataset's artifact."""

_TABLES = {"training": "train_data", "validation": "valid_data"}
"""The summary keys of the tables by role, which are those of WandbLogger (wandb 0.31)."""

_PROGRAM = "azure-openai-wandb"

_NEUTRAL: Mapping[str, Any] = {
    **dict.fromkeys(("docker", "email", "git_commit", "git_remote_url", "host", "x_label"), ""),
    "ignore_globs": (),
    "sync_tensorboard": False,
}
"""Settings that would go into our runs. In a person's process (`sync()`) they come from variables, files and `wandb.setup`. The
SDK ignores None here (0.31)."""

_artifacts = threading.Lock()
"""Held while a wandb.Artifact is created: the constructor is not thread-safe (0.31: KeyError in its cache under load)."""


class OpenRun(Protocol):
    """A run that is being written, as the uploads see it.

    Attributes:
        handle: the SDK's run.
        resumed: whether the run existed before.
        answers: the project with the answers to the questions that were sent with the run's.
        answered_at: the time of these answers (`time.monotonic`).
    """

    handle: wandb.Run
    resumed: bool
    answers: Mapping[str, Any]
    answered_at: float


@contextmanager
def sdk_session(api: WandbApi, run_id: str, new: Identity | None, config: Mapping[str, Any]) -> Iterator[wandb.Run]:
    """Open a session of the SDK on the run with this id, or create the run. Closing it waits until W&B has everything.

    On entry, W&B has acknowledged `config`, because the SDK sends it with the request that opens the run. The session
    leaves the run unfinished: we send rows and the run's end ourselves (`sequence`).

    Args:
        api: the project.
        run_id: the id, which is the job's.
        new: name and tags of a new run; None keeps everything that people may have changed.
        config: the config values to set.

    Raises:
        RunDeletedError: the id was deleted in W&B.
        WandbError: somebody moved the run to another project.
        WandbBusyError, KeyRefusedError: from W&B.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch(), ignore_cleanup_errors=True) as directory:
        listen()
        try:
            run = api.with_key(lambda key: _init(api, run_id, new, config, key, directory))
        except UnclearError:
            api.reopen(run_id, new, config)  # its errors have a status, unlike the SDK's
            raise
        try:
            if (run.entity, run.project) != (api.entity, api.project):
                raise moved(run_id, run.entity, run.project)
            yield run
        finally:
            try:
                with errors(api.base_url):
                    run.finish()
            except TimeoutError:
                raise WandbBusyError(
                    f"W&B did not accept everything within {duration(api.client.limits.closing)}."
                ) from None


def moved(run_id: str, entity: str, project: str) -> WandbError:
    """Return the error for a moved run: W&B still accepts its old name, but loses what is written there (wandb#6164)."""
    return WandbError(
        f"The run {run_id} was moved to {entity}/{project}.",
        "Move it back, or route the job there with WANDB_ROUTES.",
    )


def new_artifact(name: str, kind: str, metadata: Mapping[str, Any], description: str | None = None) -> wandb.Artifact:
    """Return a draft of an artifact, with at most 100 metadata keys (wandb 0.31)."""
    with _artifacts:
        return wandb.Artifact(name, type=kind, metadata=dict(metadata), description=description)


def shown_tables(versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the summary values that show the tables of these versions of datasets, by role.

    They refer to the artifact's table as the SDK's own values do (wandb 0.31, `PartitionedTable.to_json`). That W&B's app shows
    them on the run's page is UNVERIFIED.
    """
    shown = {}
    for role, version in versions.items():
        with suppress(ValueError):  # people may have edited the marks
            address = f"wandb-artifact://{base64.b64decode(version, validate=True).hex()}/{EXAMPLES}"
            shown[_TABLES[role]] = {"_type": PARTITIONED, "artifact_path": address}
    return shown


def _init(
    api: WandbApi, run_id: str, new: Identity | None, config: Mapping[str, Any], key: str, directory: str
) -> wandb.Run:
    chosen = settings(key, api.base_url, api.client.limits)
    chosen.update_from_dict(dict(_NEUTRAL))
    chosen.root_dir = directory
    chosen.mode = "online"
    chosen.init_timeout = api.client.limits.opening
    chosen.finish_timeout = api.client.limits.closing
    chosen.finish_timeout_raises = True
    chosen.stop_fn = _nothing_to_stop
    # Record nothing about this machine, its code or its output; without a program name the SDK would record what was started.
    chosen.program = _PROGRAM
    chosen.console = "off"
    chosen.disable_git = chosen.disable_code = True
    chosen.save_code = chosen.x_save_requirements = False
    chosen.x_disable_stats = chosen.x_disable_meta = chosen.x_disable_machine_info = True
    chosen.label_disable = True
    chosen.symlink = False
    # Not the run's primary writer: saves the upload of config.yaml and wandb-summary.json, which W&B already has.
    chosen.x_primary = False
    chosen.x_update_finish_state = False
    chosen.x_skip_transaction_log = True
    identity: dict[str, Any] = {}
    if new:
        identity = {"name": new.name, "group": new.group, "tags": new.tags, "job_type": new.job_type}
        identity |= {"notes": new.notes}

    def open_run() -> wandb.Run:
        return wandb.init(
            entity=api.entity,
            project=api.project,
            id=run_id,
            resume="allow",
            reinit="create_new",
            settings=chosen,
            config={**(new.config if new else {}), **config},
            **identity,
        )

    limits = api.client.limits
    with errors(api.base_url), _released_on_error(run_id):
        return opened(open_run, limits.opening + limits.connect)


@contextmanager
def _released_on_error(run_id: str) -> Iterator[None]:
    """Make wandb-core release a run that could not be opened.

    wandb.init does not (0.31), and the run would be "in use" for the life of the process.

    Raises:
        WandbBusyError: the run is already open in this process, or wandb-core does not answer; it is not released.
    """
    try:
        yield
    except WandbBusyError:
        raise
    except InUseError as error:
        raise WandbBusyError(f"The run is already open in this process: {error}") from error
    except BaseException:
        release_run(run_id)
        raise


def _nothing_to_stop() -> None:
    """Ignore "Stop run" in W&B. By default the SDK would interrupt the main thread of the whole process."""
