"""Accounts that are found in subscriptions: which ones count, which rights are needed, and accounts that vanish."""

from typing import Any

import pytest

from function_app.azure.account_finder import EVERY, AccountFinder
from function_app.azure.subscriptions import account_from
from function_app.engine.engine import Engine
from function_app.models import DatasetPolicy, Result
from tests.function_app.conftest import JOB, OTHER_JOB, THIRD_JOB, Bench, a_file, a_job

ID = "/subscriptions/0aa0b0c0-1111-2222-3333-444455556666/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/A"
USER = "Cognitive Services OpenAI User"


def shown(**properties: Any) -> dict[str, Any]:
    """An AI Services account as ARM showed one in March 2026."""
    usual = {
        "provisioningState": "Succeeded",
        "customSubDomainName": "Sub",
        "endpoint": "https://sub.cognitiveservices.azure.com/",
        "endpoints": {
            "AI Foundry API": "https://sub.services.ai.azure.com/",
            "Text Translation": "https://api.cognitive.microsofttranslator.com/",
            "OpenAI Language Model Instance API": "https://sub.openai.azure.com/",
        },
    }
    return {"id": ID, "name": "A", "kind": "AIServices", "properties": usual | properties}


@pytest.mark.parametrize(
    ("entry", "url", "problem"),
    [
        (shown(), "https://sub.openai.azure.com/", ""),
        (shown(endpoints=None), "https://sub.cognitiveservices.azure.com/", ""),
        (shown(endpoints={}, endpoint="https://other.openai.azure.com/"), None, "no address"),
        (shown(endpoints={}, endpoint="https://eastus.api.cognitive.microsoft.com/"), None, "no address"),
        (shown(customSubDomainName=None), None, "no custom subdomain"),
        (shown(provisioningState="Deleting"), None, "its state is Deleting"),
        (shown(publicNetworkAccess="Disabled"), "https://sub.openai.azure.com/", "private endpoint"),
    ],
)
def test_an_account_is_reached_at_its_subdomain(entry: dict[str, Any], url: str | None, problem: str) -> None:
    found = account_from(entry)
    assert found
    assert (found.endpoint.url if found.endpoint else None) == url
    assert problem in found.problem


@pytest.mark.parametrize("entry", [None, [], {}, shown() | {"kind": "SpeechServices"}, shown() | {"id": 7}], ids=str)
def test_other_entries_are_not_accounts(entry: object) -> None:
    assert account_from(entry) is None


def open_world(bench: Bench, *, role_at: str = "rg-ml", others: int = 0, **values: Any) -> None:
    """Two accounts with a job each in one group, a third in another; further ones are of other services."""
    accounts = [
        {"name": "aoai-ml", "group": "rg-ml", "jobs": [a_job()], "files": [a_file()]},
        {"name": "foundry", "group": "rg-ml", "kind": "AIServices", "jobs": [a_job(id=OTHER_JOB)], "files": [a_file()]},
        {"name": "aoai-eu", "group": "rg-eu", "jobs": [a_job(id=THIRD_JOB)], "files": [a_file()]},
        *({"name": f"forms-{n}", "group": "rg-ml", "kind": "FormRecognizer"} for n in range(others)),
    ]
    roles = [{"principal": "operator", "role": USER, "scope": role_at}]
    world = {"extends": "contoso", "groups": ["rg-ml", "rg-eu"], "accounts": accounts, "assignments": roles}
    bench.load(world | values)


def scope(bench: Bench, group: str = "") -> str:
    """The scenario's subscription, or a group of it."""
    return f"subscription:{bench.cloud.world.tenant.subscription_id}{group}"


def engine(bench: Bench, *entries: str, **values: Any) -> Engine:
    """An engine whose accounts are found there."""
    return bench.engine(azure_openai_endpoints=entries or (scope(bench, "/rg-ml"),), **values)


def finder(bench: Bench) -> tuple[AccountFinder, list[float]]:
    """What finds the accounts, and its clock, which tests move."""
    found, now = engine(bench).finder, [0.0]
    assert isinstance(found, AccountFinder)
    found.clock = lambda: now[0]
    return found, now


def test_every_account_of_a_group_is_mirrored_over_several_pages(bench: Bench) -> None:
    open_world(bench, others=7)
    outcomes = bench.tick(engine(bench))
    assert {job: outcome.result for job, outcome in outcomes.items()} == {JOB: "synced", OTHER_JOB: "synced"}


