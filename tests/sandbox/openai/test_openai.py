"""The unmodified openai SDK, on production host names, sees fine-tuning jobs and files as Azure OpenAI shows them."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI

from sandbox.cloud import Cloud
from tests.conftest import Load

KEY = "not-a-real-key-of-aoai-ml"
JOB = "ftjob-00000000000000000000000000000002"
FILES = [{"id": "file-train", "created": "-9d", "count": 5}, {"id": "file-gone", "created": "-9d", "deleted": True}]
TIMELINE = {"queued": 60, "preprocessing": 60, "gpu_wait": 0, "steps": 100, "seconds_per_step": 6}
TRAINING = {"id": JOB, "model": "m", "training_file": "file-train", "created": "-5m", "timeline": TIMELINE}


@pytest.fixture
def client(load: Load) -> Iterator[AzureOpenAI]:
    """A client of an account with a job that trains and two files, one of them deleted."""
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": KEY, "files": FILES, "jobs": [TRAINING]}
    load({"extends": "contoso", "accounts": [account]})
    endpoint = "https://aoai-ml.openai.azure.com"
    with AzureOpenAI(azure_endpoint=endpoint, api_version="2024-10-21", max_retries=0, api_key=KEY) as client:
        yield client


def test_new_events_do_not_shift_a_reader_who_pages(cloud: Cloud, client: AzureOpenAI) -> None:
    first = client.fine_tuning.jobs.list_events(JOB, limit=2)
    cloud.clock.advance(300)
    second = client.fine_tuning.jobs.list_events(JOB, limit=2, after=first.data[-1].id)
    ids = [e.id for e in client.fine_tuning.jobs.list_events(JOB)]
    assert [e.id for e in [*first.data, *second.data]] == ids[ids.index(first.data[0].id) :][:4]


@pytest.mark.malformed
@pytest.mark.parametrize(
    "wrong",
    [
        {"training_file": "file-unknown", "model": "m"},
        {"training_file": "file-train", "model": ""},
        {"training_file": "file-train", "model": "m", "validation_file": "file-gone"},
        {"training_file": "file-train", "model": "m", "seed": "five"},
        {"training_file": "file-train", "model": "m", "method": {"type": "magic"}},
        {"training_file": "file-train", "model": "m", "hyperparameters": {"n_epochs": "lots"}},
        {"training_file": "file-train"},
    ],
)
def test_an_invalid_job_is_refused(client: AzureOpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(**({"model": openai.omit} | wrong))
    assert refused.value.code == "invalidPayload"


@pytest.mark.malformed
def test_files_have_no_second_page_so_reading_on_reads_the_same_again(client: AzureOpenAI) -> None:
    """The SDK asks for a further page after every list without has_more: `for file in files.list()` never ends."""
    first = client.files.list()
    assert first.has_next_page()
    assert [f.id for f in first.get_next_page().data] == [f.id for f in first.data]
