"""The commands that the canary runs, each at its most verbose, with their worlds and secrets."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.azure.openai.training_files import FileScript, TrainingFile
from sandbox.azure.storage import ACCOUNT
from sandbox.runtime.http import Call
from sandbox.scenario.reader import Scenario

from .leaks import Secret
from .processes import ROOT

KEY, NEW_KEY, UNKNOWN_KEY = (word * 5 for word in ("c4a7a9e1", "c4a7a9e2", "c4a7a9e3"))
NO_KEY = f"no-key {'c4a7a9e4' * 5}"
ACCOUNT_KEY = "aoai-" + "c4a7a9e5" * 4
CLIENT_SECRET = "entra-" + "c4a7a9e6" * 4
OTHER_SECRET = "billing-" + "c4a7a9e7" * 4
TOKEN = "eyJhbGciOiJIUzI1NiIs"  # noqa: S105 - the beginning of one
"""How every token of the sandbox begins."""

JOB, FILE = "ftjob-" + "1" * 32, "file-" + "a" * 32
LIBRARY = Path(sys.prefix) / "functions-worker"

_WANDB = "api.forge.coreweave.com"
_ROLES = ("Owner", "Key Vault Secrets Officer", "Cognitive Services OpenAI Contributor")
_PEOPLE = ("operator", "ops-bot", "function-app")
_TARGET = {"AZURE_RESOURCE_GROUP": "rg-ml", "AZURE_OPENAI_ACCOUNT": "aoai-ml", "AZURE_KEY_VAULT": "kv-ml"}
_SYNC = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "fine-tuning",
    "SYNC_DATASETS": "full",
}
_FROM_THE_VAULT = _SYNC | {"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}
_DEBUG = {"OPENAI_LOG": "debug", "WANDB_DEBUG": "true", "WANDB_CORE_DEBUG": "true"}
_GIVEN = {"WANDB_API_KEY": KEY}
_FREELY = ("--yes", "-v")
_TRAINING = "train.jsonl"
_ORDERS = "orders.json"


def _to_wandb(call: Call, part: bytes) -> bool:
    """W&B's key: to W&B's API as its authorization, to Key Vault as a secret's value."""
    stored = call.method == "PUT" and ".vault." in call.host and call.path.startswith("/secrets/") and not part
    return stored or (call.host == _WANDB and part == b"authorization")


def _to_azure(call: Call, part: bytes) -> bool:
    """Azure's tokens: to Azure, as authorization."""
    return part == b"authorization" and call.host.endswith(
        (".azure.com", ".azure.net", ".microsoft.com", ".windows.net")
    )


def _to_openai(call: Call, part: bytes) -> bool:
    return part == b"api-key" and call.host.endswith(".openai.azure.com")


def _to_entra(call: Call, part: bytes) -> bool:
    return not part and call.host == "login.microsoftonline.com"


SECRETS = (
    Secret("the W&B key", KEY, _to_wandb),
    Secret("the new W&B key", NEW_KEY, _to_wandb),
    Secret("a key that W&B does not know", UNKNOWN_KEY, _to_wandb),
    Secret("a key that cannot be one", NO_KEY[7:], _to_wandb),
    Secret("a token", TOKEN, _to_azure),
    Secret("the account's key", ACCOUNT_KEY, _to_openai, inherited=True),
    Secret("the client secret", CLIENT_SECRET, _to_entra, inherited=True),
    Secret("another secret of the vault", OTHER_SECRET),
)


def nothing(cwd: Path) -> None:
    """Nothing is needed."""


@dataclass(frozen=True)
class Command:
    """What follows `python` (`CWD` is where it runs), who runs it, in which world, with which variables.

    `wrong_keys`: variables with a key that is none. `given`: of which processes that it starts the environment is what a
    person says, as of itself. `there`: whether it can be run here. `ends_well`: its status is 0 when nothing happens.
    """

    name: str
    argv: tuple[str, ...]
    world: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    principal: str = "operator"
    wrong_keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prepare: Callable[[Path], None] = nothing
    given: Callable[[str], bool] = lambda name: False
    there: bool = True
    ends_well: bool = True


