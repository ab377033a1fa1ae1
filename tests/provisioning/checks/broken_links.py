"""Worlds with one broken link each, and what doctor reports of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioning.cli.doctor import APP_CHECKS


@dataclass
class Report:
    """The check that fails or warns, and words of its finding and remedy. `also`: other checks that are not ok."""

    link: str
    seen: str
    remedy: str
    state: str = "failed"
    also: Mapping[str, str] = field(default_factory=dict)


def fault(op: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"faults": [{"op": op, "do": {"status": status, "body": body}}]}


def skipped(*checks: str) -> dict[str, str]:
    return dict.fromkeys(checks, "skipped")


OF_ACCOUNT = ("account network", "account identity", "identity access", "job list", "fine-tuning", "app job access")
OF_VAULT = ("vault network", "vault access", "secret", "identity access", "W&B key", "app secret access")
NO_SECRET = skipped("W&B key")
SHUT_ACCOUNT = {"account network": "warning"}
SHUT_VAULT = skipped("secret", "W&B key")
FIREWALL = {"vault network": "warning", **SHUT_VAULT}
NO_APP_IDENTITY = skipped("app secret access", "app job access")
READER: Any = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}

A_JOB = {"id": "ftjob-" + "1" * 32, "model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": "file-a"}
NO_TOKEN = {"statusCode": 401, "message": "Unauthorized. Access token is missing."}
NO_RESOURCE = {"error": {"code": "404", "message": "Resource not found"}}
NO_HOST = {"error": {"code": "BadRequest", "message": "Encountered an error (ServiceUnavailable) from host runtime."}}
NO_WANDB = "ModuleNotFoundError: No module named 'wandb'"


def models(**account: Any) -> dict[str, Any]:
    """An account with one job, which trains or has trained a model."""
    return {"account": {"jobs": [A_JOB], **account}}


BROKEN: dict[str, tuple[Mapping[str, Any], Report]] = {
    "training of a base model ends soon": (
        models(training_ends={A_JOB["model"]: "40d", "gpt-4.1-2025-04-14": "41d"}),
        Report("job list", f"training of {A_JOB['model']} ends on", "model-retirement-schedule", "warning"),
    ),
    "a fine-tuned model ends soon": (
        models(jobs=[A_JOB | {"retires": "30d"}], training_ends={A_JOB["model"]: "-1d"}),
        Report("job list", f"within 90 days: {A_JOB['model']}.ft-1111", "model-retirement-schedule", "warning"),
    ),
    "no model that the region can train": (
        {"account": {"location": "westeurope", "models": {"gpt-4o 2024-11-20": {"FineTuneTokensMaxValue": "9"}}}},
        Report("fine-tuning", "no base model that can be trained in westeurope", "fine-tuning-models", "warning"),
    ),
    "as many jobs as the account may have": (
        models(limits={"MaxFineTuneCount": 1, "MaxTrainingFileSize": 512_000_000}),
        Report("job list", "1, and at most 1; training files have at most 512,000,000 bytes", "delete old", "warning"),
    ),
    "no account": (
        {"account": {"name": "aoai-lm", "system_identity": False}},
        Report("account", "no Azure OpenAI account aoai-ml", "aoai-lm", also=skipped(*OF_ACCOUNT)),
    ),
    "wrong kind": (
        {"account": {"kind": "FormRecognizer"}},
        Report("account", "kind FormRecognizer", "--openai-account"),
    ),
    "no custom subdomain": (
        {"account": {"custom_subdomain": False}},
        Report(
            "account", "no custom subdomain", "--custom-domain aoai-ml -g rg-ml -n aoai-ml", also={"job list": "failed"}
        ),
    ),
    "account firewall": (
        {"account": {"firewall": True}},
        Report("job list", "firewall refuses this machine", "network-rule add -g rg-ml -n aoai-ml", also=SHUT_ACCOUNT),
    ),
    "private account": (
        {"account": {"public_network": False}},
        Report("job list", "no public endpoint", "private endpoint", also=SHUT_ACCOUNT),
    ),
    "no account identity": (
        {"account": {"system_identity": False}},
        Report("account identity", "no system-assigned", "provisioning setup", also=skipped("identity access")),
    ),
    "no vault": (
        {"vault": {"name": "kv-lm"}},
        Report("vault", "There is no Key Vault kv-ml", "kv-lm", also=skipped(*OF_VAULT)),
    ),
    "vault firewall": (
        {"vault": {"firewall": True}},
        Report(
            "vault access", "The firewall of kv-ml blocks this machine", "az keyvault network-rule add", also=FIREWALL
        ),
    ),
    "private vault": (
        {"vault": {"public_network": False}},
        Report("vault access", "kv-ml accepts private endpoints only", "private endpoint", also=FIREWALL),
    ),
    "vault out of reach": (
        {"faults": [{"op": "GetSecret", "do": {"reset": True}}]},
        Report("vault access", "got no answer", "name resolution", also=SHUT_VAULT),
    ),
    "operator without role": (
        {"without": (("operator", "Key Vault Secrets Officer"),)},
        Report("vault access", "no role lets you read secrets", "provisioning setup", also=SHUT_VAULT),
    ),
    "identity without role": (
        {"without": (("aoai-ml", "Key Vault Secrets Officer"),)},
        Report("identity access", "aoai-ml may not read secret wandb-api-key", "provisioning setup"),
    ),
    "identity's role is conditional": (
        {"limited": {("aoai-ml", "Key Vault Secrets Officer"): {"condition": "@Resource[…] StringEquals '…'"}}},
        Report("identity access", "Officer, under a condition", "az role assignment list", "warning"),
    ),
    "identity's role ends": (
        {"limited": {("aoai-ml", "Key Vault Secrets Officer"): {"expires_in": "1h"}}},
        Report(
            "identity access", "Officer; its role Key Vault Secrets Officer ends on", "provisioning setup", "warning"
        ),
    ),
    "deleted vault": (
        {"vault": {"deleted": True}, "plus": (("operator", "Reader", "subscription"),)},
        Report("vault", "deleted", "`setup --recover-key-vault`", also=skipped(*OF_VAULT)),
    ),
    "no secret": ({"secret": None}, Report("secret", "has no secret wandb-api-key", "setup", also=NO_SECRET)),
    "disabled secret": ({"secret": {"enabled": False}}, Report("secret", "disabled", "--enabled true", also=NO_SECRET)),
    "deleted secret": ({"secret": {"deleted": True}}, Report("secret", "is deleted", "setup", also=NO_SECRET)),
    "expired secret": ({"secret": {"expires_in_days": -1}}, Report("secret", "it expired on", "rotate-key", "warning")),
    "no role on the jobs": (
        {"without": (("operator", "Cognitive Services OpenAI User"),)},
        Report("job list", "401 PermissionDenied", "--role 'Cognitive Services OpenAI User'"),
    ),
    "bad token": (
        fault("FineTuning_List", 401, NO_TOKEN),
        Report("job list", "401 without PermissionDenied, so no role is missing", "az login --tenant"),
    ),
    "no fine-tuning there": (
        fault("FineTuning_List", 404, NO_RESOURCE),
        Report("job list", "has no fine-tuning API (404)", "region"),
    ),
    "no function app": (
        {"app": None},
        Report("function app", "no function app func-ml", "--function-app", also=skipped(*APP_CHECKS[1:])),
    ),
    "app is stopped": (
        {"app": {"state": "Stopped"}},
        Report("function app", "stopped", "az functionapp start -g rg-ml -n func-ml"),
    ),
    "app without identity": (
        {"app": {"identity": []}, "settings": {"AZURE_CLIENT_ID": None}},
        Report("app identity", "no managed identity", "az functionapp identity assign", also=NO_APP_IDENTITY),
    ),
    "AZURE_CLIENT_ID not set": (
        {"settings": {"AZURE_CLIENT_ID": None}},
        Report("app identity", "AZURE_CLIENT_ID is not set", "--settings AZURE_CLIENT_ID=", also=NO_APP_IDENTITY),
    ),
    "AZURE_CLIENT_ID hijacks the app's own identity": (
        {"app": {"identity": "system"}},
        Report("app identity", "no user-assigned identity", "AZURE_CLIENT_ID", also=NO_APP_IDENTITY),
    ),
    "app may not read the secret": (
        {"without": (("func-identity", "Key Vault Secrets User"),)},
        Report("app secret access", "may not read secret wandb-api-key", "--role 'Key Vault Secrets User'"),
    ),
    "app's role on the secret ends": (
        {"limited": {("func-identity", "Key Vault Secrets User"): {"expires_in": "1h"}}},
        Report("app secret access", "its role Key Vault Secrets User ends on", "Key Vault Secrets User'", "warning"),
    ),
    "app may not read the jobs": (
        {"without": (("func-identity", "Cognitive Services OpenAI User"),)},
        Report("app job access", "may not read fine-tuning jobs", "--role 'Cognitive Services OpenAI User'"),
    ),
    "functions not indexed": (
        {"app": {"functions": ["find_jobs"]}},
        Report("app functions", "1 of 3 functions (find_jobs); missing: report_poison, sync_job", "complete package"),
    ),
    "host down": (
        fault("WebApps_ListFunctions", 400, NO_HOST),
        Report("app functions", "from host runtime", "host does not start"),
    ),
    "indexed functions whose code cannot be imported": (
        {"app": {"import_errors": [NO_WANDB]}},
        Report("app log", f"its code cannot be imported: {NO_WANDB}", "Deploy the complete package"),
    ),
    "another Python": (
        {"app": {"python": "3.11"}},
        Report(
            "app version", "python 3.11, but the packages that it needs are built for python 3.13", "of this release"
        ),
    ),
    "package and template of two releases": (
        {"app": {"package_version": "0.2.0", "tags": {"template-version": "0.3.0"}}},
        Report("app version", "the package is 0.2.0, the template 0.3.0", "package of one release", "warning"),
    ),
    "alerts that nobody receives": (
        {"app": {"alert_emails": None}},
        Report("app alerts", "nobody receives 2 of 2 alert rules", "alertEmails", "warning"),
    ),
    "an action group without receivers": (
        {"app": {"alert_emails": []}},
        Report("app alerts", "nobody receives 2 of 2 alert rules", "alertEmails", "warning"),
    ),
    "no alert rules": (
        {"app": {"alerts": []}},
        Report("app alerts", "no alert rule of its resource group watches it", "Deploy the template", "warning"),
    ),
}

# --- settings of the function app, and words of what doctor says of them ----------------------------------------------

VAULT, ENDPOINT = "https://kv-old.vault.azure.net/", "https://aoai-old.openai.azure.com/"
INJECTION = f"{ENDPOINT}x$(touch${{IFS}}PWNED)"
REFERENCE = "@Microsoft.KeyVault(SecretUri=https://kv-ml.vault.azure.net/secrets/x)"
BY_IDENTITY = {"AzureWebJobsStorage__accountName": "st"}
WRONG = [
    ({"KEY_VAULT_URL": VAULT}, f"KEY_VAULT_URL is {VAULT}, not https://kv-ml.", "KEY_VAULT_URL=https://kv-ml."),
    ({"WANDB_SECRET_NAME": "other"}, "is other, not wandb-api-key", "--settings WANDB_SECRET_NAME=wandb-api-key"),
    ({"AZURE_OPENAI_ENDPOINTS": ENDPOINT}, f"ENDPOINTS is {ENDPOINT}", f"ENDPOINTS={ENDPOINT},https://aoai-ml."),
    ({"AZURE_OPENAI_ENDPOINTS": INJECTION}, f"ENDPOINTS is {INJECTION}", "ENDPOINTS=https://aoai-ml."),
    ({"SYNC_SCHEDULE": "00:02:00"}, "'00:02:00' is a time span", "--settings 'SYNC_SCHEDULE=0 */2 * * * *'"),
    (
        {"WANDB_ROUTES": "suffix=a* -> off"},
        "Rule 1 of WANDB_ROUTES (suffix=a* -> off) does not drop",
        "docs/routing.md",
    ),
    ({"WANDB_ROUTES": "suffix -> off"}, "WANDB_ROUTES: rule 1", "docs/routing.md"),
    ({"AzureWebJobsStorage": ""}, "is empty: the host has no storage account", "Deploy the template again"),
]
DOUBTFUL = [
    ({"KEY_VAULT_URL": REFERENCE}, "KEY_VAULT_URL: a Key Vault reference", "Environment variables"),
    ({"AzureWebJobsStorage": "AccountKey=x"}, "AzureWebJobsStorage is a connection string", "Deploy the template"),
    ({"AzureWebJobsStorage": "AccountKey=x"} | BY_IDENTITY, "is set beside", "--setting-names AzureWebJobsStorage"),
    ({"AzureWebJobsStorage": ""} | BY_IDENTITY, "the host uses an empty value", "--setting-names AzureWebJobsStorage"),
    ({"WANDB_ENTITY": "rivals"}, "W&B entity rivals", "that entity as --wandb-entity"),
]
for state, table in (("failed", WRONG), ("warning", DOUBTFUL)):
    for settings, seen, remedy in table:
        BROKEN[seen] = {"settings": settings}, Report("app settings", seen, remedy, state)
