"""`dashboard`: a W&B workspace for fine-tuning runs, saved once and brought up to date in place."""

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from function_app.authoring.dashboards.dashboard import view_id
from function_app.authoring.dashboards.view_spec import replace_sections, sections_in
from function_app.cli.commands import main
from function_app.data.jobs.metrics import RESERVED
from sandbox.wandb.store import View
from tests.conftest import Run as Command
from tests.function_app.conftest import ENTITY, KEY, PROJECT, VALIDATION_FILE, Bench, a_file, a_job

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # wandb-workspaces 0.4.13 has validators of Pydantic 1
    pytest.importorskip("wandb_workspaces.workspaces", reason="the extra `dashboard` is not installed")
    from function_app.authoring.dashboards.panels import ABOUT, COLUMNS, EDITION, sections_of, spec_of

SETTINGS = {"WANDB_API_KEY": KEY, "WANDB_ENTITY": ENTITY, "WANDB_PROJECT": PROJECT, "COLUMNS": "100"}


def tried(*flags: str, env: Mapping[str, str] | None = None) -> Result:
    """The command, run in this process."""
    return CliRunner().invoke(main, ["dashboard", *flags], env=SETTINGS | dict(env or {}))


def saved(*flags: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    done = tried("-o", "json", *flags, env=env)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def views(bench: Bench, project: str = PROJECT) -> list[View]:
    found = bench.store.project(ENTITY, project)
    return found.views if found else []


def sections(view: View) -> dict[str, list[dict[str, Any]]]:
    """Section → its panels, as W&B has them."""
    bank = json.loads(view.spec)["section"]["panelBankConfig"]
    return {section["name"]: section["panels"] for section in bank["sections"]}


@pytest.fixture
def opened(bench: Bench) -> Bench:
    """A project without a run."""
    bench.world()
    bench.store.add_project(ENTITY, PROJECT, bench.store.users["sync-bot"])
    return bench


def test_the_command_prints_the_address_of_a_view_with_the_requested_panels(opened: Bench, run: Command) -> None:
    done = run("function_app", "dashboard", env=SETTINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"/{ENTITY}/{PROJECT}?nw={view_id(ENTITY, PROJECT)}")
    assert done.stderr == "Saved. Everybody who can see the project can open it.\n"
    writes = opened.cloud.writes
    again = saved()
    assert (again["dashboard"], again["url"], opened.cloud.writes) == ("current", done.stdout.strip(), writes)
    [view] = views(opened)
    assert (view.name, view.type) == (f"nw-{view_id(ENTITY, PROJECT)}-v", "project-view")
    assert list(sections(view)) == [
        *(ABOUT, "Loss", "Accuracy", "Reward (reinforcement)", "When", "Cost and time"),
        *("Hyperparameters against the final validation loss", "Hyperparameters together"),
        *("Failures", "Datasets", "Examples", "Side by side"),
    ]


def test_every_metric_config_and_summary_in_it_is_one_that_a_run_has(bench: Bench) -> None:
    files = [a_file(), a_file(id=VALIDATION_FILE)]
    bench.mirrored(a_job(validation_file=VALIDATION_FILE, hyperparameters={"n_epochs": 3}), files=files)
    saved()
    words = set(re.findall(r'"((?:[^"\\]|\\.)*)"', views(bench)[0].spec))  # keys, too
    run = bench.run()
    assert {"train_data", "valid_data"} <= words & run.summary.keys()
    logged = {name for row in run.history for name in row} | {"_step"}
    rewards = {f"{part}_{name}" for part in ("train", "valid", "full_valid") for name in ("mean_reward", "reward_mean")}
    metrics = {each for each in words if re.fullmatch(r"(train|valid|full_valid)_\w+", each)}
    assert metrics - {"train_data", "valid_data"} <= logged | rewards | {
        "train_accuracy"
    }  # as OpenAI's platform names it
    paths = [each.partition(":")[::2] for each in words | set(COLUMNS)]
    shown = {path.split(".")[0] for kind, path in paths if kind == "summary"}
    assert shown <= {*run.summary, *RESERVED, "full_valid_mean_reward", "billed_hours"}
    for name, value in [path.split(".")[:2] for kind, path in paths if kind == "config" and path]:
        assert value == "value"
        assert name in {*run.config, "method", "training_type"} or name.endswith("_at")


def rename_and_add(view: View) -> None:
    """What somebody does to it in the app."""
    spec = json.loads(view.spec)
    named = spec["section"]["panelBankConfig"]["sections"]
    named[1]["panels"] = named[1]["panels"][:1]
    named.append({**named[1], "name": "Ours"})
    view.spec = json.dumps(spec)


def test_peoples_changes_stay_until_a_new_edition_which_keeps_their_own_sections(opened: Bench) -> None:
    saved()
    [view] = views(opened)
    rename_and_add(view)
    assert saved()["dashboard"] == "current"
    assert len(sections(view)["Loss"]) == 1
    view.spec = view.spec.replace(f"Edition {EDITION}.", f"Edition {EDITION - 1}.")
    assert saved()["dashboard"] == "updated"
    assert len(sections(view)["Loss"]) == 3
    assert list(sections(view))[-1] == "Ours"
    assert views(opened) == [view]
    assert saved()["dashboard"] == "current"


def test_overwrite_replaces_the_content_of_the_same_view_by_the_standard_one(opened: Bench) -> None:
    saved()
    [view] = views(opened)
    rename_and_add(view)
    assert saved("--overwrite")["dashboard"] == "updated"
    assert "Ours" not in sections(view)
    assert views(opened) == [view]


def test_a_view_of_an_unknown_format_is_reported_and_not_changed(opened: Bench) -> None:
    saved()
    [view] = views(opened)
    view.spec = json.dumps({**json.loads(view.spec), "version": 7})
    before = view.spec
    done = tried()
    assert done.exit_code == 1
    assert "--overwrite" in done.stderr
    assert view.spec == before


def test_a_change_of_the_dashboard_is_a_new_edition() -> None:
    """Otherwise people who saved it would not get the change. With another wandb-workspaces only the digest may change."""
    text = str(spec_of("e", "p", "https://wandb.ai/e/p"))
    assert (EDITION, hashlib.sha256(text.encode()).hexdigest()[:16]) == (5, "0d6397018aaeb458")


def test_sections_have_a_size_and_the_panels_the_same_ids_each_time() -> None:
    """W&B gives all panels of a section one size, and keeps people's changes of a panel by the panel's id."""
    spec = spec_of("e", "p", "https://wandb.ai/e/p")
    assert spec == spec_of("e", "p", "https://wandb.ai/e/p")
    flows = {each["name"]: each["flowConfig"] for each in sections_of(spec)}
    sizes = [(flows[name]["columnsPerPage"], flows[name]["rowsPerPage"]) for name in (ABOUT, "Loss", "Side by side")]
    assert sizes == [(1, 1), (2, 2), (1, 1)]
    ids = [panel["__id__"] for section in sections_of(spec) for panel in section["panels"]]
    assert len(set(ids)) == len(ids)


def test_automations_are_created_on_request_once_and_notify_the_teams_channel(opened: Bench) -> None:
    wandb = opened.cloud.world.wandb.store
    project = wandb.project(ENTITY, PROJECT)
    assert project is not None
    assert "automations" not in saved()
    refused = tried("--automations")
    assert (refused.exit_code, project.triggers) == (1, [])
    assert f"The team {ENTITY} has no Slack channel" in refused.stderr
    wandb.entities[ENTITY].slack.append("#fine-tuning")
    names = [f"Fine-tuning {state}: {ENTITY}/{PROJECT}" for state in ("failed", "finished")]
    assert saved("--automations")["automations"] == {"created": names, "existing": []}
    assert saved("--automations")["automations"] == {"created": [], "existing": names}
    filters = [json.loads(each["event_filter"])["run_state_filter"]["states"] for each in project.triggers]
    assert filters == [["FAILED"], ["FINISHED"]]
    assert {each["triggering_event_type"] for each in project.triggers} == {"RUN_STATE"}


APP = """\
{ "section" : {"workspaceSettings":{"smoothing":0.30,"max":1e2,"odd":"\\u00e9 ]}"},
 "panelBankConfig":{"state":1,"sections":[{"name":"Theirs","flowConfig":{"boxHeight":300.5}},
 {"__id__":"x1","name":"Loss","isOpen":false,"panels":[1]}],"more":[ ]},
 "runSets":[{"columnWidths":{"a":1.50}}]} , "panelConfigOverrides":{"__custom_panel__:p":{"k":null}}}
"""
"""A view as W&B's app may save it, with what wandb-workspaces does not know or would refuse."""


def test_only_our_sections_of_a_view_change_and_all_other_bytes_stay() -> None:
    edited = replace_sections(APP, [{"name": "Loss", "panels": [2]}, {"name": "New", "panels": []}])
    ours = '{"name":"Loss","panels":[2],"__id__":"x1","isOpen":false},{"name":"New","panels":[]}'
    before, after = '{"name":"Theirs","flowConfig":{"boxHeight":300.5}}', APP[APP.index('],"more"') :]
    assert edited == APP[: APP.index("[{")] + f"[{before},{ours}" + after
    assert [each["name"] for each in sections_in(edited)] == ["Theirs", "Loss", "New"]
    assert replace_sections(edited, [{"name": "Loss", "panels": [2]}]) == edited


def test_a_missing_project_is_reported_and_not_created(bench: Bench) -> None:
    bench.world()
    done = tried()
    assert (done.exit_code, bench.cloud.writes) == (1, 0)
    assert f"no project {ENTITY}/{PROJECT}" in done.stderr
    assert "function_app sync" in done.stderr
    assert "check WANDB_ENTITY and WANDB_PROJECT" in done.stderr


@pytest.mark.parametrize(
    ("env", "status", "words"),
    [
        ({"WANDB_API_KEY": "9" * 40}, 1, "does not accept the API key"),
        ({"WANDB_API_KEY": "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"}, 1, "may not"),
        ({"WANDB_API_KEY": ""}, 2, "KEY_VAULT_URL is not set"),
    ],
)
def test_each_error_is_reported_and_writes_nothing(opened: Bench, env: dict[str, str], status: int, words: str) -> None:
    writes = opened.cloud.writes
    done = tried(env=env)
    assert (done.exit_code, opened.cloud.writes) == (status, writes), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert "5a4db0c" not in done.output


def test_without_wandb_workspaces_it_says_what_to_install(opened: Bench, run: Command, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['wandb_workspaces'] = None\n")
    done = run("function_app", "dashboard", env=SETTINGS | {"PYTHONPATH": str(tmp_path)}, new_process=True)
    assert (done.returncode, views(opened)) == (1, [])
    assert "pip install 'azure-openai-wandb[dashboard]'" in done.stderr
    assert "Traceback" not in done.stderr
