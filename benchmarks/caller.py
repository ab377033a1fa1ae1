"""Calls one of the two tools as a user's script would: `python caller.py wandblogger|ours`, the plan as JSON on stdin.

Imports only the part of the project that it calls, because WandbLogger runs in a separate environment.
"""

import json
import os
import sys
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


def perform(tool: str, plan: dict[str, Any]) -> None:
    """Make the plan's calls one after the other in this process, with virtual time between them if the plan says so."""
    import wandb

    sync = _sync_of(tool)
    own = wandb.init(entity=plan["entity"], project=plan["project"], id="own") if plan["own_run"] else None
    with client_of(plan) as client:
        for call in plan["calls"]:
            if (seconds := call.get("after")) is not None:
                pass_time(seconds)
            sync(openai_client=client, project=plan["project"], entity=plan["entity"], **call.get("with", {}))
    if own is not None:
        own.log({"mine": 1})
        own.finish()


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
    perform(sys.argv[1], json.load(sys.stdin))