def secrets_of(command: Command) -> tuple[Secret, ...]:
    """What is not to be found after this command."""
    if command is DEMO:
        [key] = Scenario.load("demo").wandb.users[0].keys
        return (*SECRETS, Secret("the demo's W&B key", key))
    return SECRETS


def world(*, in_place: bool, **job: Any) -> dict[str, Any]:
    """One of everything; `in_place`: as setup leaves it, with the key in the vault."""
    kept = [{"name": "wandb-api-key", "value": KEY, "tags": {"created-by": "azure-openai-wandb"}}] if in_place else []
    other = {"name": "billing-db-password", "value": OTHER_SECRET}
    policies = [{"principal": "billing-api", "secrets": ["Get", "List"]}]
    vault = {"rbac": True} if in_place else {"policies": policies}
    app: dict[str, Any] = {"name": "func-ml", "group": "rg-ml", "identity": "function-app"}
    app |= {"functions": ["find_jobs", "sync_job", "report_poison"], "settings": dict(_FROM_THE_VAULT)}
    made = {"id": JOB, "model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": FILE}
    return {
        "extends": "contoso",
        "clock": {"rate": 100},
        "transitions": {"rbac_propagation": 0},
        "principals": [
            {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
            {"name": "ops-bot", "kind": "application", "client_secret": CLIENT_SECRET},
            *({"name": name, "kind": "managed identity"} for name in ("function-app", "billing-api")),
        ],
        "assignments": [
            {"principal": who, "role": role, "scope": "subscription"} for who in _PEOPLE for role in _ROLES
        ],
        "accounts": [
            {
                "name": "aoai-ml",
                "group": "rg-ml",
                "api_key": ACCOUNT_KEY,
                "jobs": [made | {"timeline": {"steps": 20}} | job],
                "files": [{"id": FILE, "filename": _TRAINING, "created": "-3d", "count": 12}],
            }
        ],
        "vaults": [{"name": "kv-ml", "group": "rg-ml", "secrets": [*kept, other], **vault}],
        "function_apps": [app],
        "wandb": {
            "teams": [{"name": "acme", "members": {"sync-bot": "member"}}],
            "users": [{"username": "sync-bot", "default_entity": "acme", "keys": [KEY, NEW_KEY]}],
            "runs": [{"entity": "acme", "project": "fine-tuning", "id": "before", "user": "sync-bot"}],
        },
    }


def _wrong(env: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        "a key that W&B does not know": {**env, "WANDB_API_KEY": UNKNOWN_KEY},
        "a key that cannot be one": {**env, "WANDB_API_KEY": NO_KEY},
    }


def _provisioning(name: str, *flags: str, in_place: bool, key: str = "", **said: Any) -> Command:
    env = _TARGET | ({"WANDB_API_KEY": key} if key else {})
    argv = ("-m", "provisioning", name, "-v", *flags)
    return Command(f"provisioning {name}", argv, world(in_place=in_place), env, wrong_keys=_wrong({}), **said)


def _sync(name: str, env: Mapping[str, str], *argv: str, wrong: bool = False, **said: Any) -> Command:
    keys = _wrong({}) if wrong else {}
    command = ("-m", "function_app", *argv)
    return Command(
        f"function_app {name}", command, said.pop("world", world(in_place=True)), env, wrong_keys=keys, **said
    )


def write_training(cwd: Path) -> None:
    """A training file to check and to submit."""
    script = FileScript.model_validate({"id": "file-1", "count": 12})
    (cwd / _TRAINING).write_bytes(b"".join(TrainingFile(script, 0.0).content()))


def write_orders(cwd: Path) -> None:
    """A tick, a message and one that was given up, as the Functions host sends them."""
    at = "2026-03-02T08:00:00"
    schedule = {"Last": at, "Next": at, "LastUpdated": at}
    timer = {"IsPastDue": False, "ScheduleStatus": schedule, "Schedule": {"AdjustForDST": True}}
    message = json.dumps({"account": "aoai-ml", "job": JOB})
    times = dict.fromkeys(("ExpirationTime", "InsertionTime", "NextVisibleTime"), f"{at}+00:00")
    metadata = {"Id": "m-1", "DequeueCount": "1", "PopReceipt": "r", **times}
    orders = [
        {"function": "find_jobs", "parameter": "timer", "data": {"json": json.dumps(timer)}},
        *(
            {"function": name, "parameter": "message", "data": {"string": message}, "metadata": metadata}
            for name in ("sync_job", "report_poison")
        ),
    ]
    (cwd / _ORDERS).write_text(json.dumps({"invocations": orders}), encoding="utf-8")


_STORAGE = {
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__blobServiceUri": f"https://{ACCOUNT}.blob.core.windows.net/",
    "AzureWebJobsStorage__queueServiceUri": f"https://{ACCOUNT}.queue.core.windows.net/",
    "SYNC_SCHEDULE": "0 */2 * * * *",
}
_LIVE = world(in_place=True, created="-8m", timeline={"steps": 60, "seconds_per_step": 60})
_SUBMIT = ("submit", "--model", "gpt-4o-mini-2024-07-18", "--training", _TRAINING, "--interval", "0.05")

COMMANDS = (
    _provisioning("plan", in_place=False, key=KEY),
    _provisioning("setup", "--yes", "--propagation-wait", "0s", in_place=False, key=KEY),
    _provisioning(
        "setup", "--yes", "-o", "json", "--propagation-wait", "0s", in_place=False, key=KEY, principal="ops-bot"
    ),
    _provisioning("status", in_place=True, ends_well=False),
    _provisioning("doctor", "--function-app", "func-ml", in_place=True, ends_well=False),
    _provisioning("rotate-key", "--yes", in_place=True, key=NEW_KEY),
    _provisioning("teardown", "--yes", in_place=True),
    _sync("sync, the key from the vault", _FROM_THE_VAULT | _DEBUG, "sync", "-vv", principal="function-app"),
    _sync("sync, the key given", _SYNC | _GIVEN, "sync", "-vv", wrong=True),
    _sync(
        "sync, the account's key",
        _SYNC | _GIVEN | _DEBUG | {"AZURE_OPENAI_API_KEY": ACCOUNT_KEY},
        "sync",
        "-vv",
        "-o",
        "json",
    ),
    _sync("sync, an application", _FROM_THE_VAULT, "sync", "-vv", principal="ops-bot"),
    _sync("sync --follow", _FROM_THE_VAULT, "sync", "--follow", "-vv", world=_LIVE, ends_well=False),
    _sync("check", _SYNC, "check", _TRAINING, prepare=write_training, ends_well=False),
    _sync("submit", _SYNC | _GIVEN, *_SUBMIT, prepare=write_training),
    _sync("dashboard", _SYNC | _GIVEN, "dashboard", wrong=True),
    Command(
        "the functions in Microsoft's worker",
        (str(ROOT / "tests" / "worker" / "host.py"), str(LIBRARY), str(ROOT), f"CWD/{_ORDERS}", "CWD/answers.json"),
        world(in_place=True),
        _FROM_THE_VAULT | _STORAGE,
        "function-app",
        prepare=write_orders,
        there=LIBRARY.is_dir(),
    ),
)
"""Every command."""

DEMO = Command(
    "sandbox demo",
    ("-m", "sandbox", "demo", "--no-page", "--trace", "demo.jsonl"),
    {"extends": "contoso"},
    given=lambda name: "-m provisioning " in name,
)
"""The demo is the person who gives `setup` its key."""
