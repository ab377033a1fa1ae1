"""The commands that the canary runs, each at its most verbose, and the secrets that it searches for."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from evidence.commands.case import LIBRARY, Case
from evidence.deliver import message_order
from evidence.leaks import Secret
from evidence.processes import ROOT
from sandbox.azure.storage import SETTINGS
from sandbox.runtime.http import Call

KEY, NEW_KEY, UNKNOWN_KEY = (word * 5 for word in ("c4a7a9e1", "c4a7a9e2", "c4a7a9e3"))
IMPOSSIBLE_KEY = f"no-key {'c4a7a9e4' * 5}"
WRONG_KEYS = {"a key that W&B does not know": UNKNOWN_KEY, "a malformed key": IMPOSSIBLE_KEY}
ACCOUNT_KEY = "aoai-" + "c4a7a9e5" * 4
CLIENT_SECRET = "entra-" + "c4a7a9e6" * 4
OTHER_SECRET = "billing-" + "c4a7a9e7" * 4
TOKEN = "eyJhbGciOiJIUzI1NiIs"  # noqa: S105 - every token of the sandbox begins so

_JOB, _FILE = "ftjob-" + "1" * 32, "file-" + "a" * 32
_ROLES = ("Owner", "Key Vault Secrets Officer", "Cognitive Services OpenAI Contributor")
_PEOPLE = ("operator", "ops-bot", "function-app")
_TARGET = {"AZURE_RESOURCE_GROUP": "rg-ml", "AZURE_OPENAI_ACCOUNT": "aoai-ml", "AZURE_KEY_VAULT": "kv-ml"}
_SYNC = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "fine-tuning",
    "SYNC_DATASETS": "full",
}
_GIVEN = _SYNC | {"WANDB_API_KEY": KEY}
_FROM_THE_VAULT = _SYNC | {"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}
_DEBUG = {"OPENAI_LOG": "debug", "WANDB_DEBUG": "true", "WANDB_CORE_DEBUG": "true"}
_TRAINING, _INVOCATIONS = "train.jsonl", "invocations.json"


def _to_wandb(call: Call, part: bytes) -> bool:
    """W&B's key goes to W&B's API as its authorization, and to Key Vault as a secret's value."""
    stored = call.method == "PUT" and ".vault." in call.host and call.path.startswith("/secrets/") and not part
    return stored or (call.host == "api.forge.coreweave.com" and part == b"authorization")


def _to_azure(call: Call, part: bytes) -> bool:
    azure = (".azure.com", ".azure.net", ".microsoft.com", ".windows.net", "api.loganalytics.io")
    return part == b"authorization" and call.host.endswith(azure)


def _to_openai(call: Call, part: bytes) -> bool:
    return part == b"api-key" and call.host.endswith(".openai.azure.com")


def _to_entra(call: Call, part: bytes) -> bool:
    return not part and call.host == "login.microsoftonline.com"


SECRETS = (
    Secret("the W&B key", KEY, _to_wandb),
    Secret("the new W&B key", NEW_KEY, _to_wandb),
    Secret("a key that W&B does not know", UNKNOWN_KEY, _to_wandb),
    Secret("a malformed key", IMPOSSIBLE_KEY[7:], _to_wandb),
    Secret("a token", TOKEN, _to_azure),
    Secret("the account's key", ACCOUNT_KEY, _to_openai, inherited=True),
    Secret("the client secret", CLIENT_SECRET, _to_entra, inherited=True),
    Secret("another secret of the vault", OTHER_SECRET),
)


def world(*, in_place: bool, **job: Any) -> dict[str, Any]:
    """Return a scenario with one of everything; `in_place`: as setup leaves it, with the key in the vault."""
    kept = {"name": "wandb-api-key", "value": KEY, "tags": {"created-by": "azure-openai-wandb"}}
    other = {"name": "billing-db-password", "value": OTHER_SECRET}
    policies = [{"principal": "billing-api", "secrets": ["Get", "List"]}]
    access: dict[str, Any] = (
        {"rbac": True, "secrets": [kept, other]} if in_place else {"policies": policies, "secrets": [other]}
    )
    app: dict[str, Any] = {"name": "func-ml", "group": "rg-ml", "identity": "function-app"}
    made = {"id": _JOB, "model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": _FILE}
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": ACCOUNT_KEY}
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
            account
            | {
                "jobs": [made | {"timeline": {"steps": 20}} | job],
                "files": [{"id": _FILE, "filename": _TRAINING, "created": "-3d", "count": 12}],
            }
        ],
        "vaults": [{"name": "kv-ml", "group": "rg-ml", **access}],
        "function_apps": [
            app | {"functions": ["find_jobs", "sync_job", "report_poison"], "settings": dict(_FROM_THE_VAULT)}
        ],
        "wandb": {
            "teams": [{"name": "acme", "members": {"sync-bot": "member"}}],
            "users": [{"username": "sync-bot", "default_entity": "acme", "keys": [KEY, NEW_KEY]}],
            "runs": [{"entity": "acme", "project": "fine-tuning", "id": "before", "user": "sync-bot"}],
        },
    }


