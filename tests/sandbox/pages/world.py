"""A world with something of everything that the pages show, made without a request."""

import base64
import hashlib
import json
from typing import Any

from sandbox.pages.site import page
from sandbox.scenario.reader import Scenario, read
from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.files import artifact_file_path
from sandbox.wandb.runs import Run
from sandbox.world import World

ENTITY, PROJECT = "acme", "fine-tuning"
KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
PASSWORD = "correct-horse-battery-staple"
DONE, LIVE, BAD, NEW = "ftjob-d0", "ftjob-11", "ftjob-b0", "ftjob-e0"


def _history(steps: int) -> list[dict[str, Any]]:
    return [
        {"_step": i, "train_loss": 3 / i, "train_mean_token_accuracy": i / steps}
        | ({"valid_loss": 4 / i} if i % 10 == 0 else {})
        for i in range(1, steps + 1)
    ]


def _run(run_id: str, **said: Any) -> dict[str, Any]:
    base = {"entity": ENTITY, "project": PROJECT, "id": run_id, "user": "sync-bot", "name": f"run of {run_id}"}
    config = {"job_id": run_id, "model": "gpt-4.1-mini", "hyperparameters": {"n_epochs": 3}}
    return {**base, "config": config, **said}


def scenario(**more: Any) -> Scenario:
    """Four jobs: one succeeded, one trains, one failed, one is not in W&B yet."""
    job = {"model": "gpt-4.1-mini", "training_file": "file-1", "created": "-5d"}
    error = {"code": "invalidPayload", "message": "Line 17 has no assistant message."}
    jobs = [
        {**job, "id": DONE, "timeline": {"steps": 100}},
        {**job, "id": LIVE, "created": "-1h", "timeline": {"steps": 1000, "seconds_per_step": 60}},
        {**job, "id": BAD, "outcome": {"status": "failed", "during": "preprocessing", "error": error}},
        {**job, "id": NEW, "created": "-4d"},
    ]
    runs = [
        _run(DONE, history=_history(100), summary={"train_loss": 0.03}, tags=["openai/finetune"]),
        _run(LIVE, history=_history(5), state="running"),
        _run(BAD, state="failed", summary={"error": error}),
    ]
    base = read("contoso")
    account = {**base["accounts"][0], "jobs": jobs, "files": [{"id": "file-1"}]}
    return Scenario.parse({**base, "accounts": [account], "wandb": {**base["wandb"], "runs": runs}, **more})


def page_world(**more: Any) -> World:
    """The world of `scenario`, with a dataset that a run used and a model that it made."""
    world = World(scenario(**more), {}, [], page=page)
    run = world.wandb.store.run(ENTITY, PROJECT, DONE)
    rows = [[i, f"question {i}", ""] for i in range(1, 8)]
    table = {"columns": ["line", "prompt", "tools"], "data": rows}
    files = {"train.jsonl": b"{}\n", "examples.table.json": json.dumps(table).encode()}
    dataset = committed(world, "file-1", "dataset", files, metadata={"filename": "train.jsonl"})
    model = committed(world, "gpt-4.1-mini", "model", {"model_metadata.json": b"{}"}, run=run)
    run.used.append(dataset)
    dataset.used_by.append(run)
    run.logged.append(model)
    return world


def committed(
    world: World,
    name: str,
    kind: str,
    files: dict[str, bytes],
    *,
    run: Run | None = None,
    metadata: dict[str, Any] | None = None,
) -> Artifact:
    """An artifact version with these files, as if a client had uploaded it."""
    store = world.wandb.store
    project = store.add_project(ENTITY, PROJECT)
    artifact = store.add_artifact(store.add_collection(project, name, kind), "0" * 32, run)
    artifact.metadata = metadata or {}
    contents = {}
    for path, content in files.items():
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        store.storage.put(artifact_file_path(artifact.project_number, md5), content)
        contents[path] = {"digest": md5, "size": len(content)}
    manifest = {"version": 1, "storagePolicy": "p", "storagePolicyConfig": {}, "contents": contents}
    artifact.manifest_path = f"wandb_manifests/{artifact.id}"
    store.storage.put(artifact.manifest_path, json.dumps(manifest).encode())
    artifact.commit()
    return artifact
