"""The sandbox's pages: what they show of a world, whole and escaped, and never with a secret in it."""

import base64
import hashlib
import html
import json
import re
import urllib.request
from typing import Any

import pytest

from sandbox.azure.rbac import Assignment
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.tenant import Secret, SecretVersion
from sandbox.cloud import Cloud
from sandbox.pages import chain, runs
from sandbox.pages import text as page_text
from sandbox.pages.site import page, summary
from sandbox.runtime.http import Call, Caller
from sandbox.runtime.trace import Exchange, masked_request, masked_response
from sandbox.scenario.reader import Scenario, read
from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.files import artifact_file_path
from sandbox.world import World

ENTITY, PROJECT = "acme", "fine-tuning"
RUN = f"/runs/{ENTITY}/{PROJECT}/"
KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
DONE, LIVE, BAD, NEW = "ftjob-d0", "ftjob-11", "ftjob-b0", "ftjob-e0"
PATHS = ["/", RUN + DONE, RUN + LIVE, RUN + BAD]


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
    mirrored: list[dict[str, Any]] = [
        {"id": DONE, "history": _history(100), "summary": {"train_loss": 0.03}, "tags": ["openai/finetune"]},
        {"id": LIVE, "history": _history(5), "state": "running"},
        {"id": BAD, "state": "failed", "summary": {"error": error}},
    ]
    config = {"model": "gpt-4.1-mini", "hyperparameters": {"n_epochs": 3}}
    common = {"entity": ENTITY, "project": PROJECT, "user": "sync-bot", "config": config}
    base = read("contoso")
    account = {**base["accounts"][0], "jobs": jobs, "files": [{"id": "file-1"}]}
    wandb = {**base["wandb"], "runs": [{**common, "name": f"run of {run['id']}", **run} for run in mirrored]}
    return Scenario.parse({**base, "accounts": [account], "wandb": wandb, **more})


def _history(steps: int) -> list[dict[str, Any]]:
    return [{"_step": i, "train_loss": 3 / i, "train_mean_token_accuracy": i / steps} for i in range(1, steps + 1)]


@pytest.fixture
def world() -> World:
    """The world of `scenario`, with a dataset that a run used and a model that it made."""
    return page_world()


def page_world(**more: Any) -> World:
    made = World(scenario(**more), {}, [], page=page)
    run = made.wandb.store.run(ENTITY, PROJECT, DONE)
    table = {"columns": ["line", "prompt", "tools"], "data": [[i, f"question {i}", ""] for i in range(1, 8)]}
    files = {"train.jsonl": b"{}\n", "examples.table.json": json.dumps(table).encode()}
    dataset = _committed(made, "file-1", "dataset", files)
    model = _committed(made, "gpt-4.1-mini", "model", {"model_metadata.json": b"{}"})
    dataset.metadata = {"filename": "train.jsonl"}
    run.used.append(dataset)
    dataset.used_by.append(run)
    run.logged.append(model)
    made.trace.add(exchange())
    made.trace.add(exchange(404))
    return made


def _committed(world: World, name: str, kind: str, files: dict[str, bytes]) -> Artifact:
    """An artifact version with these files, as if a client had uploaded it."""
    store = world.wandb.store
    artifact = store.add_artifact(store.add_collection(store.add_project(ENTITY, PROJECT), name, kind), "0" * 32, None)
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


def exchange(status: int = 200) -> Exchange:
    headers = {"authorization": "Bearer secret-token"}
    caller = Caller("id", "", "User", "you@contoso.example", "")
    call = Call("GET", "kv-ml.vault.azure.net", "/secrets/x", {}, headers, caller=caller, url="https://kv/secrets/x")
    return Exchange(
        service="keyvault",
        operation="Get",
        write=False,
        caller=caller.name,
        at="2026-03-02T08:00:00+00:00",
        seconds=0.004,
        request=masked_request(call, keep=True),
        response=masked_response(status, {}, b'{"value": "hidden-value"}', "kv.vault.azure.net", keep=True),
        fault=False,
    )


def provisioned(world: World, *, effective: float = 0) -> None:
    """What setup does, done by hand."""
    (account,), vault = world.tenant.accounts.values(), world.tenant.vaults["kv-ml"]
    identity = world.tenant.named("billing-api")  # any service principal will do
    account.system_identity, vault.rbac = identity.object_id, True
    role = ROLE_IDS["Key Vault Secrets Officer"]
    world.tenant.rbac.add(Assignment("a", vault.id, role, identity.object_id, "ServicePrincipal", 0, effective))
    vault.secrets["wandb-api-key"] = Secret("wandb-api-key", [SecretVersion("v1", KEY, 0, 0)])


def get(world: World, path: str, status: int = 200) -> str:
    reply = page(world, Call("GET", "127.0.0.1:1", path, {}, {}))
    assert reply is not None
    assert isinstance(reply.body, bytes)
    assert reply.status == status
    return reply.body.decode()


