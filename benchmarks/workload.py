"""The world of benchmarks.speed: finished jobs, each with its own files, and a network with a latency."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from sandbox.azure.openai.training_files import FileScript, example
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

from .checks import ENTITY, PROJECT
from .rows import KEY

STEPS = range(100, 1001, 100)
"""The numbers of steps that jobs have, in turn."""
CHECKPOINTS = 3
"""Checkpoints of each job, one for each epoch. The last one is the final model, as recorded on Azure."""
TRAINING, VALIDATION = 1_000, 200
"""Examples in each job's training and validation file: chats of system, user, assistant, all that WandbLogger has tables for."""
_ACCOUNT, _AZURE_KEY = "aoai-ml", "sandbox-account-key"


def job_id(number: int) -> str:
    """Return the id of a job. A higher number means a newer job."""
    return f"ftjob-{number:032x}"


def scenario(jobs: int, *, latency: float, training: int = TRAINING, validation: int = VALIDATION) -> Scenario:
    """Return a scenario with succeeded supervised jobs, which have three checkpoints and two files each.

    Args:
        jobs: the number of jobs.
        latency: seconds that each request takes, to Azure and to W&B.
        training: examples in each training file.
        validation: examples in each validation file.
    """
    numbers = range(1, jobs + 1)
    files = [_file(2 * number, training) for number in numbers] + [
        _file(2 * number + 1, validation) for number in numbers
    ]
    account = {"name": _ACCOUNT, "group": "rg-ml", "api_key": _AZURE_KEY, "files": files}
    account |= {"jobs": [_job(number) for number in numbers]}
    return Scenario.parse({"extends": "contoso", "accounts": [account], "assignments": [], "latency": latency})


def environment(cloud: Cloud) -> dict[str, str]:
    """The settings of both tools: the accounts and the project. The SDK's files stay in the sandbox's directory."""
    return cloud.environment(None) | {
        "AZURE_OPENAI_ENDPOINTS": f"https://{_ACCOUNT}.openai.azure.com/",
        "AZURE_OPENAI_API_KEY": _AZURE_KEY,
        "WANDB_API_KEY": KEY,
        "WANDB_ENTITY": ENTITY,
        "WANDB_PROJECT": PROJECT,
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(cloud.directory),
    }


def _job(number: int) -> Mapping[str, Any]:
    return {
        "id": job_id(number),
        "model": "gpt-4o-mini-2024-07-18",
        "created": f"-{1_000 - number}h",
        "training_file": _file_id(2 * number),
        "validation_file": _file_id(2 * number + 1),
        "timeline": {"steps": STEPS[number % len(STEPS)], "seconds_per_step": 1, "epochs": CHECKPOINTS},
    }


def _file(number: int, examples: int) -> Mapping[str, Any]:
    return {
        "id": _file_id(number),
        "filename": f"data-{number}.jsonl",
        "created": "-60d",
        "count": examples,
        "lines": lines(number, examples),
    }


@cache
def lines(number: int, examples: int) -> list[str]:
    """Return a file's lines, created before the measurement. All files differ, because W&B does not need known content again."""
    script = FileScript(id=_file_id(number), count=examples, seed=number)
    return [json.dumps(example(script, index), ensure_ascii=False) for index in range(examples)]


def _file_id(number: int) -> str:
    return f"file-{number:032x}"
