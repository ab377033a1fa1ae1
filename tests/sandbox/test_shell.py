"""`python -m sandbox shell`: everything is set, and its `az` assigns roles as doctor prints them."""

import os
import subprocess
import sys

import pytest

from provisioning.shell import assign_role
from sandbox.cloud import Cloud
from sandbox.runtime.clock import Clock
from sandbox.scenario.reader import Scenario
from tests.conftest import ROOT
from tests.sandbox.azure import SUBSCRIPTION

ACCOUNT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.CognitiveServices/accounts/aoai-ml"


def shell(*lines: str) -> str:
    """What a shell prints when it reads these lines."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "shell"],
        input="\n".join([*lines, "exit", ""]),
        env=os.environ | {"SHELL": "/bin/bash"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nothing is real" in done.stderr
    return done.stdout


def test_a_shell_has_everything_set_and_its_az_assigns_roles() -> None:
    operator = Scenario.load("shell").builder(Clock()).tenant.named("operator").object_id
    output = shell(
        assign_role(operator, "User", "Cognitive Services OpenAI User", ACCOUNT),
        f"{sys.executable} -m provisioning doctor -g rg-ml -o json",
        "az group list || echo refused",
        'test "$WANDB_API_KEY" != "$NEW_WANDB_API_KEY" && echo two keys',
    )
    assert '"principalType": "User"' in output
    assert '"name": "app functions",\n      "state": "ok"' in output
    assert "refused\n" in output
    assert "two keys\n" in output


def test_settings_of_the_users_environment_do_not_reach_what_runs_in_the_sandbox(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEY_VAULT_URL", "SYNC_CONCURRENCY", "FINE_TUNING_PRICES", "AZUREML_RUN_ID"):
        monkeypatch.setenv(name, "theirs")
    assert "theirs" not in cloud.environment().values()
