"""The final model in a registry of W&B: linked once, under its family or a given name, and never in the way of the job."""

from typing import Any

import pytest

from function_app.data.routes import Registry
from function_app.engine.planner import RULE
from function_app.models import Result
from tests.function_app.conftest import JOB, ONE_TEAM, OTHER_JOB, REFUSED, SETTLED, Bench, a_job
from tests.function_app.tracking.wandb.test_models import FAMILY, FIRST, REGISTRY, collection, latest_of, linked


def test_all_models_can_share_a_registry_collection_whose_latest_is_of_the_newest_job(bench: Bench) -> None:
    bench.world(a_job(**FIRST), a_job(id=OTHER_JOB, created="-2d"))
    for job in (OTHER_JOB, JOB):  # the older one is mirrored later
        assert bench.engine(wandb_registry=Registry("model", "support-bot")).sync_job("aoai-ml", job).final
    shelf = linked(bench, "support-bot")
    assert [each.metadata["job"]["job_id"] for each in shelf.versions] == [OTHER_JOB, JOB]
    assert shelf.latest is shelf.versions[0]
    assert [latest_of(bench, family) for family in (FAMILY, "gpt-4o-mini-2024-07-18")] == [JOB, OTHER_JOB]


def test_only_a_succeeded_job_links_a_model_to_the_registry(bench: Bench) -> None:
    bench.world(a_job(**FIRST, outcome={"status": "cancelled", "at_step": 25}))
    asked, _ = bench.counted(lambda: bench.tick(bench.engine(wandb_registry=REGISTRY)))
    assert "LinkArtifact" not in asked


def test_the_final_model_is_linked_once_even_if_the_mark_of_the_link_is_lost(bench: Bench) -> None:
    bench.world(a_job(**FIRST))
    outcome = bench.tick(bench.engine(wandb_registry=REGISTRY))[JOB]
    assert f"linked to registry model/{FAMILY}" in outcome.actions
    bench.mark(rule=None)  # a kill between the link and the mark leaves this state
    asked, _ = bench.counted(lambda: bench.tick(bench.engine(wandb_registry=REGISTRY)))
    assert bench.marks()["rule"] == RULE
    assert asked["FetchLinkedArtifacts"] == 1
    assert "LinkArtifact" not in asked
    assert (linked(bench).versions, linked(bench).portfolio) == (collection(bench).versions[-1:], True)


@pytest.mark.parametrize(
    ("world", "registry", "why"),
    [
        ({}, "prod", "W&B has no registry 'prod'"),
        ({"wandb": ONE_TEAM}, "model", "acme belongs to no organization"),
        ({"faults": [{"op": "LinkArtifact", "do": REFUSED}]}, "model", "may not do this"),
    ],
)
def test_a_registry_that_refuses_is_a_warning(bench: Bench, world: dict[str, Any], registry: str, why: str) -> None:
    bench.world(a_job(**FIRST), **world)
    engine = bench.engine(wandb_registry=Registry(registry))
    outcome = bench.tick(engine)[JOB]
    assert (outcome.result, outcome.final) == (Result.SYNCED, True)
    [warning] = outcome.warnings
    assert warning.startswith(f"The model is not in the registry {registry!r}: ")
    assert why in warning
    assert "WANDB_REGISTRY" in warning
    assert bench.tick(engine, after=SETTLED)[JOB].result is Result.CURRENT


def test_linking_to_an_unreachable_registry_is_retried_by_the_next_tick(bench: Bench) -> None:
    bench.world(a_job(**FIRST), faults=[{"op": "LinkArtifact", "when": {"times": 2}, "do": {"status": 500}}])
    engine = bench.engine(wandb_registry=REGISTRY)
    assert bench.tick(engine)[JOB].result is Result.FAILED
    assert bench.tick(engine)[JOB].final
    assert len(linked(bench).versions) == 1
