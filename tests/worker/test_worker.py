"""The app in Microsoft's own Functions worker library: what it shows to the host, and what it does when the host calls.

The host's own part (schedule, leases, retries, moving messages to the poison queue, %SETTING%) is not here.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evidence.processes import Processes
from function_app.functions import POISON_QUEUE, QUEUE, STORAGE
from function_app.shared_rules import VERSION
from sandbox.azure.storage import ACCOUNT
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from tests.conftest import ROOT, Load
from tests.function_app.conftest import KEY, refuses
from tests.storage.azurite import connection

LIBRARY = Path(sys.prefix) / "functions-worker"
SETTINGS = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "AZURE_OPENAI_API_VERSION": "2025-04-01-preview",  # the stable version does not show a job's integrations
    "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "tuning",
    "SYNC_SCHEDULE": "0 */2 * * * *",
}
JOB = {
    "model": "gpt-4.1-mini-2025-04-14",
    "training_file": "file-train",
    "hyperparameters": {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.0},
    "timeline": {"steps": 20, "seconds_per_step": 6},
}
OWN = {"type": "wandb", "wandb": {"project": "p"}}
WORLD: dict[str, Any] = {
    "extends": "contoso",
    "accounts": [
        {
            "name": "aoai-ml",
            "group": "rg-ml",
            "files": [{"id": "file-train", "filename": "train.jsonl", "created": "-6d", "count": 5}],
            "jobs": [
                {"id": "ftjob-done", "created": "-2d", **JOB},
                {"id": "ftjob-running", "created": "-5m", **JOB, "timeline": {"steps": 500, "seconds_per_step": 6}},
                {"id": "ftjob-native", "created": "-1d", **JOB, "integrations": [OWN]},
            ],
        }
    ],
    "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]}],
}

Answer = dict[str, Any]
Host = Callable[..., Answer]

MISSING = f"Microsoft's worker library is not in {LIBRARY}: `make test` installs it there"
worker = pytest.mark.skipif(not LIBRARY.is_dir(), reason=MISSING)


@pytest.fixture
def host(tmp_path: Path, processes: Processes) -> Host:
    """Starts the worker on an app, invokes the functions in order, and returns everything the host gets.

    It is forked from a process that has imported the SDKs; `new_process` starts a new interpreter instead.
    """
    if not LIBRARY.is_dir():
        pytest.skip(MISSING)

    def host(
        *invocations: Mapping[str, Any],
        env: Mapping[str, str],
        app: Path = ROOT,
        specialised: bool = False,
        new_process: bool = False,
    ) -> Answer:
        orders, answers = tmp_path / "orders.json", tmp_path / "answers.json"
        answers.unlink(missing_ok=True)
        orders.write_text(json.dumps({"invocations": invocations, "specialised": dict(env) if specialised else None}))
        files = [str(LIBRARY), str(app), str(orders), str(answers)]
        inside = bare() if specialised else dict(env)
        if new_process:
            program = [sys.executable, str(Path(__file__).parent / "host.py")]
            child = subprocess.run([*program, *files], env=inside, capture_output=True, text=True, timeout=120)
            status, console = child.returncode, child.stdout + child.stderr
        else:
            ended = processes.start(["tests.worker.host", *files], inside).ended(120)
            status, console = ended.status, ended.out + ended.err
        assert status == 0, console
        answer: Answer = json.loads(answers.read_text()) | {"console": console}
        assert answer["start"]["ok"], answer["start"]
        return answer

    return host


def bare() -> dict[str, str]:
    """An environment without a setting in it."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}


def azure(cloud: Cloud, **settings: str) -> dict[str, str]:
    """The environment of the deployed app: its managed identity and its app settings."""
    return cloud.environment("function-app") | connection(ACCOUNT) | SETTINGS | settings


def tick(*, past_due: bool = False) -> dict[str, Any]:
    status = {"Last": "2026-03-02T08:00:00", "Next": "2026-03-02T08:02:00", "LastUpdated": "2026-03-02T08:00:00"}
    timer = {"IsPastDue": past_due, "ScheduleStatus": status, "Schedule": {"AdjustForDST": True}}
    return {"function": "find_jobs", "parameter": "timer", "data": {"json": json.dumps(timer)}}


