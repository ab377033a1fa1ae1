"""Accounts by their addresses: AI Services accounts, projects, and several addresses of one account."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.core.credentials import AccessToken

from function_app.azure.accounts import SeveralAddresses, _Tokens
from function_app.azure.openai import Account
from function_app.errors import AccessError, AccountBusyError, NotThereError
from tests.function_app.conftest import FILE, JOB, OTHER_JOB, SETTLED, Bench, a_file, a_job, refuses

ACCOUNT = "https://aoai-ml.cognitiveservices.azure.com/"
PROJECT = "https://aoai-ml.services.ai.azure.com/api/projects/support"


def open_foundry(bench: Bench, *faults: object, **values: object) -> None:
    """An AI Services account with one job of the account and one of a project."""
    jobs = [a_job(), a_job(id=OTHER_JOB, project="support")]
    account = {"name": "aoai-ml", "group": "rg-ml", "kind": "AIServices", "projects": ["support"], "jobs": jobs}
    bench.world(accounts=[account | {"files": [a_file()]} | values], faults=[*faults])


@pytest.mark.parametrize(("endpoint", "job"), [(ACCOUNT, JOB), (PROJECT, OTHER_JOB)])
def test_the_addresses_of_an_account_and_of_a_project_are_mirrored(bench: Bench, endpoint: str, job: str) -> None:
    open_foundry(bench)
    [outcome] = bench.engine(azure_openai_endpoints=(endpoint,)).sync()
    assert (outcome.job, outcome.result, outcome.account) == (job, "synced", "aoai-ml")


def test_jobs_of_an_account_and_its_project_with_the_same_id_are_one_job(bench: Bench) -> None:
    open_foundry(bench)
    engine = bench.engine(azure_openai_endpoints=(ACCOUNT, PROJECT, "https://aoai-ml.openai.azure.com"))
    [account] = engine.accounts
    assert isinstance(account, SeveralAddresses)
    assert [job.id for job in account.jobs()] == [OTHER_JOB, JOB]
    assert {engine.sync_job("aoai-ml", job).result for job in (JOB, OTHER_JOB)} == {"synced"}
    assert account.file(FILE).id == FILE
    with account.content(FILE) as chunks:
        assert b"".join(chunks)
    with pytest.raises(NotThereError):
        account.job("ftjob-" + "9" * 32)
    assert {outcome.result for outcome in bench.tick(engine, after=SETTLED).values()} == {"current"}


@pytest.mark.parametrize(
    ("refusing", "listed", "hidden"), [("/openai/fine_tuning", OTHER_JOB, JOB), ("/api/projects/", JOB, OTHER_JOB)]
)
def test_an_address_that_refuses_does_not_stop_the_jobs_of_the_accounts_other_addresses(
    bench: Bench, refusing: str, listed: str, hidden: str
) -> None:
    open_foundry(bench)
    for operation in ("FineTuning_List", "FineTuning_Get"):
        bench.fault(operation, {"status": 403, "body": {"error": {"message": "no"}}}, path=refusing)
    queue, timer = (bench.engine(azure_openai_endpoints=(ACCOUNT, PROJECT)) for _ in range(2))
    assert [queue.sync_job("aoai-ml", job).result for job in (listed, hidden)] == ["synced", "failed"]
    outcomes = bench.tick(timer, after=SETTLED)
    assert {job: outcome.result for job, outcome in outcomes.items()} == {"": "failed", listed: "current"}


@pytest.mark.parametrize("listed", [True, False])
def test_if_the_address_of_a_job_is_busy_no_other_address_answers_for_it(bench: Bench, listed: bool) -> None:
    """It is UNVERIFIED that another one refuses: an empty listing would be taken for the job's log."""
    open_foundry(bench)
    for operation in ("FineTuning_GetEvents", "FineTuning_GetCheckpoints"):
        bench.fault(operation, {"status": 503, "headers": {"retry-after-ms": "1"}}, path="/openai/fine_tuning")
        bench.fault(operation, {"status": 200, "body": {"data": [], "has_more": False}}, path="/api/projects/")
    [account] = bench.engine(azure_openai_endpoints=(ACCOUNT, PROJECT)).accounts
    if listed:
        account.jobs()
    account.job(JOB)
    for read in (account.events, account.checkpoints):
        with pytest.raises(AccountBusyError):
            read(JOB)
    bench.cloud.world.faults.faults.clear()  # the project was not asked


def test_a_project_that_accepts_the_accounts_tokens_gets_them(bench: Bench) -> None:
    open_foundry(bench, project_audience="https://cognitiveservices.azure.com")
    assert list(bench.tick(bench.engine(azure_openai_endpoints=(PROJECT,)))) == [OTHER_JOB]


def test_a_token_that_is_refused_for_every_audience_is_reported(bench: Bench) -> None:
    open_foundry(bench, project_audience="https://elsewhere.example")
    [account] = bench.engine(azure_openai_endpoints=(PROJECT,)).accounts
    with pytest.raises(AccessError):
        account.jobs()


def test_threads_whose_tokens_are_rejected_at_the_same_time_change_the_audience_once() -> None:
    class Echo:
        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            return AccessToken(scopes[0], 0)

    tokens = _Tokens(Echo(), ["account", "project", "elsewhere"])
    with ThreadPoolExecutor(1) as other:
        assert (tokens(), other.submit(tokens).result()) == ("account", "account")
        assert tokens.switch()
        assert other.submit(tokens.switch).result()
    assert tokens() == "project"


def test_a_token_that_is_refused_once_is_not_given_up_for_the_life_of_the_process(bench: Bench) -> None:
    open_foundry(bench, {"op": "FineTuning_List", "when": {"times": 1}, "do": refuses(401, "401")})
    [account] = bench.engine(azure_openai_endpoints=(PROJECT,)).accounts
    with pytest.raises(AccessError):
        account.jobs()
    assert [job.id for job in account.jobs()] == [OTHER_JOB]


def test_variables_for_openais_own_client_change_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "somebody")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer theirs\nX-Team: theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    bench.world(a_job())
    [azure] = bench.engine().accounts
    [platform] = bench.engine(azure_openai_endpoints=(), openai_api_key="sk-sandbox").accounts
    assert isinstance(azure, Account)
    assert isinstance(platform, Account)
    with azure.asking("look") as client, azure.asking("write", max_retries=0) as copy:
        assert (client.organization, client.project) == (None, None)
        for each in (client, copy):
            assert "theirs" not in str([*each.default_headers.values()])
    assert os.environ["OPENAI_CUSTOM_HEADERS"]
    assert [job.id for job in azure.jobs()] == [JOB]
    with platform.asking("look") as client:
        assert client.base_url.host == "api.openai.com"
