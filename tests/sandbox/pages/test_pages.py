"""The pages as they are served: what is at which address, whole and escaped, and never with a secret in it."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import wandb

from sandbox.azure.tenant import Secret, SecretVersion
from sandbox.cloud import Cloud
from sandbox.pages import text as page_text
from sandbox.pages.site import page, summary
from sandbox.runtime.http import Call
from sandbox.scenario.reader import Scenario
from sandbox.world import World
from tests.sandbox.pages.test_data import exchange
from tests.sandbox.pages.world import (
    BAD,
    DONE,
    ENTITY,
    KEY,
    LIVE,
    NEW,
    PASSWORD,
    PROJECT,
    committed,
    page_world,
    scenario,
)
from tests.sandbox.wandb.sdk import PROJECT as SDK_PROJECT
from tests.sandbox.wandb.sdk import Sdk, sdk

__all__ = ["sdk"]

RUN = f"/runs/{ENTITY}/{PROJECT}/"
PATHS = ["/", RUN + DONE, RUN + LIVE, RUN + BAD]
_VOID = {"meta", "link", "br", "wbr", "input", "img", "hr"}
CSS = (Path(page_text.__file__).parent / "templates" / "page.css").read_text()


class Checked(HTMLParser):
    """Reads a page strictly: every tag is closed in order, no id twice, every reference has its target."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def get(world: World, path: str) -> str:
    reply = page(world, Call("GET", "127.0.0.1:1", path, {}, {}))
    assert reply is not None
    assert isinstance(reply.body, bytes)
    return reply.body.decode()


def checked(world: World, path: str) -> Checked:
    reader = Checked()
    reader.feed(get(world, path))
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def world() -> World:
    made = page_world()
    made.trace.add(exchange())
    made.trace.add(exchange(404, operation="Other", write=True))
    return made


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("GET", "/graphql"),
        ("POST", f"/files/{ENTITY}/{PROJECT}/{DONE}/file_stream"),
        ("POST", "/"),
        ("GET", "/favicon.ico"),
        ("GET", "/runs"),
        ("GET", "/runs/a/b/c/d"),
        ("GET", "/sdk/otel/v1/traces"),
        ("GET", "/traffic"),
    ],
)
def test_what_is_no_page_is_left_to_wandbs_api(world: World, method: str, path: str) -> None:
    assert page(world, Call(method, "127.0.0.1", path, {}, {})) is None


def test_a_run_that_is_not_there_is_a_404_that_leads_back(world: World) -> None:
    reply = page(world, Call("GET", "127.0.0.1", RUN + "nobody", {}, {}))
    assert reply is not None
    assert reply.status == 404
    assert f"{ENTITY}/{PROJECT}/nobody" in checked(world, RUN + "nobody").text