def delivered(message: str, *, function: str = "sync_job", attempt: int = 1) -> dict[str, Any]:
    times = dict.fromkeys(("ExpirationTime", "InsertionTime", "NextVisibleTime"), "2026-03-02T08:00:00+00:00")
    metadata = {"Id": "m-1", "DequeueCount": str(attempt), "PopReceipt": "r", **times}
    return {"function": function, "parameter": "message", "data": {"string": message}, "metadata": metadata}


def message(job: str, account: str = "aoai-ml") -> str:
    return json.dumps({"account": account, "job": job})


def asked_for(invocation: Answer) -> list[str]:
    """The jobs of the messages that a tick sends."""
    messages = json.loads(invocation["outputs"].get("requests", "[]"))
    return [json.loads(each)["job"] for each in messages]


def logged(invocation: Answer, level: str = "INFO") -> list[str]:
    ours = [line for line in invocation["logs"] if line["logger"].startswith("function_app")]
    return [line["message"] for line in ours if line["level"] == level]


# --- what the host sees


@pytest.mark.parametrize("specialised", [False, True], ids=["at start", "after waiting as a placeholder"])
def test_the_host_sees_timer_queue_and_poison_with_their_bindings(host: Host, specialised: bool) -> None:
    answer = host(env=bare(), specialised=specialised, new_process=True)
    assert answer["package"] == str(ROOT / "function_app" / "__init__.py")
    bindings = {name: each["bindings"] for name, each in answer["functions"].items()}
    kept = ("type", "direction", "name", "schedule", "runOnStartup", "useMonitor", "queueName", "connection")
    assert [each.get("packageVersion") for each in bindings["report_poison"]] == [VERSION], "doctor reads it there"
    queue = {"type": "queueTrigger", "direction": "IN", "name": "message", "connection": STORAGE}
    timer = {"schedule": "%SYNC_SCHEDULE%", "runOnStartup": False, "useMonitor": True}
    assert {name: [{k: b[k] for k in kept if k in b} for b in bound] for name, bound in bindings.items()} == {
        "find_jobs": [
            {"type": "queue", "direction": "OUT", "name": "requests", "queueName": QUEUE, "connection": STORAGE},
            {"type": "timerTrigger", "direction": "IN", "name": "timer", **timer},
        ],
        "sync_job": [queue | {"queueName": QUEUE}],
        "report_poison": [queue | {"queueName": POISON_QUEUE}],
    }


