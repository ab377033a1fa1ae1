"""Sessions of the W&B SDK. As few as possible are opened: to make a run, and to upload artifacts.

A session that goes on with a run reads its summary, config and tags, all of which may be late, and writes them back whole.
"""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import wandb

from function_app.errors import WandbBusyError, WandbError
from function_app.tracking import Identity
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.internals import InUseError, release_run
from function_app.tracking.wandb.scratch import scratch
from function_app.tracking.wandb.sdk import UnclearError, errors, listen, settings

_INIT_TIMEOUT = 60.0
_FINISH_TIMEOUT = 120.0  # seconds for config and summary; files have gone before, in the time that they take
_PROGRAM = "azure-openai-wandb"

_artifacts = threading.Lock()
"""Held while a wandb.Artifact is made: the constructor is not thread-safe (0.31: KeyError in its cache under load)."""


class OpenRun(Protocol):
    """A run that is being written, as those see it who upload for it.

    Attributes:
        handle: the SDK's run.
        resumed: whether the run was there before.
        answers: the project with what was asked together with the run.
        answered_at: when that was (`time.monotonic`).
    """

    handle: wandb.Run
    resumed: bool
    answers: Mapping[str, Any]
    answered_at: float


@contextmanager
def sdk_session(api: WandbApi, run_id: str, new: Identity | None, config: Mapping[str, Any]) -> Iterator[wandb.Run]:
    """Open a session of the SDK on the run of this id, or make the run. Closing it waits until W&B has everything.

    W&B has acknowledged `config` when this is entered: the SDK sends it with the request that opens the run. The session
    leaves the run as one that goes on: rows and the run's end are sent by us (`sequence`).

    Args:
        api: the project.
        run_id: the id, which is the job's.
        new: what to call it, if it is new; None leaves everything that people may have changed as it is.
        config: what to set in its config.

    Raises:
        RunDeletedError: the id was deleted in W&B.
        WandbError: somebody moved the run to another project.
        WandbBusyError, KeyRefusedError: as they say.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch(), ignore_cleanup_errors=True) as directory:
        listen()
        try:
            run = api.with_key(lambda key: _init(api, run_id, new, config, key, directory))
        except UnclearError:
            api.reopen(run_id, new, config)  # says by status what the SDK says in words only
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
                raise WandbBusyError(f"W&B did not take everything within {_FINISH_TIMEOUT:.0f} s.") from None


def moved(run_id: str, entity: str, project: str) -> WandbError:
    """Somebody moved the run: W&B answers to its old name, and shows nowhere what is written there (wandb#6164)."""
    return WandbError(
        f"The run {run_id} was moved to {entity}/{project}.",
        "Move it back, or send the job there with WANDB_ROUTES.",
    )


def new_artifact(name: str, kind: str, metadata: Mapping[str, Any], description: str | None = None) -> wandb.Artifact:
    """A draft; at most 100 metadata keys (wandb 0.31)."""
    with _artifacts:
        return wandb.Artifact(name, type=kind, metadata=dict(metadata), description=description)


def _init(
    api: WandbApi, run_id: str, new: Identity | None, config: Mapping[str, Any], key: str, directory: str
) -> wandb.Run:
    chosen = settings(key, api.base_url)
    chosen.root_dir = directory
    chosen.mode = "online"
    chosen.init_timeout = _INIT_TIMEOUT
    chosen.finish_timeout = _FINISH_TIMEOUT
    chosen.finish_timeout_raises = True
    chosen.stop_fn = _nothing_to_stop
    # Nothing of this machine, its code or its output belongs into the run; without a name the SDK says what was started.
    chosen.program = _PROGRAM
    chosen.console = "off"
    chosen.disable_git = chosen.disable_code = True
    chosen.save_code = chosen.x_save_requirements = False
    chosen.x_disable_stats = chosen.x_disable_meta = chosen.x_disable_machine_info = True
    chosen.label_disable = True
    chosen.symlink = False
    # Not the run's primary writer: saves the upload of config.yaml and wandb-summary.json, which repeat what W&B has.
    chosen.x_primary = False
    chosen.x_update_finish_state = False
    chosen.x_skip_transaction_log = True
    identity: dict[str, Any] = {}
    if new:
        identity = {"name": new.name, "group": new.group, "tags": new.tags, "job_type": new.job_type}
        identity |= {"notes": new.notes}
    with errors(api.base_url), _released_on_error(run_id):
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


@contextmanager
def _released_on_error(run_id: str) -> Iterator[None]:
    """Have wandb-core let go of a run that could not be opened.

    wandb.init does not (0.31), and the run would be "in use" for the life of the process.

    Raises:
        WandbBusyError: the run is open in this process already; that one is left alone.
    """
    try:
        yield
    except InUseError as error:
        raise WandbBusyError(f"The run is being written already: {error}") from error
    except BaseException:
        release_run(run_id)
        raise


def _nothing_to_stop() -> None:
    """Somebody pressed "Stop run" in W&B. Without this the SDK would interrupt the main thread of the whole process."""
