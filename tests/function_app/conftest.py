"""An engine on the sandbox, in this process, with the real SDKs."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from pydantic import SecretStr

from evidence.processes import Processes, Running
from function_app.engine.engine import Engine
from function_app.models import ALL, DatasetPolicy, Outcome, Selection
from function_app.settings import Settings
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.client import Limits
from function_app.tracking.wandb.marks import KEY as KEY_OF_MARKS
from function_app.wiring import engine_from, open_wandb
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.options import Delays
from sandbox.wandb.runs import Run
from sandbox.wandb.store import Store
from tests.conftest import ROOT, Load

KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"  # the key of sync-bot, a member of acme, in the contoso scenario
ENDPOINT = "https://aoai-ml.openai.azure.com/"
CLOSED_ENDPOINT = "https://aoai-closed.openai.azure.com/"
ACCOUNT = "rg-ml/Microsoft.CognitiveServices/accounts/aoai-ml"
ENTITY, PROJECT = "acme", "fine-tuning"
SETTINGS = {
    "AZURE_OPENAI_ENDPOINTS": ENDPOINT,
    "WANDB_API_KEY": KEY,
    "WANDB_ENTITY": ENTITY,
    "WANDB_PROJECT": PROJECT,
    "COLUMNS": "100",  # pytest-xdist sets another width
}
"""The environment of a sync by hand."""
JOB = "ftjob-" + "1" * 32
OTHER_JOB = "ftjob-" + "2" * 32
THIRD_JOB = "ftjob-" + "3" * 32
FILE = "file-" + "a" * 32
TABLE = ("examples.partitioned-table.json", "examples/1.table.json")
"""The files of the table of examples in a dataset's artifact."""
VALIDATION_FILE = "file-" + "b" * 32
REFUSED = {"status": 403, "body": {"errors": [{"message": "permission denied"}]}}
"""How W&B refuses a request."""
ONE_TEAM = {
    "users": [{"username": "sync-bot", "default_entity": "acme", "keys": [KEY]}],
    "teams": [{"name": "acme", "members": {"sync-bot": "member"}}],
}
"""A W&B with one user and one team, which belongs to no organization."""
STEPS = list(range(1, 31))
"""Those of `a_job()`."""
IDLE = ({"FineTuning_List": 1, "Runs": 1}, 0)
"""What a tick without work asks for, and the number of its writes."""
QUICK = Limits(give_up=2.5, retries=1)
"""One further attempt after a second, in place of the usual ones, which take 11 s."""
LATE_READS = {"summary": 600.0, "tail": 600.0, "line_count": 10.0}
"""How late W&B's reads of a run are, in virtual seconds, unless a test says otherwise (`Bench.reads`)."""
PATIENCE = 200.0
"""Real seconds in which a process or a thread must get on. Alone it takes a few, on a loaded machine a minute and more."""
SETTLED = 60.0
"""Seconds after which W&B shows all rows of a run, so that the next tick has nothing to do."""
TEN_MINUTES = {"queued": 60, "preprocessing": 60, "gpu_wait": 30, "steps": 60, "seconds_per_step": 10}
"""The course of a job that trains for ten minutes."""
STARTED: dict[str, Any] = {"created": "-3m", "timeline": TEN_MINUTES}
"""A job that has just begun to train."""
LIVE = STARTED | {"created": "-8m"}
"""A job that is halfway through its training."""


def refuses(status: int, code: str, message: str = "no", **more: Any) -> dict[str, Any]:
    """What a fault does to have an account refuse a request in this way."""
    return {"status": status, "body": {"error": {"code": code, "message": message}}, **more}


NOT_FOUND = refuses(404, "notFound")
"""An account does not have this job or file."""
UNKNOWN_VERSION = refuses(404, "404", "Resource not found")
"""An account does not have this version of the API."""


def a_job(**values: Any) -> dict[str, Any]:
    """A job of 30 steps that ended long ago; the given values take precedence."""
    usual = {"id": JOB, "model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": FILE}
    return {**usual, "timeline": {"steps": 30}, **values}


def a_file(**values: Any) -> dict[str, Any]:
    """A training file of eight conversations."""
    return {"id": FILE, "filename": "train.jsonl", "created": "-3d", "count": 8, **values}


def syncing(cloud: Cloud, processes: Processes, *options: str, **settings: str) -> Running:
    """A sync by hand, forked from a process that has imported the SDKs; there is one at a time."""
    env = cloud.environment() | SETTINGS | {"SYNC_DATASETS": "full"} | settings
    return processes.start(("function_app", "sync", *options), env)


def child(cloud: Cloud, *argv: str, **settings: str) -> "subprocess.Popen[bytes]":
    """A whole process that syncs, or does what `argv` says; `settings` override the usual ones."""
    return subprocess.Popen(
        [sys.executable, *(argv or ("-m", "function_app", "sync"))],
        env=cloud.environment() | SETTINGS | {"SYNC_DATASETS": "full"} | settings,
        cwd=ROOT,
        stdout=subprocess.PIPE if argv else None,  # what it writes otherwise is shown if the test fails
    )


