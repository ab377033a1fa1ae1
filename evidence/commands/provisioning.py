"""setup in every starting state, rotate-key, and teardown on both kinds of vault: their worlds, and their final states."""

import json
import re
from dataclasses import asdict, replace
from typing import Any

from sandbox.azure.tenant import Secret, Vault
from sandbox.world import World

from .case import GOOD_KEY, PIPELINE, Case, relative

NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00009"

_DAY = 86400.0
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_PEOPLE = [
    {"name": "operator", "kind": "user", "display_name": "you@contoso.example"},
    {"name": PIPELINE, "kind": "managed identity"},
    {"name": "dana", "kind": "user", "display_name": "dana@contoso.example"},
    {"name": "billing-api", "kind": "managed identity"},
]
_OWNERS = [{"principal": who, "role": "Owner", "scope": "rg-ml"} for who in ("operator", PIPELINE)]
_VAULT = {"name": "kv-ml", "group": "rg-ml"}
_OTHERS = {
    "tags": {"cost-center": "ml"},
    "policies": [
        {"principal": "billing-api", "secrets": ["Get", "List"]},
        {"principal": "dana", "secrets": ["get", "list", "set", "delete"], "certificates": ["get", "list"]},
    ],
    "secrets": [{"name": "billing-db-password", "value": "correct-horse-battery-staple"}],
}
_OURS = {"created-by": "azure-openai-wandb"}
_KEPT = {"name": "wandb-api-key", "value": GOOD_KEY, "tags": _OURS, "created_days_ago": 90}
_ON_RBAC = [*_OWNERS, {"principal": PIPELINE, "role": "Key Vault Secrets Officer", "scope": "rg-ml"}]
_TARGET = {"AZURE_RESOURCE_GROUP": "rg-ml", "AZURE_OPENAI_ACCOUNT": "aoai-ml", "AZURE_KEY_VAULT": "kv-ml"}
_FREELY = ("--yes", "--output", "json")
_SETUP = ("provisioning", "setup", "--propagation-wait", "0s", *_FREELY)
_TEARDOWN = ("provisioning", "teardown", *_FREELY)
_BY_POLICY = "--vault-access-policy"


def end(world: World) -> Any:
    """Return everything in the tenant: identities, assignments, vaults with their policies and every version of every secret.

    It omits what may differ: the random ids of identities (replaced by the names of their resources), and the names of
    assignments, which are derived from these ids; the ids of versions; times of creation, because a second attempt is later
    than the first, perhaps on the next day; and for how many requests the service still reports an operation as in progress.
    """
    tenant = world.tenant
    assignments = [
        {key: value for key, value in asdict(each).items() if key not in ("name", "created", "effective")}
        for each in tenant.rbac.assignments.values()
    ]
    state = {
        "accounts": {name: asdict(account) for name, account in tenant.accounts.items()},
        "principals": {each.alias: each.kind for each in tenant.principals.values()},
        "assignments": assignments,
        "vaults": {name: _vault(vault, world) for name, vault in tenant.vaults.items()},
        "wandb": [run.id for run in world.wandb.store.runs("acme", "OpenAI-Fine-Tune")],
    }
    text = json.dumps(relative(state, world.clock.time()))
    for each in tenant.principals.values():
        text = text.replace(each.object_id, f"<{each.alias}>")
    return _ordered(json.loads(text))


def _ordered(state: Any) -> Any:
    """Sort assignments, and lists of principals in tags, so that their order does not depend on ids. Omit days from tags."""
    state["assignments"].sort(key=json.dumps)
    for vault in state["vaults"].values():
        vault["tags"] = {
            name: " ".join(sorted(_DATE.sub("<day>", value).split())) for name, value in vault["tags"].items()
        }
    return state


def _vault(vault: Vault, world: World) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(vault).items() if name not in ("secrets", "registering", "deleted")}
    return plain | {
        "deleted": vault.deleted is not None,
        "secrets": {name: _secret(secret, world.clock.time()) for name, secret in vault.secrets.items()},
    }


def _secret(secret: Secret, now: float) -> dict[str, Any]:
    versions = [
        {
            "value": version.value,
            "enabled": version.enabled,
            # setup uses the machine's clock, which advances while a command runs twice
            "expires in days": None if version.expires is None else round((version.expires - now) / _DAY),
            "content type": version.content_type,
            "tags": version.tags,
        }
        for version in secret.versions
    ]
    return {"deleted": secret.deleted is not None, "versions": versions}


