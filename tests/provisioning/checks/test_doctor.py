"""doctor: for every link, a world in which only that link is broken, and what doctor reports."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from provisioning.checks.function_app import FUNCTIONS
from provisioning.cli import doctor
from provisioning.cli.doctor import APP_CHECKS
from provisioning.errors import BrokenLinkError
from provisioning.models import FunctionAppName
from provisioning.wandb_key import check as check_with_wandb
from sandbox.cloud import Cloud
from tests.functions import declared
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV, VIEWERS_KEY, Bench
from tests.provisioning.conftest import Call

APP = FunctionAppName("rg-ml", "func-ml")
ALL = [*doctor.CHECKS, *APP_CHECKS]
ENV = OPERATOR_ENV | {"AZURE_FUNCTION_APP": "func-ml"}


def examined(
    bench: Bench, app: FunctionAppName | None = APP, *, ask_wandb: bool = False, **more: Any
) -> dict[str, dict[str, str]]:
    """doctor's checks by name. With `ask_wandb` the key is checked with W&B, otherwise it is accepted."""
    session = bench.session(**more)
    if ask_wandb:
        session = replace(session, check_key=check_with_wandb)
    with suppress(BrokenLinkError):
        doctor.doctor(session, app)
    assert bench.cloud.writes == 0
    checks = session.facts["checks"]
    assert [each["name"] for each in checks] == (ALL if app else list(doctor.CHECKS))
    for each in checks:
        assert bool(each.get("remedy")) >= (each["state"] in ("failed", "warning")), each
    return {each["name"]: each for each in checks}


def not_ok(checks: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {name: each["state"] for name, each in checks.items() if each["state"] != "ok"}


def test_all_checks_pass_on_a_complete_chain(bench: Bench) -> None:
    chain.put(bench.cloud)
    checks = examined(bench, ask_wandb=True)
    assert not_ok(checks) == {}
    assert checks["sign-in"]["seen"].startswith("you@contoso.example")
    assert "user sync-bot, entity acme, may write" in checks["W&B key"]["seen"]
    assert "Key Vault Secrets Officer" in checks["identity access"]["seen"]
    assert checks["app secret access"]["seen"] == "by Key Vault Secrets User"


@pytest.mark.parametrize(
    ("endpoints", "vault_url"),
    [
        ("https://aoai-ml.openai.azure.com/openai/v1/", "https://kv-ml.vault.azure.net/secrets/wandb-api-key"),
        ("https://other.openai.azure.com;https://AOAI-ML.cognitiveservices.azure.com", "https://KV-ML.vault.azure.net"),
        ("https://aoai-ml.services.ai.azure.com/api/projects/p", "https://kv-ml.vault.azure.net/"),
    ],
)
def test_settings_are_read_as_the_app_reads_them(bench: Bench, endpoints: str, vault_url: str) -> None:
    chain.put(bench.cloud, settings={"AZURE_OPENAI_ENDPOINTS": endpoints, "KEY_VAULT_URL": vault_url})
    assert not_ok(examined(bench)) == {}


def test_without_a_function_app_its_checks_do_not_run(bench: Bench) -> None:
    chain.put(bench.cloud, app=None)
    assert not_ok(examined(bench, None)) == {}


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
    ("account network", "account identity", "identity access", "job list", "app job access"), "skipped"
)
NO_SECRET = {"W&B key": "skipped"}
SHUT_VAULT = {"secret": "skipped", "W&B key": "skipped"}
NO_VAULT = dict.fromkeys(
    ("vault network", "vault access", "secret", "identity access", "W&B key", "app secret access"), "skipped"
)
NO_APP_IDENTITY = {"app secret access": "skipped", "app job access": "skipped"}
READER: Any = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}

