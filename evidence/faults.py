"""The fault matrix: lets the first and the last request of every operation fail in every way.

The command must succeed, or report what is missing: with a clear error, or with a warning of a job. An undisturbed run then
repairs everything: the state is the same as after an undisturbed run. A clear error is a JSON document with a documented code
and its exit status, a message and a hint, and no traceback.

An operation is tried in the first starting state in which a command uses it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial

from evidence.commands.case import Case, differences
from evidence.processes import ROOT, ExitedCommand
from evidence.refusals import Trouble, troubles
from evidence.stage import ATTEMPTS, UNSENT, Failed, Point, Stage, Undisturbed
from sandbox.runtime.faults import Faults

RIGHT, HEALED = "right", "healed"
_WRITES = ("Vaults_Update", "RoleAssignments_Create", "SetSecret")
"""The operations that fail in starting states in which others act at the same time; for others it makes no difference."""
_ONCE = ("stall", "hang")
"""Faults that take long, and are tried at the first request only."""


def points(stage: Stage, case: Case) -> list[Point]:
    """Return everything that may go wrong, at the first and the last request of each operation."""
    whole = stage.undisturbed(case)
    return [
        Point(
            {"operation": operation, "fault": trouble.name, "nth": str(nth)},
            partial(meet, case, whole, operation, nth, trouble),
            once="" if case.world.get("events") else operation,
        )
        for operation, (service, times) in whole.uses.items()
        if operation in _WRITES or not case.world.get("events")
        for trouble in troubles(service, operation)
        for nth in ([1] if trouble.column in _ONCE else sorted({1, times}))
    ]


def meet(case: Case, whole: Undisturbed, operation: str, nth: int, trouble: Trouble, stage: Stage) -> str:
    """Run the case's command with a fault, and again if it stopped.

    Raises:
        Failed: the final state differs, the error is not clear, or the second run fails.
    """
    for _ in range(ATTEMPTS):
        stage.set(case, [{"op": operation, "when": {"nth": [nth]}, "do": trouble.do}])
        ended = stage.start(case).ended()
        if not stage.world.faults.unmet:
            break
        if ended.status:
            raise Failed(f"it ended with {ended.status} before the request")
    else:
        return UNSENT
    stage.world.faults = Faults()
    if not ended.status and not differences(whole.end, case.end(stage.world)):
        return RIGHT
    if not ended.status and not _warned(ended):
        stage.compare(case, whole.end, "the command reported success and left:")
    if ended.status and (unclear := "; ".join(_unclear(case, ended))):
        raise Failed(f"{unclear}\n{ended.out}{ended.err}")
    stage.repeat(case)
    stage.compare(case, whole.later, "after the next run the final state is another one:")
    return HEALED


def _warned(ended: ExitedCommand) -> bool:
    """Return whether a command that succeeded reported that something of a job is missing."""
    try:
        return any(job["warnings"] for job in json.loads(ended.out)["jobs"])
    except (ValueError, KeyError):
        return False


def _unclear(case: Case, ended: ExitedCommand) -> Iterator[str]:
    """Yield what is wrong with how a command reported its failure."""
    if "Traceback" in ended.out + ended.err:
        yield f"a traceback, and status {ended.status}"
        return
    try:
        document = json.loads(ended.out)
    except ValueError:
        yield f"no JSON document, and status {ended.status}"
        return
    if document.get("ok") is not False:
        yield f"status {ended.status}, and the document does not say that it failed"
    error = document.get("error")
    if error and case.command != "sync" and _documented().get(error["code"]) != ended.status:
        yield f"{error['code']} with status {ended.status}, documented is {_documented().get(error['code'])}"
    failed = [job for job in document.get("jobs", ()) if job["result"] == "failed"]
    for each in [error] if error else failed:
        yield from _vague(each)


def _vague(error: Mapping[str, str]) -> Iterator[str]:
    message = error["message"]
    if not message or message.lower().startswith("unexpected"):
        yield f"the message does not say what happened: {message!r}"
    if not error["hint"]:
        yield f"no hint: {message!r}"


@cache
def _documented() -> dict[str, int]:
    """Return the exit status of each code, from the contract's table."""
    page = (ROOT / "docs" / "cli-output.md").read_text(encoding="utf-8")
    return {code: int(status) for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page, re.MULTILINE)}