def _world(**vault: Any) -> dict[str, Any]:
    """Return a world with this vault in which nothing takes long. Waiting is tested elsewhere, with virtual time."""
    team = {"name": "acme", "members": {"sync-bot": "member"}}
    user = {"username": "sync-bot", "default_entity": "acme", "keys": [GOOD_KEY, NEW_KEY]}
    return {
        "extends": "contoso",
        "transitions": {"rbac_propagation": 0, "recover_reads": 1},
        "principals": _PEOPLE,
        "assignments": _OWNERS,
        "vaults": [_VAULT | vault],
        "wandb": {"teams": [team], "users": [user]},
    }


def _setup(kind: str, world: dict[str, Any], *flags: str, principal: str = PIPELINE) -> Case:
    env = _TARGET | {"WANDB_API_KEY": GOOD_KEY}
    return Case("setup", kind, (*_SETUP, *flags), world, end, env, principal=principal)


def _teardown(kind: str, world: dict[str, Any], set_up: tuple[str, ...] = (), *flags: str) -> Case:
    env = _TARGET | {"WANDB_API_KEY": GOOD_KEY}
    return Case("teardown", kind, (*_TEARDOWN, *flags), world, end, env, before=((*_SETUP, *set_up),))


_OTHERS_ACT = [
    {
        "after": "RoleAssignments_Create",
        "do": [
            {"change_vault": {"vault": "kv-ml", "tags": {"owner": "finance"}}},
            {"change_account": {"account": "aoai-ml", "attach": ["id-cmk"]}},
            {"write_secret": {"vault": "kv-ml", "name": "payroll-password", "value": "correct-horse-battery-staple"}},
        ],
    }
]
"""Changes by others during a command. The final state must not depend on where the command is killed."""

_VERSIONS = [
    {"value": "somebody else's", "created_days_ago": 400},
    {"value": GOOD_KEY, "tags": _OURS, "created_days_ago": 90},
]
_ROTATE = Case(
    "rotate-key",
    "a version of ours and one of somebody else's",
    ("provisioning", "rotate-key", *_FREELY),
    _world(rbac=True, secrets=[{"name": "wandb-api-key", "versions": _VERSIONS}]) | {"assignments": _ON_RBAC},
    end,
    _TARGET | {"WANDB_API_KEY": NEW_KEY},
)
_OTHER_SECRET = ("--secret-name", "wandb-staging")


def _one_of_two(kind: str, *flags: str) -> Case:
    """Return teardown of the secret that was set up first, in a vault where a second one needs the same access."""
    case = _teardown(f"one of two secrets, {kind}", _world(**_OTHERS), flags)
    return replace(case, before=(*case.before, (*_SETUP, *_OTHER_SECRET, *flags)))


CASES: tuple[Case, ...] = (
    _setup("access policies with others", _world(**_OTHERS), principal="operator"),
    _setup("access policies, while others act", _world(**_OTHERS) | {"events": _OTHERS_ACT}),
    _setup("Azure RBAC", _world(rbac=True, tags={"cost-center": "ml"})),
    _setup("no vault", _world() | {"vaults": []}, "--create-key-vault"),
    _setup("deleted vault", _world(deleted=True, rbac=True, secrets=[_KEPT]), "--recover-key-vault"),
    _setup("kept on access policies", _world(**_OTHERS), _BY_POLICY),
    _ROTATE,
    _teardown("back to access policies", _world(**_OTHERS), (), "--restore-access-policies"),
    _teardown("Azure RBAC", _world(rbac=True)),
    _teardown("access policies", _world(**_OTHERS), (_BY_POLICY,)),
    _one_of_two("Azure RBAC"),
    _one_of_two("access policies", _BY_POLICY),
    Case("rescue", "Azure RBAC", ("provisioning", "rescue", *_FREELY), _world(**_OTHERS, rbac=True), end, _TARGET),
    _setup(
        "the key without an expiry",
        _world(rbac=True, secrets=[_KEPT | {"expires_in_days": 5}]),
        "--secret-lifetime",
        "never",
    ),
)
