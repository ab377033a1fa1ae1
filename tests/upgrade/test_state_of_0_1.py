"""What version 0.1 left (state_0_1.json says how it was made), and then this version: nothing is doubled, lost or told again."""

import base64
import json
import re
from collections import Counter
from typing import Any

import pytest

from sandbox.azure.rbac import Assignment
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.storage import Blob
from sandbox.azure.tenant import AccessPolicy, Principal
from sandbox.cloud import Cloud
from sandbox.wandb.artifacts import Manifest
from sandbox.wandb.store import Store
from tests.conftest import ROOT, Load
from tests.provisioning.bench import GOOD_KEY, Bench
from tests.provisioning.conftest import bench
from tests.worker.test_worker import Host, asked_for, azure, delivered, host, logged, message, tick, worker

__all__ = ["bench", "host"]  # fixtures

STATE: dict[str, Any] = json.loads((ROOT / "tests" / "upgrade" / "state_0_1.json").read_text())
DONE, FAILED, LIVE, GONE, REPLACED, WAITING = (f"ftjob-{str(number) * 32}" for number in range(1, 7))
FILE, VALIDATION_FILE = "file-" + "a" * 32, "file-" + "b" * 32


def job(job_id: str, **more: Any) -> dict[str, Any]:
    plain = {"model": "gpt-4o-mini-2024-07-18", "created": "-2d", "training_file": FILE}
    return plain | {"id": job_id, "hyperparameters": {"n_epochs": 2}, "timeline": {"steps": 12}} | more


@pytest.fixture
def upgraded(load: Load) -> Cloud:
    """The world as 0.1 left it."""
    timeline = {"queued": 60, "preprocessing": 60, "gpu_wait": 30, "steps": 60, "seconds_per_step": 10}
    error = {"code": "oom", "message": "too big"}
    jobs = [
        job(DONE, validation_file=VALIDATION_FILE),
        job(FAILED, outcome={"status": "failed", "during": "training", "at_step": 6, "error": error}),
        job(LIVE, created="-8m", timeline=timeline),
        *(job(each) for each in (GONE, REPLACED, WAITING)),
    ]
    files = [{"id": FILE, "filename": "train.jsonl", "created": "-3d", "count": 4}]
    files += [{"id": VALIDATION_FILE, "filename": "valid.jsonl", "created": "-3d", "count": 2}]
    secret = {"name": "wandb-api-key", "value": GOOD_KEY, "expires_in_days": 180, **STATE["secret"]}
    kinds = {"operator": "user", "dana": "user", "reports-job": "application"}
    world = {
        "extends": "contoso",
        "clock": {"start": STATE["start"]},
        "transitions": {"rbac_propagation": 0},
        "principals": [
            {"name": name, "kind": kinds.get(name, "managed identity"), "id": object_id}
            for name, object_id in STATE["principals"].items()
            if name != "aoai-ml"
        ],
        "assignments": [],
        "accounts": [{"name": "aoai-ml", "group": "rg-ml", "jobs": jobs, "files": files}],
        "vaults": [
            {
                "name": "kv-ml",
                "group": "rg-ml",
                "rbac": True,
                "tags": STATE["vault_tags"],
                "secrets": [{"name": "billing-db-password", "value": "correct"}, secret],
            }
        ],
    }
    cloud = load(world)
    put_access(cloud)
    cloud.clock.advance(STATE["elapsed"])
    put_runs(cloud.world.wandb.store)
    for path in STATE["blobs"]:
        container, _, name = path.partition("/")
        held = Blob("the-lease-of-a-dead-worker", cloud.clock.time() + 60) if path in STATE["leased"] else Blob()
        cloud.world.storage.containers.setdefault(container, {})[name] = held
    return cloud


def put_access(cloud: Cloud) -> None:
    tenant = cloud.world.tenant
    own = STATE["principals"]["aoai-ml"]
    tenant.principals[own] = Principal(own, "aoai-ml", "ServicePrincipal", managed_identity=True, alias="aoai-ml")
    next(iter(tenant.accounts.values())).system_identity = own
    for each in STATE["roles"]:
        who = tenant.principals[STATE["principals"][each["principal"]]]
        role, scope = ROLE_IDS[each["role"]], each["scope"]
        given = Assignment(each["name"], scope, role, who.object_id, who.kind, 0, 0, description=each["description"])
        tenant.rbac.add(given)
    tenant.vaults["kv-ml"].policies = [AccessPolicy(**each) for each in STATE["policies"]]


