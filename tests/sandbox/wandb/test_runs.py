"""Runs, as the real SDK makes, resumes, edits and reads them.

A run id whose `init` was refused stays "in use" in the SDK's service, which lives as long as this process: tests that
provoke a refusal have run ids of their own.
"""

import pytest
import wandb

from .sdk import ENTITY, PROJECT, STRANGER, VIEWER, Sdk, sdk

__all__ = ["sdk"]

LIVE = {"x_update_finish_state": False, "x_primary": False}


def test_a_finished_run_has_its_rows_config_summary_identity_and_files(sdk: Sdk) -> None:
    with sdk.init("job-1", name="first", tags=["a", "b"], notes="n", group="g", job_type="t", config={"lr": 2}) as run:
        run.define_metric("loss", summary="min")
        for step in range(1, 6):
            run.log({"loss": 1 / step, "_timestamp": 1000 + step}, step=step)
        run.summary["status"] = "succeeded"

    stored = sdk.store.run(ENTITY, PROJECT, "job-1")
    assert [row["_step"] for row in stored.history] == [1, 2, 3, 4, 5]
    assert [row["_timestamp"] for row in stored.history] == [1001, 1002, 1003, 1004, 1005]
    assert (stored.name, stored.tags, stored.notes) == ("first", ["a", "b"], "n")
    assert (stored.group, stored.job_type) == ("g", "t")
    assert stored.config == {"lr": 2}
    assert stored.summary["status"] == "succeeded"
    assert stored.summary["loss"] == {"min": 0.2}
    assert [metric["1"] for metric in stored.telemetry["m"]] == ["loss"]
    assert {"config.yaml", "wandb-summary.json"} <= set(stored.files)
    assert sdk.state("job-1") == "finished"


def test_a_run_left_open_is_running_then_crashed_and_a_resume_revives_it(sdk: Sdk) -> None:
    run = sdk.init("job-1", settings=LIVE)
    run.log({"loss": 1}, step=3)
    run.finish()
    states = [sdk.state("job-1")]
    sdk.cloud.clock.advance(300)
    states.append(sdk.state("job-1"))
    sdk.cloud.clock.advance(1)
    states.append(sdk.state("job-1"))

    resumed = sdk.init("job-1", resume="allow", settings=LIVE)
    states.append(sdk.state("job-1"))
    assert resumed.resumed
    assert resumed.starting_step == 4
    resumed.log({"loss": 2}, step=3)  # below the starting step: the SDK drops it
    resumed.log({"loss": 3}, step=8)
    resumed.finish()

    assert states == ["running", "running", "crashed", "running"]
    rows = sdk.store.run(ENTITY, PROJECT, "job-1").history
    assert [(row["_step"], row["loss"]) for row in rows] == [(3, 1), (8, 3)]


def test_a_resumed_session_writes_the_late_summary_back_over_what_people_edited(sdk: Sdk) -> None:
    sdk.store.options.delays.summary = 10
    with sdk.init("job-1") as run:
        run.summary["loss"] = 1
    sdk.cloud.clock.advance(10)
    read = sdk.api().run(f"{ENTITY}/{PROJECT}/job-1")
    read.summary["verdict"] = "good"
    read.update()
    stored = sdk.store.run(ENTITY, PROJECT, "job-1")
    assert stored.summary["verdict"] == "good"

    sdk.init("job-1", resume="allow").finish()
    assert (stored.summary["loss"], "verdict" in stored.summary) == (1, False)


def test_a_deleted_run_cannot_come_back_and_the_sdk_tries_until_its_timeout(sdk: Sdk) -> None:
    sdk.init("deleted").finish()
    sdk.api().run(f"{ENTITY}/{PROJECT}/deleted").delete()
    assert sdk.store.runs(ENTITY, PROJECT) == []

    with pytest.raises(wandb.errors.CommError, match=r"HTTP 409: run .*/deleted was previously created and deleted"):
        sdk.init("deleted", resume="allow", settings={"init_timeout": 1.0})


def test_a_user_without_the_right_to_write_gets_an_error(sdk: Sdk) -> None:
    with pytest.raises(wandb.errors.CommError, match="permission denied"):
        sdk.init("read-only", key=VIEWER)
    with pytest.raises(wandb.errors.CommError, match="entity nobody not found during upsertBucket"):
        sdk.init("nowhere", entity="nobody")
    with pytest.raises(wandb.errors.CommError, match="user is not logged in"):
        sdk.init("stranger", key=STRANGER)
    assert sdk.store.runs(ENTITY, PROJECT) == []