def test_a_subscription_shows_what_the_identity_may_see(bench: Bench) -> None:
    open_world(bench, role_at="rg-eu")
    assert list(bench.tick(engine(bench, scope(bench)))) == [THIRD_JOB]


def test_an_account_that_is_both_configured_and_found_counts_once(bench: Bench) -> None:
    open_world(bench)
    found = engine(bench, scope(bench, "/rg-ml"), "https://foundry.cognitiveservices.azure.com/")
    assert sorted(bench.tick(found)) == [JOB, OTHER_JOB]
    assert sorted((each.name, each.discovered) for each in found.accounts) == [("aoai-ml", True), ("foundry", False)]


@pytest.mark.parametrize(
    ("rules", "policy"),
    [
        ("", "reference"),
        ("account=aoai-* -> acme/eu", "reference"),
        ("account=aoai-ml -> acme/eu datasets=full", "full"),
    ],
)
def test_files_of_found_accounts_are_only_sent_if_an_account_rule_allows(bench: Bench, rules: str, policy: str) -> None:
    open_world(bench)
    candidates, _ = engine(bench, wandb_routes=rules, sync_datasets=DatasetPolicy.FULL).discover()
    assert {each.job.id: each.datasets for each in candidates}[JOB] == policy


def test_a_scope_that_cannot_be_searched_is_reported_and_does_not_block_others(bench: Bench) -> None:
    open_world(bench, role_at="rg-eu")
    outcomes = engine(bench, scope(bench, "/rg-ml"), scope(bench, "/rg-eu")).sync()
    failed = {outcome.account: outcome.message for outcome in outcomes if outcome.result is Result.FAILED}
    assert "may not list the accounts" in failed[scope(bench, "/rg-ml")]
    assert [outcome.job for outcome in outcomes if outcome.result is Result.SYNCED] == [THIRD_JOB]


def test_new_accounts_are_added_and_vanished_ones_are_reported(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    open_world(bench)
    found, now = finder(bench)
    tenant = bench.cloud.world.tenant
    key = next(key for key in tenant.accounts if key.endswith("/foundry"))
    foundry = tenant.accounts.pop(key)

    def names(after: float) -> set[str]:
        now[0] += after
        return {account.name for account in found.accounts()}

    assert names(0) == {"aoai-ml"}
    tenant.accounts[key] = foundry
    assert [names(EVERY / 2), names(EVERY)] == [{"aoai-ml"}, {"aoai-ml", "foundry"}]
    del tenant.accounts[key]
    assert [names(EVERY + 1), names(EVERY + 1)] == [{"aoai-ml", "foundry"}, {"aoai-ml"}]
    assert "account vanished account=foundry reason=it was deleted" in caplog.text


def test_a_failed_search_keeps_the_accounts_of_the_previous_one(bench: Bench) -> None:
    open_world(bench, faults=[{"op": "Accounts_ListByResourceGroup", "when": {"nth": [2]}, "do": {"status": 503}}])
    found, now = finder(bench)
    before = {account.name for account in found.accounts()}
    now[0] = EVERY + 1
    assert {account.name for account in found.accounts()} == before == {"aoai-ml", "foundry"}
    assert len(found.failures) == 1


def test_a_message_for_an_account_that_another_instance_found_is_processed(bench: Bench) -> None:
    open_world(bench)
    assert engine(bench).sync_job("foundry", OTHER_JOB).result is Result.SYNCED


def test_accounts_another_tenant_delegated_are_only_reported(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    customer = {"id": "5b1f6d1c-0000-4000-8000-0000000000cc", "name": "customer", "tenant_id": ID[15:51]}
    world = {
        "subscriptions": [customer | {"delegated": True}],
        "groups": ["rg-ml", {"name": "rg-theirs", "subscription": "customer"}],
        "accounts": [{"name": "theirs", "group": "rg-theirs", "jobs": [a_job()], "files": [a_file()]}],
        "assignments": [{"principal": "operator", "role": "Reader", "scope": "customer"}],
    }
    bench.load({"extends": "contoso", **world})
    found = engine(bench, f"subscription:{customer['id']}")
    asked, _ = bench.counted(lambda: [bench.tick(found), bench.tick(found)])
    assert {name: n for name, n in asked.items() if name.startswith("FineTuning_")} == {}
    assert caplog.text.count("account needs attention account=theirs reason=its subscription belongs to tenant") == 1
