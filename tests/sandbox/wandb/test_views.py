"""Saved views of the stand-in, as wandb-workspaces sees them."""

import json
import warnings
from collections.abc import Iterator

import pytest
import wandb
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from sandbox.cloud import Cloud
from tests.conftest import start_wandb_core

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # wandb-workspaces 0.4.13 has validators of Pydantic 1
    pytest.importorskip("wandb_workspaces.workspaces", reason="the extra `dashboard` is not installed")
    from wandb_workspaces.reports.v2.interface import LinePlot
    from wandb_workspaces.workspaces import internal
    from wandb_workspaces.workspaces.interface import Section, Workspace

KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
VIEWER_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"


@pytest.fixture
def project(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A project without runs, and somebody signed in who may write to it."""
    wandb.teardown()  # forget whom earlier tests signed in
    start_wandb_core()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    store = cloud.world.wandb.store
    store.add_project("acme", "fine-tuning")
    yield cloud
    wandb.teardown()


def a_workspace(name: str = "nw-abcdefghijk-v") -> Workspace:
    made = Workspace(
        entity="acme",
        project="fine-tuning",
        name="Ours",
        sections=[Section(name="Loss", panels=[LinePlot(title="Training", y=["train_loss"])])],
    )
    made._internal_name = name
    return made


def test_what_is_saved_is_what_is_loaded_and_saved_again_it_is_the_same_view(project: Cloud) -> None:
    a_workspace().save()  # type: ignore[no-untyped-call] # wandb-workspaces'
    loaded = Workspace.from_url("https://wandb.ai/acme/fine-tuning?nw=abcdefghijk")
    [section] = loaded.sections
    [panel] = section.panels
    assert (loaded.name, section.name, panel.title) == ("Ours", "Loss", "Training")
    section.name = "Loss by step"
    loaded.save()
    found = project.world.wandb.store.project("acme", "fine-tuning")
    assert found is not None
    [view] = found.views
    assert "Loss by step" in view.spec
    assert (view.type, view.created_by.username) == ("project-view", "sync-bot")


def test_a_name_that_is_taken_is_refused_without_the_views_id(project: Cloud) -> None:
    """What W&B does is UNVERIFIED: nobody should count on either."""
    a_workspace().save()  # type: ignore[no-untyped-call] # as above
    with pytest.raises(WandbApiFailedError, match="already exists"):
        a_workspace().save()  # type: ignore[no-untyped-call] # as above


def test_who_may_only_look_saves_nothing(project: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", VIEWER_KEY)
    with pytest.raises(WandbApiFailedError, match="permission denied"):
        a_workspace().save()  # type: ignore[no-untyped-call] # as above


def test_a_spec_that_the_app_could_not_show_is_refused(project: Cloud) -> None:
    view = a_workspace()._to_model()

    def with_spec(spec: str) -> internal.View:
        broken = view.model_copy()
        object.__setattr__(broken, "spec", type("Spec", (), {"model_dump_json": lambda self, **_: spec})())
        return broken

    for spec in ("", "no json", "{}", json.dumps({"section": {"panelBankConfig": {"sections": [{"panels": []}]}}})):
        with pytest.raises(WandbApiFailedError, match="invalid view spec"):
            internal.upsert_view2(with_spec(spec))
