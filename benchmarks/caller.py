"""Calls a tool as a user's script would, and prints the seconds of each round: `python caller.py wandblogger|ours|engine PLAN`.

The plan is JSON (rows.py). `engine` syncs as the function app does, with one engine for all rounds and the settings of the
environment. Imports only the part of the project that it calls, because WandbLogger runs in a separate environment.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import openai


def client_of(plan: dict[str, Any]) -> openai.OpenAI:
    """Return the client for the plan's jobs."""
    if plan["platform"]:
        return openai.OpenAI(api_key=plan["api_key"])
    return openai.AzureOpenAI(
        azure_endpoint=plan["endpoint"], api_key=plan["api_key"], api_version="2025-04-01-preview"
    )


def perform(tool: str, plan: dict[str, Any]) -> list[float]:
    """Make the plan's calls one after the other in this process, with virtual time between them if the plan says so.

    Return the seconds of each round of calls.
    """
    import wandb

    sync = _sync_of(tool)
    seconds = []
    own = wandb.init(entity=plan["entity"], project=plan["project"], id="own") if plan["own_run"] else None
    with client_of(plan) as client:
        for _ in range(plan["rounds"]):
            started = time.monotonic()
            for call in plan["calls"]:
                if (after := call.get("after")) is not None:
                    pass_time(after)
                sync(openai_client=client, project=plan["project"], entity=plan["entity"], **call.get("with", {}))
            seconds.append(time.monotonic() - started)
    if own is not None:
        own.log({"mine": 1})
        own.finish()
    return seconds


def tick(rounds: int) -> list[float]:
    """Sync with one engine. Return the seconds of each round."""
    from function_app.settings import Settings
    from function_app.wiring import engine_from

    seconds = []
    with engine_from(Settings.load()) as engine:
        for _ in range(rounds):
            started = time.monotonic()
            engine.sync()
            seconds.append(time.monotonic() - started)
    return seconds


def _sync_of(tool: str) -> Callable[..., object]:
    if tool == "ours":
        from function_app import sync

        return sync
    from wandb.integration.openai.fine_tuning import WandbLogger

    return WandbLogger.sync


def pass_time(seconds: float) -> None:
    """Let virtual time pass in the sandbox."""
    body = json.dumps({"advance": seconds}).encode()
    address = f"{os.environ['SANDBOX_CONTROL']}/clock"
    asked = urllib.request.Request(address, body, {"content-type": "application/json"}, method="POST")
    with urllib.request.urlopen(asked) as answer:
        answer.read()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[2])
    print(json.dumps(tick(wanted["rounds"]) if sys.argv[1] == "engine" else perform(sys.argv[1], wanted)))
