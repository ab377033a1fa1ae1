"""Models in W&B: versions, the lineage between jobs, and the registry, against the sandbox."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
import wandb

from evidence.processes import Processes
from function_app.data.routes import Registry
from function_app.models import DatasetPolicy, Result
from sandbox.runtime.faults import Gate
from sandbox.wandb.artifacts import Collection
from tests.function_app.conftest import (
    ENTITY,
    FILE,
    JOB,
    KEY,
    OTHER_JOB,
    PATIENCE,
    PROJECT,
    THIRD_JOB,
    Bench,
    a_file,
    a_job,
    refuses,
    syncing,
)

FAMILY = "gpt-4o-mini-2024-07-18-tickets"
TICKETS: dict[str, Any] = {"suffix": "tickets", "hyperparameters": {"n_epochs": 3}}
FIRST = {"id": JOB, "created": "-4d", **TICKETS}
MODEL = f"gpt-4o-mini-2024-07-18.ft-{JOB.removeprefix('ftjob-')}-tickets"
REGISTRY = Registry("model")


def collection(bench: Bench, name: str = FAMILY) -> Collection:
    return bench.store.collection(ENTITY, PROJECT, name)


def linked(bench: Bench, name: str = FAMILY, registry: str = "model") -> Collection:
    """A collection of the organization's registry."""
    return bench.store.collection("acme-org", f"wandb-registry-{registry}", name)


def test_a_models_file_and_metadata_describe_the_model_and_its_training(bench: Bench) -> None:
    bench.mirrored(a_job(**FIRST))
    first, second, final = collection(bench).versions
    assert [list(each.entries) for each in (first, second, final)] == [["model_metadata.json"]] * 3
    assert [each.metadata["step"] for each in (first, second, final)] == [10, 20, 30]
    assert [each.metadata["final"] for each in (first, second, final)] == [False, False, True]
    assert first.metadata["fine_tuned_model"] == f"{MODEL}:ckpt-step-10"
    assert final.metadata["fine_tuned_model"] == bench.run().config["fine_tuned_model"] == MODEL
    job = final.metadata["job"]
    assert (job["hyperparameters"]["n_epochs"], job["suffix"]) == (3, "tickets")
    assert job["trained_tokens"] == bench.run().config["trained_tokens"]
    assert bench.run().logged == [first, second, final]


