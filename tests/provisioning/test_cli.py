"""Whole commands as child processes: exit statuses, streams, documents, and what a terminal shows."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioning.cli import commands as cli
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Run

from . import chain
from .bench import GOOD_KEY, OPERATOR_ENV, VIEWERS_KEY
from .conftest import Call
from .terminal import Terminal

Load = Callable[[Mapping[str, Any]], Cloud]

WITH_KEY = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
SOON = {"extends": "contoso", "transitions": {"rbac_propagation": 0}}
NOW = ("--yes", "--propagation-wait", "0")


def refused(result: subprocess.CompletedProcess[str], status: int, code: str) -> dict[str, Any]:
    """The error in a JSON document, after what holds for every refusal."""
    assert result.returncode == status, result.stdout + result.stderr
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert document["error"]["code"] == code
    assert document["error"]["hint"]
    assert "Traceback" not in result.stderr
    error: dict[str, Any] = document["error"]
    return error


def test_setup_says_what_to_paste_and_a_second_run_writes_nothing(load: Load, run: Run) -> None:
    cloud = load(SOON)
    first = run("provisioning", "setup", *NOW, env=WITH_KEY)
    assert first.returncode == 0, first.stderr
    assert "Signed in as you@contoso.example through az login, subscription contoso-ml (…00aa)" in first.stderr
    assert "done     vault access model    access policies → Azure RBAC; secrets answer you" in first.stderr
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
    second = run("provisioning", "setup", env=WITH_KEY)  # nothing to consent to
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert cloud.writes == writes


def test_setup_ends_with_the_next_command_whole(cloud: Cloud, run: Run) -> None:
    """It can be copied: only what comes into being with the deployment is left to fill in."""
    chain.put(cloud)
    last = run("provisioning", "setup", env=WITH_KEY).stdout.splitlines()[-1].split()
    assert last[:4] == ["python", "-m", "provisioning", "doctor"]
    named = {"NAME": "func-ml", "GROUP": "rg-ml"}
    shown = run(*(named.get(word, word) for word in last[2:]))
    assert shown.returncode == 0, shown.stderr
    assert "app functions" in shown.stdout


def test_the_document_is_the_only_thing_on_stdout(load: Load, call: Call) -> None:
    load(SOON)
    result = call("setup", *NOW, "-o", "json", env=WITH_KEY)
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert len(document["applied"]) == document["changes"] == 10
    assert document["portal_form"] == {"vault_url": "https://kv-ml.vault.azure.net/", "secret_name": "wandb-api-key"}
    assert document["settings"]["WANDB_ENTITY"] == "acme"


def test_exit_status_of_plan_and_status_tells_drift(load: Load, call: Call) -> None:
    cloud = load(SOON)
    assert call("plan", env=OPERATOR_ENV).returncode == 0
    assert call("plan", "--detailed-exitcode", env=OPERATOR_ENV).returncode == 2
    drift = call("status", "--output", "json", env=OPERATOR_ENV)
    assert drift.returncode == 2
    assert json.loads(drift.stdout)["in_place"] is False
    seen = call("status", env=OPERATOR_ENV).stdout
    assert "  not visible  secret wandb-api-key  " in seen, "nobody knows yet whether it is missing"
    assert "  missing      role" in seen
    assert call("setup", "--dry-run", env=OPERATOR_ENV).returncode == 0
    assert cloud.writes == 0
    call("setup", *NOW, env=WITH_KEY)
    assert call("plan", "--detailed-exitcode", env=OPERATOR_ENV).returncode == 0
    assert call("status", env=OPERATOR_ENV).returncode == 0


@pytest.mark.parametrize("origin", ["environment", "file", "stdin"])
def test_the_key_is_nowhere_but_in_the_vault(load: Load, run: Run, tmp_path: Path, origin: str) -> None:
    cloud = load(SOON)
    file = tmp_path / "key"
    file.write_text(GOOD_KEY + "\n")
    arguments = {"environment": (), "file": ("--wandb-key-file", str(file)), "stdin": ("--wandb-key-file", "-")}[origin]
    env = WITH_KEY if origin == "environment" else OPERATOR_ENV
    result = run(
        "provisioning", "setup", *NOW, "-v", *arguments, env=env, input=GOOD_KEY if origin == "stdin" else None
    )
    assert result.returncode == 0, result.stderr
    assert GOOD_KEY not in result.stdout + result.stderr
    assert [v.value for v in cloud.world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions] == [GOOD_KEY]
    assert GOOD_KEY not in json.dumps([e.as_json() for e in cloud.world.trace.exchanges], default=str)
    files = [each for each in (cloud.directory / "home").rglob("*") if each.is_file()]
    assert [each for each in files if GOOD_KEY.encode() in each.read_bytes() or "netrc" in each.name] == []


def test_verbose_shows_requests_without_queries_or_bodies(run: Run) -> None:
    result = run("provisioning", "plan", "-v", env=OPERATOR_ENV)
    assert re.search(
        r"^GET https://kv-ml\.vault\.azure\.net/secrets/wandb-api-key/ → 403$", result.stderr, re.MULTILINE
    )
    assert "api-version" not in result.stderr
    assert "eyJ" not in result.stderr, "tokens begin so"


@pytest.mark.parametrize(
    ("key", "code", "status", "words"),
    [
        (
            "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0dead",
            "wandb-key-refused",
            1,
            "does not know the key from WANDB_API_KEY",
        ),
        (VIEWERS_KEY, "wandb-entity-refused", 1, "may only look at acme"),
        ("too-short", "wandb-key-malformed", 2, "WANDB_API_KEY"),
        ("two words", "wandb-key-malformed", 2, "more than one word"),
    ],
)
def test_a_key_that_does_not_serve_stops_setup_before_anything_is_written(
    cloud: Cloud, call: Call, key: str, code: str, status: int, words: str
) -> None:
    result = call("setup", *NOW, "-o", "json", env=OPERATOR_ENV | {"WANDB_API_KEY": key})
    assert words in refused(result, status, code)["message"]
    assert key not in result.stdout + result.stderr
    assert cloud.writes == 0


def test_an_entity_that_the_key_does_not_belong_to_is_refused_with_those_it_does(cloud: Cloud, call: Call) -> None:
    result = call("setup", *NOW, "-o", "json", "--wandb-entity", "rivals", env=WITH_KEY)
    assert "acme" in refused(result, 1, "wandb-entity-refused")["hint"]
    assert cloud.writes == 0


def test_no_key_and_nobody_to_ask(cloud: Cloud, call: Call) -> None:
    result = call("setup", *NOW, "-o", "json", env=OPERATOR_ENV, stdin="")
    assert "WANDB_API_KEY" in refused(result, 2, "wandb-key-not-given")["hint"]
    assert cloud.writes == 0


def test_no_consent_and_nobody_to_ask(cloud: Cloud, call: Call) -> None:
    result = call("setup", "-o", "json", env=WITH_KEY, stdin="y\n")
    assert "--yes" in refused(result, 2, "not-confirmed")["hint"]
    assert cloud.writes == 0


def test_nobody_signed_in(cloud: Cloud, call: Call) -> None:
    result = call("plan", "-o", "json", principal=None, env=OPERATOR_ENV)
    assert "az login" in refused(result, 1, "not-signed-in")["hint"]
    assert cloud.writes == 0


def test_no_network(call: Call) -> None:
    offline = WITH_KEY | {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    result = call("setup", *NOW, "-o", "json", env=offline)
    error = refused(result, 1, "unreachable")
    assert "proxy" in error["message"]
    assert "HTTPS_PROXY" in error["hint"]


def test_what_sdks_grumble_about_on_the_way_is_not_on_the_screen(load: Load, run: Run) -> None:
    """azure-core logs a warning for an answer that was cut off, and asks again."""
    load({"extends": "contoso", "faults": [{"op": "Vaults_Get", "when": {"times": 1}, "do": {"cut_body": 20}}]})
    done = run("provisioning", "plan", env=OPERATOR_ENV)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["Signed"]


def test_wandb_out_of_reach(cloud: Cloud, call: Call) -> None:
    elsewhere = WITH_KEY | {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "2"}
    result = call("setup", *NOW, "-o", "json", env=elsewhere)
    assert "--wandb-base-url" in refused(result, 1, "unreachable")["hint"]
    assert cloud.writes == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"AZURE_KEY_VAULT": "kv-lm"}, "There is no Key Vault kv-lm"),
        ({"AZURE_OPENAI_ACCOUNT": "aoai-lm"}, "There is no Azure OpenAI account aoai-lm"),
        ({"AZURE_RESOURCE_GROUP": "rg-other"}, "rg-other"),
        ({"AZURE_SUBSCRIPTION_ID": "00000000-0000-4000-8000-00000000000f"}, "00000000-0000-4000-8000-00000000000f"),
        ({"AZURE_SUBSCRIPTION_ID": "fabrikam"}, "No subscription is named 'fabrikam'"),
    ],
)
def test_what_does_not_exist_is_named(cloud: Cloud, call: Call, given: dict[str, str], words: str) -> None:
    result = call("setup", *NOW, "-o", "json", env=WITH_KEY | given)
    assert words in refused(result, 3, "not-found")["message"]
    assert cloud.writes == 0


def test_a_failure_in_the_middle_says_what_stands(load: Load, call: Call) -> None:
    load(SOON | {"faults": [{"op": "Vaults_Update", "when": {"nth": [1]}, "do": {"status": 400}}]})
    result = call("setup", *NOW, "-o", "json", env=WITH_KEY)
    refused(result, 1, "service-error")
    assert len(json.loads(result.stdout)["applied"]) == 8


@pytest.mark.parametrize(
    "arguments", [("setup", "-o", "json"), ("plan", "--output=json"), ("status", "--nonsense", "-ojson")]
)
def test_a_command_that_cannot_be_parsed_answers_in_the_form_that_was_asked_for(
    call: Call, arguments: tuple[str, ...]
) -> None:
    error = refused(call(*arguments), 2, "usage")
    assert "--" in error["message"]


def test_a_secret_name_that_key_vault_does_not_take_is_refused_at_once(call: Call) -> None:
    result = call("plan", "-o", "json", "--secret-name", "wandb_api_key", env=OPERATOR_ENV)
    assert "hyphens" in refused(result, 2, "usage")["message"]


@pytest.mark.parametrize("program", ["provisioning", "function_app", "sandbox"])
def test_whoever_types_no_command_is_shown_which_there_are(run: Run, program: str) -> None:
    shown = run(program)
    assert shown.returncode == 2
    assert "Commands:" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("program", ["provisioning", "sandbox"])
def test_without_its_packages_it_says_how_to_install_them(program: str) -> None:
    bare = [sys.executable, "-S", "-m", program]  # without site-packages
    ended = subprocess.run(bare, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert "is not installed for this Python" in ended.stderr
    assert "pip install -c constraints.txt -e '.[provisioning" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_usage_for_people(call: Call) -> None:
    result = call("setup", env=OPERATOR_ENV | {"AZURE_KEY_VAULT": ""})
    assert result.returncode == 2
    assert "--key-vault" in result.stderr
    result = call("setup", "--propagation-wait", "soon", env=OPERATOR_ENV)
    assert result.returncode == 2
    assert "'soon' is not a time span such as 90s, 10m, 1h or 180d" in result.stderr


@pytest.mark.parametrize("principal", ["operator", "ops-bot", "ops-runner"])
def test_the_operator_may_be_a_person_an_application_or_a_managed_identity(
    load: Load, call: Call, principal: str
) -> None:
    people = [
        {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
        {"name": "ops-bot", "kind": "application", "client_secret": "bot-secret"},
        {"name": "ops-runner", "kind": "managed identity"},
    ]
    owner = {"principal": principal, "role": "Owner", "scope": "rg-ml"}
    vault = {"name": "kv-ml", "group": "rg-ml"}
    cloud = load(SOON | {"principals": people, "assignments": [owner], "vaults": [vault]})
    result = call("setup", *NOW, env=WITH_KEY, principal=principal)
    assert result.returncode == 0, result.stderr
    mine = cloud.world.tenant.named(principal)
    types = {a.principal_type for a in cloud.world.tenant.rbac.assignments.values() if a.principal_id == mine.object_id}
    assert types == {mine.kind}
    assert "bot-secret" not in result.stdout + result.stderr


def test_the_key_in_the_vault_is_checked_when_none_is_given(load: Load, call: Call) -> None:
    roles = [
        {"principal": "operator", "role": "Owner", "scope": "rg-ml"},
        {"principal": "operator", "role": "Key Vault Secrets Officer", "scope": "rg-ml"},
    ]
    secret = {"name": "wandb-api-key", "value": "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0dead"}
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [secret]}
    cloud = load(SOON | {"assignments": roles, "vaults": [vault]})
    result = call("setup", *NOW, "-o", "json", env=OPERATOR_ENV)
    refused(result, 2, "wandb-key-not-given")
    assert "does not know the key from secret wandb-api-key" in result.stderr
    assert cloud.writes == 0


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_help_names_the_variables(call: Call, command: str) -> None:
    result = call(command, "--help")
    assert result.returncode == 0
    assert "AZURE_RESOURCE_GROUP" in result.stdout


def test_on_a_terminal_the_key_is_asked_for_hidden_and_consent_is_a_yes(
    load: Load, terminal: Callable[..., Terminal]
) -> None:
    load(SOON)
    screen = terminal("provisioning", "setup", "--propagation-wait", "0", env=OPERATOR_ENV)
    screen.until("hidden: ")
    screen.type(GOOD_KEY + "\n")
    screen.until("[y/N]")
    screen.type("y\n")
    assert screen.end() == 0, screen.seen
    assert "In place." in screen.seen
    assert GOOD_KEY not in screen.seen


@pytest.mark.parametrize("typed", ["\n", "maybe\n", "\x04"], ids=["enter", "another word", "Ctrl-D"])
def test_on_a_terminal_anything_but_yes_is_no(cloud: Cloud, terminal: Callable[..., Terminal], typed: str) -> None:
    screen = terminal("provisioning", "setup", env=WITH_KEY)
    screen.until("[y/N]")
    screen.type(typed)
    assert screen.end() == 1
    assert "Nothing was written." in screen.seen
    assert cloud.writes == 0


def test_ctrl_c_says_what_stands_and_prints_no_traceback(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("provisioning", "setup", "--yes", env=WITH_KEY)
    screen.until("waiting  for roles to take effect")
    screen.interrupt()
    assert screen.end() == 130
    assert "8 of 10 changes stand" in screen.seen
    assert "run the same command again" in screen.seen
    assert "Traceback" not in screen.seen


def test_ctrl_c_at_the_question_leaves_everything_as_it_was(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("provisioning", "setup", env=WITH_KEY)
    screen.until("[y/N]")
    screen.interrupt()
    assert screen.end() == 130
    assert "nothing was written" in screen.seen
    assert "Traceback" not in screen.seen
    assert cloud.writes == 0


def test_no_color_means_none_and_signs_are_words(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("provisioning", "plan", env=OPERATOR_ENV | {"NO_COLOR": "1"})
    assert screen.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", screen.seen)
    assert "+ add" in screen.seen
