"""The one door to W&B runs: open one, bring it up to date, leave it running or end it."""

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import wandb

from function_app.data.fields import number
from function_app.errors import WandbBusyError
from function_app.models import MetricRow
from function_app.tracking import Identity
from function_app.tracking.wandb.api import LAST_STEP, STATE, Question, WandbApi, last_step_of
from function_app.tracking.wandb.internals import HistoryBatch, InUseError, leave_running, release_run
from function_app.tracking.wandb.scratch import scratch
from function_app.tracking.wandb.sdk import UnclearError, complaints, errors, listen, settings

_INIT_TIMEOUT = 60.0
_FINISH_TIMEOUT = 120.0  # seconds for what is left of the rows; files have gone before, in the time that they take
_OPENED_AT_MOST = 8  # times, while another process writes into the same run
_ALERT_TITLE = 63  # characters
_PROGRAM = "azure-openai-wandb"
_SDKS_OWN = "_wandb"
"""What the SDK keeps of its own in config and summary."""

_artifacts = threading.Lock()
"""Held while a wandb.Artifact is made: the constructor is not thread-safe (0.31: KeyError in its cache under load)."""


class OpenRun:
    """A run of W&B while it is being brought up to date."""

    def __init__(self, handle: wandb.Run) -> None:
        self.handle = handle
        self.id: str = handle.id
        self.url: str = handle.url or ""
        self.resumed: bool = handle.resumed
        self.starting_step: int = handle.starting_step
        self.last_step: int | None = handle.starting_step - 1 if handle.starting_step else None
        self.answers: Mapping[str, Any] = {}
        self.answered_at = -math.inf
        self._remembered: Mapping[str, Any] | None = None
        self._exit_code: int | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's config, with what people have changed in W&B."""
        return {name: value for name, value in dict(self.handle.config).items() if name != _SDKS_OWN}

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set config values; the others stay."""
        if values:
            self.handle.config.update(dict(values), allow_val_change=True)  # type: ignore[no-untyped-call] # wandb's

    def log(self, rows: Iterable[MetricRow]) -> int:
        """Write the rows that the run does not have yet; W&B takes no step below its last. Returns how many."""
        written = 0
        with HistoryBatch(self.handle) as waiting:
            for row in rows:
                if row.step < self.starting_step or not row.values:
                    continue
                at = {} if row.at is None else {"_timestamp": row.at}
                waiting.log({**row.values, **at}, row.step)
                self.last_step = row.step
                written += 1
        return written

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Set summary values; the others stay."""
        self.handle.summary.update(dict(values))

    def kept(self, name: str) -> dict[str, dict[str, Any]]:
        """Return a summary value of two levels as the run has it, but for what cannot be a value at a step."""
        value = self.handle.summary.get(name)  # type: ignore[no-untyped-call] # wandb's
        pairs = value.items() if hasattr(value, "items") else ()  # in W&B people may put anything there
        entries = {str(key): dict(each) for key, each in pairs if hasattr(each, "keys")}
        return {key: each for key, each in entries.items() if number(each.get("value")) is not None}

    def recall(self, *names: str) -> dict[str, Any]:
        """What was kept under these names when the run was opened, by whichever process wrote last; without those it lacks."""
        kept = self.handle.summary.get(STATE)  # type: ignore[no-untyped-call] # wandb's
        there = kept.keys() if hasattr(kept, "keys") else ()  # in W&B people may put anything there
        return {name: kept[name] for name in names if name in there}

    def remember(self, values: Mapping[str, Any]) -> None:
        """Keep in the summary what the next tick has to know, in place of what was kept there; what is false is not kept.

        The last step is among it. W&B's own `_step` is the SDK's, which knows only what its own process has written: after
        a kill between rows and summary nobody would say it.
        """
        kept = {**values, LAST_STEP: self.last_step}
        self._remembered = {name: value for name, value in kept.items() if value}
        self.summarise({STATE: self._remembered})

    def alert(self, title: str, text: str) -> None:
        """Tell people, as their W&B settings have it."""
        self.handle.alert(title[:_ALERT_TITLE], text, level="ERROR")

    def end(self, exit_code: int) -> None:
        """Have the run end when it is closed (0 finished, else failed). To be said last: a run that is closed before it was
        said goes on, whatever went wrong.
        """
        self._exit_code = exit_code

    def close(self) -> None:
        """Wait until W&B has everything."""
        if self._exit_code is None:
            leave_running(self.handle)
        self.handle.finish(exit_code=self._exit_code or 0)

    def overtaken(self, api: WandbApi, asks: Sequence[Question]) -> Mapping[str, Any] | None:
        """Ask for the run, and whatever else: `answers` has the project then. None when it is as it was opened; its summary
        when another process has written into it since it was asked for.
        """
        self.answered_at = time.monotonic()
        summary, self.answers = api.written(self.id, *asks)
        if self.resumed and last_step_of(self.answers) < self.starting_step:
            return None
        return summary

    def check(self, api: WandbApi) -> None:
        """See that W&B has what was remembered last, and so all rows before it.

        Raises:
            WandbBusyError: it has not.
        """
        if self._remembered is None:
            return
        summary, _ = api.written(self.id)
        if (summary or {}).get(STATE) != self._remembered:
            raise WandbBusyError(
                "W&B refused a part of what was written into the run.",
                "Nothing is lost: the next sync goes on from what W&B has. Should it be refused again, check the key's role.",
            )


