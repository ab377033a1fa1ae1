"""The sandbox's requirements for a fine-tuning job, which `submit` has to meet."""

from typing import Any

import openai
import pytest

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

KEY = "an-api-key"
LINES = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n' * 10
GRADER: dict[str, Any] = {"type": "string_check", "name": "same", "operation": "eq", "input": "a", "reference": "b"}


@pytest.fixture
def client(cloud: Cloud) -> openai.OpenAI:
    """The v1 surface of an account, by its key."""
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": KEY}
    cloud.load(Scenario.parse({"extends": "contoso", "accounts": [account], "clock": {"rate": 0}}))
    return openai.OpenAI(base_url="https://aoai-ml.openai.azure.com/openai/v1/", api_key=KEY, max_retries=0)


def uploaded(client: openai.OpenAI, cloud: Cloud) -> str:
    file = client.files.create(file=("train.jsonl", LINES), purpose="fine-tune")
    cloud.clock.advance(60)
    return file.id


def test_a_file_has_to_be_processed_first(client: openai.OpenAI, cloud: Cloud) -> None:
    file = client.files.create(file=("train.jsonl", LINES), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match="pending and is not ready"):
        client.fine_tuning.jobs.create(model="gpt-4o", training_file=file.id)
    cloud.clock.advance(60)
    assert client.fine_tuning.jobs.create(model="gpt-4o", training_file=file.id).training_file == file.id


def test_reinforcement_takes_a_grader_and_a_validation_file(client: openai.OpenAI, cloud: Cloud) -> None:
    file = uploaded(client, cloud)
    whole: dict[str, Any] = {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
    for method, validation in (({"type": "reinforcement"}, file), (whole, openai.omit)):
        with pytest.raises(openai.BadRequestError, match="required"):
            client.fine_tuning.jobs.create(
                model="o4-mini",
                training_file=file,
                validation_file=validation,
                method=method,  # type: ignore[arg-type]
            )
    made = client.fine_tuning.jobs.create(model="o4-mini", training_file=file, validation_file=file, method=whole)  # type: ignore[arg-type] # a dict
    assert made.to_dict()["method"] == {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
