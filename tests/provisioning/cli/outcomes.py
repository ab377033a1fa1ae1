"""Every command with the ways it can end. Tests that must hold for all of them are parametrized over this table."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
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
    """A command, its world and key, and how it ends: exit status, error code and words of message and hint."""

    argv: tuple[str, ...]
    status: int
    code: str
    words: tuple[str, ...]
    key: str | None
    world: Mapping[str, Any]
    env: Mapping[str, str]
    principal: str | None

    def of(self, cloud: Cloud, call: Call, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        chain.put(cloud, **{"wandb": WANDB, **self.world})
        env = OPERATOR_ENV | dict(self.env) | ({"WANDB_API_KEY": self.key} if self.key else {})
        return call(*self.argv, *more, env=env, principal=self.principal)


def ends(
    command: str,
    status: int = 0,
    code: str = "",
    *words: str,
    key: str | None = None,
    world: Mapping[str, Any] = {},
    env: Mapping[str, str] = {},
    principal: str | None = "operator",
) -> Outcome:
    return Outcome((*command.split(),), status, code, words, key, world, env, principal)


def not_found(variable: str, value: str, *words: str) -> Outcome:
    """A resource that does not exist."""
    return ends(SETUP, 3, "not-found", value, *words, key=GOOD_KEY, env={variable: value})


def unreachable(words: str, **env: str) -> Outcome:
    """An address at which nothing answers."""
    return ends(SETUP, 1, "unreachable", words, key=GOOD_KEY, env=env)


def usage(words: str, *options: str, **env: str) -> Outcome:
    """A plan whose options or settings are refused before anything is asked."""
    return ends(" ".join(["plan", *options]), 2, "usage", words, env=env)


_GROUP = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml/providers"
_ACCOUNT = f"{_GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml"
PREFLIGHT = (
    "preflight -g rg-ml -l swedencentral -p azureOpenAiEndpoints=https://aoai-ml.openai.azure.com/ "
    f"-p azureOpenAiAccountIds={_ACCOUNT} -p keyVaultId={_GROUP}/Microsoft.KeyVault/vaults/kv-ml "
    "-p keyVaultUrl=https://kv-ml.vault.azure.net/ -p syncDatasets=reference"
)
SETUP = "setup --yes --propagation-wait 0"
VERIFY = "verify-app -g rg-ml --function-app func-ml"
NOWHERE = "http://127.0.0.1:9"
FRESH: dict[str, Any] = {"vault": {"rbac": None}, "account": {"system_identity": False}, "secret": None}
READER: dict[str, Any] = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}
OWNER: Mapping[str, Any] = {"plus": (("operator", "Owner", "subscription"),)}
OURS: Mapping[str, Any] = {"secret": {"tags": {"created-by": "azure-openai-wandb"}}}
REVOKED: Mapping[str, Any] = {"secret": {"value": DEAD_KEY}}
NO_SECRET: Mapping[str, Any] = {"secret": None}
COMPOUND = {"principal": "other-identity", "secrets": ["get"], "application_id": "11111111-0000-4000-8000-000000000001"}
LOSS = FRESH | {"vault": {"rbac": None, "policies": [COMPOUND]}}
REFUSES = {"secret": None, "faults": [{"op": "SetSecret", "do": {"status": 400}}]}
OUTCOMES = {
    "plan": ends("plan", key=GOOD_KEY, world=FRESH),
    "plan, without a key": ends("plan", world=FRESH),
    "plan, another key": ends("plan --detailed-exitcode", 2, key=GOOD_KEY, world={"secret": {"value": VIEWERS_KEY}}),
    "plan, a right is missing": ends("plan", world=FRESH | READER),
    "setup": ends(SETUP, key=GOOD_KEY, world=FRESH),
    "setup, dry run": ends("setup --dry-run", key=GOOD_KEY, world=FRESH),
    "setup, nothing to do": ends("setup"),
    "setup, not confirmed": ends("setup", 2, "not-confirmed", "--yes", key=GOOD_KEY, world=FRESH),
    "setup, key in the vault revoked": ends("setup", 2, "wandb-key-not-given", "WANDB_API_KEY", world=REVOKED),
    "setup, key refused": ends(SETUP, 1, "wandb-key-refused", "not accept the key from WANDB_API_KEY", key=DEAD_KEY),
    "setup, view-only seat": ends(SETUP, 1, "wandb-entity-refused", "may only view acme", key=VIEWERS_KEY),
    "setup, not a member": ends(f"{SETUP} --wandb-entity rivals", 1, "wandb-entity-refused", "acme", key=GOOD_KEY),
    "setup, malformed": ends(SETUP, 2, "wandb-key-malformed", "more than one word", key=f"{GOOD_KEY} {NEW_KEY}"),
    "setup, too short": ends(SETUP, 2, "wandb-key-malformed", "WANDB_API_KEY", key="too-short"),
    "setup, a right is missing": ends(SETUP, 1, "missing-rights", key=GOOD_KEY, world=FRESH | READER),
    "setup, a principal would lose access": ends(SETUP, 1, "access-would-be-lost", key=GOOD_KEY, world=LOSS),
    "setup, the vault refuses": ends(SETUP, 1, "service-error", key=GOOD_KEY, world=REFUSES),
    "setup, W&B unreachable": unreachable("--wandb-base-url", WANDB_BASE_URL=NOWHERE, WANDB_HTTP_TIMEOUT="1"),
    "setup, no network": unreachable("HTTPS_PROXY", HTTPS_PROXY=NOWHERE, HTTP_PROXY=NOWHERE),
    "setup, no such vault": not_found(
        "AZURE_KEY_VAULT", "kv-lm", "There is no Key Vault kv-lm", "The group has: kv-ml.", "--create-key-vault"
    ),
    "setup, no such account": not_found(
        "AZURE_OPENAI_ACCOUNT", "aoai-lm", "There is no Azure OpenAI account aoai-lm", "The group has: aoai-ml."
    ),
    "setup, no such group": not_found("AZURE_RESOURCE_GROUP", "rg-other"),
    "setup, no such subscription": not_found("AZURE_SUBSCRIPTION_ID", "fabrikam", "No subscription is named"),
    "setup, no such subscription id": not_found("AZURE_SUBSCRIPTION_ID", "00000000-0000-4000-8000-00000000000f"),
    "plan, not signed in": ends("plan", 1, "not-signed-in", "az login", principal=None),
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
    "plan, the vault is another resource": usage("of type Microsoft.KeyVault/vaults", AZURE_KEY_VAULT=_ACCOUNT),
    "plan, an incomplete id": usage("is not the id of a resource", AZURE_OPENAI_ACCOUNT="rg-ml/aoai-ml"),
    "plan, two ways to a vault": usage("pass only one", "--create-key-vault", "--recover-key-vault"),
    "plan, a policy for one secret": usage("requires roles", "--vault-access-policy", "--identity-scope", "secret"),
    "plan, a reader without an object id": usage("not an object id", "--reader", "function-app"),
    "status": ends("status"),
    "status, drift": ends("status", 2, key=GOOD_KEY, world=NO_SECRET),
    "status, firewall": ends("status", 3, "vault-unreachable", world={"vault": {"firewall": True}}),
    "rescue": ends("rescue --yes --accept-loss"),
    "rescue, nobody would have access": ends("rescue --yes", 1, "access-would-be-lost", "--accept-loss"),
    "doctor": ends("doctor", env={"AZURE_FUNCTION_APP": "func-ml"}),
    "doctor, revoked": ends("doctor", 1, "broken-link", world=REVOKED),
    "preflight": ends(PREFLIGHT),
    "preflight, no choice of data": ends("preflight -g rg-ml", 1, "broken-link", "syncDatasets"),
    "verify-app": ends(VERIFY),
    "verify-app, none indexed": ends(
        f"{VERIFY} --wait 0s", 1, "broken-link", "complete package", world={"app": {"functions": []}}
    ),
    "prove, dry run": ends("prove --dry-run"),
    "prove, nothing to clean": ends("prove --clean", world=OWNER),
    "prove, not confirmed": ends("prove", 2, "not-confirmed", "--yes", world=OWNER),
    "prove, no right to create a group": ends(f"prove --yes --report {os.devnull}", 1, "missing-rights", key=GOOD_KEY),
    "rotate-key": ends("rotate-key --yes", key=NEW_KEY),
    "rotate-key, dry run": ends("rotate-key --dry-run", key=NEW_KEY),
    "rotate-key, not confirmed": ends("rotate-key", 2, "not-confirmed", "--yes", key=NEW_KEY),
    "rotate-key, unchanged": ends("rotate-key --yes", key=GOOD_KEY),
    "rotate-key, view-only seat": ends("rotate-key --yes", 1, "wandb-entity-refused", key=VIEWERS_KEY),
    "rotate-key, refused": ends("rotate-key --yes", 1, "wandb-key-refused", key=DEAD_KEY),
    "rotate-key, no secret": ends("rotate-key --yes", 3, "wandb-key-not-stored", key=NEW_KEY, world=NO_SECRET),
    "teardown": ends("teardown --yes", world=OURS),
    "teardown, dry run": ends("teardown --dry-run", world=OURS),
    "teardown, nothing to remove": ends("teardown"),
    "teardown, not confirmed": ends("teardown", 2, "not-confirmed", world=OURS),
    "teardown, not ours": ends("teardown --restore-access-policies --yes", 1, "not-ours", "rescue --key-vault /subscr"),
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