def _provisioning(name: str, *flags: str, key: str = "", in_place: bool = True, **more: Any) -> Case:
    env = _TARGET | ({"WANDB_API_KEY": key} if key else {})
    argv = ("provisioning", name, "-v", *flags)
    return Case(name, " ".join(flags), argv, world(in_place=in_place), env=env, **{"principal": "operator", **more})


def _app(kind: str, env: Mapping[str, str], *argv: str, **more: Any) -> Case:
    how = {"world": world(in_place=True), "principal": "operator", **more}
    return Case(argv[0], kind, ("function_app", *argv), env=env, **how)


def _invocations() -> str:
    """Return a tick, a message and a message that was given up, as the Functions host sends them."""
    at = "2026-03-02T08:00:00"
    schedule = {"Last": at, "Next": at, "LastUpdated": at}
    timer = {"IsPastDue": False, "ScheduleStatus": schedule, "Schedule": {"AdjustForDST": True}}
    tick = {"function": "find_jobs", "parameter": "timer", "data": {"json": json.dumps(timer)}}
    messages = [message_order(function, "aoai-ml", _JOB) for function in ("sync_job", "report_poison")]
    return json.dumps({"invocations": [tick, *messages]})


def _tool(name: str, *argv: str) -> Case:
    """Return a command that needs no key, run by somebody who has one in the environment."""
    vault, account = (
        f"{_GROUP}/Microsoft.KeyVault/vaults/kv-ml",
        f"{_GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml",
    )
    document = {"ok": True, "subscription": {"id": "s"}, "account": {"id": account}, "vault": {"id": vault}}
    settings = {"WANDB_SECRET_NAME": "wandb-api-key", "WANDB_ENTITY": "acme"}
    files = {"setup.json": json.dumps({**document, "settings": settings})}
    return Case(name, "", argv, world(in_place=True), env=_GIVEN, principal="operator", files=files)


_GROUP = "/subscriptions/s/resourceGroups/rg-ml/providers"
_OWNERS = ("--principal-id", "p", "--app-group", "g", "--storage-account", "s", "--application-insights", "i")
_CHAT = {"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "On the shelf."}]}
_FILES = {_TRAINING: (json.dumps(_CHAT) + "\n") * 12}
_SETUP = ("--yes", "--propagation-wait", "0s")
_SUBMIT = shlex.split(
    f"submit --model gpt-4o-mini-2024-07-18 --training {_TRAINING} --yes --interval 0.05s --tokenizer estimate"
)
_LIVE = world(in_place=True, created="-13m", timeline={"steps": 60, "seconds_per_step": 15})  # for some seconds
_FOLLOW = ("sync", "--follow", "--interval", "0.3s", "-vv")  # of a job that always fails, it does not end by itself
_HOST = ("tests.worker.host", str(LIBRARY), str(ROOT), _INVOCATIONS, "answers.json")
_FUNCTIONS = Case(
    "functions",
    "in Microsoft's worker library",
    _HOST,
    world(in_place=True),
    env=_FROM_THE_VAULT | SETTINGS,
    principal="function-app",
    files={_INVOCATIONS: _invocations()},
)

CASES: tuple[Case, ...] = (
    _provisioning("plan", key=KEY, in_place=False),
    _provisioning("setup", *_SETUP, key=KEY, in_place=False),
    _provisioning("setup", *_SETUP, "-o", "json", key=KEY, in_place=False, principal="ops-bot"),
    _provisioning("status", ends_well=False),
    _provisioning("doctor", "--function-app", "func-ml", ends_well=False),
    _provisioning("preflight", "-g", "rg-ml", ends_well=False),
    _provisioning("verify-app", "-g", "rg-ml", "--function-app", "func-ml", "--wait", "0s"),
    _provisioning("rotate-key", "--yes", key=NEW_KEY),
    _provisioning("teardown", "--yes"),
    _provisioning("rescue", "--yes", "--accept-loss"),
    _provisioning("prove", "--yes", "-l", "nowhere", key=KEY, ends_well=False),
    Case("init", "", ("provisioning", "init", "app"), world(in_place=False), principal="operator"),
    _app("the key from the vault", _FROM_THE_VAULT | _DEBUG, "sync", "-vv", principal="function-app"),
    _app("the key given", _GIVEN, "sync", "-vv"),
    _app("the account's key", _GIVEN | _DEBUG | {"AZURE_OPENAI_API_KEY": ACCOUNT_KEY}, "sync", "-vv", "-o", "json"),
    _app("an application", _FROM_THE_VAULT, "sync", "-vv", principal="ops-bot"),
    _app("--follow", _FROM_THE_VAULT, *_FOLLOW, world=_LIVE, longest=20.0),
    _app("--overwrite", _GIVEN, "sync", "--overwrite", "--job", _JOB, "-vv"),
    _app("a file", _SYNC, "check", _TRAINING, files=_FILES, ends_well=False),
    _app("a file", _GIVEN, *_SUBMIT, files=_FILES),
    _app("a project", _GIVEN, "dashboard"),
    _tool("from_setup", "infra.from_setup", "setup.json"),
    _tool("owner_commands", "infra.owner_commands", *_OWNERS, "setup.json"),
    _tool("shell", "sandbox", "shell"),
    *([_FUNCTIONS] if LIBRARY.is_dir() else []),
)
"""Every command; the functions only where Microsoft's worker library is installed (`make test` does it)."""
