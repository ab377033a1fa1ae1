"""The client for jobs and files reads every known form of answer, and explains every refusal."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import openai
import pytest
from azure.core.exceptions import ServiceRequestError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from function_app.azure.accounts import azure_account
from function_app.azure.jobs import KNOWN as OF_A_JOB
from function_app.azure.jobs import checkpoint_from, event_from, job_from
from function_app.azure.openai import Account
from function_app.data.addresses import Endpoint
from function_app.data.jobs.description import config_of, summary_of
from function_app.data.jobs.job_log import JobLog
from function_app.data.jobs.results import rows_from_events
from function_app.engine.planner import Action, decide
from function_app.errors import AccessError, AccountBusyError, AccountError, NotThereError
from function_app.models import Event, JobError
from tests.function_app.conftest import (
    CLOSED_ENDPOINT,
    ENDPOINT,
    FILE,
    JOB,
    UNKNOWN_VERSION,
    Bench,
    a_job,
    refuses,
)

SEEN = {  # the fields of a real job of Azure's stable api-version: what has no value is absent
    "id": "ftjob-70ee3e37776e4428b20685fcd0728abb",
    "created_at": 1747468736,
    "hyperparameters": {"batch_size": 4, "learning_rate_multiplier": 2.0, "n_epochs": 3},
    "model": "gpt-4.1-2025-04-14",
    "status": "pending",
    "training_file": "file-2290bb28ee454f0898f4684878eeef0a",
}


def by_method(kind: str, hyperparameters: Any) -> dict[str, Any]:
    """A job's method, which has hyperparameters, too."""
    return {"method": {"type": kind, kind.lower(): {"hyperparameters": hyperparameters}}}


def account(bench: Bench, **values: Any) -> Account:
    [found] = bench.engine(**values).accounts
    assert isinstance(found, Account)
    return found


def test_hyperparameters_and_options_are_read_from_the_jobs_method() -> None:
    options = {"hyperparameters": {"n_epochs": 2}, "grader": {"type": "multi"}}
    method = {"type": "reinforcement", "reinforcement": options}
    job = job_from("a", SEEN | {"method": method, "hyperparameters": None})
    assert (job.method, job.hyperparameters) == ("reinforcement", {"n_epochs": 2})
    assert job.method_options == {"grader": {"type": "multi"}}


def test_values_are_found_under_both_of_their_names_and_unknown_ones_are_kept() -> None:
    job = job_from("a", SEEN | {"user_provided_suffix": "s", "trainingType": "developerTier", "eval_id": "e"})
    assert (job.suffix, job.training_type, job.extras) == ("s", "developerTier", {"eval_id": "e"})


@given(st.sampled_from(["paused", "pausing", "resuming", "queued", "validating_files", "notRunning"]) | st.text())
def test_only_three_statuses_are_terminal(status: str) -> None:
    ended = {"succeeded", "failed", "cancelled", "canceled"}
    assert job_from("a", SEEN | {"status": status}).terminal == (status.strip().lower() in ended)


NUMBERS = st.integers() | st.just(10**400) | st.floats()
TEXTS = st.text() | st.just("x" * 100_000)
NESTED = st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
ODD = st.none() | st.booleans() | NUMBERS | TEXTS | NESTED | st.just(json.loads("[" * 200 + "]" * 200))
"""Values that no field should have."""
FIELDS = st.sampled_from(sorted(OF_A_JOB))


@given(st.dictionaries(FIELDS, ODD))
def test_a_job_is_read_with_any_values_in_its_fields(odd: dict[str, Any]) -> None:
    job = job_from("a", SEEN | odd | {"id": SEEN["id"]})
    assert job.id == SEEN["id"]
    assert {name.partition(".")[0] for name in job.malformed} <= set(odd)
    json.dumps([config_of(job), summary_of(job, JobLog(), 0), job.extras], allow_nan=False)
    assert isinstance(decide(job, None).action, Action)


@given(ODD, ODD, ODD)
def test_events_and_checkpoints_are_read_with_any_values_in_their_fields(whole: Any, time: Any, data: Any) -> None:
    event = event_from({"created_at": time, "data": data, "message": whole, "type": "metrics"})
    assert list(rows_from_events([event, event_from(whole)])) is not None
    checkpoint = checkpoint_from({"fine_tuned_model_checkpoint": "m", "metrics": data, "step_number": time})
    assert checkpoint
    assert checkpoint_from(whole) is None or isinstance(whole, dict)


