"""Ctrl-C ends a command with status 130 and, with -o json, with one document."""

import json
import os
import signal

import pytest

from evidence.processes import Processes
from sandbox.runtime.faults import Gate
from tests.conftest import Load

TARGET = {"AZURE_RESOURCE_GROUP": "rg-ml", "AZURE_OPENAI_ACCOUNT": "aoai-ml", "AZURE_KEY_VAULT": "kv-ml"}
APP = {"AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/", "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}


@pytest.mark.parametrize(
    ("command", "operation"),
    [
        ("provisioning doctor", "Vaults_Get"),
        ("function_app dashboard", "GetSecret"),
        (
            "function_app submit --dry-run --tokenizer estimate --unchecked --model m --training README.md",
            "FineTuning_List",
        ),
    ],
)
def test_ctrl_c_is_reported(load: Load, processes: Processes, command: str, operation: str) -> None:
    cloud = load({"extends": "demo"})
    gate = cloud.world.gate = Gate(operation)
    running = processes.start([*command.split(), "-o", "json"], cloud.environment() | TARGET | APP)
    assert not running.ends_before(gate.reached.is_set), (running.ended(), gate.seen)
    os.kill(running.pid, signal.SIGINT)
    gate.opened.set()
    ended = running.ended()
    assert ended.status == 130, ended
    assert json.loads(ended.out)["error"]["code"] == "interrupted"
    assert "Traceback" not in ended.err
