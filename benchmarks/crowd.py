"""A tenant with many accounts and many jobs, most of which W&B shows as they are: the world of benchmarks.scale."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sandbox.azure.storage import ACCOUNT as STORAGE_ACCOUNT
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.scenario.reader import Scenario
from sandbox.wandb.runs import Run

ENTITY, PROJECT = "acme", "fine-tuning"
KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"  # of sync-bot, in the contoso scenario
_STEPS = 20
_ROLES = ("Cognitive Services OpenAI User", "Key Vault Secrets User")


def account_name(number: int) -> str:
    """The name of an account."""
    return f"aoai-{number:03}"


def job_id(account: int, number: int) -> str:
    """The id of a job; `number` counts from the oldest."""
    return f"ftjob-{account:04x}{number:028x}"


def scenario(accounts: int, jobs: int, running: int, latency: float) -> Scenario:
    """So many accounts with so many jobs each. The newest job of each of the first `running` accounts begins when half an
    hour has passed and goes on for days; listings and queries take `latency` seconds."""
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
    said = {"model": "gpt-4o-mini-2024-07-18", "training_file": file, "timeline": {"steps": _STEPS}}
    scripts: list[dict[str, Any]] = [
        {"id": job_id(number, each), "created": f"-{2 + jobs - each}d", **said} for each in range(jobs)
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
    storage = f"https://{STORAGE_ACCOUNT}.{{}}.core.windows.net/"
    return cloud.environment("function-app") | {
        "AZURE_OPENAI_ENDPOINTS": endpoints,
        "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
        "WANDB_ENTITY": ENTITY,
        "WANDB_PROJECT": PROJECT,
        "SYNC_SCHEDULE": "0 */2 * * * *",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__blobServiceUri": storage.format("blob"),
        "AzureWebJobsStorage__queueServiceUri": storage.format("queue"),
    }


def settle(cloud: Cloud, accounts: int, jobs: int, running: int) -> None:
    """Have W&B show every job as it shows the oldest of the first account, which was mirrored: by copies of its run."""
    runs = cloud.world.wandb.store.project(ENTITY, PROJECT)
    assert runs is not None, "nothing was mirrored yet"
    model = runs.runs[job_id(0, 0)]
    for account in range(accounts):
        for number in range(jobs - (account < running)):
            runs.runs.setdefault(job_id(account, number), _like(model, account, number))


def forget(cloud: Cloud, pending: int, accounts: int, jobs: int) -> set[str]:
    """Have W&B forget the runs of so many ended jobs, spread over all; their ids."""
    runs = cloud.world.wandb.store.project(ENTITY, PROJECT)
    assert runs is not None, "nothing was mirrored yet"
    ended = [job_id(account, number) for number in range(jobs) for account in range(accounts)]
    ended = [job for job in ended if job in runs.runs]
    chosen = {ended[index * len(ended) // pending] for index in range(pending)}
    for job in chosen:
        del runs.runs[job]
    return chosen


def spoil(cloud: Cloud, jobs: Iterable[str]) -> None:
    """Have the service refuse the events of these jobs, at every attempt."""
    cloud.world.faults.faults += [
        Fault.model_validate({"op": "FineTuning_GetEvents", "when": {"path": job}, "do": {"status": 400}})
        for job in jobs
    ]


def _like(model: Run, account: int, number: int) -> Run:
    def said_of(data: Any) -> Any:
        text = json.dumps(data).replace(job_id(0, 0), job_id(account, number))
        return json.loads(text.replace(account_name(0), account_name(account)))

    return replace(
        model,
        id=job_id(account, number),
        tags=said_of(model.tags),
        raw_config=said_of(model.raw_config),
        summary=said_of(model.summary),
    )