@pytest.mark.parametrize("unusable", [None, "", 5, "../x", "a/b", "x" * 200, {"a": 1}, "ftjob\n1"])
def test_only_a_job_without_a_usable_id_is_refused(unusable: object) -> None:
    with pytest.raises(ValueError, match="usable id"):
        job_from("a", SEEN | {"id": unusable})


def test_an_integration_that_is_not_an_object_is_named_and_the_others_count() -> None:
    job = job_from("a", SEEN | {"integrations": ["wandb", {"type": "wandb"}]})
    assert (job.malformed, job.integrations) == (("integrations",), ({"type": "wandb"},))


def test_unusable_fields_are_named() -> None:
    job = job_from("a", SEEN | {"created_at": "soon", "error": ["boom"], "method": {"type": ["x"]}, "seed": 1.5})
    assert sorted(job.malformed) == ["created_at", "error", "method.type", "seed"]


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        ({"error": "boom"}, {"error": JobError("", "boom")}),
        ({"error": {"code": 400, "message": "no"}}, {"error": JobError("400", "no")}),
        ({"error": {"code": "500", "message": None}}, {"error": JobError("500", "")}),
        ({"error": {}}, {"error": None}),
        ({"error": {"code": 400.0, "message": "no"}}, {"error": JobError("400", "no")}),
        ({"error": {"error": {"code": "a", "message": "no"}}}, {"error": JobError("a", "no")}),
        ({"error": {"code": "a", "error": "no"}}, {"error": JobError("a", "no")}),
        ({"status": "Succeeded"}, {"status": "succeeded"}),
        ({"status": "Canceled "}, {"status": "cancelled"}),
        ({"created_at": "1790988348"}, {"created_at": 1790988348}),
        ({"finished_at": "2026-10-03T01:20:00.2520000Z"}, {"finished_at": 1790990400}),
        ({"method": "dpo"}, {"method": "dpo"}),
        (
            by_method("Supervised", {"n_epochs": -1}) | {"hyperparameters": None},
            {"method": "supervised", "hyperparameters": {"n_epochs": -1}},
        ),
        (
            by_method("dpo", {"n_epochs": "auto", "beta": 0.1}) | {"hyperparameters": {"n_epochs": 3, "beta": 0.2}},
            {"hyperparameters": {"n_epochs": 3, "beta": 0.1}},
        ),
        ({"result_files": "file-r"}, {"result_files": ("file-r",)}),
        ({"result_files": [{"id": "file-r", "object": "file"}]}, {"result_files": ("file-r",)}),
        ({"result_files": [None, "file-r", 3]}, {"result_files": ("file-r",)}),
        ({"trained_tokens": "6720", "seed": "-1"}, {"trained_tokens": 6720, "seed": -1}),
        ({"method": None, "hyperparameters": None}, {"method": None, "hyperparameters": {}}),
    ],
)
def test_values_in_another_form_than_usual_are_read(shown: dict[str, Any], read: dict[str, Any]) -> None:
    job = job_from("a", SEEN | shown)
    assert {name: getattr(job, name) for name in read} == read
    assert job.malformed == ()


def test_a_checkpoints_step_may_be_text() -> None:
    shown = {"fine_tuned_model_checkpoint": "m", "step_number": "20", "metrics": {"valid_loss": "0.4"}}
    checkpoint = checkpoint_from(shown)
    assert checkpoint
    assert (checkpoint.step, checkpoint.metrics) == (20, {"valid_loss": 0.4})


def test_events_are_only_read_back_to_the_last_known_one(bench: Bench) -> None:
    bench.world(a_job(timeline={"steps": 3000}))
    whole = account(bench).events(JOB)
    assert whole == sorted(whole, key=lambda event: event.created_at)
    assert max(event.data.get("step", 0) for event in whole) == 3000
    tail: list[Event] = []
    asked, _ = bench.counted(lambda: tail.extend(account(bench).events(JOB, known_step=2900)))
    assert asked == {"FineTuning_GetEvents": 1}
    assert {event.data["step"] for event in tail if event.data} >= set(range(2900, 3001, 10))


@pytest.mark.parametrize(("status", "code"), [(400, "invalidPayload"), (404, "notFound"), (404, "404")])
def test_if_further_pages_of_events_are_refused_the_first_page_is_used(bench: Bench, status: int, code: str) -> None:
    """Azure has refused an `after` that it gave out itself (openai-python issue 938)."""
    refused = {"op": "FineTuning_GetEvents", "when": {"nth": [2]}, "do": refuses(status, code)}
    bench.world(a_job(timeline={"steps": 3000}), faults=[refused])
    assert 0 < len(account(bench).events(JOB)) <= 100


