"""Our side of the comparison with WandbLogger is right in every row. The benchmark itself runs WandbLogger's side."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb.sdk.lib import wbauth

from benchmarks.caller import perform
from benchmarks.checks import SyncedWorld
from benchmarks.rows import KEY, ROWS, Row
from tests.conftest import Load, start_wandb_core
from tests.conftest import Run as Command

PLAIN = next(row for row in ROWS if row.name == "results as plain CSV")


@pytest.fixture
def ours(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Row], SyncedWorld]:
    """Runs our side of a row in this process."""

    def ours(row: Row) -> SyncedWorld:
        cloud = load(row.scenario)
        start_wandb_core()
        environment = {"WANDB_API_KEY": KEY, "WANDB_SILENT": "true"}
        for name, value in (environment | row.environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)  # where a run of the user's own has its files
        wbauth.unauthenticate_session()
        perform("ours", row.plan)
        return SyncedWorld(cloud.world)

    return ours


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=() if number % 6 == 0 else pytest.mark.slow) for number, row in enumerate(ROWS)],
    ids=lambda row: row.name,
)
def test_ours_is_right(row: Row, ours: Callable[[Row], SyncedWorld]) -> None:
    assert row.wrong(ours(row)) == []


def test_without_a_sync_every_row_is_wrong(load: Load) -> None:
    """No row passes because there is nothing to compare."""
    assert [row.name for row in ROWS if not row.wrong(SyncedWorld(load(row.scenario).world))] == []


def test_a_mangled_run_is_noticed(ours: Callable[[Row], SyncedWorld]) -> None:
    synced = ours(PLAIN)
    assert synced.faithful() == []
    run = synced.runs[0]
    whole = [*run.history_lines]
    other_value = json.dumps({**run.history[3], "train_loss": 99.0})
    for mangled in ([*whole, whole[-1]], [*whole[:3], other_value, *whole[4:]]):
        run.history_lines[:] = mangled
        assert len(synced.faithful()) == 1
    run.history_lines[:] = whole
    run.start(run.heartbeat_at)
    assert len(synced.faithful()) == 1, "open again"


def test_a_wrong_row_is_exit_status_1(run: Command) -> None:
    wrong = run("benchmarks.incumbent", "--ours-only", "--row", "plain CSV", "--limit", "0.01")
    assert wrong.returncode == 1
    assert "WRONG  still waiting after" in wrong.stdout
    assert wrong.stdout.splitlines()[-1].startswith("function_app.sync is right in 0 of 1 rows (")
