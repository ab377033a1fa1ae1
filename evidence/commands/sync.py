"""A sync of every kind of job: the worlds, and the final state of W&B."""

import base64
import json
import re
from collections import Counter
from typing import Any

from sandbox.scenario.reader import read
from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.runs import Run
from sandbox.wandb.store import Store
from sandbox.world import World

from .case import GOOD_KEY, PIPELINE, Case, relative

ENTITY, PROJECT = "acme", "fine-tuning"
JOB = "ftjob-" + "1" * 32
FILE, VALIDATION_FILE = "file-" + "a" * 32, "file-" + "b" * 32

_ACCOUNT = "rg-ml/Microsoft.CognitiveServices/accounts/aoai-ml"
_ENV = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "WANDB_API_KEY": GOOD_KEY,
    "WANDB_ENTITY": ENTITY,
    "WANDB_PROJECT": PROJECT,
    "SYNC_DATASETS": "full",
}
_SDKS_OWN = ("_wandb", "_runtime")
"""How long a process had the run open, and the SDK's data about itself."""

_MARKS = "azure_openai_wandb"
"""The config key of the engine's bookkeeping, which says when and by which process it was written."""

_WITH_A_ROW = "_step"
"""The step that was last put into the summary."""

_LIVE = {
    "created": "-8m",
    "timeline": {"queued": 60, "preprocessing": 60, "gpu_wait": 30, "steps": 60, "seconds_per_step": 10},
}
_FAILED = {"status": "failed", "during": "training", "at_step": 12, "error": {"code": "oom", "message": "too big"}}
_QUIET = 125.0
"""Without a lease a sync does not touch a run into which another process has written in the last two minutes."""

_AT_MOST = 2
"""The most alerts of one event. Its mark follows W&B's answer, which may be lost."""

_DELAYS = {"line_count": 4.0, "summary": 10.0, "tail": 10.0, "listing": 5.0}
"""W&B's reads are late in every case. How late is UNVERIFIED; the count is late by seconds (wandb PR 12421)."""

KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "live": (_LIVE, "chat"),
    "finished, with checkpoints and validation": (
        {"validation_file": VALIDATION_FILE, "hyperparameters": {"n_epochs": 3}},
        "chat",
    ),
    "failed": ({"outcome": _FAILED}, "chat"),
    "cancelled": ({"outcome": {"status": "cancelled", "at_step": 20}}, "chat"),
    "dpo": ({"method": "dpo", "hyperparameters": {"n_epochs": 2}}, "dpo"),
    "reinforcement": ({"method": "reinforcement", "hyperparameters": {"n_epochs": 2}}, "reinforcement"),
    "paused": (_LIVE | {"pauses": [{"at_step": 10}]}, "chat"),
    "no results file": ({"results": {"purged": True}}, "chat"),
}
"""The scenario's job, and the format of its training file."""


def world(kind: str) -> dict[str, Any]:
    """A scenario with one job of this kind."""
    script, written = KINDS[kind]
    job = {
        "id": JOB,
        "model": "gpt-4o-mini-2024-07-18",
        "created": "-2d",
        "training_file": FILE,
        "timeline": {"steps": 30},
    }
    files = [
        {"id": FILE, "filename": "train.jsonl", "created": "-3d", "count": 8, "format": written},
        {"id": VALIDATION_FILE, "filename": "valid.jsonl", "created": "-3d", "count": 3},
    ]
    return {
        "extends": "contoso",
        "wandb": {**read("contoso")["wandb"], "server": {"delays": _DELAYS}},
        "accounts": [{"name": "aoai-ml", "group": "rg-ml", "jobs": [job | script], "files": files}],
        "principals": [{"name": PIPELINE, "kind": "managed identity"}],
        "assignments": [{"principal": PIPELINE, "role": "Cognitive Services OpenAI User", "scope": _ACCOUNT}],
    }


def end(world: World) -> Any:
    """Return everything that people see in W&B: each run with all of its steps, each version with its contents, each alert.

    It omits what may differ: values of the summary that are null, which clear earlier ones; the SDK's data about itself; for how
    long it had a run open; the last step in the summary (all steps of the history are compared); and drafts of versions, which
    are invisible until they are committed.
    """
    store = world.wandb.store
    state = {
        "runs": {run.id: _run(run, world) for run in store.runs(ENTITY, PROJECT)},
        "artifacts": {each.name: _version(each) for each in store.artifacts(ENTITY, PROJECT)},
        "alerts": _alerts(store),
        "projects": sorted(project.name for project in store.projects(ENTITY)),
    }
    return relative(state, world.clock.time())


def _alerts(store: Store) -> list[tuple[str, ...]]:
    """Return each alert once, with how often it was sent if that is more than a lost answer explains."""
    sent = Counter((alert.run_id, alert.title, alert.text, alert.severity) for alert in store.alerts)
    return [(*alert, "sent" if times <= _AT_MOST else f"sent {times} times") for alert, times in sent.items()]


def _run(run: Run, world: World) -> dict[str, Any]:
    plain = ("name", "group", "job_type", "notes", "description", "tags", "exit_code", "stop_requested")
    return {name: getattr(run, name) for name in plain} | {
        "state": str(run.state(world.clock.time())),
        "history": [_without_the_sdks_own(row) for row in run.history],
        "summary": {
            k: _with_names(v, world)
            for k, v in _without_the_sdks_own(run.summary).items()
            if k != _WITH_A_ROW and v is not None
        },
        "config": {name: value for name, value in run.config.items() if name != _MARKS},
        "used": sorted(each.name for each in run.used),
        "logged": sorted(each.name for each in run.logged if each.state == "COMMITTED"),
    }


def _with_names(value: Any, world: World) -> Any:
    """Return a summary value in which versions are named: a killed upload leaves a draft, which has an id, too."""

    def name(found: re.Match[str]) -> str:
        version = world.wandb.store.artifacts_by_id.get(base64.b64encode(bytes.fromhex(found[1])).decode())
        return f"wandb-artifact://{version.name}/" if version else found[0]

    return json.loads(re.sub(r"wandb-artifact://([0-9a-f]+)/", name, json.dumps(value)))


def _version(version: Artifact) -> dict[str, Any]:
    return {
        "type": version.type,
        "aliases": sorted(version.aliases),
        "metadata": version.metadata,
        "description": version.description,
        "files": {path: _content(version, path) for path in sorted(version.entries)},
        "made by": version.created_by.id if version.created_by else None,
        "used by": sorted(run.id for run in version.used_by),
    }


def _content(version: Artifact, path: str) -> Any:
    """Return the JSON value, because it contains times; the digest of anything else."""
    entry = version.entries[path]
    return json.loads(version.read(path)) if path.endswith(".json") and entry.ref is None else entry.digest


def _without_the_sdks_own(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _SDKS_OWN}


CASES = tuple(
    Case("sync", kind, ("function_app", "sync", "--output", "json"), world(kind), end, _ENV, pause=_QUIET)
    for kind in KINDS
)
