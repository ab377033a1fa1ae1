"""The unmodified openai SDK, on production host names, sees fine-tuning jobs and files as Azure OpenAI shows them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx2
import openai
import pytest
from azure.identity import AzureCliCredential, get_bearer_token_provider
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from openai import AzureOpenAI, OpenAI

from sandbox.cloud import Cloud

Load = Callable[[Mapping[str, Any]], Cloud]
ENDPOINT = "https://aoai-ml.openai.azure.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
KEY = "not-a-real-key-of-aoai-ml"
FILES: list[dict[str, Any]] = [
    {"id": "file-train", "filename": "tickets.jsonl", "created": "-9d", "count": 50},
    {"id": "file-valid", "filename": "tickets-validation.jsonl", "created": "-9d", "count": 5},
    {"id": "file-gone", "created": "-9d", "deleted": True},
    {"id": "file-bad", "created": "-9d", "status": "error", "status_details": "Validation of jsonl file failed."},
]
DONE: dict[str, Any] = {
    "id": "ftjob-00000000000000000000000000000001",
    "model": "gpt-4o-mini-2024-07-18",
    "suffix": "tickets",
    "training_file": "file-train",
    "validation_file": "file-valid",
    "created": "-2d",
    "hyperparameters": {"n_epochs": 4, "batch_size": 1, "learning_rate_multiplier": 1},
    "integrations": [{"type": "wandb", "wandb": {"project": "tickets"}}],
    "training_type": "globalStandard",
}
TRAINING: dict[str, Any] = DONE | {
    "id": "ftjob-00000000000000000000000000000002",
    "created": "-5m",
    "timeline": {"queued": 60, "preprocessing": 60, "gpu_wait": 0, "steps": 100, "seconds_per_step": 6},
    "suffix": None,
}
NEVER: dict[str, Any] = {
    "id": "ftjob-none",
    "model": "m",
    "training_file": "file-gone",
    "created": "-1d",
    "outcome": "pending",
}


@pytest.fixture
def account(load: Load) -> Callable[..., Cloud]:
    """A world with this account on aoai-ml's host; by default with two jobs, four files and a key."""

    def account(**fields: Any) -> Cloud:
        own = {"name": "aoai-ml", "group": "rg-ml", "api_key": KEY, "files": FILES, "jobs": [DONE, TRAINING, NEVER]}
        return load({"extends": "contoso", "accounts": [own | fields]})

    return account


_clients = ExitStack()


@pytest.fixture(autouse=True)
def _closed_clients() -> Iterator[None]:
    with _clients:
        yield


def azure(version: str = "2024-10-21", **fields: Any) -> AzureOpenAI:
    client = AzureOpenAI(azure_endpoint=ENDPOINT, api_version=version, max_retries=0, **({"api_key": KEY} | fields))
    return _clients.enter_context(client)


def plain(base_url: str = f"{ENDPOINT}/openai/v1/", key: str = KEY) -> OpenAI:
    """The client without Azure in its name, as people use it for the v1 surface."""
    return _clients.enter_context(OpenAI(base_url=base_url, api_key=key, max_retries=0))


def body_of(error: openai.APIStatusError) -> Any:
    return error.response.json()


# -- who may


def test_an_owner_without_a_data_role_is_refused_with_401(account: Callable[..., Cloud]) -> None:
    cloud = account()
    client = azure(api_key=None, azure_ad_token_provider=get_bearer_token_provider(AzureCliCredential(), SCOPE))
    with pytest.raises(openai.AuthenticationError) as refused:
        client.fine_tuning.jobs.list()
    operator = cloud.world.tenant.named("operator").object_id
    assert refused.value.code == "PermissionDenied"
    assert body_of(refused.value) == {
        "error": {
            "code": "PermissionDenied",
            "message": f"The principal `{operator}` lacks the required data action "
            "`Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read` "
            "to perform `GET /openai/fine_tuning/jobs` operation.",
        }
    }


def test_a_bad_token_or_none_is_refused_without_an_envelope(account: Callable[..., Cloud]) -> None:
    account()
    with pytest.raises(openai.AuthenticationError) as refused:
        azure(api_key=None, azure_ad_token="nonsense").fine_tuning.jobs.list()
    assert refused.value.code is None
    without = httpx2.get(f"{ENDPOINT}/openai/fine_tuning/jobs?api-version=2024-10-21")
    assert without.status_code == 401
    assert set(without.json()) == set(body_of(refused.value)) == {"statusCode", "message"}


def test_a_token_needs_a_custom_subdomain(account: Callable[..., Cloud]) -> None:
    account(custom_subdomain=False)
    token = AzureCliCredential().get_token(SCOPE).token
    with pytest.raises(openai.BadRequestError, match="Please provide a custom subdomain"):
        azure(api_key=None, azure_ad_token=token).fine_tuning.jobs.list()
    assert azure().fine_tuning.jobs.list().data


@pytest.mark.parametrize(
    ("rules", "says", "shown"),
    [
        ({"firewall": True}, "Virtual Network/Firewall rules", ("Enabled", "Deny")),
        ({"public_network": False}, "configure private endpoint", ("Disabled", None)),
    ],
)
def test_network_rules_refuse_keys_and_tokens_alike(
    account: Callable[..., Cloud], rules: dict[str, Any], says: str, shown: tuple[str, str | None]
) -> None:
    cloud = account(**rules)
    token = AzureCliCredential().get_token(SCOPE).token
    for client in (azure(), azure(api_key=None, azure_ad_token=token)):
        with pytest.raises(openai.PermissionDeniedError, match=says) as refused:
            client.fine_tuning.jobs.list()
        assert refused.value.code == "403"
    control_plane = CognitiveServicesManagementClient(AzureCliCredential(), cloud.world.tenant.subscription_id)
    properties = control_plane.accounts.get("rg-ml", "aoai-ml").properties
    assert properties is not None
    acls = properties.network_acls
    assert (properties.public_network_access, acls and acls.default_action) == shown


