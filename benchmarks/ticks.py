"""Syncs several times in one process, and prints the seconds of each: `python ticks.py wandblogger|ours TICKS JOB…`.

Settings are environment variables with the same names for both tools. WandbLogger is called for one job after the other:
without an id it reads at most 20 jobs and stops at the first existing one. Imports only the part of the project that it
calls, because WandbLogger runs in a separate environment.
"""

import json
import os
import sys
import time
from collections.abc import Sequence

Seconds = list[float]


def wandblogger(ticks: int, jobs: Sequence[str]) -> Seconds:
    """Sync each job by its id with WandbLogger."""
    import openai
    from wandb.integration.openai.fine_tuning import WandbLogger

    project, entity = os.environ["WANDB_PROJECT"], os.environ["WANDB_ENTITY"]
    endpoint, key = os.environ["AZURE_OPENAI_ENDPOINTS"], os.environ["AZURE_OPENAI_API_KEY"]
    seconds = []
    with openai.AzureOpenAI(azure_endpoint=endpoint, api_key=key, api_version="2025-04-01-preview") as client:
        for _ in range(ticks):
            started = time.monotonic()
            for job in jobs:
                WandbLogger.sync(fine_tune_job_id=job, openai_client=client, project=project, entity=entity)
            seconds.append(time.monotonic() - started)
    return seconds


def ours(ticks: int) -> Seconds:
    """Sync with the engine, as the function app does."""
    from function_app.settings import Settings
    from function_app.wiring import engine_from

    seconds = []
    with engine_from(Settings.load()) as engine:
        for _ in range(ticks):
            started = time.monotonic()
            engine.sync()
            seconds.append(time.monotonic() - started)
    return seconds


if __name__ == "__main__":
    tool, times, *chosen = sys.argv[1:]
    print(json.dumps(ours(int(times)) if tool == "ours" else wandblogger(int(times), chosen)))
