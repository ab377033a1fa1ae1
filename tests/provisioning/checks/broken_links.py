"""Worlds with one broken link each, and what doctor reports of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioning.cli.doctor import APP_CHECKS


@dataclass
class Broken:
    """One broken link: the world, the check that fails and its state, and words of its finding and remedy."""

    link: str
    seen: str
    remedy: str
    state: str = "failed"
    world: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)  # other checks that are not ok, with their states
    target: Mapping[str, Any] = field(default_factory=dict)


def fault(op: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"faults": [{"op": op, "do": {"status": status, "body": body}}]}


NO_ACCOUNT = dict.fromkeys(
    ("account network", "account identity", "identity access", "job list", "fine-tuning", "app job access"), "skipped"
)
NO_SECRET = {"W&B key": "skipped"}
SHUT_VAULT = {"secret": "skipped", "W&B key": "skipped"}
NO_VAULT = dict.fromkeys(
    ("vault network", "vault access", "secret", "identity access", "W&B key", "app secret access"), "skipped"
)
NO_APP_IDENTITY = {"app secret access": "skipped", "app job access": "skipped"}
READER: Any = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}

A_JOB = {"id": "ftjob-" + "1" * 32, "model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": "file-a"}

BROKEN = {
    "training of a base model ends soon": Broken(
        "job list",
        "training of gpt-4o-mini-2024-07-18 ends on",
        "model-retirement-schedule",
        "warning",
        world={"account": {"jobs": [A_JOB], "training_ends": {A_JOB["model"]: "40d", "gpt-4.1-2025-04-14": "41d"}}},
    ),
    "a fine-tuned model ends soon": Broken(
        "job list",
        "there are 1; within 90 days: gpt-4o-mini-2024-07-18.ft-11111111111111111111111111111111 no longer answers from",
        "model-retirement-schedule",
        "warning",
        world={"account": {"jobs": [A_JOB | {"retires": "30d"}], "training_ends": {A_JOB["model"]: "-1d"}}},
    ),
    "no model that the region can train": Broken(
        "fine-tuning",
        "names no base model that can be trained in westeurope",
        "fine-tuning-models",
        "warning",
        world={"account": {"location": "westeurope", "models": {"gpt-4o 2024-11-20": {"FineTuneTokensMaxValue": "9"}}}},
    ),
    "as many jobs as the account may have": Broken(
        "job list",
        "there are 1, and at most 1; training files have at most 512,000,000 bytes",
        "delete old ones",
        "warning",
        world={"account": {"jobs": [A_JOB], "limits": {"MaxFineTuneCount": 1, "MaxTrainingFileSize": 512_000_000}}},
    ),
    "no account": Broken(
        "account", "There is no Azure OpenAI account aoai-lm", "aoai-ml", target={"account": "aoai-lm"}, also=NO_ACCOUNT
    ),
    "wrong kind": Broken(
        "account", "kind FormRecognizer", "--openai-account", world={"account": {"kind": "FormRecognizer"}}
    ),
    "no custom subdomain": Broken(
        "account",
        "no custom subdomain",
        "az cognitiveservices account update --custom-domain aoai-ml -g rg-ml -n aoai-ml",
        world={"account": {"custom_subdomain": False}},
        also={"job list": "failed"},
    ),
    "account firewall": Broken(
        "job list",
        "firewall refuses this machine",
        "az cognitiveservices account network-rule add -g rg-ml -n aoai-ml --ip-address",
        world={"account": {"firewall": True}},
        also={"account network": "warning"},
    ),
    "private account": Broken(
        "job list",
        "no public endpoint",
        "private endpoint",
        world={"account": {"public_network": False}},
        also={"account network": "warning"},
    ),
    "no account identity": Broken(
        "account identity",
        "no system-assigned identity",
        "provisioning setup",
        world={"account": {"system_identity": False}},
        also={"identity access": "skipped"},
    ),
    "no vault": Broken("vault", "There is no Key Vault kv-lm", "kv-ml", target={"vault": "kv-lm"}, also=NO_VAULT),
    "vault firewall": Broken(
        "vault access",
        "The firewall of kv-ml blocks this machine",
        "az keyvault network-rule add",
        world={"vault": {"firewall": True}},
        also={"vault network": "warning", **SHUT_VAULT},
    ),
    "private vault": Broken(
        "vault access",
        "kv-ml accepts private endpoints only",
        "private endpoint",
        world={"vault": {"public_network": False}},
        also={"vault network": "warning", **SHUT_VAULT},
    ),
    "vault out of reach": Broken(
        "vault access",
        "got no answer",
        "name resolution",
        world={"faults": [{"op": "GetSecret", "do": {"reset": True}}]},
        also=SHUT_VAULT,
    ),
    "operator without role": Broken(
        "vault access",
        "no role lets you read secrets",
        "provisioning setup",
        world={"without": (("operator", "Key Vault Secrets Officer"),)},
        also=SHUT_VAULT,
    ),
    "identity without role": Broken(
        "identity access",
        "aoai-ml may not read secret wandb-api-key",
        "provisioning setup",
        world={"without": (("aoai-ml", "Key Vault Secrets Officer"),)},
    ),
    "identity's role is conditional": Broken(
        "identity access",
        "Key Vault Secrets Officer, under a condition",
        "az role assignment list",
        "warning",
        world={"condition": ("aoai-ml", "Key Vault Secrets Officer")},
    ),
    "identity's role ends": Broken(
        "identity access",
        "by Key Vault Secrets Officer; its role Key Vault Secrets Officer ends on",
        "provisioning setup",
        "warning",
        world={"ends": ("aoai-ml", "Key Vault Secrets Officer")},
    ),
    "deleted vault": Broken(
        "vault",
        "deleted",
        "`setup --recover-key-vault`",
        world={"vault": {"deleted": True}, "plus": (("operator", "Reader", "subscription"),)},
        also=NO_VAULT,
    ),
    "no secret": Broken("secret", "has no secret wandb-api-key", "setup", world={"secret": None}, also=NO_SECRET),
    "disabled secret": Broken(
        "secret", "disabled", "--enabled true", world={"secret": {"enabled": False}}, also=NO_SECRET
    ),
    "deleted secret": Broken("secret", "is deleted", "setup", world={"secret": {"deleted": True}}, also=NO_SECRET),
    "expired secret": Broken(
        "secret", "it expired on", "rotate-key", "warning", world={"secret": {"expires_in_days": -1}}
    ),
    "no role on the jobs": Broken(
        "job list",
        "401 PermissionDenied",
        "--role 'Cognitive Services OpenAI User'",
        world={"without": (("operator", "Cognitive Services OpenAI User"),)},
    ),
    "bad token": Broken(
        "job list",
        "401 without PermissionDenied, so no role is missing",
        "az login --tenant",
        world=fault("FineTuning_List", 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing."}),
    ),
    "no fine-tuning there": Broken(
        "job list",
        "has no fine-tuning API (404)",
        "region",
        world=fault("FineTuning_List", 404, {"error": {"code": "404", "message": "Resource not found"}}),
    ),
    "no function app": Broken(
        "function app",
        "no function app func-ml",
        "--function-app",
        world={"app": None},
        also=dict.fromkeys(APP_CHECKS[1:], "skipped"),
    ),
    "app is stopped": Broken(
        "function app", "stopped", "az functionapp start -g rg-ml -n func-ml", world={"app": {"state": "Stopped"}}
    ),
    "app without identity": Broken(
        "app identity",
        "no managed identity",
        "az functionapp identity assign",
        world={"app": {"identity": []}, "settings": {"AZURE_CLIENT_ID": None}},
        also=NO_APP_IDENTITY,
    ),
    "AZURE_CLIENT_ID not set": Broken(
        "app identity",
        "AZURE_CLIENT_ID is not set",
        "--settings AZURE_CLIENT_ID=",
        world={"settings": {"AZURE_CLIENT_ID": None}},
        also=NO_APP_IDENTITY,
    ),
    "AZURE_CLIENT_ID hijacks the app's own identity": Broken(
        "app identity",
        "no user-assigned identity",
        "--setting-names AZURE_CLIENT_ID",
        world={"app": {"identity": "system"}},
        also=NO_APP_IDENTITY,
    ),
    "app may not read the secret": Broken(
        "app secret access",
        "may not read secret wandb-api-key",
        "--role 'Key Vault Secrets User'",
        world={"without": (("func-identity", "Key Vault Secrets User"),)},
    ),
    "app's role on the secret ends": Broken(
        "app secret access",
        "its role Key Vault Secrets User ends on",
        "--role 'Key Vault Secrets User'",
        "warning",
        world={"ends": ("func-identity", "Key Vault Secrets User")},
    ),
    "app may not read the jobs": Broken(
        "app job access",
        "may not read fine-tuning jobs",
        "--role 'Cognitive Services OpenAI User'",
        world={"without": (("func-identity", "Cognitive Services OpenAI User"),)},
    ),
    "functions not indexed": Broken(
        "app functions",
        "1 of 3 functions (find_jobs); missing: report_poison, sync_job",
        "Deploy the complete package",
        world={"app": {"functions": ["find_jobs"]}},
    ),
    "another Python": Broken(
        "app version",
        "it runs on python 3.11, but the packages that it needs are built for python 3.13",
        "Deploy the template of this release",
        world={"app": {"python": "3.11"}},
    ),
    "package and template of two releases": Broken(
        "app version",
        "the package is 0.2.0, the template 0.3.0",
        "the template and the package of one release",
        "warning",
        world={"app": {"package_version": "0.2.0", "tags": {"template-version": "0.3.0"}}},
    ),
    "another vault": Broken(
        "app settings",
        "KEY_VAULT_URL is https://kv-old.vault.azure.net/, not https://kv-ml.vault.azure.net/",
        "--settings KEY_VAULT_URL=https://kv-ml.vault.azure.net/",
        world={"settings": {"KEY_VAULT_URL": "https://kv-old.vault.azure.net/"}},
    ),
    "another secret": Broken(
        "app settings",
        "WANDB_SECRET_NAME is other, not wandb-api-key",
        "--settings WANDB_SECRET_NAME=wandb-api-key",
        world={"settings": {"WANDB_SECRET_NAME": "other"}},
    ),
    "another account": Broken(
        "app settings",
        "AZURE_OPENAI_ENDPOINTS is https://aoai-old.openai.azure.com/",
        "AZURE_OPENAI_ENDPOINTS=https://aoai-old.openai.azure.com/,https://aoai-ml.openai.azure.com/",
        world={"settings": {"AZURE_OPENAI_ENDPOINTS": "https://aoai-old.openai.azure.com/"}},
    ),
    "a schedule that does not start the app": Broken(
        "app settings",
        "SYNC_SCHEDULE: '00:02:00' is a time span",
        "--settings 'SYNC_SCHEDULE=0 */2 * * * *'",
        world={"settings": {"SYNC_SCHEDULE": "00:02:00"}},
    ),
    "a route that a job's author could use": Broken(
        "app settings",
        "Rule 1 of WANDB_ROUTES (suffix=scratch* -> off) does not drop jobs",
        "docs/routing.md",
        world={"settings": {"WANDB_ROUTES": "suffix=scratch* -> off"}},
    ),
    "a route that is wrong": Broken(
        "app settings", "WANDB_ROUTES: rule 1", "docs/routing.md", world={"settings": {"WANDB_ROUTES": "suffix -> off"}}
    ),
    "a Key Vault reference": Broken(
        "app settings",
        "KEY_VAULT_URL: a Key Vault reference",
        "Environment variables",
        "warning",
        world={"settings": {"KEY_VAULT_URL": "@Microsoft.KeyVault(SecretUri=https://kv-ml.vault.azure.net/secrets/x)"}},
    ),
    "a stray connection string": Broken(
        "app settings",
        "AzureWebJobsStorage is set beside",
        "--setting-names AzureWebJobsStorage",
        "warning",
        world={"settings": {"AzureWebJobsStorage": "AccountKey=x", "AzureWebJobsStorage__accountName": "st"}},
    ),
    "an empty connection string": Broken(
        "app settings",
        "AzureWebJobsStorage is set beside AzureWebJobsStorage__…: the host uses an empty value",
        "--setting-names AzureWebJobsStorage",
        "warning",
        world={"settings": {"AzureWebJobsStorage": "", "AzureWebJobsStorage__accountName": "st"}},
    ),
    "an empty connection string and nothing else": Broken(
        "app settings",
        "AzureWebJobsStorage is empty: the host has no storage account",
        "Deploy the template again",
        world={"settings": {"AzureWebJobsStorage": ""}},
    ),
    "a plain connection string": Broken(
        "app settings",
        "AzureWebJobsStorage is a connection string",
        "Deploy the template",
        "warning",
        world={"settings": {"AzureWebJobsStorage": "AccountKey=x"}},
    ),
    "indexed functions whose code cannot be imported": Broken(
        "app log",
        "its code cannot be imported: ModuleNotFoundError: No module named 'wandb'",
        "Deploy the complete package",
        world={"app": {"import_errors": ["ModuleNotFoundError: No module named 'wandb'"]}},
    ),
    "alerts that nobody receives": Broken(
        "app alerts",
        "nobody receives 2 of 2 alert rules",
        "alertEmails",
        "warning",
        world={"app": {"alert_emails": None}},
    ),
    "an action group without receivers": Broken(
        "app alerts",
        "nobody receives 2 of 2 alert rules",
        "alertEmails",
        "warning",
        world={"app": {"alert_emails": []}},
    ),
    "no alert rules": Broken(
        "app alerts",
        "no alert rule of its resource group watches it",
        "Deploy the template",
        "warning",
        world={"app": {"alerts": []}},
    ),
    "a setting with shell text": Broken(
        "app settings",
        "AZURE_OPENAI_ENDPOINTS is https://aoai-old.openai.azure.com/x$(touch${IFS}PWNED)",
        "--settings AZURE_OPENAI_ENDPOINTS=https://aoai-ml.",
        world={"settings": {"AZURE_OPENAI_ENDPOINTS": "https://aoai-old.openai.azure.com/x$(touch${IFS}PWNED)"}},
    ),
    "host down": Broken(
        "app functions",
        "from host runtime",
        "host does not start",
        world=fault(
            "WebApps_ListFunctions",
            400,
            {
                "error": {
                    "code": "BadRequest",
                    "message": "Encountered an error (ServiceUnavailable) from host runtime.",
                }
            },
        ),
    ),
    "another entity": Broken(
        "app settings",
        "W&B entity rivals",
        "that entity as --wandb-entity",
        "warning",
        world={"settings": {"WANDB_ENTITY": "rivals"}},
    ),
}