Run = TypeVar("Run", bound=OpenRun)


@contextmanager
def open_run(
    api: WandbApi,
    run_id: str,
    new: Identity | None,
    session: Callable[[wandb.Run, WandbApi], Run],
    *,
    ends: bool,
    asks: Sequence[Question] | None = None,
) -> Iterator[Run]:
    """Open the run of this id, or make it; closing it waits until W&B has everything.

    The SDK asks for a run's last step, and then opens it; wandb-core counts the run's lines in the answer to the second
    (0.31). What another process writes in between it does not see: it would append the same steps behind the other's. So
    the run is asked for once more; where another was faster, it is given the other's summary, closed, and opened anew.

    Args:
        api: the project.
        run_id: the id, which is the job's.
        new: what to call it, if it is new; None leaves everything that people may have changed as it is.
        session: makes the session from the SDK's run.
        ends: whether it may end (`OpenRun.end`); one that may not goes on even if this process is shut down.
        asks: what else is asked at the start, together with the run: `answers` has the project then. None asks nothing of a
            run that was there before, and is for those who write no rows.

    Raises:
        RunDeletedError: the id was deleted in W&B.
        WandbBusyError: another process goes on writing into it, or what the error says.
        KeyRefusedError, WandbError: as they say.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch(), ignore_cleanup_errors=True) as directory:
        for attempt in range(_OPENED_AT_MOST):
            with _at_work(api, run_id, None if attempt else new, session, directory, ends=ends) as run:
                theirs = None if run.resumed and asks is None else run.overtaken(api, asks or ())
                if theirs is None:
                    yield run
                    return
                run.summarise({name: value for name, value in theirs.items() if name != _SDKS_OWN})
    raise WandbBusyError(
        "Another process is writing into this run.", "Nothing is lost: the next sync goes on from what W&B has."
    )


@contextmanager
def _at_work(
    api: WandbApi,
    run_id: str,
    new: Identity | None,
    session: Callable[[wandb.Run, WandbApi], Run],
    directory: str,
    *,
    ends: bool,
) -> Iterator[Run]:
    listen()
    before = complaints.heard  # the first request may be refused while the run is still being opened
    try:
        run = session(api.with_key(lambda key: _init(api, run_id, new, key, directory, ends=ends)), api)
    except UnclearError:
        api.reopen(run_id, new)  # says by status what the SDK says in words only
        raise
    try:
        yield run
    finally:
        try:
            with errors(api.base_url):
                run.close()
        except TimeoutError:
            raise WandbBusyError(f"W&B did not take everything within {_FINISH_TIMEOUT:.0f} s.") from None
    if complaints.heard != before:
        run.check(api)


def new_artifact(name: str, kind: str, metadata: Mapping[str, Any], description: str | None = None) -> wandb.Artifact:
    """A draft; at most 100 metadata keys (wandb 0.31)."""
    with _artifacts:
        return wandb.Artifact(name, type=kind, metadata=dict(metadata), description=description)


def _init(api: WandbApi, run_id: str, new: Identity | None, key: str, directory: str, *, ends: bool) -> wandb.Run:
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
    chosen.x_update_finish_state = ends
    chosen.x_skip_transaction_log = True
    identity: dict[str, Any] = {}
    if new:
        identity = {"name": new.name, "group": new.group, "tags": new.tags, "job_type": new.job_type}
        identity |= {"notes": new.notes, "config": dict(new.config)}
    with errors(api.base_url), _released_on_error(run_id):
        return wandb.init(
            entity=api.entity,
            project=api.project,
            id=run_id,
            resume="allow",
            reinit="create_new",
            settings=chosen,
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