def test_programs_get_a_model_as_the_guide_says(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/wandb.md, Use a model. The runs of a file are found by its name."""
    for each in ("DIR", "CACHE_DIR", "ARTIFACT_DIR", "DATA_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{each}", str(tmp_path))
    bench.mirrored(a_job(**FIRST))
    quiet = wandb.Settings(api_key=KEY, console="off", silent=True, disable_git=True, x_disable_meta=True)
    with wandb.init(entity=ENTITY, project=PROJECT, id="reader", settings=quiet) as run:
        for version in (JOB, "latest", "v2"):
            artifact = run.use_artifact(f"{ENTITY}/{PROJECT}/{FAMILY}:{version}")
            model = json.loads(Path(artifact.get_entry("model_metadata.json").download()).read_text())
            assert (model["fine_tuned_model"], model["final"], model["step"]) == (MODEL, True, 30)
            assert {"checkpoint", "metrics"} < model.keys()
            job = {"job_id": JOB, "base_model": "gpt-4o-mini-2024-07-18", "training_file": FILE}
            assert model["job"].items() >= job.items()
    found = wandb.Api(api_key=KEY).runs(f"{ENTITY}/{PROJECT}", {"config.training_file_name": "train.jsonl"})
    assert [each.id for each in found] == [JOB]


def best(bench: Bench) -> list[bool]:
    """Whether each version of the models is marked as the best."""
    return [f"{JOB}-best" in names for names in bench.aliases(FAMILY).values()]


def curves(points: dict[int, float]) -> dict[str, Any]:
    """Curves of a job with these losses at the ends of its epochs."""
    return {"train_loss": {"end": 0.1}, "full_valid_loss": {"points": points, "every": "epoch"}}


OVERFITTING = curves({10: 0.5, 20: 0.25, 30: 0.5})


def test_the_best_model_has_an_alias_its_step_and_a_note_if_the_last_is_clearly_worse(bench: Bench) -> None:
    outcome = bench.mirrored(a_job(**FIRST, metrics=OVERFITTING))[JOB]
    versions = collection(bench).versions
    assert [each.history_step for each in versions] == [11, 21, 31]  # one after the step whose metrics belong to it
    assert best(bench) == [False, True, False]
    summary = bench.run().summary
    assert (summary["best_model"], summary["best_step"]) == (f"{MODEL}:ckpt-step-20", 20)
    assert (summary["best_metric"], summary["best_value"]) == ("full_valid_loss", 0.25)
    assert summary["overfitting"] == "the last one, step 30, is clearly worse: 0.5 (overfitting)"
    assert "best model: step 20 by full_valid_loss 0.25" in "; ".join(outcome.actions)


def test_a_pause_logs_the_models_so_far_and_the_alias_of_the_best_moves_to_better_ones(bench: Bench) -> None:
    course = {"timeline": {"steps": 30, "seconds_per_step": 5}, "pauses": [{"at_step": 20, "lasts": "10m"}]}
    bench.world(a_job(**FIRST | {"created": "-7m"}, metrics=curves({10: 0.3, 20: 0.4, 30: 0.2}), **course))
    assert bench.tick()[JOB].status == "paused"
    assert best(bench) == [True, False]
    assert bench.tick(after=3600)[JOB].final
    assert best(bench) == [False, False, True]


def test_a_step_that_was_better_than_all_models_that_the_service_kept_is_reported(bench: Bench) -> None:
    """Azure keeps the last three of four epochs."""
    job = FIRST | {"hyperparameters": {"n_epochs": 4}, "timeline": {"steps": 40}}
    losses = curves({10: 0.2, 20: 0.5, 30: 0.4, 40: 0.45})
    actions = bench.mirrored(a_job(**job, metrics=losses))[JOB].actions
    assert (bench.run().summary["best_step"], bench.run().summary["better_step"]) == (30, 10)
    assert "step 10 was better, but the service kept no model of it" in actions


def test_an_alias_of_the_best_on_another_version_of_the_job_is_moved(bench: Bench) -> None:
    """A kill before the last checkpoint was rated leaves this state. Another job has another alias."""
    bench.mirrored(a_job(**FIRST, metrics=OVERFITTING))
    found = collection(bench)
    found.point([f"{JOB}-best"], found.versions[2])
    bench.mark(rule=None)
    bench.tick()
    assert best(bench) == [False, True, False]


@pytest.mark.parametrize("version", ["auto", "v1"])
def test_the_dates_on_which_a_model_and_its_base_end_are_in_config_and_versions(bench: Bench, version: str) -> None:
    """They differ: fine-tuned models run longer (Microsoft, retirement schedule). v1 has neither (UNVERIFIED)."""
    model, base = "2027-10-14T00:00:00Z", "2027-04-01T00:00:00Z"
    job = a_job(**FIRST, retires=model)
    ends = {"gpt-4o-mini-2024-07-18": base}
    held = {"name": "aoai-ml", "group": "rg-ml", "jobs": [job], "files": [a_file()], "training_ends": ends}
    bench.world(accounts=[held])
    bench.tick(bench.engine(azure_openai_api_version=version))
    dates = {"model_retires_at": model, "base_model_retires_at": base, "base_model_training_ends_at": base}
    expected = dates if version == "auto" else {}
    for told in (bench.run().config, *(each.metadata for each in collection(bench).versions)):
        assert {name: told[name] for name in dates if name in told} == expected


def test_models_that_the_teams_lifetime_of_artifacts_deletes_are_reported_once(bench: Bench) -> None:
    bench.world(a_job(**FIRST))
    bench.store.options.artifact_lifetime = 30 * 86_400
    [warning] = bench.tick()[JOB].warnings
    assert "deletes the job's models in this project after 30 days" in warning
    bench.mark(rule=None)
    assert bench.tick()[JOB].warnings == ()


@pytest.mark.parametrize("status", [404, 500])
def test_an_unknown_retirement_date_is_not_an_error(bench: Bench, status: int) -> None:
    refused = {"op": "Models_Get", "do": refuses(status, "x", headers={"retry-after-ms": "1"})}
    outcome = bench.mirrored(a_job(**FIRST, retires="1h"), faults=[refused])[JOB]
    assert (outcome.final, outcome.warnings) == (True, ())
    assert "model_retires_at" not in bench.run().config


@pytest.mark.parametrize(("model", "order"), [(MODEL, (OTHER_JOB, JOB)), (f"{MODEL}:ckpt-step-20", (JOB, OTHER_JOB))])
def test_a_job_that_trains_a_model_further_has_it_as_input(bench: Bench, model: str, order: tuple[str, str]) -> None:
    bench.world(a_job(**FIRST), a_job(id=OTHER_JOB, model=model, suffix="more"))
    for job in order:
        assert bench.engine().sync_job("aoai-ml", job).final
    [version] = [each for each in collection(bench).versions if each.metadata["fine_tuned_model"] == model]
    assert [each for each in bench.run(OTHER_JOB).used if each.type == "model"] == [version]
    assert [each for each in bench.run().used if each.type == "model"] == []
    assert version.created_by is bench.run()
    assert bench.run(OTHER_JOB).config["base_model"] == "gpt-4o-mini-2024-07-18"


def test_a_previous_model_that_the_project_does_not_have_is_not_an_error(bench: Bench) -> None:
    outcome = bench.mirrored(a_job(model=MODEL.replace("1" * 32, "9" * 32)))[JOB]
    assert (outcome.result, outcome.final, outcome.warnings) == (Result.SYNCED, True, ())
    assert [each.type for each in bench.run().used] == ["dataset"]


def test_a_newer_job_that_ends_in_the_meantime_has_latest_without_an_additional_request(bench: Bench) -> None:
    """When the older job's run was opened there was no younger model; W&B then gives `latest` to what comes last."""
    bench.world(a_job(**FIRST), a_job(id=OTHER_JOB, **TICKETS | {"created": "-2d"}))
    older, younger = bench.engine(sync_datasets=DatasetPolicy.OFF), bench.engine(sync_datasets=DatasetPolicy.OFF)
    gate = bench.cloud.world.gate = Gate("CommitArtifact")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(older.sync_job, "aoai-ml", JOB)
        assert gate.reached.wait(timeout=PATIENCE)
        assert younger.sync_job("aoai-ml", OTHER_JOB).final
        gate.opened.set()
        assert slow.result(timeout=PATIENCE).final
    assert latest_of(bench) == OTHER_JOB
    assert collection(bench).versions[-1].metadata["job"]["job_id"] == JOB
    [moved] = [each for each in bench.cloud.world.trace.exchanges if each.operation == "AddAliases"]
    assert "upsertBucket" in json.dumps(moved.as_json()["request"])  # in the same request as the last write to the run


def test_latest_stays_on_a_newer_model_that_was_logged_in_the_meantime(bench: Bench, processes: Processes) -> None:
    """The first process sees that the second's model is the newest, and writes that after the third has a newer one."""
    ages = {JOB: "-4d", OTHER_JOB: "-2d", THIRD_JOB: "-1d"}
    bench.world(*(a_job(id=job, **TICKETS | {"created": created}) for job, created in ages.items()))
    gate = bench.cloud.world.gate = Gate("CommitArtifact")
    slow = syncing(bench.cloud, processes, "--job", JOB, SYNC_DATASETS="off")
    assert gate.reached.wait(timeout=PATIENCE)
    engine = bench.engine(sync_datasets=DatasetPolicy.OFF)
    assert engine.sync_job("aoai-ml", OTHER_JOB).final
    moving = bench.cloud.world.gate = Gate("AddAliases")
    gate.opened.set()
    assert moving.reached.wait(timeout=PATIENCE)
    assert engine.sync_job("aoai-ml", THIRD_JOB).final
    moving.opened.set()
    assert slow.wait(PATIENCE) == 0
    assert latest_of(bench) == THIRD_JOB


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
def test_of_many_versions_only_new_ones_are_listed_and_deleted_ones_are_not_given_latest(
    bench: Bench, order: Literal["newest first", "oldest first"]
) -> None:
    """Nobody has documented the order of the list. If the oldest come first, all must be read each time."""
    ages = {OTHER_JOB: "-2d", THIRD_JOB: "-3d", JOB: "-4d"}
    bench.world(*(a_job(id=job, **TICKETS | {"created": created}) for job, created in ages.items()))
    bench.store.options.versions = order
    for _ in range(250):
        bench.forged(FAMILY, "model", run=None)
    engine = bench.engine(sync_datasets=DatasetPolicy.OFF)
    asked, _ = bench.counted(lambda: [engine.sync_job("aoai-ml", job) for job in (OTHER_JOB, THIRD_JOB)])
    assert order == "oldest first" or asked["ProjectArtifacts"] <= 4  # three pages, and one more to begin again
    assert latest_of(bench) == OTHER_JOB
    for version in bench.run(OTHER_JOB).logged:
        bench.store.delete_artifact(version)
    assert engine.sync_job("aoai-ml", JOB).final
    assert latest_of(bench) == THIRD_JOB


def latest_of(bench: Bench, name: str = FAMILY) -> str:
    """The job whose model has `latest`."""
    latest = collection(bench, name).latest
    assert latest is not None
    return str(latest.metadata["job"]["job_id"])


def test_a_model_that_another_run_made_is_never_used_as_the_jobs_own(bench: Bench) -> None:
    """It has the job's alias and metadata. Neither `latest` nor the registry follows it, and no run has it as input."""
    bench.world(a_job(**FIRST), a_job(id=OTHER_JOB, model=MODEL, suffix="more"))
    job = {"job_id": JOB, "fine_tuned_model": MODEL}
    theirs = bench.forged(FAMILY, "model", JOB, fine_tuned_model=MODEL, job_created_at="9999-01-01", job=job)
    engine = bench.engine(wandb_registry=REGISTRY)
    assert all(outcome.final for outcome in bench.tick(engine).values())
    own = collection(bench).versions[1:]
    assert [each.metadata["step"] for each in own] == [10, 20, 30]
    assert collection(bench).latest is own[-1]
    assert collection(bench).aliases_of(theirs) == []
    assert linked(bench).versions == [own[-1]]
    assert [each for each in bench.run(OTHER_JOB).used if each.type == "model"] == [own[-1]]


@pytest.mark.parametrize("run", ["ftjob-" + "9" * 32, f"{JOB}-2"])
def test_a_run_of_another_member_that_is_named_like_a_job_makes_no_model_of_the_job(bench: Bench, run: str) -> None:
    """The run is named like a job that does not exist, or like the replacement of this job's run."""
    bench.world(a_job(**FIRST))
    named = JOB if run.startswith(JOB) else run
    job = {"job_id": named, "fine_tuned_model": MODEL}
    values: dict[str, Any] = {"fine_tuned_model": MODEL, "job_created_at": "9999-01-01", "job": job}
    theirs = bench.forged(FAMILY, "model", named, f"{JOB}-best", run=run, user="vera", **values)
    assert bench.tick()[JOB].final
    found = collection(bench)
    assert set(found.aliases_of(theirs)).isdisjoint({JOB, "latest", f"{JOB}-best"})
    assert found.latest is found.versions[-1]
    assert [each.metadata["step"] for each in found.versions[1:]] == [10, 20, 30]


def test_a_model_with_the_same_content_that_another_member_logged_first_gets_our_metadata(bench: Bench) -> None:
    """W&B answers the known version and keeps its metadata and its maker."""
    bench.mirrored(a_job(**FIRST))
    found = collection(bench)
    theirs = found.versions[-1]
    theirs.created_by = bench.made_by("vera", "theirs")
    theirs.metadata = {"fine_tuned_model": "theirs", "job_created_at": "1999-01-01"}
    bench.mark(rule=None)
    assert bench.tick(bench.engine(wandb_registry=REGISTRY))[JOB].final
    assert theirs.metadata["fine_tuned_model"] == MODEL
    assert (found.latest, linked(bench).versions) == (theirs, [theirs])


@pytest.mark.parametrize("versions", [0, 1])
def test_a_name_in_use_for_another_type_is_replaced_by_a_substitute(bench: Bench, versions: int) -> None:
    bench.world(a_job(**FIRST))
    project = bench.store.add_project(ENTITY, PROJECT)
    for taken in (FAMILY, FILE):
        if versions:
            bench.forged(taken, "theirs", run=None, user="vera")
        bench.store.add_collection(project, taken, "theirs")
    bench.store.add_collection(project, f"{FAMILY}.2", "model", portfolio=True)  # takes links, but no versions
    shelf = bench.store.add_project("acme-org", "wandb-registry-model")
    bench.store.add_collection(shelf, FAMILY, "theirs", portfolio=True)
    engine = bench.engine(wandb_registry=REGISTRY)
    outcome = bench.tick(engine)[JOB]
    assert (outcome.final, outcome.result) == (True, Result.SYNCED)
    assert len(collection(bench, f"{FAMILY}.3").versions) == 3
    assert bench.run().used == collection(bench, f"{FILE}.2").versions
    assert linked(bench, f"{FAMILY}.2").versions == collection(bench, f"{FAMILY}.3").versions[-1:]
    assert len(outcome.warnings) == 3
    assert all(f"instead of {name!r}" in " ".join(outcome.warnings) for name in (FAMILY, FILE))
    bench.mark(rule=None)
    assert bench.tick(engine)[JOB].final
    assert len(collection(bench, f"{FAMILY}.3").versions) == 3
    assert len(collection(bench, f"{FILE}.2").versions) == 1
