"""The unmodified openai SDK, on production host names, sees fine-tuning jobs and files as Azure OpenAI shows them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from openai import AzureOpenAI

from sandbox.cloud import Cloud
from tests.conftest import Load

ENDPOINT = "https://aoai-ml.openai.azure.com"
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


# -- jobs


def test_new_events_do_not_shift_a_reader_who_pages(account: Callable[..., Cloud]) -> None:
    cloud, client = account(), azure()
    first = client.fine_tuning.jobs.list_events(TRAINING["id"], limit=2)
    cloud.clock.advance(300)
    second = client.fine_tuning.jobs.list_events(TRAINING["id"], limit=2, after=first.data[-1].id)
    again = list(client.fine_tuning.jobs.list_events(TRAINING["id"]))
    ids = [e.id for e in again]
    assert [e.id for e in [*first.data, *second.data]] == ids[ids.index(first.data[0].id) :][:4]


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


@pytest.mark.malformed
def test_files_have_no_second_page_so_reading_on_reads_the_same_again(account: Callable[..., Cloud]) -> None:
    """The SDK asks for a further page after every list without has_more: `for file in files.list()` never ends."""
    account()
    first = azure().files.list()
    assert first.has_next_page()
    assert [f.id for f in first.get_next_page().data] == [f.id for f in first.data]
