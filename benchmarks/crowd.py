"""A tenant with many accounts and jobs, most of which are up to date in W&B: the world of benchmarks.scale."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from benchmarks.checks import ENTITY, PROJECT
from benchmarks.rows import KEY
from sandbox.azure.storage import SETTINGS
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.scenario.reader import Scenario
from sandbox.wandb.runs import Run

_STEPS = 20
_ROLES = ("Cognitive Services OpenAI User", "Key Vault Secrets User")


def account_name(number: int) -> str:
    """The name of an account."""
    return f"aoai-{number:03}"


def job_id(account: int, number: int) -> str:
    """The id of a job; `number` counts from the oldest."""
    return f"ftjob-{account:04x}{number:028x}"


def scenario(accounts: int, jobs: int, running: int, latency: float) -> Scenario:
    """Return a scenario with this number of accounts and of jobs in each. The newest job of each of the first `running`
    accounts begins after half an hour and runs for days. Listings and queries take `latency` seconds."""
    slow = [{"op": op, "do": {"delay": latency}} for op in ("FineTuning_List", "Runs")] if latency else []
    return Scenario.parse(
        {
            "extends": "contoso",
            "assignments": [{"principal": "function-app", "role": role, "scope": "rg-ml"} for role in _ROLES],
            "accounts": [_account(number, jobs, late=number < running) for number in range(accounts)],
            "vaults": [
                {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]}
            ],
            "faults": slow,
        }
    )


def _account(number: int, jobs: int, *, late: bool) -> dict[str, Any]:
    file = f"file-{number:032x}"
    common = {"model": "gpt-4o-mini-2024-07-18", "training_file": file, "timeline": {"steps": _STEPS}}
    scripts: list[dict[str, Any]] = [
        {"id": job_id(number, each), "created": f"-{2 + jobs - each}d", **common} for each in range(jobs)
    ]
    if late:
        scripts[-1] |= {"created": "30m", "timeline": {"steps": 100_000, "seconds_per_step": 6}}
    return {
        "name": account_name(number),
        "group": "rg-ml",
        "files": [{"id": file, "filename": "train.jsonl", "created": f"-{jobs + 3}d", "count": 10}],
        "jobs": scripts,
    }


def environment(cloud: Cloud, accounts: int) -> dict[str, str]:
    """The deployed app's identity, settings and storage account."""
    endpoints = ",".join(f"https://{account_name(number)}.openai.azure.com/" for number in range(accounts))
    return cloud.environment("function-app") | {
        "AZURE_OPENAI_ENDPOINTS": endpoints,
        "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
        "WANDB_ENTITY": ENTITY,
        "WANDB_PROJECT": PROJECT,
        **SETTINGS,
    }


def settle(cloud: Cloud, accounts: int, jobs: int, running: int) -> None:
    """Give every job a copy of the run of the first account's oldest job, which was mirrored."""
    runs = cloud.world.wandb.store.project(ENTITY, PROJECT)
    assert runs is not None, "nothing was mirrored yet"
    model = runs.runs[job_id(0, 0)]
    for account in range(accounts):
        for number in range(jobs - (account < running)):
            runs.runs.setdefault(job_id(account, number), _like(model, account, number))


def forget(cloud: Cloud, pending: int, accounts: int, jobs: int) -> set[str]:
    """Remove the runs of this number of ended jobs, spread over all accounts. Return the jobs' ids.

    The job that was mirrored keeps its run: the app has a record of it, and does not make a complete run again."""
    runs = cloud.world.wandb.store.project(ENTITY, PROJECT)
    assert runs is not None, "nothing was mirrored yet"
    ended = [job_id(account, number) for number in range(jobs) for account in range(accounts)]
    ended = [job for job in ended if job in runs.runs and job != job_id(0, 0)]
    chosen = {ended[index * len(ended) // pending] for index in range(pending)}
    for job in chosen:
        del runs.runs[job]
    return chosen


def spoil(cloud: Cloud, jobs: Iterable[str]) -> None:
    """Make the service refuse the events of these jobs at every attempt."""
    cloud.world.faults.faults += [
        Fault.model_validate({"op": "FineTuning_GetEvents", "when": {"path": job}, "do": {"status": 400}})
        for job in jobs
    ]


def _like(model: Run, account: int, number: int) -> Run:
    def renamed(data: Any) -> Any:
        text = json.dumps(data).replace(job_id(0, 0), job_id(account, number))
        return json.loads(text.replace(account_name(0), account_name(account)))

    return replace(
        model,
        id=job_id(account, number),
        tags=renamed(model.tags),
        raw_config=renamed(model.raw_config),
        summary=renamed(model.summary),
    )
