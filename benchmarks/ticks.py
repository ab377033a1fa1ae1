"""Syncs as one process, as often as it is told: `python ticks.py wandblogger|ours TICKS JOB…`; prints the seconds of each.

Settings are environment variables, for both tools by the same names. WandbLogger is called for one job after the other:
without an id it sees 20 jobs at most and ends at the first that is there. Imports nothing of the project but what it calls,
as WandbLogger runs in an environment of its own.
"""

import json
import os
import sys
import time
from collections.abc import Sequence

Seconds = list[float]


def wandblogger(ticks: int, jobs: Sequence[str]) -> Seconds:
    """By wandb's own, each job by its id."""
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
    """By the engine, as the function app does it."""
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
