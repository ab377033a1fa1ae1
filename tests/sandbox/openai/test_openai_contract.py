"""The sandbox's answers conform to the official descriptions and to recordings of the real service."""

import json
from typing import Any

import pytest
from openai import AzureOpenAI, NotFoundError

from sandbox.cloud import Cloud
from tests.conftest import Load
from tests.contracts import PRESENT, RECORDINGS, WHY_ABSENT

KEY = "not-a-real-key-of-aoai-ml"
JOB: dict[str, Any] = {
    "model": "gpt-4o-mini-2024-07-18",
    "training_file": "file-train",
    "validation_file": "file-valid",
    "suffix": "tickets",
    "created": "-20m",
    "hyperparameters": {"n_epochs": 5, "batch_size": 1, "learning_rate_multiplier": 0.5},
    "integrations": [{"type": "wandb", "wandb": {"project": "tickets"}}],
    "training_type": "globalStandard",
    "metadata": {"team": "support"},
}
ERROR = {"code": "jsonlValidationFailed", "message": "Line 3 is not JSON.", "param": "training_file"}
JOBS = [
    JOB | {"id": "ftjob-1"},
    JOB | {"id": "ftjob-2", "created": "-2h"},
    JOB
    | {"id": "ftjob-3", "created": "-3h", "outcome": {"status": "failed", "during": "preprocessing", "error": ERROR}},
    JOB | {"id": "ftjob-4", "created": "-4h", "outcome": {"status": "cancelled", "at_step": 12}},
    JOB | {"id": "ftjob-5", "created": "-5h", "method": "dpo", "timeline": {"steps": 1500, "seconds_per_step": 1}},
    JOB | {"id": "ftjob-6", "created": "-6h", "outcome": "pending"},
]


@pytest.fixture
def cloud_with_jobs(load: Load) -> Cloud:
    files = [{"id": "file-train", "count": 10}, {"id": "file-valid", "count": 2}]
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": KEY, "jobs": JOBS, "files": files}
    return load({"extends": "contoso", "accounts": [account]})


def azure(version: str) -> AzureOpenAI:
    return AzureOpenAI(
        azure_endpoint="https://aoai-ml.openai.azure.com", api_key=KEY, api_version=version, max_retries=0
    )


@pytest.mark.contract
@pytest.mark.skipif(not PRESENT, reason=WHY_ABSENT)
@pytest.mark.parametrize("version", ["2024-06-01", "2024-10-21", "2025-04-01-preview"])
def test_every_operation_of_a_version_conforms_to_its_description(cloud_with_jobs: Cloud, version: str) -> None:
    """Every operation, with and without success. The exchanges of each test are checked (tests/contracts/traffic.py)."""
    with azure(version) as client:
        use_everything(cloud_with_jobs, client, preview=version.endswith("-preview"))


def use_everything(cloud: Cloud, client: AzureOpenAI, *, preview: bool) -> None:
    tuning = client.fine_tuning.jobs
    for _ in range(4):
        for job in tuning.list(limit=4):
            tuning.retrieve(job.id)
            list(tuning.list_events(job.id, limit=100))
            list(tuning.checkpoints.list(job.id))
        for file in client.files.list().data:
            client.files.retrieve(file.id)
            _ = client.files.content(file.id).content
        cloud.clock.advance(200)
    made = tuning.create(model="gpt-4o-mini-2024-07-18", training_file="file-train", seed=3, suffix="new")
    cloud.clock.advance(300)
    if preview:
        tuning.pause(made.id)
        cloud.clock.advance(60)
        tuning.resume(made.id)
        cloud.clock.advance(60)
    tuning.cancel(made.id)
    client.delete(f"/fine_tuning/jobs/{made.id}", cast_to=type(None))
    upload = client.files.create(file=("bad.jsonl", b"not json"), purpose="fine-tune")
    cloud.clock.advance(10)
    client.files.retrieve(upload.id)
    client.delete(f"/files/{upload.id}", cast_to=type(None))
    for missing in (f"/fine_tuning/jobs/{made.id}", f"/files/{upload.id}", f"/fine_tuning/jobs/{made.id}/events"):
        with pytest.raises(NotFoundError):
            client.get(missing, cast_to=object)


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / name).read_text())["body"]


@pytest.mark.contract
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}")
def test_every_field_was_seen_in_a_recording(cloud_with_jobs: Cloud) -> None:
    """No description covers v1, and the descriptions allow more than the service sends."""
    known_jobs = [recorded(f.name) for f in RECORDINGS.glob("aoai_job_*.json")]
    job_keys = set().union(*known_jobs)
    page, checkpoints = (
        recorded("aoai_events_real_newest_first.json"),
        recorded("aoai_checkpoints_real_newest_first.json"),
    )
    with azure("2025-04-01-preview") as client:
        jobs = client.fine_tuning.jobs.with_raw_response.list().http_response.json()["data"]
        events = client.fine_tuning.jobs.with_raw_response.list_events("ftjob-2").http_response.json()
        kept = client.fine_tuning.jobs.checkpoints.with_raw_response.list("ftjob-2").http_response.json()
    for job in jobs:
        assert set(job) <= job_keys
    assert set(events) == set(page)
    for event in events["data"]:
        like = next(e for e in page["data"] if e["type"] == event["type"])
        assert set(event) == set(like)
        assert set(event.get("data", {})) <= set(like.get("data", {}))
    assert set(kept) == set(checkpoints)
    for checkpoint in kept["data"]:
        assert set(checkpoint) == set(checkpoints["data"][0])
        assert set(checkpoint["metrics"]) == set(checkpoints["data"][0]["metrics"])