def words_of(world: World, path: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", get(world, path)))


def links(world: World) -> dict[str, chain.Link]:
    ((_, found),) = chain.chains(world)
    return {link.title: link for link in found}


def test_the_chain_shows_what_setup_still_has_to_do_and_when_a_role_takes_effect(world: World) -> None:
    before = links(world)
    assert before["Vault permission model"].words == "access policies"
    assert {before[title].mark for title in ("Account identity", "Identity may use secrets")} == {"off"}
    provisioned(world, effective=world.clock.time() + 90)
    assert links(world)["Identity may use secrets"].words == "in 1 min 30 s"
    world.clock.advance(90)
    assert {link.mark for link in links(world).values()} == {"ok"}


@pytest.mark.parametrize(
    ("change", "words"), [({"enabled": False}, "disabled"), ({"expires": 1}, "expired"), ({"value": "0" * 40}, "none")]
)
def test_an_unusable_key_is_not_shown_as_fine(world: World, change: dict[str, Any], words: str) -> None:
    provisioned(world)
    (version,) = world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions
    for name, value in change.items():
        setattr(version, name, value)
    link = links(world)["W&B key in the vault"]
    assert (link.words, link.mark == "ok") == (words, False)


@pytest.mark.parametrize(
    ("status", "step", "state", "have", "mark"),
    [
        ("running", 50, "running", 50, "ok"),
        ("running", 50, "running", 40, "waiting"),
        ("running", 50, "finished", 50, "bad"),
        ("running", 50, "running", 60, "bad"),
        ("succeeded", 100, "finished", 100, "ok"),
        ("succeeded", 100, "finished", 99, "waiting"),
        ("succeeded", 100, "failed", 100, "bad"),
        ("cancelled", 10, "failed", 10, "ok"),
        ("pending", 0, "", 0, "waiting"),
    ],
)
def test_job_and_run_match_only_when_state_and_step_do(
    status: str, step: int, state: str, have: int, mark: str
) -> None:
    assert runs.agreement(status, step, state, have).mark == mark


def test_the_overview_shows_the_chain_and_every_job_and_a_runs_page_its_artifacts(world: World) -> None:
    home = words_of(world, "/")
    for words in ("Account identity", "access policies", DONE, LIVE, BAD, NEW, "Line 17 has no assistant message."):
        assert words in home
    assert home.index(LIVE) < home.index(DONE)
    assert "not in W&B yet" in home
    run = words_of(world, RUN + DONE)
    for words in ("train.jsonl", "gpt-4.1-mini:v0", "question 1", "the first 3 of 7 rows", "hyperparameters.n_epochs"):
        assert words in run
    assert f"{ENTITY}/{PROJECT}/nobody" in get(world, RUN + "nobody", status=404)


def test_an_empty_world_and_a_crowded_one_are_shown_too(world: World) -> None:
    empty = World(Scenario.parse({}), {}, [])
    assert "no Azure OpenAI account" in words_of(empty, "/")
    assert "Traffic: 0 requests, 0 writes" in summary(empty)
    store = world.wandb.store
    for i in range(100):
        store.add_run(store.add_project(ENTITY, PROJECT), f"run-{i}", store.users["sync-bot"])
    assert "The newest 60 of 103." in words_of(world, "/")
    assert get(world, "/").count("<article") == 60


def test_text_that_people_enter_becomes_neither_markup_nor_terminal_codes() -> None:
    evil = '<script>alert("x")</script>\x1b[2J\n'
    world = page_world(title=evil)
    run = world.wandb.store.run(ENTITY, PROJECT, DONE)
    run.name, run.tags, run.raw_config["model"] = evil + "x" * 200, [evil], {"value": evil}
    run.add_rows([{f"{evil}_loss": 1.0, "_step": 101}])
    for path in ("/", RUN + DONE):
        assert "<script>" not in get(world, path)
        assert "&lt;script&gt;" in get(world, path)
    assert "\x1b" not in summary(world)
    assert max(map(len, summary(world).splitlines())) <= page_text.WIDTH


@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_a_secret_and_no_page_loads_anything_from_elsewhere(world: World, path: str) -> None:
    provisioned(world)
    shown = get(world, path) + summary(world)
    for secret in (KEY, "correct-horse-battery-staple", "secret-token", "hidden-value"):
        assert secret not in shown
    reply = page(world, Call("GET", "127.0.0.1", path, {}, {}))
    assert reply is not None
    assert reply.headers["content-security-policy"].startswith("default-src 'none';")
    assert re.findall(r'(?:src|href)="(?![/#]|data:image/svg)', get(world, path)) == []


# --- over HTTP ------------------------------------------------------------------------------------------------------


def test_pages_are_served_beside_wandbs_api_and_do_not_count_as_traffic(cloud: Cloud) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with Cloud(scenario(), page=page) as site:
        for path in ("/", RUN + DONE):
            with opener.open(site.url + path, timeout=10) as answer:
                assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert site.world.trace.requests == 0
    for method, path in (("POST", "/graphql"), ("GET", "/graphql"), ("POST", "/"), ("GET", "/runs"), ("GET", "/sdk/x")):
        assert page(cloud.world, Call(method, "127.0.0.1", path, {}, {})) is None
