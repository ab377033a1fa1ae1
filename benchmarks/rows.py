"""The rows of the comparison: each has a scenario, the calls of the tool, and the expected content of W&B afterwards."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .checks import ENTITY, PROJECT, SyncedWorld

KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"  # of sync-bot, who is in the team acme, in the contoso scenario
_ENDPOINT = "https://aoai-ml.openai.azure.com"
_AZURE_KEY, _PLATFORM_KEY = "sandbox-account-key", "sk-sandbox"

Check = Callable[[SyncedWorld], Iterable[str]]
EVERYTHING: tuple[dict[str, Any], ...] = ({},)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: its subject.
        jobs: of the account, as in a scenario.
        checks: of the content of W&B; each returns what is wrong.
        files: of the account; by default the training file.
        calls: the keyword arguments of each call (`with`), and the virtual seconds before it (`after`).
        rounds: how often the calls are made.
        platform: whether the jobs are on OpenAI's own platform.
        own_run: whether the process has another W&B run open.
        environment: variables besides the sandbox's.
        assumes: the part of the outcome that depends on how the sandbox models W&B.
    """

    name: str
    jobs: Sequence[dict[str, Any]]
    checks: Sequence[Check] = (SyncedWorld.faithful,)
    files: Sequence[dict[str, Any]] = ()
    calls: Sequence[dict[str, Any]] = EVERYTHING
    rounds: int = 1
    platform: bool = False
    own_run: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    assumes: str = ""

    @property
    def scenario(self) -> dict[str, Any]:
        """The world that it starts in."""
        account: dict[str, Any] = {"name": "aoai-ml", "group": "rg-ml", "api_key": _AZURE_KEY}
        if self.platform:
            account = {"name": "org", "group": "rg-ml", "platform": True, "api_key": _PLATFORM_KEY}
        account |= {"jobs": list(self.jobs), "files": list(self.files or [_file()])}
        return {"extends": "contoso", "accounts": [account], "assignments": []}

    @property
    def plan(self) -> dict[str, Any]:
        """The input for caller.py."""
        return {
            "platform": self.platform,
            "endpoint": _ENDPOINT,
            "api_key": _PLATFORM_KEY if self.platform else _AZURE_KEY,
            "entity": ENTITY,
            "project": PROJECT,
            "own_run": self.own_run,
            "calls": list(self.calls),
            "rounds": self.rounds,
        }

    def wrong(self, synced: SyncedWorld) -> list[str]:
        """Return the differences between W&B and the jobs."""
        return [what for check in self.checks for what in check(synced)]


def _id(number: int) -> str:
    return f"ftjob-{number:032x}"


def _job(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A job of ten steps that succeeded; the higher its number, the newer."""
    return {
        "id": _id(number),
        "model": "gpt-4o-mini-2024-07-18",
        "created": f"-{40 - number}h",
        "training_file": "file-training",
        "timeline": {"steps": 10},
        **fields,
    }


def _file(**fields: Any) -> dict[str, Any]:
    """The training file: six conversations of system, user and assistant, all that WandbLogger has tables for."""
    return {"id": "file-training", "created": "-60h", "count": 6, **fields}


def _failed(number: int) -> dict[str, Any]:
    error = {"code": "invalidPayload", "message": "Line 3 has no assistant message."}
    return _job(number, outcome={"status": "failed", "during": "preprocessing", "error": error})


def _format(name: str, what: str, **fields: Any) -> Row:
    return Row(
        name, [_job(method=what if what in ("dpo", "reinforcement") else "supervised")], _SHOWN, [_file(**fields)]
    )


_SHOWN = (SyncedWorld.faithful, SyncedWorld.tables)
_APPENDS = "that W&B appends when a run is opened again without resume (UNVERIFIED)"
_NEW, _OLD = _job(2), _job(1)

ROWS: tuple[Row, ...] = (
    Row("a new job beside one that is synced", [_NEW, _OLD], calls=[{"with": {"fine_tune_job_id": _id(2)}}, {}]),
    Row("a failed job first", [_failed(2), _OLD], (SyncedWorld.faithful, SyncedWorld.explained)),
    Row("25 jobs", [_job(number, timeline={"steps": 2}) for number in range(1, 26)]),
    Row(
        "num_fine_tunes=2 of four",
        [_job(number) for number in range(1, 5)],
        (lambda synced: synced.only(2),),
        calls=[{"with": {"num_fine_tunes": 2}}],
    ),
    _format("chats of system, user, assistant", "supervised"),
    _format("two-message chats", "supervised", format="chat"),
    _format("chats of any length", "supervised", format="conversation"),
    _format("tool calls", "supervised", format="tools"),
    _format("pictures", "supervised", format="vision"),
    _format("DPO", "dpo", format="dpo"),
    _format("reinforcement", "reinforcement", format="reinforcement"),
    _format("prompt and completion", "supervised", format="completion"),
    Row("a paused job first", [_job(2, pauses=[{"at_step": 4}]), _OLD]),
    Row(
        "no results file", [_job(2, results={"listed": "never"}), _OLD], (partial(SyncedWorld.faithful, sampled=True),)
    ),
    Row("results as plain CSV", [_OLD], (SyncedWorld.faithful, SyncedWorld.read_once)),
    Row("results as base64 (OpenAI's platform)", [_OLD], (SyncedWorld.faithful, SyncedWorld.read_once), platform=True),
    Row(
        "a long-lived process, one tick while it trains, two after",
        [_job(created="-5m")],
        calls=[{"with": {"wait_for_job_success": False}, "after": seconds} for seconds in (0, 7200, 120)],
        assumes=_APPENDS,
    ),
    Row(
        "config that can be queried",
        [_job(method={"type": "dpo"}, hyperparameters={"n_epochs": 2, "batch_size": 4})],
        (SyncedWorld.faithful, SyncedWorld.queryable),
        environment={"TZ": "America/Los_Angeles"},
    ),
    Row("when the steps happened", [_OLD], (SyncedWorld.faithful, SyncedWorld.training_times)),
    Row("the latest model", [_NEW, _OLD], (SyncedWorld.faithful, SyncedWorld.newest_model)),
    Row(
        "overwrite",
        [_OLD],
        (SyncedWorld.faithful, SyncedWorld.clean),
        calls=[{}, {"with": {"fine_tune_job_id": _id(1), "overwrite": True}}],
        assumes=_APPENDS,
    ),
    Row("a run of the user's own is open", [_OLD], (SyncedWorld.faithful, SyncedWorld.undisturbed), own_run=True),
    Row("OpenAI's cookbook: sync(id=…)", [_OLD], calls=[{"with": {"id": _id(1)}}]),
    Row("nothing of the machine in W&B", [_OLD], (SyncedWorld.faithful, SyncedWorld.discreet)),
)
