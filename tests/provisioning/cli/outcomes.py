"""Every command with the ways it can end. Tests that must hold for all of them are parametrized over this table."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.cloud import Cloud
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV, VIEWERS_KEY
from tests.provisioning.conftest import Call

NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00003"
DEAD_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0dead"
KEYS = (GOOD_KEY, VIEWERS_KEY, NEW_KEY, DEAD_KEY)
YES = ("--yes", "--propagation-wait", "0")


@dataclass
class Outcome:
    """A command, its world and key, and how it ends: exit status, error code and words of message and hint, in parts."""

    argv: tuple[str, ...]
    status: int
    key: str | None = None
    world: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    words: str | tuple[str, ...] = ()
    signed_in: bool = True

    def of(self, cloud: Cloud, call: Call, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        chain.put(cloud, **{"wandb": WANDB, **self.world})
        env = OPERATOR_ENV | dict(self.env) | ({"WANDB_API_KEY": self.key} if self.key else {})
        return call(*self.argv, *more, env=env, principal="operator" if self.signed_in else None)


def not_found(variable: str, value: str, *words: str) -> Outcome:
    """A resource that does not exist."""
    return Outcome(("setup", *YES), 3, GOOD_KEY, env={variable: value}, code="not-found", words=words)


def usage(words: str, *options: str, **env: str) -> Outcome:
    """A plan whose options or settings are refused before anything is asked."""
    return Outcome(("plan", *options), 2, env=env, code="usage", words=words)


_GROUP = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml/providers"
PARAMETERS = tuple(
    word
    for text in (
        "azureOpenAiEndpoints=https://aoai-ml.openai.azure.com/",
        f"azureOpenAiAccountIds={_GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml",
        f"keyVaultId={_GROUP}/Microsoft.KeyVault/vaults/kv-ml",
        "keyVaultUrl=https://kv-ml.vault.azure.net/",
        "syncDatasets=reference",
    )
    for word in ("-p", text)
)
FRESH: dict[str, Any] = {"vault": {"rbac": None}, "account": {"system_identity": False}, "secret": None}
READER: dict[str, Any] = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}
OURS: Mapping[str, Any] = {"secret": {"tags": {"created-by": "azure-openai-wandb"}}}
COMPOUND = {"principal": "other-identity", "secrets": ["get"], "application_id": "11111111-0000-4000-8000-000000000001"}
REFUSES = {"op": "SetSecret", "do": {"status": 400}}
OUTCOMES = {
    "plan": Outcome(("plan",), 0, GOOD_KEY, FRESH),
    "plan, without a key": Outcome(("plan",), 0, None, FRESH),
    "plan, another key": Outcome(("plan", "--detailed-exitcode"), 2, GOOD_KEY, {"secret": {"value": VIEWERS_KEY}}),
    "plan, a right is missing": Outcome(("plan",), 0, None, FRESH | READER),
    "setup": Outcome(("setup", *YES), 0, GOOD_KEY, FRESH),
    "setup, dry run": Outcome(("setup", "--dry-run"), 0, GOOD_KEY, FRESH),
    "setup, nothing to do": Outcome(("setup",), 0),
    "setup, not confirmed": Outcome(("setup",), 2, GOOD_KEY, FRESH, code="not-confirmed", words="--yes"),
    "setup, key in the vault revoked": Outcome(
        ("setup",), 2, None, {"secret": {"value": DEAD_KEY}}, code="wandb-key-not-given", words="WANDB_API_KEY"
    ),
    "setup, key refused": Outcome(
        ("setup", *YES), 1, DEAD_KEY, code="wandb-key-refused", words="does not accept the key from WANDB_API_KEY"
    ),
    "setup, view-only seat": Outcome(
        ("setup", *YES), 1, VIEWERS_KEY, code="wandb-entity-refused", words="may only view acme"
    ),
    "setup, not a member": Outcome(
        ("setup", *YES, "--wandb-entity", "rivals"), 1, GOOD_KEY, code="wandb-entity-refused", words="acme"
    ),
    "setup, malformed": Outcome(
        ("setup", *YES), 2, f"{GOOD_KEY} {NEW_KEY}", code="wandb-key-malformed", words="more than one word"
    ),
    "setup, too short": Outcome(("setup", *YES), 2, "too-short", code="wandb-key-malformed", words="WANDB_API_KEY"),
    "setup, a right is missing": Outcome(("setup", *YES), 1, GOOD_KEY, FRESH | READER, code="missing-rights"),
    "setup, a principal would lose access": Outcome(
        ("setup", *YES),
        1,
        GOOD_KEY,
        FRESH | {"vault": {"rbac": None, "policies": [COMPOUND]}},
        code="access-would-be-lost",
    ),
    "setup, the vault refuses": Outcome(
        ("setup", *YES), 1, GOOD_KEY, {"secret": None, "faults": [REFUSES]}, code="service-error"
    ),
    "setup, W&B unreachable": Outcome(
        ("setup", *YES),
        1,
        GOOD_KEY,
        env={"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "1"},
        code="unreachable",
        words="--wandb-base-url",
    ),
    "setup, no network": Outcome(
        ("setup", *YES),
        1,
        GOOD_KEY,
        env={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        code="unreachable",
        words="HTTPS_PROXY",
    ),
    "setup, no such vault": not_found(
        "AZURE_KEY_VAULT", "kv-lm", "There is no Key Vault kv-lm", "The group has: kv-ml.", "--create-key-vault"
    ),
    "setup, no such account": not_found(
        "AZURE_OPENAI_ACCOUNT", "aoai-lm", "There is no Azure OpenAI account aoai-lm", "The group has: aoai-ml."
    ),
    "setup, no such group": not_found("AZURE_RESOURCE_GROUP", "rg-other", "rg-other"),
    "setup, no such subscription": not_found(
        "AZURE_SUBSCRIPTION_ID", "fabrikam", "No subscription is named 'fabrikam'"
    ),
    "setup, no such subscription id": not_found(
        "AZURE_SUBSCRIPTION_ID", "00000000-0000-4000-8000-00000000000f", "00000000-0000-4000-8000-00000000000f"
    ),
    "plan, not signed in": Outcome(("plan",), 1, code="not-signed-in", words="az login", signed_in=False),
    "plan, invalid choice of credentials": usage("AZURE_TOKEN_CREDENTIALS", AZURE_TOKEN_CREDENTIALS="foo"),
    "plan, unknown cloud": usage("AzureUSGovernment", AZURE_CLOUD="AzureGermanCloud"),
    "plan, unknown cloud of the SDKs": usage("AZURE_SDK_CLOUD_CONF", AZURE_SDK_CLOUD_CONF="AzureGermanCloud"),
    "plan, invalid secret name": usage("hyphens", "--secret-name", "wandb_api_key"),
    "plan, invalid duration": usage("90s, 10m, 1h or 180d", "--propagation-wait", "soon"),
    "plan, a duration without a unit": usage("90s, 10m, 1h or 180d", "--secret-lifetime", "90"),
    "plan, a lifetime of hours": usage("too short for a secret", WANDB_SECRET_LIFETIME="12h"),
    "plan, W&B over http": usage("use https", "--wandb-base-url", "http://wandb.corp.example"),
    "plan, W&B with a password": usage("user name or password", "--wandb-base-url", "https://user:s3cret@corp.example"),
    "plan, no vault named": usage("--key-vault", AZURE_KEY_VAULT=""),
    "plan, no group named": usage("resource group of the account is missing", AZURE_RESOURCE_GROUP=""),
    "plan, the vault is another resource": usage(
        "is not the id of a resource of type Microsoft.KeyVault/vaults",
        AZURE_KEY_VAULT=f"{_GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml",
    ),
    "plan, an incomplete id": usage("is not the id of a resource", AZURE_OPENAI_ACCOUNT="rg-ml/aoai-ml"),
    "plan, two ways to a vault": usage("pass only one", "--create-key-vault", "--recover-key-vault"),
    "plan, an access policy for one secret": usage(
        "requires roles", "--vault-access-policy", "--identity-scope", "secret"
    ),
    "plan, a reader without an object id": usage("not an object id", "--reader", "function-app"),
    "status": Outcome(("status",), 0),
    "status, drift": Outcome(("status",), 2, GOOD_KEY, {"secret": None}),
    "status, firewall": Outcome(("status",), 3, None, {"vault": {"firewall": True}}, code="vault-unreachable"),
    "rescue": Outcome(("rescue", "--yes", "--accept-loss"), 0),
    "rescue, nobody would have access": Outcome(
        ("rescue", "--yes"), 1, code="access-would-be-lost", words="--accept-loss"
    ),
    "doctor": Outcome(("doctor",), 0, env={"AZURE_FUNCTION_APP": "func-ml"}),
    "doctor, revoked": Outcome(("doctor",), 1, None, {"secret": {"value": DEAD_KEY}}, code="broken-link"),
    "preflight": Outcome(("preflight", "-g", "rg-ml", "-l", "swedencentral", *PARAMETERS), 0),
    "preflight, no choice of data": Outcome(("preflight", "-g", "rg-ml"), 1, code="broken-link", words="syncDatasets"),
    "verify-app": Outcome(("verify-app", "-g", "rg-ml", "--function-app", "func-ml"), 0),
    "verify-app, none indexed": Outcome(
        ("verify-app", "-g", "rg-ml", "--function-app", "func-ml", "--wait", "0s"),
        1,
        world={"app": {"functions": []}},
        code="broken-link",
        words="complete package",
    ),
    "prove, dry run": Outcome(("prove", "--dry-run"), 0),
    "prove, nothing to clean": Outcome(
        ("prove", "--clean"), 0, world={"plus": (("operator", "Owner", "subscription"),)}
    ),
    "prove, not confirmed": Outcome(
        ("prove",), 2, world={"plus": (("operator", "Owner", "subscription"),)}, code="not-confirmed", words="--yes"
    ),
    "prove, no right to create a group": Outcome(
        ("prove", "--yes", "--report", os.devnull), 1, GOOD_KEY, code="missing-rights"
    ),
    "rotate-key": Outcome(("rotate-key", "--yes"), 0, NEW_KEY),
    "rotate-key, dry run": Outcome(("rotate-key", "--dry-run"), 0, NEW_KEY),
    "rotate-key, not confirmed": Outcome(("rotate-key",), 2, NEW_KEY, code="not-confirmed", words="--yes"),
    "rotate-key, unchanged": Outcome(("rotate-key", "--yes"), 0, GOOD_KEY),
    "rotate-key, view-only seat": Outcome(("rotate-key", "--yes"), 1, VIEWERS_KEY, code="wandb-entity-refused"),
    "rotate-key, refused": Outcome(("rotate-key", "--yes"), 1, DEAD_KEY, code="wandb-key-refused"),
    "rotate-key, no secret": Outcome(
        ("rotate-key", "--yes"), 3, NEW_KEY, {"secret": None}, code="wandb-key-not-stored"
    ),
    "teardown": Outcome(("teardown", "--yes"), 0, None, OURS),
    "teardown, dry run": Outcome(("teardown", "--dry-run"), 0, None, OURS),
    "teardown, nothing to remove": Outcome(("teardown",), 0),
    "teardown, not confirmed": Outcome(("teardown",), 2, None, OURS, code="not-confirmed"),
    "teardown, not ours": Outcome(
        ("teardown", "--restore-access-policies", "--yes"),
        1,
        code="not-ours",
        words="provisioning rescue --key-vault /subscriptions/",
    ),
}
WANDB = {
    "teams": [{"name": "acme", "members": {"sync-bot": "member", "vera": "view-only"}}],
    "users": [
        {"username": "sync-bot", "default_entity": "acme", "keys": [GOOD_KEY, NEW_KEY]},
        {"username": "vera", "default_entity": "acme", "keys": [VIEWERS_KEY]},
    ],
}


def leaked(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The keys that the output contains."""
    return [key for key in KEYS if key in result.stdout + result.stderr]