@pytest.mark.parametrize("path", [*PATHS, RUN + "nobody"])
def test_every_page_is_whole_html_whose_references_lead_somewhere(world: World, path: str) -> None:
    reader = checked(world, path)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [i for _, a in reader.tags for name in ("aria-labelledby",) for i in a.get(name, "").split()]
    wanted += [a["href"][1:] for a in reader.named("a") if a["href"].startswith("#")]
    assert set(wanted) <= set(ids)
    for address in {a["href"] for a in reader.named("a") if a["href"].startswith("/")}:
        reply = page(world, Call("GET", "127.0.0.1", address, {}, {}))
        assert reply is not None
        assert reply.status == 200


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_the_landmarks_and_names_that_people_who_hear_it_need(world: World, path: str) -> None:
    reader = checked(world, path)
    assert [len(reader.named(tag)) for tag in ("main", "header", "h1", "title")] >= [1, 1, 1, 1]
    assert len(reader.named("h1")) == 1
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), levels
    assert len(reader.named("caption")) == len(reader.named("table"))
    assert all(heading.get("scope") in ("col", "row") for heading in reader.named("th"))
    for svg in reader.named("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and len(svg["aria-labelledby"].split()) == 2)
    assert len(reader.named("progress")) == sum("aria-label" in bar for bar in reader.named("progress"))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_loaded_from_anywhere_and_a_browser_is_told_so(world: World, path: str) -> None:
    reply = page(world, Call("GET", "127.0.0.1", path, {}, {}))
    assert reply is not None
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    reader = checked(world, path)
    sources = [a[name] for _, a in reader.tags for name in ("src", "href") if name in a]
    assert [s for s in sources if not s.startswith(("/", "#", "data:image/svg+xml,"))] == []
    assert [a for _, a in reader.tags if "style" in a or any(name.startswith("on") for name in a)] == []
    assert "url(" not in CSS
    assert "@import" not in CSS


# --- what is on them -----------------------------------------------------------------------------------------------


def test_the_overview_has_the_chain_every_run_and_job_and_the_counts(world: World) -> None:
    reader = checked(world, "/")
    for words in ("Account identity", "access policies"):
        assert words in reader.text
    for job in (DONE, LIVE, BAD, NEW):
        assert job in reader.text
    assert "Line 17 has no assistant message." in reader.text
    assert "not in W&B yet" in reader.text
    assert len(reader.named("progress")) == 3
    assert "Loss by training step. train_loss: 3 at step 1, 0.03 at step 100." in reader.text


def test_a_state_is_a_symbol_and_a_word_never_only_a_colour(world: World) -> None:
    badges = re.findall(r'<span class="badge (\w+)"><span aria-hidden="true">(.)</span> ([^<]+)<', get(world, "/"))
    assert {mark: symbol for mark, symbol, _ in badges} == {
        "ok": "✓",
        "live": "▸",
        "bad": "✕",
        "off": "○",
        "waiting": "◷",
    }
    assert all(words.strip() for _, _, words in badges)
    assert get(world, "/").count('class="badge') == len(badges)


def test_a_runs_page_has_its_lineage_the_first_rows_its_config_and_summary(world: World) -> None:
    text = checked(world, RUN + DONE).text
    for words in ("train.jsonl", "gpt-4.1-mini:v0", "latest", "question 1", "the first 3 of 7 rows"):
        assert words in text
    assert "question 4" not in text
    assert "hyperparameters.n_epochs" in text
    assert "model_metadata.json" in text


def test_a_runs_page_has_training_before_validation_and_names_in_order() -> None:
    world = page_world()
    run = world.wandb.store.run(ENTITY, PROJECT, DONE)
    run.used.insert(0, committed(world, "file-2", "dataset", {"valid.jsonl": b"{}\n"}))
    run.raw_config |= {
        "zeta": {"value": 1},
        "training_file": {"value": "file-1"},
        "validation_file": {"value": "file-2"},
    }
    html = get(world, RUN + DONE)
    assert html.index("training dataset") < html.index("validation dataset")
    assert html.index("hyperparameters.n") < html.index("<dt>job") < html.index("<dt>zeta")


def test_an_empty_world_is_told_as_such() -> None:
    empty = World(Scenario.parse({}), {}, [])
    text = checked(empty, "/").text
    assert "no Azure OpenAI account" in text
    assert "No runs yet" in text
    assert "Traffic: 0 requests, 0 writes" in summary(empty)


def test_of_very_many_runs_the_newest_are_shown_and_all_are_counted() -> None:
    world = page_world()
    store = world.wandb.store
    project = store.add_project(ENTITY, PROJECT)
    for i in range(100):
        store.add_run(project, f"run-{i}", store.users["sync-bot"])
    reader = checked(world, "/")
    assert len(reader.named("article")) == 60
    assert "The newest 60 of 103." in reader.text


def test_what_people_write_cannot_become_markup() -> None:
    evil = '<script>alert("x")</script>'
    world = page_world(title=evil)
    run = world.wandb.store.run(ENTITY, PROJECT, DONE)
    run.name, run.tags, run.raw_config["model"] = evil, [evil], {"value": evil}
    run.add_rows([{f"{evil}_loss": 1.0, "_step": 101}])
    for path in ("/", RUN + DONE):
        html = get(world, path)
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


def test_a_run_whose_id_needs_escaping_is_found_by_its_link(world: World) -> None:
    store = world.wandb.store
    project = store.add_project(ENTITY, PROJECT)
    store.add_run(project, "a b&c", store.users["sync-bot"])
    assert 'href="/runs/acme/fine-tuning/a%20b%26c"' in get(world, "/")
    assert "a b&c" in checked(world, RUN + "a%20b%26c").text
    store.delete_run(store.run(ENTITY, PROJECT, "a b&c"))


@pytest.mark.parametrize("path", PATHS)
def test_no_page_and_no_text_has_a_secret_in_it(path: str) -> None:
    world = page_world()
    vault = world.tenant.vaults["kv-ml"]
    vault.secrets["wandb-api-key"] = Secret("wandb-api-key", [SecretVersion("v1", KEY, 0, 0)])
    world.trace.add(exchange())
    shown = get(world, path) + summary(world)
    assert KEY not in shown
    assert PASSWORD not in shown
    assert "secret-token" not in shown
    assert "hidden-value" not in shown
    assert "wandb-api-key" in summary(world)


# --- over HTTP -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with Cloud(scenario(), page=page) as cloud:
        yield cloud.url


def fetched(url: str) -> tuple[int, str, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def test_pages_are_served_on_loopback_next_to_wandbs_api(site: str) -> None:
    assert fetched(f"{site}/")[:2] == (200, "text/html; charset=utf-8")
    assert fetched(f"{site}{RUN}{DONE}")[0] == 200
    assert fetched(f"{site}/graphql")[0] not in (200, 404)
    assert fetched(f"{site}/graphql")[1].startswith("application/json")


def test_looking_is_no_traffic(site: str) -> None:
    before = fetched(f"{site}/_sandbox/counts")
    fetched(f"{site}/")
    assert fetched(f"{site}/_sandbox/counts") == before


def test_what_the_real_sdk_logged_is_what_the_page_shows(sdk: Sdk, tmp_path: Path) -> None:
    world = sdk.cloud.world
    with sdk.init("job-1", config={"model": "gpt-4o", "method": "dpo"}, tags=["mine"]) as run:
        for step in range(1, 31):
            run.log({"train_loss": 1 / step, "train_reward_accuracy": step / 30}, step=step)
        artifact = wandb.Artifact("file-9", "dataset", metadata={"filename": "tickets.jsonl"})
        artifact.add(wandb.Table(columns=["line", "prompt"], data=[[1, "how do I export?"]]), "examples")
        run.use_artifact(artifact)
    reader = checked(world, f"/runs/{ENTITY}/{SDK_PROJECT}/job-1")
    for words in ("gpt-4o", "dpo", "mine", "tickets.jsonl", "how do I export?", "finished", "30 pts"):
        assert words in reader.text
    assert "train_loss: 1 at step 1, 0.03333 at step 30." in reader.text
    home = get(world, "/") + summary(world)
    assert KEY not in home
    assert "Weights &amp; Biases" in home


# --- the terminal --------------------------------------------------------------------------------------------------


def test_the_text_says_the_same_in_a_hundred_columns(world: World) -> None:
    text = summary(world)
    lines = text.splitlines()
    assert max(map(len, lines)) <= page_text.WIDTH
    assert len(lines) <= 60
    for words in ("○ Account identity", f"run of {DONE}", "100 of 100", "0.03", "train.jsonl", "2 requests, 0 writes"):
        assert words in text
    assert f"{NEW}: succeeded in Azure, not in W&B yet" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gpt-4o-mini-2024-07-18 1d93b7", "gpt-4o-mini-2024-07-18 1d93b7"),
        ("what somebody called it", "what somebody called it …0b04"),
        ("a name that goes on and on and on 1d93b7", "a name that goes on and… …0b04"),
    ],
)
def test_the_text_tells_runs_apart_by_name_or_by_the_end_of_their_id(name: str, shown: str) -> None:
    world = page_world()
    store = world.wandb.store
    project = store.add_project(ENTITY, PROJECT)
    store.add_run(project, "ftjob-1d93b7e26f7c4a4fa3b4a4ef0a1d0b04", store.users["sync-bot"]).name = name
    assert f"  {shown:<30} " in summary(world)


def test_the_text_does_not_grow_without_end_nor_let_a_name_move_the_cursor() -> None:
    world = page_world()
    store = world.wandb.store
    project = store.add_project(ENTITY, PROJECT)
    for i in range(200):
        store.add_run(project, f"run-{i}", store.users["sync-bot"]).name = "\x1b[2J\nname" + "x" * 200
    lines = summary(world).splitlines()
    assert len(lines) <= 80
    assert max(map(len, lines)) <= page_text.WIDTH
    assert "\x1b" not in summary(world)
    assert "183 more runs" in summary(world)
