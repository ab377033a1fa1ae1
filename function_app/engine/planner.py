"""Decide from a job and its run in W&B what to do. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from function_app.models import Event, Job, RunState

RULE = 1
"""The version of the rule for final runs. After a change of the version, every run is mirrored again once."""

GRACE = 600.0
"""Seconds to wait for late events after a job's end. In recorded jobs the last event came 36 s after the end."""

_ENDED = frozenset({"finished", "failed", "killed"})
_RESULTS_COMPLETE = "Completed results file"
_RESULTS_CREATED = re.compile(r"Created results file: (?P<id>[\w.-]{1,120})\s*", re.ASCII)
_BEING_WRITTEN = frozenset({"running", "pending"})


_MISSING = "its run was complete, and W&B does not list it in this project: it was moved or deleted; see --overwrite"


class Action(StrEnum):
    """What to do for a job."""

    MIRROR = "mirror"
    NOTHING = "nothing"
    SKIP = "skip"


@dataclass(frozen=True)
class Decision:
    """The action for a job, with a reason for people.

    Attributes:
        action: what to do.
        message: one sentence for people, or empty.
        replace: write into a new run that replaces the existing one; otherwise bring the existing one up to date.
        later: whether waiting may turn "nothing to do" into work.
    """

    action: Action
    message: str = ""
    replace: bool = False
    later: bool = False


def decide(
    job: Job,
    run: RunState | None,
    *,
    deleted: bool = False,
    complete: bool = False,
    overwrite: bool = False,
    include_integrated: bool = False,
) -> Decision:
    """Decide from the two listings alone, so that an idle tick reads nothing else.

    Args:
        job: the job as its account lists it.
        run: the newest of its runs as W&B lists it; None if there is none.
        deleted: whether the run with this id is known to be deleted in W&B.
        complete: whether a run of the job is known to have been complete, although W&B does not list it now.
        overwrite: whether a new run is requested in any case.
        include_integrated: whether jobs are mirrored whose own integration logs to W&B, too.
    """
    integrated = logs_by_itself(job) and not include_integrated
    if overwrite and not integrated:
        return Decision(Action.MIRROR, replace=True)
    if deleted:
        return Decision(Action.SKIP, "its run was deleted in W&B, which never reuses an id")
    if integrated:
        return Decision(Action.SKIP, "it logs to W&B by itself (the job's own integration)")
    if run is None:
        return Decision(Action.SKIP, _MISSING) if complete else Decision(Action.MIRROR)
    if run.superseded_by:
        return Decision(Action.SKIP, f"its run {run.superseded_by} was deleted in W&B, which never reuses an id")
    if run.foreign:
        return _of_another_tool(job, run)
    if run.unmarked:
        return Decision(Action.MIRROR)
    if run.state == "killed" and run.rule is None:
        return Decision(Action.SKIP, "somebody stopped its run in W&B")
    if job.terminal and run.rule == RULE and run.status == job.status and run.state in _ENDED:
        return _of_complete(run)
    return Decision(Action.MIRROR)


def _of_complete(run: RunState) -> Decision:
    if run.surplus:
        return Decision(Action.MIRROR, "W&B shows other rows than were written")
    return Decision(Action.NOTHING, _by_whom(run))


def _by_whom(run: RunState) -> str:
    """Return a message if another user's key made the run: every member of the project can write what makes a run final."""
    return f"its run was made by the W&B user {run.other_user}" if run.other_user else ""


def _of_another_tool(job: Job, run: RunState) -> Decision:
    """Decide about a run that wandb's WandbLogger wrote: it may be complete, incomplete, or contain another job's data.

    WandbLogger sets the status "succeeded" last, so a run with it is complete. It also continues to write into the run of
    an unsuccessful job when it handles the next job (wandb 0.31), which leaves the model of one job in the run of
    another. Such a run cannot be corrected in place, because W&B accepts no step twice.
    """
    if run.state in _BEING_WRITTEN:
        return Decision(Action.SKIP, "another program is writing its run", later=True)
    if run.status != "succeeded":
        if run.lines <= 0:
            return Decision(Action.MIRROR)
        return Decision(Action.MIRROR, "another program left the existing run incomplete", replace=True)
    if job.status != "succeeded" or (run.model and job.fine_tuned_model and run.model != job.fine_tuned_model):
        return Decision(Action.MIRROR, "the existing run contains another job's data", replace=True)
    if run.state != "finished":
        return Decision(Action.MIRROR, "another program left the existing run incomplete", replace=True)
    return Decision(Action.NOTHING, "; ".join(filter(None, ["logged by WandbLogger", _by_whom(run)])))


def logs_by_itself(job: Job) -> bool:
    """Return whether the job logs to W&B through its own integration. The job's author decides that."""
    return any(integration.get("type") == "wandb" for integration in job.integrations)


def settled(job: Job, events: Iterable[Event], now: float, *, seen: float | None = None) -> bool:
    """Return whether the job is settled: it has ended, and its late events are in or the time for them is over.

    Events continue after "Job succeeded." (recorded on Azure); the last relevant one says that the results file is complete.

    Args:
        job: the job as its account shows it now.
        events: its events.
        now: seconds since the epoch by the account's clock.
        seen: when the job was first seen terminal. Azure moves `finished_at` when a file of the job is deleted (recorded).
    """
    if not job.terminal:
        return False
    log = list(events)
    if any(event.message.startswith(_RESULTS_COMPLETE) for event in log):
        return True
    ended = job.finished_at or max((event.created_at for event in log), default=job.created_at)
    return now - min(ended, seen or ended) >= GRACE


def results_file(job: Job, events: Iterable[Event], run: RunState | None) -> str | None:
    """Return the id of the results file. The job contains it when it is done, the events as soon as the file exists."""
    if job.result_files:
        return job.result_files[0]
    for event in events:
        if found := _RESULTS_CREATED.fullmatch(event.message):  # an id becomes a mark in W&B; other text must not
            return found["id"]
    return run.results_file if run else None