BROKEN = {
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
        "The firewall of kv-ml keeps this machine out",
        "az keyvault network-rule add",
        world={"vault": {"firewall": True}},
        also={"vault network": "warning", **SHUT_VAULT},
    ),
    "private vault": Broken(
        "vault access",
        "kv-ml answers private endpoints only",
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
    "secret expires soon": Broken(
        "secret", "it expires in 29 days", "rotate-key", "warning", world={"secret": {"expires_in_days": 29}}
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
        "offers no fine-tuning jobs (404)",
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
    "app may not read the jobs": Broken(
        "app job access",
        "may not read fine-tuning jobs",
        "--role 'Cognitive Services OpenAI User'",
        world={"without": (("func-identity", "Cognitive Services OpenAI User"),)},
    ),
    "functions not indexed": Broken(
        "app functions",
        "1 of 3 functions (find_jobs); missing: report_poison, sync_job",
        "func azure functionapp publish func-ml",
        world={"app": {"functions": ["find_jobs"]}},
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
    "a setting with shell text": Broken(
        "app settings",
        "AZURE_OPENAI_ENDPOINTS is https://aoai-old.openai.azure.com/x$(touch${IFS}PWNED)",
        "--settings 'AZURE_OPENAI_ENDPOINTS=https://aoai-old.openai.azure.com/x$(touch${IFS}PWNED),https://aoai-ml.",
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
        "--wandb-entity rivals",
        "warning",
        world={"settings": {"WANDB_ENTITY": "rivals"}},
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=list(BROKEN))
def test_only_the_broken_link_is_reported_with_its_remedy(bench: Bench, case: Broken) -> None:
    chain.put(bench.cloud, **case.world)
    checks = examined(bench, **case.target)
    assert not_ok(checks) == {case.link: case.state, **case.also}
    assert case.seen in checks[case.link]["seen"]
    assert case.remedy in checks[case.link]["remedy"]


@pytest.mark.parametrize(
    ("key", "seen", "remedy"),
    [
        (
            "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0dead",
            "W&B does not accept the key in secret wandb-api-key",
            "rotate-key",
        ),
        (VIEWERS_KEY, "may only view acme", "member seat"),
        ("not-a-key", "does not contain a W&B key", "rotate-key"),
    ],
)
def test_problems_of_the_key_are_distinguished(bench: Bench, key: str, seen: str, remedy: str) -> None:
    chain.put(bench.cloud, secret={"value": key})
    checks = examined(bench, ask_wandb=True)
    assert not_ok(checks) == {"W&B key": "failed"}
    assert seen in checks["W&B key"]["seen"]
    assert remedy in checks["W&B key"]["remedy"]
    assert key not in json.dumps(checks)


def test_an_unreachable_wandb_does_not_mean_a_revoked_key(cloud: Cloud, call: Call) -> None:
    chain.put(cloud)
    result = call("doctor", env=ENV | {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "2"})
    assert result.returncode == 1
    assert re.search(r"^  failed   W&B key            W&B did not answer", result.stdout, re.MULTILINE)
    assert result.stdout.count("  failed ") == 1


def test_a_failed_sign_in_skips_all_other_checks(cloud: Cloud, call: Call) -> None:
    result = call("doctor", "-o", "json", principal=None, env=ENV)
    document = json.loads(result.stdout)
    assert [each["state"] for each in document["checks"]] == ["failed"] + ["skipped"] * (len(ALL) - 1)
    assert "az login" in document["error"]["hint"]
    assert cloud.writes == 0


def test_on_access_policies_roles_do_not_count(bench: Bench) -> None:
    policies = [{"principal": who, "secrets": ["Get", "List"]} for who in ("operator", "func-identity")]
    chain.put(bench.cloud, vault={"rbac": False, "policies": policies})
    checks = examined(bench)
    assert not_ok(checks) == {"identity access": "failed"}
    assert checks["app secret access"]["seen"] == "by an access policy"


def test_unreadable_settings_are_skipped(bench: Bench) -> None:
    chain.put(bench.cloud, **READER)
    checks = examined(bench)
    assert not_ok(checks) == {"app settings": "skipped"}
    assert "you may not read it" in checks["app settings"]["seen"]
    assert checks["app identity"]["seen"].startswith("user-assigned func-identity")


def test_the_identity_is_not_guessed_among_several(bench: Bench) -> None:
    chain.put(bench.cloud, app={"identity": ["func-identity", "other-identity"]}, **READER)
    checks = examined(bench)
    assert not_ok(checks) == dict.fromkeys(("app settings", "app identity", *NO_APP_IDENTITY), "skipped")


def test_a_role_held_through_a_group_counts(bench: Bench) -> None:
    group = {"name": "sync-apps", "kind": "group", "members": ["func-identity"]}
    chain.put(
        bench.cloud,
        principals=[*chain.PRINCIPALS, group],
        without=(("func-identity", "Key Vault Secrets User"),),
        plus=(("sync-apps", "Key Vault Secrets User", f"rg-ml/{chain.VAULT}"),),
    )
    assert not_ok(examined(bench)) == {}


def test_a_role_younger_than_its_propagation_time_is_mentioned(bench: Bench) -> None:
    chain.put(bench.cloud)
    for each in bench.cloud.world.tenant.rbac.assignments.values():
        each.created = bench.cloud.clock.time()
    bench.cloud.clock.advance(120)
    assert "for 2 m" in examined(bench)["identity access"]["seen"]


def test_doctor_expects_the_functions_of_the_function_app() -> None:
    assert declared().keys() == set(FUNCTIONS)


def test_text_output_ends_with_the_first_remedy_which_can_be_copied(cloud: Cloud, call: Call) -> None:
    chain.put(cloud, without=(("aoai-ml", "Key Vault Secrets Officer"),))
    result = call("doctor", env=ENV)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line[11:28].strip() for line in lines if line[2] != " "] == ALL
    assert "error    1 of 17 checks failed: identity access." in result.stderr
    _, _, remedy = result.stderr.partition("next     python -m provisioning ")
    mended = call(*remedy.split(), "--yes", env={"WANDB_API_KEY": GOOD_KEY})
    assert mended.returncode == 0, mended.stderr
    assert GOOD_KEY not in result.stdout + result.stderr


def test_warnings_do_not_fail_doctor(cloud: Cloud, call: Call) -> None:
    chain.put(cloud, secret={"expires_in_days": 3})
    result = call("doctor", env=ENV)
    assert result.returncode == 0, result.stdout
    assert "16 of 17 checks ok; 1 warning." in result.stdout
