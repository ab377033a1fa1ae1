"""Saved views of the stand-in, as wandb-workspaces sees them."""

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


def test_a_saved_view_can_be_loaded_and_saving_it_again_replaces_it(project: Cloud) -> None:
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


def test_a_view_only_member_cannot_save_a_view(project: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", VIEWER_KEY)
    with pytest.raises(WandbApiFailedError, match="permission denied"):
        a_workspace().save()  # type: ignore[no-untyped-call] # as above