def versions(bench: Bench) -> list[tuple[str, str, int]]:
    """Operation, version of the API ("v1" for that surface) and status of every question to the account, in order."""
    asked = []
    for exchange in bench.cloud.world.trace.exchanges:
        request = exchange.as_json()["request"]
        where = urlsplit(request["url"])
        if where.hostname == "aoai-ml.openai.azure.com":
            version = "v1" if "/openai/v1/" in where.path else parse_qs(where.query).get("api-version", [""])[0]
            asked.append((exchange.operation, version, exchange.status))
    return asked


def a_rich_job() -> dict[str, Any]:
    """A job with everything that a version of the API may not show."""
    wandb = [{"type": "wandb", "wandb": {"project": "theirs"}}]
    shown = {"hyperparameters": {"n_epochs": 2}, "training_type": "GlobalStandard", "metadata": {"team": "search"}}
    return a_job(method="dpo", integrations=wandb, **shown)


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("2024-10-21", (None, False, None, {})),
        ("2025-04-01-preview", ("dpo", True, None, {})),
        ("v1", ("dpo", True, "GlobalStandard", {"team": "search"})),
        ("auto", ("dpo", True, None, {})),
    ],
)
def test_each_version_of_the_api_shows_the_fields_that_it_has(bench: Bench, version: str, shown: object) -> None:
    bench.world(a_rich_job())
    asked = account(bench, azure_openai_api_version=version)
    [listed] = asked.jobs()
    assert asked.job(JOB) == listed
    assert (listed.method, bool(listed.integrations), listed.training_type, listed.metadata) == shown
    assert listed.hyperparameters["n_epochs"] == 2
    assert listed.region == "swedencentral"


@pytest.mark.parametrize("version", ["2024-10-21", "2025-04-01-preview", "v1"])
def test_a_configured_api_version_is_used_for_every_request(bench: Bench, version: str) -> None:
    bench.world(a_job())
    asked = account(bench, azure_openai_api_version=version)
    asked.jobs()
    asked.events(JOB)
    asked.checkpoints(JOB)
    asked.file(FILE)
    with asked.content(FILE) as chunks:
        assert b"".join(chunks)
    assert {each for _, each, _ in versions(bench)} == {version}


REFUSED_VERSIONS: list[dict[str, Any]] = [
    UNKNOWN_VERSION,
    {"status": 404, "body": {"statusCode": 404, "message": "Resource not found"}},
    refuses(400, "BadRequest", "API version not supported"),
]


@pytest.mark.parametrize("do", REFUSED_VERSIONS)
def test_an_account_without_the_newest_api_version_is_used_through_an_older(bench: Bench, do: dict[str, Any]) -> None:
    bench.world(a_rich_job(), faults=[{"op": "FineTuning_List", "when": {"times": 1}, "do": do}])
    asked = account(bench)
    assert [job.method for job in asked.jobs()] == [None]
    asked.events(JOB)
    asked.jobs()
    first, *others = [(operation, version) for operation, version, _ in versions(bench)]
    assert first == ("FineTuning_List", "2025-04-01-preview")
    operations = ("FineTuning_List", "FineTuning_GetEvents", "FineTuning_List")
    assert others == [(operation, "2024-10-21") for operation in operations]


