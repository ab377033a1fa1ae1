"""Whole commands: exit statuses, streams, documents, and what a terminal shows."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load, Run
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.conftest import Call
from tests.provisioning.terminal import Terminal

WITH_KEY = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
SOON = {"extends": "contoso", "transitions": {"rbac_propagation": 0}}
NOW = ("--yes", "--propagation-wait", "0")


def refused(result: subprocess.CompletedProcess[str], status: int, code: str) -> dict[str, Any]:
    """The error of a failed command with `-o json`."""
    assert result.returncode == status, result.stdout + result.stderr
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert document["error"]["code"] == code
    assert document["error"]["hint"]
    assert "Traceback" not in result.stderr
    error: dict[str, Any] = document["error"]
    return error


def test_setup_prints_the_portal_form_and_a_second_run_writes_nothing(load: Load, call: Call) -> None:
    cloud = load(SOON)
    first = call("setup", *NOW, env=WITH_KEY)
    assert first.returncode == 0, first.stderr
    assert "Signed in as you@contoso.example through az login, subscription contoso-ml (…00aa)" in first.stderr
    assert "done     vault access model    access policies → Azure RBAC; the vault accepts you" in first.stderr
    for line in (
        "  Key Vault URL  https://kv-ml.vault.azure.net/",
        "  Secret name    wandb-api-key",
        "  AZURE_OPENAI_ENDPOINTS=https://aoai-ml.openai.azure.com/",
        "  KEY_VAULT_URL=https://kv-ml.vault.azure.net/",
        "  WANDB_SECRET_NAME=wandb-api-key",
        "  WANDB_ENTITY=acme",
    ):
        assert line in first.stdout.splitlines()
    writes = cloud.writes
    second = call("setup", env=WITH_KEY)  # nothing to consent to
    assert second.returncode == 0, second.stderr
    shown, again = first.stdout.splitlines(), second.stdout.splitlines()
    assert shown[-2:] == again[-2:], "the next command is last"
    assert [line for line in shown if "To give yourself the role:" in line], "offered after a change only"
    assert not [line for line in again if "To give yourself the role:" in line]
    assert cloud.writes == writes


def test_the_next_command_of_setup_can_be_copied(cloud: Cloud, call: Call) -> None:
    chain.put(cloud)
    last = call("setup", env=WITH_KEY).stdout.splitlines()[-1].split()
    assert last[:4] == ["python", "-m", "provisioning", "doctor"]
    named = {"NAME": "func-ml", "GROUP": "rg-ml"}
    shown = call(*(named.get(word, word) for word in last[3:]))
    assert shown.returncode == 0, shown.stderr
    assert "app functions" in shown.stdout


def test_drift_sets_the_exit_status_of_plan_and_status(load: Load, call: Call) -> None:
    cloud = load(SOON)
    assert call("plan", env=OPERATOR_ENV).returncode == 0
    assert call("plan", "--detailed-exitcode", env=OPERATOR_ENV).returncode == 2
    drift = call("status", "--output", "json", env=OPERATOR_ENV)
    assert drift.returncode == 2
    assert json.loads(drift.stdout)["in_place"] is False
    seen = call("status", env=OPERATOR_ENV).stdout
    assert "  not visible  secret wandb-api-key  " in seen
    assert "  missing      role" in seen
    assert call("setup", "--dry-run", env=OPERATOR_ENV).returncode == 0
    assert cloud.writes == 0
    call("setup", *NOW, env=WITH_KEY)
    assert call("plan", "--detailed-exitcode", env=OPERATOR_ENV).returncode == 0
    assert call("status", env=OPERATOR_ENV).returncode == 0
    assert "  in place  secret wandb-api-key  holds this key" in call("status", env=WITH_KEY).stdout
    other = call("status", "--wandb-key-file", "-", env=OPERATOR_ENV, stdin="0" * 40)
    assert (other.returncode, "  differs   secret wandb-api-key  " in other.stdout) == (2, True), other.stdout


@pytest.mark.parametrize("origin", ["environment", "stdin"])
def test_the_key_is_stored_only_in_the_vault(load: Load, run: Run, origin: str) -> None:
    cloud = load(SOON)
    given: dict[str, Any] = {"env": WITH_KEY} if origin == "environment" else {"env": OPERATOR_ENV, "input": GOOD_KEY}
    result = run("provisioning", "setup", *NOW, "-v", *("--wandb-key-file", "-") * (origin == "stdin"), **given)
    assert result.returncode == 0, result.stderr
    assert GOOD_KEY not in result.stdout + result.stderr
    assert [v.value for v in cloud.world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions] == [GOOD_KEY]
    assert GOOD_KEY not in json.dumps([e.as_json() for e in cloud.world.trace.exchanges], default=str)
    files = [each for each in (cloud.directory / "home").rglob("*") if each.is_file()]
    assert [each for each in files if GOOD_KEY.encode() in each.read_bytes() or "netrc" in each.name] == []


def test_verbose_shows_requests_without_queries_or_bodies(call: Call) -> None:
    result = call("plan", "-v", env=OPERATOR_ENV)
    assert re.search(
        r"^GET https://kv-ml\.vault\.azure\.net/secrets/wandb-api-key/ → 403$", result.stderr, re.MULTILINE
    )
    assert "api-version" not in result.stderr
    assert "eyJ" not in result.stderr, "the start of a token"


def test_warnings_of_the_sdks_are_not_printed(load: Load, run: Run) -> None:
    """azure-core logs a warning for a truncated answer and retries."""
    load({"extends": "contoso", "faults": [{"op": "Vaults_Get", "when": {"times": 1}, "do": {"cut_body": 20}}]})
    done = run("provisioning", "plan", env=OPERATOR_ENV)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["Signed"]


def test_a_failed_setup_lists_the_changes_that_stand(load: Load, call: Call) -> None:
    load(SOON | {"faults": [{"op": "Vaults_Update", "when": {"nth": [1]}, "do": {"status": 400}}]})
    result = call("setup", *NOW, "-o", "json", env=WITH_KEY)
    refused(result, 1, "service-error")
    assert len(json.loads(result.stdout)["applied"]) == 8


@pytest.mark.parametrize(
    "arguments", [("setup", "-o", "json"), ("plan", "--output=json"), ("status", "--nonsense", "-ojson")]
)
def test_usage_errors_are_json_if_json_was_requested(call: Call, arguments: tuple[str, ...]) -> None:
    error = refused(call(*arguments), 2, "usage")
    assert "--" in error["message"]


@pytest.mark.parametrize("program", ["provisioning", "function_app", "sandbox"])
def test_without_a_command_the_commands_are_listed(run: Run, program: str) -> None:
    shown = run(program)
    assert shown.returncode == 2
    assert "Commands:" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("program", ["provisioning", "sandbox"])
def test_missing_packages_are_reported_with_the_install_command(program: str) -> None:
    bare = [sys.executable, "-S", "-m", program]  # without site-packages
    ended = subprocess.run(bare, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert "is not installed for this Python" in ended.stderr
    assert "pip install -c constraints.txt -e '.[provisioning" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("principal", ["ops-bot", "ops-runner"])
def test_an_application_and_a_managed_identity_can_run_setup(load: Load, call: Call, principal: str) -> None:
    principals = [
        {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
        {"name": "ops-bot", "kind": "application", "client_secret": "bot-secret"},
        {"name": "ops-runner", "kind": "managed identity"},
    ]
    owner = {"principal": principal, "role": "Owner", "scope": "rg-ml"}
    vault = {"name": "kv-ml", "group": "rg-ml"}
    cloud = load(SOON | {"principals": principals, "assignments": [owner], "vaults": [vault]})
    asked = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"} if principal == "ops-runner" else {}
    result = call("setup", *NOW, env=WITH_KEY | asked, principal=principal)
    assert result.returncode == 0, result.stderr
    mine = cloud.world.tenant.named(principal)
    types = {a.principal_type for a in cloud.world.tenant.rbac.assignments.values() if a.principal_id == mine.object_id}
    assert types == {mine.kind}
    assert "bot-secret" not in result.stdout + result.stderr


def test_a_terminal_prompts_for_the_key_hidden_and_for_consent(load: Load, terminal: Callable[..., Terminal]) -> None:
    load(SOON)
    screen = terminal("provisioning", "setup", "--propagation-wait", "0", env=OPERATOR_ENV)
    screen.until("hidden: ")
    screen.type(GOOD_KEY + "\n")
    screen.until("[y/N]")
    screen.type("y\n")
    assert screen.end() == 0, screen.seen
    assert "In place." in screen.seen
    assert GOOD_KEY not in screen.seen


@pytest.mark.parametrize("typed", ["\n", "\x04"], ids=["enter", "Ctrl-D"])
def test_any_answer_but_yes_means_no(cloud: Cloud, terminal: Callable[..., Terminal], typed: str) -> None:
    screen = terminal("provisioning", "setup", env=WITH_KEY)
    screen.until("[y/N]")
    screen.type(typed)
    assert screen.end() == 1
    assert "Nothing was written." in screen.seen
    assert cloud.writes == 0


def test_ctrl_c_lists_the_changes_that_stand(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("provisioning", "setup", "--yes", env=WITH_KEY)
    screen.until("waiting  for roles to take effect")
    screen.interrupt()
    assert screen.end() == 130
    assert "8 of 10 changes were made" in screen.seen
    assert "run the same command again" in screen.seen
    assert "Traceback" not in screen.seen


@pytest.mark.parametrize(("env", "prompt"), [(WITH_KEY, "[y/N]"), (OPERATOR_ENV, "hidden: ")])
def test_ctrl_c_at_a_prompt_changes_nothing(
    cloud: Cloud, terminal: Callable[..., Terminal], env: Mapping[str, str], prompt: str
) -> None:
    screen = terminal("provisioning", "setup", env=env)
    screen.until(prompt)
    screen.interrupt(hidden="hidden" in prompt)
    assert screen.end() == 130
    assert "nothing was written" in screen.seen
    assert "Traceback" not in screen.seen
    assert cloud.writes == 0


@pytest.mark.parametrize("program", ["provisioning", "function_app"])
def test_help_imports_no_sdk(run: Run, program: str) -> None:
    shown = run(program, "--help", env={"PYTHONPROFILEIMPORTTIME": "1"}, new_process=True)
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "click" in imported
    heavy = {"wandb", "openai", "httpx2", "azure.core", "azure.identity", "azure.functions", "azure.mgmt.keyvault"}
    assert not imported & heavy
