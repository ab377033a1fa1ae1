"""The runbook's commands, each run in a world that has the fault it is for, print what the runbook says."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.azure.key_vault_errors import CLIENT_ADDRESS
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Run
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ENVIRONMENT = {
    "AZURE_RESOURCE_GROUP": "rg-ml",
    "AZURE_OPENAI_ACCOUNT": "aoai-ml",
    "AZURE_KEY_VAULT": "kv-ml",
    "AZURE_FUNCTION_APP": "func-ml",
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "fine-tuning",
    "COLUMNS": "100",
}
NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00009"
KEYS = {"setup": GOOD_KEY, "rotate-key": NEW_KEY}  # asked for on a terminal; here they come from the environment
FIRST, SECOND = "ftjob-" + "1" * 32, "ftjob-" + "2" * 32
FILE = "file-" + "a" * 32
OUTAGE: dict[str, Any] = {"status": 503}


def a_job(**values: Any) -> dict[str, Any]:
    timeline = {"steps": 30, "seconds_per_step": 2}
    return {"id": FIRST, "model": "gpt-4o-mini", "created": "-2d", "training_file": FILE, "timeline": timeline} | values


def account(*jobs: dict[str, Any]) -> dict[str, Any]:
    files = [{"id": FILE, "filename": "train.jsonl", "created": "-9d", "count": 20}]
    return {"jobs": list(jobs or [a_job()]), "files": files}


@dataclass(frozen=True)
class World:
    """What is wrong in it; `before` and `between` do something else to it, before the first and every later block."""

    chain: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Cloud, Run], None] = lambda cloud, run: None
    between: Callable[[Cloud, Run], None] = lambda cloud, run: None


def a_deleted_run(cloud: Cloud, run: Run) -> None:
    assert run("function_app", "sync", "--job", FIRST, env=ENVIRONMENT).returncode == 0
    store = cloud.world.wandb.store
    store.delete_run(store.run("acme", "fine-tuning", FIRST))


def setup_has_run(cloud: Cloud, run: Run) -> None:
    assert run("provisioning", "setup", "--yes", env=ENVIRONMENT | {"WANDB_API_KEY": GOOD_KEY}).returncode == 0


def this_machine_let_in(cloud: Cloud, run: Run) -> None:
    cloud.world.tenant.vaults["kv-ml"].ip_rules.append(CLIENT_ADDRESS)


def faults_over(cloud: Cloud, run: Run) -> None:
    cloud.world.faults.faults.clear()


def fault(operation: str, do: dict[str, Any], **when: Any) -> dict[str, Any]:
    return {"op": operation, "when": when, "do": do}


SAME_JOBS = account(a_job(), a_job(id=SECOND))
BY_ITSELF = a_job(id=SECOND, integrations=[{"type": "wandb", "wandb": {"project": "theirs"}}])
PAUSED = a_job(
    created="-10m", timeline={"steps": 3000, "seconds_per_step": 2}, outcome={"status": "paused", "at_step": 40}
)
THROTTLED = fault("FineTuning_GetEvents", {"status": 429, "headers": {"Retry-After": "1"}}, path=FIRST)
BROKEN = fault("FineTuning_GetEvents", {"status": 500}, path=FIRST)
NO_WANDB = [fault("Runs", OUTAGE)]
WORLDS = {
    "Nothing arrives": World({"account": account(), "app": {"functions": ["find_jobs"]}}),
    "No ticks after a deployment": World({"account": account()}),
    "A deployment is reported as failed": World({}),
    "The app may not read the key": World(
        {"account": account(), "without": (("func-identity", "Key Vault Secrets User"),)}
    ),
    "Somebody may not start jobs": World({}),
    "One job is missing": World({"account": account(a_job(), BY_ITSELF)}, before=a_deleted_run),
    "A run stays running": World({"account": account(PAUSED)}),
    "W&B refuses the key": World({"account": account(), "secret": {"value": "0" * 40}}),
    "The key expires soon": World({"account": account(), "secret": {"expires_in_days": 12.5}}),
    "Poison messages": World({"account": account(), "faults": [BROKEN]}, between=faults_over),
    "The vault is locked": World({"vault": {"firewall": True}}, between=this_machine_let_in),
    "Somebody switched the vault back to access policies": World({"vault": {"rbac": False}}),
    "Azure OpenAI throttles": World({"account": SAME_JOBS, "faults": [THROTTLED]}, between=faults_over),
    "W&B is down": World({"account": account(), "faults": NO_WANDB}, between=faults_over),
    "Stop everything": World({"app": {"state": "Stopped"}}),
    "Go back to a release": World({"app": {"package_version": "0.2.0", "tags": {"template-version": "0.3.0"}}}),
    "Move, or a spare app": World({"app": {"name": "func-spare", "state": "Stopped"}}),
    "Remove everything": World({"secret": None, "without": (("aoai-ml", "Key Vault Secrets Officer"),)}, setup_has_run),
}


def sections() -> Iterator[tuple[str, list[list[tuple[str, list[str]]]]]]:
    """Headings, with their blocks: commands, each with the lines it prints."""
    for section in re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        blocks = []
        for block in re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            commands = []
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, *lines = part.splitlines()
                commands.append((command, [line for line in lines if line != "…"]))
            blocks.append(commands)
        yield heading, blocks


SECTIONS = dict(sections())


def missing(expected: list[str], printed: str) -> list[str]:
    """The expected lines that are not there; `…` stands for anything, also within a line."""
    there = [line.strip() for line in printed.splitlines()]
    patterns = {line: ".*".join(re.escape(part) for part in line.strip().split("…")) for line in expected}
    return [line for line, pattern in patterns.items() if not any(re.fullmatch(pattern, each) for each in there)]


def test_every_symptom_has_a_world_for_its_test() -> None:
    assert SECTIONS.keys() == WORLDS.keys()
    assert all(commands for blocks in SECTIONS.values() for commands in blocks)


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_commands_print_the_output_in_the_runbook(cloud: Cloud, run: Run, heading: str) -> None:
    world = WORLDS[heading]
    chain.put(cloud, **world.chain)
    cloud.world.wandb.store.add_key("sync-bot", NEW_KEY)
    world.before(cloud, run)
    for number, commands in enumerate(SECTIONS[heading]):
        if number:
            world.between(cloud, run)
        for command, expected in commands:
            done = perform(cloud, run, command)
            printed = {"stdout": done.stdout, "stderr": done.stderr}
            assert missing(expected, f"{done.stdout}\n{done.stderr}") == [], (command, printed)


def perform(cloud: Cloud, run: Run, command: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"], "what is no command of this project cannot be tried here"
    reader = cloud.world.tenant.named("func-identity").object_id
    arguments = [reader if word == "OBJECT_ID" else word for word in words[2:]]
    key = KEYS.get(arguments[1])
    return run(*arguments, env=ENVIRONMENT | ({"WANDB_API_KEY": key} if key else {}))