def test_only_the_marker_and_the_package_are_needed_to_load_the_app(host: Host, tmp_path: Path) -> None:
    """The marker is never run: this one would prevent the app from loading."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "function_app.py").write_text("raise RuntimeError('the marker was run')\n")
    shutil.copytree(ROOT / "function_app", tmp_path / "app" / "function_app")
    answer = host(env=bare(), app=tmp_path / "app", new_process=True)
    assert answer["package"] == str(tmp_path / "app" / "function_app" / "__init__.py")
    assert sorted(answer["functions"]) == ["find_jobs", "report_poison", "sync_job"]


# --- what it does


def test_a_tick_enqueues_each_pending_job_once_and_the_queue_function_mirrors_it(host: Host, load: Load) -> None:
    """Signed in with a user-assigned identity, which has to be named, as infra/ does: an app may have several."""
    cloud = load(WORLD)
    client = cloud.world.tenant.named("function-app").app_id
    env = azure(cloud, AZURE_CLIENT_ID=client, AzureWebJobsStorage__clientId=client)
    (first,) = host(tick(), env=env)["invocations"]
    assert first["ok"], first["error"]
    assert asked_for(first) == ["ftjob-running", "ftjob-done"]
    line = "tick accounts=1 accounts_failed=0 jobs=3 pending=2 enqueued=2 queued=0 current=0 skipped=1"
    assert line in "\n".join(logged(first))
    assert cloud.world.wandb.store.project("acme", "tuning") is None

    messages = json.loads(first["outputs"]["requests"])
    answer = host(*map(delivered, messages), delivered(messages[1]), tick(), env=env)
    running, done, again, second = answer["invocations"]
    assert [each["ok"] for each in answer["invocations"]] == [True] * 4, answer
    project = cloud.world.wandb.store.project("acme", "tuning")
    assert project is not None
    assert sorted(project.runs) == ["ftjob-done", "ftjob-running"]
    assert [row["_step"] for row in project.runs["ftjob-done"].history] == list(range(1, 21))
    assert any("result=synced job=ftjob-running" in line for line in logged(running))
    assert any("result=synced job=ftjob-done" in line for line in logged(done))
    assert any("result=current job=ftjob-done" in line for line in logged(again))
    assert asked_for(second) == ["ftjob-running"]


def test_an_app_without_a_chosen_data_policy_logs_that_in_each_tick(host: Host, load: Load) -> None:
    cloud = load({**WORLD, "accounts": [{"name": "aoai-ml", "group": "rg-ml"}]})
    unchosen = host(tick(), tick(), env=azure(cloud))["invocations"]
    assert ["SYNC_DATASETS is not set" in " ".join(logged(each, "WARNING")) for each in unchosen] == [True, True]
    (chosen,) = host(tick(), env=azure(cloud, SYNC_DATASETS="sample"))["invocations"]
    assert logged(chosen, "WARNING") == []


def test_the_settings_for_a_laptop_run_in_the_scenario_for_it(host: Host, cloud: Cloud) -> None:
    values = json.loads((ROOT / "infra" / "local.settings.sample.json").read_text())["Values"]
    del values["AzureWebJobsStorage"]  # here the sandbox's storage stands for Azurite
    cloud.load(Scenario.load("in-place"))
    environment = cloud.environment("function-app") | connection(ACCOUNT) | values
    (first,) = host(tick(), env=environment)["invocations"]
    (synced,) = host(delivered(message(asked_for(first)[0])), env=environment)["invocations"]
    assert any("result=synced" in line for line in logged(synced)), synced


def test_the_logs_hold_neither_the_key_nor_a_line_for_every_request(host: Host, load: Load) -> None:
    answer = host(tick(), delivered(message("ftjob-done")), env=azure(load(WORLD)))
    assert KEY not in json.dumps(answer)
    reads = [[line.split()[1] for line in logged(each) if line.startswith("key ")] for each in answer["invocations"]]
    assert reads == [["state=read"], []], "each read of the key logs its version once"
    assert answer["console"] == "", "the host would take what is on the console for log lines"
    loggers = {line["logger"] for each in answer["invocations"] for line in each["logs"]}
    assert {name.partition(".")[0] for name in loggers} <= {"function_app", "azure"}
    assert {name for name in loggers if name.startswith("azure")} <= {"azure.functions"}


def test_the_error_for_a_missing_identity_names_the_setting_to_check(host: Host, load: Load) -> None:
    unknown = {"AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000001"}
    (only,) = host(tick(), env=azure(load(WORLD), **unknown))["invocations"]
    assert "AZURE_CLIENT_ID if it is user-assigned" in only["trace"]


# --- failure is reported as failure


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"AZURE_OPENAI_ENDPOINTS": ""}, "AZURE_OPENAI_ENDPOINTS is not set"),
        ({"WANDB_SECRET_NAME": "no-such-secret"}, "no-such-secret"),
    ],
)
def test_a_tick_that_cannot_do_its_work_fails(host: Host, load: Load, change: dict[str, str], why: str) -> None:
    (only,) = host(tick(), env=azure(load(WORLD), **change))["invocations"]
    assert why in only["error"]
    assert (only["ok"], only["outputs"]) == (False, {})


def test_a_tick_fails_when_no_account_can_be_listed(host: Host, load: Load) -> None:
    no_role = [{"principal": "function-app", "role": "Key Vault Secrets User", "scope": "rg-ml"}]
    (only,) = host(tick(), env=azure(load({**WORLD, "assignments": no_role})))["invocations"]
    assert "no account could be listed" in only["error"]
    assert "Assign it 'Cognitive Services OpenAI User' on the account" in only["trace"], "the hint reaches the log"


@pytest.mark.parametrize(
    ("refusing", "account"),
    [
        ("https://aoai-locked.openai.azure.com/", "aoai-locked"),
        ("https://aoai-ml.services.ai.azure.com/api/projects/gone", "aoai-ml"),
    ],
)
def test_an_address_that_cannot_be_listed_is_a_logged_error_and_does_not_block_others(
    host: Host, load: Load, refusing: str, account: str
) -> None:
    [one] = WORLD["accounts"]
    cloud = load({**WORLD, "accounts": [one | {"kind": "AIServices"}, {"name": "aoai-locked", "group": "rg-ml"}]})
    both = f"{SETTINGS['AZURE_OPENAI_ENDPOINTS']},{refusing}"
    (only,) = host(tick(), env=azure(cloud, AZURE_OPENAI_ENDPOINTS=both))["invocations"]
    assert only["ok"], only["error"]
    assert asked_for(only) == ["ftjob-running", "ftjob-done"]
    assert f"account={account}" in "\n".join(logged(only, "ERROR"))


def test_an_invalid_message_is_dropped_with_one_log_line(host: Host, load: Load) -> None:
    odd = [json.dumps({"account": "aoai-ml", "job": "x\x1b[2J"}), json.dumps({"account": {"a": 1}, "job": [[]]})]
    bodies = ["ftjob-done", '{"job": "ftjob-done"}', "[]", "[" * 20_000, *odd]
    answers = host(*map(delivered, bodies), env=azure(load(WORLD)))["invocations"]
    for answer in answers:
        assert answer["ok"], answer["error"]
        assert "message not readable id=" in "\n".join(logged(answer, "ERROR"))


def test_a_failed_job_completes_its_message_and_waits_for_its_next_attempt(host: Host, load: Load) -> None:
    broken = {"op": "Files_GetContent", "when": {"times": 1}, "do": refuses(401, "PermissionDenied")}
    env, asked = azure(load({**WORLD, "faults": [broken]})), message("ftjob-done")
    first, second = host(delivered(asked), delivered(asked, attempt=2), env=env)["invocations"]
    assert first["ok"], first["error"]
    assert any(line.startswith("message result=failed job=ftjob-done") for line in logged(first, "WARNING"))
    assert second["ok"], second["error"]
    assert any("result=skipped job=ftjob-done" in line and "failed 1 times" in line for line in logged(second))


def test_a_job_that_runs_out_of_time_continues_with_the_next_message(host: Host, load: Load, tmp_path: Path) -> None:
    """In an app whose time is up at once."""
    cloud = load(WORLD)
    shutil.copytree(ROOT / "function_app", tmp_path / "function_app")
    (tmp_path / "function_app.py").touch()
    triggers = tmp_path / "function_app" / "functions.py"
    triggers.write_text(triggers.read_text().replace("STOP_AFTER = 20 * 60.0", "STOP_AFTER = 0.0"))
    (only,) = host(delivered(message("ftjob-done")), env=azure(cloud), app=tmp_path)["invocations"]
    assert only["ok"], only["error"]
    assert "message result=pending job=ftjob-done" in "\n".join(logged(only))
    (again,) = host(delivered(message("ftjob-done")), env=azure(cloud))["invocations"]
    assert "message result=synced job=ftjob-done" in "\n".join(logged(again))


def test_every_poison_message_is_logged_and_removed(host: Host, load: Load) -> None:
    poison = [delivered(body, function="report_poison") for body in (message("ftjob-done"), "not ours")]
    ours, other = host(*poison, env=azure(load(WORLD)))["invocations"]
    assert (ours["ok"], other["ok"]) == (True, True)
    assert "poison job=ftjob-done account=aoai-ml" in "\n".join(logged(ours, "ERROR"))
    assert "message not readable id=m-1" in "\n".join(logged(other, "ERROR"))


def test_importing_the_app_imports_no_sdk() -> None:
    """Indexing happens at every cold start; wandb, openai and the Azure SDKs wait for the first invocation."""
    heavy = ["wandb", "openai", "pandas", "numpy", "azure.identity", "azure.keyvault", "pydantic", "httpx2", "google"]
    program = f"import sys, function_app; function_app.app; print([name for name in {heavy!r} if name in sys.modules])"
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