def test_keys_work_unless_wrong_or_switched_off(account: Callable[..., Cloud]) -> None:
    account()
    with pytest.raises(openai.AuthenticationError, match="invalid subscription key"):
        azure(api_key="another").fine_tuning.jobs.list()
    account(local_auth=False)
    for client in (azure(), plain()):
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.fine_tuning.jobs.list()
        assert refused.value.code == "AuthenticationTypeDisabled"


# -- jobs


def test_jobs_come_newest_first_in_pages_of_twenty(account: Callable[..., Cloud]) -> None:
    account(jobs=[DONE | {"id": f"ftjob-{i:032x}", "created": f"-{50 - i}h"} for i in range(45)])
    client = azure()
    page = client.fine_tuning.jobs.list()
    assert (len(page.data), page.has_more) == (20, True)
    assert [job.id for job in client.fine_tuning.jobs.list(limit=7)] == [f"ftjob-{i:032x}" for i in range(44, -1, -1)]


def test_a_jobs_body_has_the_fields_of_the_version_asked_for(account: Callable[..., Cloud]) -> None:
    account()

    def fields(client: OpenAI) -> set[str]:
        return set(client.fine_tuning.jobs.retrieve(DONE["id"]).to_dict())

    stable, preview, newest = fields(azure()), fields(azure("2025-04-01-preview")), fields(plain())
    assert not {"method", "integrations", "trainingType"} & stable
    assert preview - stable == {"method", "integrations"}
    assert newest - preview == {"trainingType"}


def test_new_events_do_not_shift_a_reader_who_pages(account: Callable[..., Cloud]) -> None:
    cloud, client = account(), azure()
    first = client.fine_tuning.jobs.list_events(TRAINING["id"], limit=2)
    cloud.clock.advance(300)
    second = client.fine_tuning.jobs.list_events(TRAINING["id"], limit=2, after=first.data[-1].id)
    again = list(client.fine_tuning.jobs.list_events(TRAINING["id"]))
    ids = [e.id for e in again]
    assert [e.id for e in [*first.data, *second.data]] == ids[ids.index(first.data[0].id) :][:4]


def test_missing_objects_are_404_in_the_services_format(account: Callable[..., Cloud]) -> None:
    account(jobs=[DONE | {"results": {"purged": True}}])
    client = azure()
    results = client.fine_tuning.jobs.retrieve(DONE["id"]).result_files[0]
    for read in (
        lambda: client.fine_tuning.jobs.retrieve("ftjob-unknown"),
        lambda: client.fine_tuning.jobs.list_events("ftjob-unknown"),
        lambda: client.fine_tuning.jobs.list_events(DONE["id"], after="ftevent-unknown"),
        lambda: client.fine_tuning.jobs.list(after="ftjob-unknown"),
        lambda: client.files.retrieve("file-gone"),
        lambda: client.files.content(results),
    ):
        with pytest.raises(openai.NotFoundError) as missing:
            read()
        assert body_of(missing.value) == {
            "error": {"code": "notFound", "message": "The specified entity cannot be found."}
        }


# -- writing


@pytest.mark.malformed
@pytest.mark.parametrize(
    "wrong",
    [
        {"training_file": "file-unknown", "model": "m"},
        {"training_file": "file-train", "model": ""},
        {"training_file": "file-train", "model": "m", "validation_file": "file-gone"},
        {"training_file": "file-train", "model": "m", "seed": "five"},
        {"training_file": "file-train", "model": "m", "method": {"type": "magic"}},
        {"training_file": "file-train", "model": "m", "method": "dpo"},
        {"training_file": "file-train", "model": "m", "hyperparameters": {"n_epochs": "lots"}},
        {"training_file": "file-train", "model": "m", "hyperparameters": 3},
        {"training_file": ["file-train"], "model": "m"},
        {"training_file": "file-train"},
        {},
    ],
)
def test_an_invalid_job_is_refused(account: Callable[..., Cloud], wrong: dict[str, Any]) -> None:
    account()
    with pytest.raises(openai.BadRequestError) as refused:
        azure().fine_tuning.jobs.create(**({"model": openai.omit, "training_file": openai.omit} | wrong))
    assert refused.value.code == "invalidPayload"


# -- files


def test_files_come_in_one_list_without_pages(account: Callable[..., Cloud]) -> None:
    account()
    listed = azure().files.with_raw_response.list().http_response.json()
    assert set(listed) == {"data", "object"}
    by_id = {f["id"]: f for f in listed["data"]}
    assert {f["purpose"] for f in by_id.values()} == {"fine-tune", "fine-tune-results"}
    assert "file-gone" not in by_id
    assert by_id["file-bad"]["status_details"] == "Validation of jsonl file failed."
    assert len(azure().files.list(purpose="fine-tune-results").data) == 2


@pytest.mark.malformed
def test_files_have_no_second_page_so_reading_on_reads_the_same_again(account: Callable[..., Cloud]) -> None:
    """The SDK asks for a further page after every list without has_more: `for file in files.list()` never ends."""
    account()
    first = azure().files.list()
    assert first.has_next_page()
    assert [f.id for f in first.get_next_page().data] == [f.id for f in first.data]


# -- the rest
