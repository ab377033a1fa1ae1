"""From what a job is and what W&B shows of it: what is owed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from function_app.model import Event, Job, RunState

RULE = 1
"""The version of the rule by which a run is called final. A new version makes every run owed once more."""

GRACE = 600.0
"""Seconds after its end that a job's late events are waited for. In recorded jobs the last came 36 s after the end."""

_ENDED = frozenset({"finished", "failed", "killed"})
_RESULTS_COMPLETE = "Completed results file"
_RESULTS_CREATED = "Created results file: "


class Owed(StrEnum):
    """What is to be done for a job."""

    MIRROR = "mirror"
    NOTHING = "nothing"
    SKIP = "skip"


@dataclass(frozen=True)
class Decision:
    """What is owed, and why not, when it is nothing because somebody has to know."""

    owed: Owed
    why: str = ""


def decide(job: Job, run: RunState | None, *, deleted: bool = False) -> Decision:
    """Decide from two listings alone, so that a tick with nothing to do reads nothing else.

    Args:
        job: as its account lists it.
        run: the run of that id as W&B lists it, None when there is none.
        deleted: whether W&B has said that this id was deleted and cannot come back.
    """
    if deleted:
        return Decision(Owed.SKIP, "its run was deleted in W&B, which never gives an id out again")
    if any(integration.get("type") == "wandb" for integration in job.integrations):
        return Decision(Owed.SKIP, "it logs to W&B by itself (the job's own integration)")
    if run is None:
        return Decision(Owed.MIRROR)
    if run.foreign:
        return Decision(Owed.SKIP, "its run was made by another tool")
    if job.terminal and run.rule == RULE and run.status == job.status and run.state in _ENDED:
        return Decision(Owed.NOTHING)
    return Decision(Owed.MIRROR)


def settled(job: Job, events: Iterable[Event], now: float) -> bool:
    """Whether nothing more is to come: the job has ended and its late events are in, or had time to come.

    Events go on after "Job succeeded." (recorded on Azure); the last that matters says that the results file is complete.

    Args:
        job: as its account shows it now.
        events: its log.
        now: seconds since the epoch by the account's clock.
    """
    if not job.terminal:
        return False
    log = list(events)
    if any(event.message.startswith(_RESULTS_COMPLETE) for event in log):
        return True
    ended = job.finished_at or max((event.created_at for event in log), default=job.created_at)
    return now - ended >= GRACE


def results_file(job: Job, events: Iterable[Event], run: RunState | None) -> str | None:
    """The id of the results file: the job has it when it is done, the event log as soon as there is one."""
    if job.result_files:
        return job.result_files[0]
    for event in events:
        if event.message.startswith(_RESULTS_CREATED):
            return event.message.removeprefix(_RESULTS_CREATED).strip()
    return run.results_file if run else None