def test_a_newer_api_version_that_was_refused_is_used_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one hides that a job logs to W&B by itself, so that it would be logged twice until the process ends."""
    monkeypatch.setattr("function_app.azure.openai.OLDER_FOR", -1.0)
    bench.world(a_rich_job(), faults=[{"op": "FineTuning_List", "when": {"times": 1}, "do": UNKNOWN_VERSION}])
    asked = account(bench)
    assert [bool(job.integrations) for job in asked.jobs()] == [False]
    used = asked._client
    assert asked._ask(lambda client: (client is used, asked._client is used)) == (False, True), "others use the old one"
    assert [bool(job.integrations) for job in asked.jobs()] == [True]


@pytest.mark.parametrize("do", REFUSED_VERSIONS)
def test_an_older_api_version_does_not_replace_one_that_worked_a_moment_ago(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, do: dict[str, Any]
) -> None:
    """Otherwise a failure of a gateway would have jobs mirrored that log to W&B by themselves."""
    bench.world(a_rich_job())
    asked = account(bench)
    asked.jobs()
    bench.fault("FineTuning_List", do, nth=[2, 4])
    bench.fault("FineTuning_Get", do, nth=[1])
    for read in (asked.jobs, lambda: asked.job(JOB)):
        with pytest.raises(AccountBusyError, match="refuses the API version that it accepted"):
            read()
    monkeypatch.setattr("function_app.azure.openai.OLDER_FOR", -1.0)
    assert [job.method for job in asked.jobs()] == [None], "later the version counts as withdrawn"
    assert [bool(job.integrations) for job in asked.jobs()] == [True]


def test_a_missing_resource_is_not_mistaken_for_an_unknown_api_version(bench: Bench) -> None:
    bench.world(a_job())
    asked = account(bench)
    with pytest.raises(NotThereError):
        asked.job("ftjob-gone")
    with pytest.raises(NotThereError), asked.content("file-gone"):
        pass
    asked.jobs()
    assert {version for _, version, _ in versions(bench)} == {"2025-04-01-preview"}
    assert len(versions(bench)) == 3


REFUSALS: list[tuple[dict[str, Any], type[AccountError], str]] = [
    (refuses(401, "PermissionDenied", "lacks"), AccessError, "lacks the role"),
    ({"status": 401, "body": {"statusCode": 401, "message": "Unauthorized."}}, AccessError, "does not accept"),
    (
        refuses(403, "403", "Denied due to Virtual Network/Firewall rules."),
        AccessError,
        "does not let this network .*request unknown.*: Denied due to Virtual Network",
    ),
    (refuses(403, "403", "Public access is disabled. …"), AccessError, "does not let this network .*is disabled"),
    (refuses(403, "AuthenticationTypeDisabled", "Key based …"), AccessError, "does not take API keys .*Key based"),
    # Foundry answers 403 to a missing role. Digits and words in a message must not decide.
    ({"status": 403, "body": {"error": {"message": "no, 401"}}}, AccessError, "does not let this client .*no, 401"),
    (UNKNOWN_VERSION, NotThereError, "found nothing"),
    (refuses(400, "BadRequest", "Please provide a custom subdomain for …"), AccessError, "no custom subdomain"),
    (refuses(400, "invalidPayload"), AccountError, "HTTP 400"),
    (
        refuses(400, "a\n2026 ERROR b\x1b[2J" + "c" * 999, "x\ny"),
        AccountError,
        r"HTTP 400 a 2026 ERROR b \[2Jc{1,200}, request .*\): x y$",
    ),
    ({"status": 429, "headers": {"retry-after-ms": "1"}}, AccountBusyError, "HTTP 429"),
    ({"status": 500, "headers": {"retry-after-ms": "1"}}, AccountBusyError, "HTTP 500"),
    ({"reset": True}, AccountBusyError, "Cannot reach"),
    ({"status": 200, "body": {"data": [{"object": "fine_tuning.job"}]}}, AccountBusyError, "without a valid id"),
    ({"malformed_json": True}, AccountBusyError, "unexpected answer"),
    ({"status": 307, "headers": {"location": CLOSED_ENDPOINT}}, AccountError, "redirects the request"),
]


@pytest.mark.parametrize(("do", "kind", "words"), REFUSALS)
def test_every_refusal_is_explained(bench: Bench, do: dict[str, Any], kind: type[AccountError], words: str) -> None:
    bench.world(a_job(), faults=[{"op": "FineTuning_List", "do": do}])
    with pytest.raises(AccountError, match=words) as caught:
        account(bench).jobs()
    assert type(caught.value) is kind
    assert caught.value.retry == (kind is AccountBusyError)


def test_a_redirect_is_not_followed_so_that_the_key_stays_with_its_host(bench: Bench) -> None:
    moved = {"status": 307, "headers": {"location": CLOSED_ENDPOINT}}
    held = {"name": "aoai-ml", "group": "rg-ml", "api_key": "k" * 32}
    closed = {"name": "aoai-closed", "group": "rg-ml"}
    bench.world(accounts=[held, closed], faults=[{"op": "FineTuning_List", "do": moved}])
    with pytest.raises(AccountError):
        account(bench, azure_openai_api_key=SecretStr("k" * 32)).jobs()
    asked = [str(exchange.request["url"]) for exchange in bench.cloud.world.trace.exchanges]
    assert not [url for url in asked if url.startswith(CLOSED_ENDPOINT)]


def test_a_key_that_cannot_be_sent_is_not_quoted(bench: Bench) -> None:
    bench.world()
    with openai.OpenAI(api_key="canary\n", base_url=ENDPOINT) as client, pytest.raises(AccountBusyError) as caught:
        Account("aoai-ml", lambda _: client).jobs()
    assert "a header is not valid" in caught.value.message
    assert "canary" not in caught.value.message


def test_a_sign_in_that_fails_without_a_word_is_that_accounts_failure(bench: Bench) -> None:
    class Silent:
        def get_token(self, *_: str, **__: Any) -> Any:
            raise ServiceRequestError("")

    trust = httpx2.create_ssl_context()
    with pytest.raises(AccessError, match="No token for aoai-ml: ServiceRequestError"):
        azure_account(Endpoint("aoai-ml.openai.azure.com"), ("v1",), Silent(), trust).jobs()


def test_an_interrupted_download_is_a_temporary_error_and_not_a_shorter_file(bench: Bench) -> None:
    bench.world(a_job(), faults=[{"op": "Files_GetContent", "do": {"cut_body": 500}}])
    with pytest.raises(AccountBusyError, match="closed the connection"), account(bench).content(FILE) as chunks:
        list(chunks)


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("FineTuning_List", lambda door: door.jobs()),
        ("FineTuning_GetEvents", lambda door: door.events(JOB)),
        ("FineTuning_GetCheckpoints", lambda door: door.checkpoints(JOB)),
    ],
)
def test_a_listing_that_repeats_itself_ends_with_an_error(bench: Bench, operation: str, ask: Any) -> None:
    """A gateway that drops `after` serves the first page for every page."""
    page = {"object": "list", "has_more": True, "data": [SEEN | {"id": "ftjob-1"}]}
    bench.world(a_job(), faults=[{"op": operation, "do": {"status": 200, "body": page}}])
    with pytest.raises(AccountBusyError, match="again and again"):
        ask(account(bench))


def test_a_listing_asks_for_no_further_page_after_its_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.world(a_job(timeline={"steps": 2000}, events={"every": 1}))
    assert len(account(bench).events(JOB)) > 100
    monkeypatch.setattr("function_app.azure.openai.LISTING_WITHIN", 0.0)
    with pytest.raises(AccountBusyError, match="took more than"):
        account(bench).events(JOB)


def test_a_number_that_python_does_not_read_is_that_jobs_odd_value() -> None:
    jobs = b'{"data": [{"id": "ftjob-1", "seed": %s}, {"id": "ftjob-2", "seed": 7}], "has_more": false}' % (b"9" * 5000)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=jobs))
    client = openai.OpenAI(api_key="k", base_url=ENDPOINT, http_client=httpx2.Client(transport=transport))
    found = Account("aoai-ml", lambda _: client).jobs()
    assert {job.id: (job.seed, job.malformed) for job in found} == {"ftjob-1": (None, ("seed",)), "ftjob-2": (7, ())}


def test_an_odd_job_is_mirrored_without_the_odd_value_and_the_others_are_too(bench: Bench) -> None:
    odd = SEEN | {"id": JOB, "status": "succeeded", "finished_at": "yesterday", "metadata": ["a"], "error": 5}
    page = {"object": "list", "has_more": False, "data": [None, {"id": None}, odd, SEEN | {"id": "ftjob-2"}]}
    bench.world(faults=[{"op": "FineTuning_List", "do": {"status": 200, "body": page}}])
    jobs = account(bench).jobs()
    assert sorted(job.id for job in jobs) == [JOB, "ftjob-2"]
    assert {job.id: job.malformed for job in jobs}[JOB] == ("finished_at", "error", "metadata")


def test_all_pages_of_jobs_come_newest_first(bench: Bench) -> None:
    bench.world(*(a_job(id=f"ftjob-{n:032x}", created=f"-{n + 1}h") for n in range(130)))
    assert [job.id for job in account(bench).jobs()] == [f"ftjob-{n:032x}" for n in range(130)]


@pytest.mark.parametrize("refused", [[], [{"op": "Files_List", "do": {"status": 403}}]])
def test_the_properties_of_many_files_are_read_in_one_request_if_possible(bench: Bench, refused: list[Any]) -> None:
    ids = [f"file-{number:032x}" for number in range(8)]
    bench.world(files=[{"id": each, "filename": f"{each}.jsonl", "count": 2} for each in ids], faults=refused)
    reader = account(bench)
    assert [reader.file(each).name for each in ids] == [f"{each}.jsonl" for each in ids]
    counts = bench.cloud.counts
    assert (counts["Files_List"], counts["Files_Get"]) == ((1, 8) if refused else (1, 4))
    with pytest.raises(NotThereError):
        reader.file("file-" + "f" * 32)
