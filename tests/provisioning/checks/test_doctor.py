"""doctor: for every link, a world in which only that link is broken, and what doctor reports."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from provisioning.app_models import FunctionAppName
from provisioning.checks.function_app import FUNCTIONS
from provisioning.cli import doctor
from provisioning.cli.doctor import APP_CHECKS
from provisioning.errors import BrokenLinkError
from provisioning.wandb_key import check as check_with_wandb
from sandbox.azure.tenant import AccessPolicy
from sandbox.cloud import Cloud
from tests.functions import declared
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV, VIEWERS_KEY, Bench
from tests.provisioning.cli.outcomes import DEAD_KEY
from tests.provisioning.conftest import Call

from .broken_links import A_JOB, BROKEN, NO_APP_IDENTITY, READER, Report

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
    assert checks["fine-tuning"]["seen"] == (
        "swedencentral: 2 base models can be trained (gpt-4.1 2025-04-14, gpt-4o-mini 2024-07-18)"
    )


def test_jobs_show_that_a_region_can_train_where_azure_names_no_model(bench: Bench) -> None:
    chain.put(bench.cloud, account={"models": {}, "jobs": [A_JOB]})
    assert "has jobs" in examined(bench)["fine-tuning"]["seen"]


def test_who_starts_jobs_is_checked_for_the_role(bench: Bench) -> None:
    chain.put(bench.cloud)
    stranger = "11111111-2222-4333-8444-555566667777"
    ids = [bench.tenant.named("operator").object_id, stranger]
    session = bench.session()
    with suppress(BrokenLinkError):
        doctor.doctor(session, None, ids)
    found = {each["name"]: each for each in session.facts["checks"] if each["name"].startswith("contributor")}
    assert len(found) == len(ids)
    other = found[f"contributor …{stranger[-4:]}"]
    assert other["state"] == "failed"
    assert f"--assignee-object-id {stranger} --assignee-principal-type User" in other["remedy"]
    assert "'Cognitive Services OpenAI Contributor'" in other["remedy"]


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


@pytest.mark.parametrize(("world", "report"), BROKEN.values(), ids=list(BROKEN))
def test_only_the_broken_link_is_reported_with_its_remedy(bench: Bench, world: Any, report: Report) -> None:
    chain.put(bench.cloud, **world)
    checks = examined(bench)
    assert not_ok(checks) == {report.link: report.state, **report.also}
    assert report.seen in checks[report.link]["seen"]
    assert report.remedy in checks[report.link]["remedy"]


@pytest.mark.parametrize(
    ("code", "words", "seen"),
    [
        ("403", "Access denied due to Virtual Network/Firewall rules.", "firewall refuses this machine"),
        ("PermissionDenied", "The principal lacks the required data action.", "You have no role"),
        ("Forbidden", "Access denied.", "or the account's network rules"),
    ],
)
def test_a_403_of_the_account_is_its_firewall_only_where_it_says_so(
    bench: Bench, code: str, words: str, seen: str
) -> None:
    body = {"error": {"code": code, "message": words}}
    chain.put(bench.cloud, faults=[{"op": "FineTuning_List", "do": {"status": 403, "body": body}}])
    checks = examined(bench)
    assert seen in checks["job list"]["seen"]
    assert ("az role assignment create" in checks["job list"]["remedy"]) == (code != "403")


@pytest.mark.parametrize(
    ("key", "seen", "remedy"),
    [
        (DEAD_KEY, "W&B does not accept the key in secret wandb-api-key", "rotate-key"),
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


def test_an_access_policy_of_a_group_counts(bench: Bench) -> None:
    chain.put(bench.cloud, vault={"rbac": False, "policies": [{"principal": "operator", "secrets": ["Get"]}]})
    group = "11111111-2222-3333-4444-555555555555"
    bench.vault.policies.append(AccessPolicy(group, {"secrets": ["get"]}))
    assert examined(bench)["identity access"]["state"] == "failed"
    rbac = bench.tenant.rbac
    rbac.groups = {**rbac.groups, bench.id_of("aoai-ml"): frozenset({group})}
    assert examined(bench)["identity access"]["state"] == "ok"


def test_a_directory_that_cannot_be_read_is_reported_as_unread(bench: Bench) -> None:
    refused = {"op": "DirectoryObjects_GetMemberObjects", "do": {"status": 403}}
    policies = [{"principal": "operator", "secrets": ["Get"]}]
    chain.put(bench.cloud, vault={"rbac": False, "policies": policies}, faults=[refused])
    assert "its groups could not be read" in examined(bench)["identity access"]["seen"]


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
    for each in bench.role_assignments:
        each.created = bench.cloud.clock.time()
    bench.cloud.clock.advance(120)
    assert "2 min old" in examined(bench)["identity access"]["seen"]


def test_doctor_expects_the_functions_of_the_function_app() -> None:
    assert declared().keys() == set(FUNCTIONS)


def test_text_output_ends_with_the_first_remedy_which_can_be_copied(cloud: Cloud, call: Call) -> None:
    chain.put(cloud, without=(("aoai-ml", "Key Vault Secrets Officer"),))
    result = call("doctor", env=ENV)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert [line[11:28].strip() for line in lines if line[2] != " "] == ALL
    assert "error    1 of 21 checks failed: identity access." in result.stderr
    _, _, remedy = result.stderr.partition("next     python -m provisioning ")
    mended = call(*remedy.split(), "--yes", env={"WANDB_API_KEY": GOOD_KEY})
    assert mended.returncode == 0, mended.stderr
    assert GOOD_KEY not in result.stdout + result.stderr


def test_warnings_do_not_fail_doctor(cloud: Cloud, call: Call) -> None:
    chain.put(cloud, secret={"expires_in_days": 3})
    result = call("doctor", env=ENV)
    assert result.returncode == 0, result.stdout
    assert "20 of 21 checks ok; 1 warning." in result.stdout