class SignedIn:
    """A credential that has a token at once."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken("token", 2**31)

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Bench:
    """The sandbox, and engines that work on it."""

    cloud: Cloud
    load: Load
    engines: ExitStack

    def world(self, *jobs: Mapping[str, Any], files: Any = None, **values: Any) -> None:
        """A fresh world with these jobs in one account; `values` are further keys of the scenario."""
        held = {"name": "aoai-ml", "group": "rg-ml", "jobs": list(jobs), "files": files or [a_file()]}
        closed = {"name": "aoai-closed", "group": "rg-ml"}  # an account where the operator has no role
        roles = [
            {"principal": "operator", "role": "Owner", "scope": "rg-ml"},
            {"principal": "operator", "role": "Cognitive Services OpenAI User", "scope": ACCOUNT},
            {"principal": "operator", "role": "Key Vault Secrets Officer", "scope": "rg-ml"},
        ]
        self.load({"extends": "contoso", "accounts": [held, closed], "assignments": roles, **values})
        self.reads(**LATE_READS)

    def mirrored(self, *jobs: Mapping[str, Any], **values: Any) -> dict[str, Outcome]:
        """The outcomes of the first tick in a fresh world with these jobs."""
        self.world(*jobs, **values)
        return self.tick()

    @property
    def store(self) -> Store:
        """What W&B holds."""
        return self.cloud.world.wandb.store

    def reads(self, **delays: float) -> None:
        """Have W&B serve these reads of runs late by so many virtual seconds, and all others at once."""
        self.store.options.delays = Delays(**delays)

    def fault(self, operation: str, do: Mapping[str, Any], **when: Any) -> None:
        """Disturb the requests of an operation from now on."""
        self.cloud.world.faults.faults.append(Fault.model_validate({"op": operation, "when": when, "do": do}))

    def settings(self, **values: Any) -> Settings:
        """Settings for the sandbox's account and project."""
        defaults: dict[str, Any] = {
            "azure_openai_endpoints": (ENDPOINT,),
            "wandb_api_key": SecretStr(KEY),
            "wandb_entity": ENTITY,
            "wandb_project": PROJECT,
            "sync_datasets": DatasetPolicy.FULL,
        }
        return Settings(**(defaults | values))

    def engine(self, limits: Limits = QUICK, **values: Any) -> Engine:
        """A new engine, as a new process would have it."""
        return self.engines.enter_context(engine_from(self.settings(**values), limits=limits))

    def api(self) -> WandbApi:
        """W&B as the tracker asks it, in the settings' project."""
        return self.engines.enter_context(open_wandb(self.settings()))

    def tick(self, engine: Engine | None = None, selection: Selection = ALL, *, after: float = 0) -> dict[str, Outcome]:
        """One tick, `after` so many virtual seconds; the outcomes by job id."""
        self.cloud.clock.advance(after)
        return {outcome.job: outcome for outcome in (engine or self.engine()).sync(selection)}

    def made_by(self, user: str, run_id: str) -> Run:
        """A run that this user made."""
        member = self.store.users[user]
        return self.store.add_run(self.store.add_project(ENTITY, PROJECT, member), run_id, member)

    def run(self, job: str = JOB) -> Run:
        """The run that W&B has for a job."""
        return self.store.run(ENTITY, PROJECT, job)

    def state(self, job: str = JOB) -> str:
        """The state that W&B shows for it."""
        return str(self.run(job).state(self.cloud.clock.time()))

    def marks(self, job: str = JOB) -> dict[str, Any]:
        """What the engine keeps in the run's config."""
        kept: dict[str, Any] = json.loads(self.run(job).config[KEY_OF_MARKS])
        return kept

    def mark(self, job: str = JOB, **values: Any) -> None:
        """Change the marks; None takes one away."""
        kept = {name: value for name, value in (self.marks(job) | values).items() if value is not None}
        self.run(job).set_config(KEY_OF_MARKS, json.dumps(kept))

    def steps(self, job: str = JOB) -> list[int]:
        """The steps of its history, in the order of the file."""
        return [row["_step"] for row in self.run(job).history]

    def aliases(self, collection: str) -> dict[str, list[str]]:
        """Version → aliases of an artifact collection."""
        found = self.store.collection(ENTITY, PROJECT, collection)
        return {f"v{version.index}": sorted(found.aliases_of(version)) for version in found.versions}

    def forged(
        self,
        collection: str,
        kind: str,
        *aliases: str,
        run: str | None = "theirs",
        user: str = "sync-bot",
        **metadata: Any,
    ) -> Artifact:
        """A version that another program made, with its own run or none."""
        maker = self.made_by(user, run) if run else None
        found = self.store.add_collection(self.store.add_project(ENTITY, PROJECT), collection, kind)
        version = self.store.add_artifact(found, "forged", maker, self.store.users[user])
        version.metadata, version.wanted_aliases, version.state = metadata, [*aliases], "COMMITTED"
        found.adopt(version)
        return version

    def counted(self, do: Callable[[], Any]) -> tuple[dict[str, int], int]:
        """The requests during `do`, by operation, and the number of writes."""
        before, writes = dict(self.cloud.counts), self.cloud.writes
        do()
        asked = {name: n - before.get(name, 0) for name, n in self.cloud.counts.items() if n > before.get(name, 0)}
        return asked, self.cloud.writes - writes


@pytest.fixture
def bench(cloud: Cloud, load: Load) -> Iterator[Bench]:
    """An engine's place to work."""
    with ExitStack() as engines:
        yield Bench(cloud, load, engines)