def put_runs(store: Store) -> None:
    user, now = store.users["sync-bot"], store.clock.time()
    project = store.add_project("acme", "tuning", user)
    for each in STATE["runs"]:
        run = store.add_run(project, each["id"], user)
        run.name, run.job_type, run.group, run.notes = each["name"], each["job_type"], each["group"], each["notes"]
        run.set_tags(each["tags"])
        run.raw_config = {"_wandb": {"value": {"t": {}}}} | {k: {"value": v} for k, v in each["config"].items()}
        run.summary = each["summary"]
        run.add_rows(each["history"])
        run.phase = type(run.phase)(each["state"])
        run.created_at, run.heartbeat_at = now + each["created_at"], now + each["heartbeat_at"]
    for name in STATE["deleted_runs"]:
        store.delete_run(store.add_run(project, name, user))
    everybody = project.runs | project.deleted_runs
    for each in STATE["artifacts"]:
        collection = store.add_collection(project, each["collection"], each["type"])
        made = store.add_artifact(collection, each["digest"], everybody.get(each["created_by"]))
        made.metadata, made.description, made.wanted_aliases = each["metadata"], each["description"], each["aliases"]
        made.manifest = Manifest.model_validate(each["manifest"])
        made.created_at = now + each["created_at"]
        made.used_by = [everybody[name] for name in each["used_by"]]
        for path, content in each["files"].items():
            made.storage.put(made.file_path(made.entries[path]), base64.b64decode(content))
        made.state = "COMMITTED"
        collection.adopt(made)


def history(store: Store, name: str) -> list[int]:
    return [row["_step"] for row in store.run("acme", "tuning", name).history]


def shown(store: Store) -> dict[str, Any]:
    """What people see of the runs that 0.1 completed, and of all artifacts."""
    runs = {r.id: [r.name, r.config, r.summary, r.history, r.tags, str(r.phase)] for r in store.runs("acme", "tuning")}
    files = {a.name: [sorted(a.aliases), sorted(a.entries), a.digest] for a in store.artifacts("acme", "tuning")}
    return {"runs": runs, "artifacts": files}


@worker
def test_the_app_continues_what_0_1_began_and_leaves_alone_what_it_completed(upgraded: Cloud, host: Host) -> None:
    store = upgraded.world.wandb.store
    before = json.loads(json.dumps(shown(store)))
    env = azure(upgraded, SYNC_DATASETS="full")
    lines: list[str] = []

    def work(*messages: str) -> list[str]:
        answer = host(tick(), *(delivered(each) for each in messages), env=env)
        lines.extend(line for each in answer["invocations"] for line in logged(each))
        assert all(each["ok"] for each in answer["invocations"])
        return [message(each) for each in asked_for(answer["invocations"][0])]

    pending = work(*STATE["messages"])  # those that 0.1 had sent; job 6's lease is held by the worker that died
    assert any("result=skipped" in line and WAITING in line for line in lines)
    for _ in range(3):
        upgraded.clock.advance(400)
        pending = work(*pending)
    assert pending == []

    after = json.loads(json.dumps(shown(store)))
    settled = [each["id"] for each in STATE["runs"] if each["id"] != LIVE]
    assert {name: after["runs"][name] for name in settled} == {name: before["runs"][name] for name in settled}
    assert history(store, LIVE) == list(range(1, 61))
    assert history(store, WAITING) == list(range(1, 13))
    assert set(after["runs"]) == set(before["runs"]) | {WAITING}, "no run is replaced, and no deleted one is made again"
    for name, old in before["artifacts"].items():
        aliases = [alias for alias in old[0] if alias != "latest"]
        assert set(aliases) <= set(after["artifacts"][name][0])
        assert after["artifacts"][name][1:] == old[1:]
    new = {name.partition(":")[0] for name in set(after["artifacts"]) - set(before["artifacts"])}
    assert not any(name.startswith("file-") for name in new), "datasets are not uploaded again"
    assert [(alert.run_id, alert.title) for alert in store.alerts] == []
    assert not any("result=failed" in line for line in lines)
    leases = upgraded.world.storage.containers["finetune-leases"]
    assert [name for name in leases if name.endswith(".lease")] == []


def test_setup_finds_everything_in_place_and_teardown_removes_all_that_0_1_added(upgraded: Cloud, bench: Bench) -> None:
    bench.setup(readers=(STATE["principals"]["function-app"],))
    assert upgraded.writes == 0
    bench.teardown(readers=(STATE["principals"]["function-app"],))
    left = Counter(a.description for a in upgraded.world.tenant.rbac.assignments.values())
    assert set(left) <= {None, "azure-openai-wandb: carried over from access policy"}
    assert "wandb-api-key" not in {n for n, s in upgraded.world.tenant.vaults["kv-ml"].secrets.items() if not s.deleted}


def test_the_template_deploys_alert_rules_under_the_names_of_0_1() -> None:
    """Otherwise an update would leave rules that read lines which are no longer logged."""
    text = (ROOT / "infra" / "modules" / "alerts.bicep").read_text()
    assert set(STATE["alert_rules"]) <= set(re.findall(r"^    name: '([\w-]+)'", text, re.MULTILINE))
    assert "alert-${name}" in (ROOT / "infra" / "main.bicep").read_text()
