"""A job in W&B's terms."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.azure.jobs import job_from
from function_app.data.jobs.description import (
    artifact_name,
    base_model,
    best_of,
    config_changes,
    config_of,
    family_of,
    model_metadata,
    name_of,
    tags_of,
)
from function_app.models import OPENAI, Checkpoint, Job, MetricRow


def a_job(**values: object) -> Job:
    job = Job("ftjob-1", "aoai-ml", "succeeded", "gpt-4o-2024-08-06", 1_747_468_736, "file-1")
    return replace(job, **values)  # type: ignore[arg-type]


def test_the_whole_config_of_a_rich_job() -> None:
    """Runs can be filtered by every value: numbers are numbers, times are UTC, and no structure is a text."""
    as_it_is = {
        "status": "succeeded",
        "model": "gpt-4.1-2025-04-14.ft-70ee3e-chart",
        "fine_tuned_model": "gpt-4.1-2025-04-14.ft-81ab2c-chart",
        "suffix": "chart",
        "seed": 0,
        "training_file": "file-1",
        "validation_file": "file-2",
        "result_files": ["file-9"],
        "trained_tokens": 129_488_088,
        "metadata": {"team": "search"},
    }
    options = {"grader": {"type": "score_model", "model": "gpt-4o"}}
    hyperparameters = {"n_epochs": "3", "batch_size": -1, "learning_rate_multiplier": "0.5"}
    shown = {
        "id": "ftjob-2",
        "object": "fine_tuning.job",
        "created_at": 1_747_468_736,
        "finished_at": 1_747_507_995,
        "method": {"type": "reinforcement", "reinforcement": options | {"hyperparameters": hyperparameters}},
        "hyperparameters": None,
        "trainingType": "GlobalStandard",
        "error": {},
        "integrations": [],
    }
    assert config_of(job_from("aoai-eu", as_it_is | shown, "swedencentral")) == as_it_is | {
        "job_id": "ftjob-2",
        "account": "aoai-eu",
        "region": "swedencentral",
        "base_model": "gpt-4.1-2025-04-14",
        "method": "reinforcement",
        "hyperparameters": {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 0.5},
        "method_options": options,
        "training_type": "GlobalStandard",
        "created_at": "2025-05-17T07:58:56Z",
        "finished_at": "2025-05-17T18:53:15Z",
    }


@given(st.integers(-(10**17), 10**17) | st.floats(0, 1e6).map(lambda value: round(value, 6)))
def test_a_hyperparameter_that_comes_as_text_is_the_number(value: float) -> None:
    [typed] = config_of(a_job(hyperparameters={"h": str(value)}))["hyperparameters"].values()
    assert typed == ("auto" if value == -1 else value)
    assert type(typed) in (type(value), str if value == -1 else type(value))


def test_only_values_that_the_service_changes_overwrite_existing_ones() -> None:
    have = {"status": "running", "suffix": "renamed by hand", "hyperparameters": {"n_epochs": "auto", "batch_size": 2}}
    want = {"status": "succeeded", "suffix": "tickets", "seed": 7, "hyperparameters": {"n_epochs": 3, "batch_size": 8}}
    changes = {"status": "succeeded", "seed": 7, "hyperparameters": {"n_epochs": 3, "batch_size": 2}}
    assert config_changes(have, want) == changes


def test_a_job_that_trains_a_model_further_belongs_to_the_same_family() -> None:
    azure = a_job(model="gpt-4.1-2025-04-14.ft-70ee3e-chart", suffix="chart")
    openai = a_job(model="ft:gpt-4.1-2025-04-14:acme:chart:9aBc", suffix="chart")
    assert family_of(azure) == family_of(openai) == "gpt-4.1-2025-04-14-chart"
    assert base_model(a_job()) == "gpt-4o-2024-08-06"


@given(st.text(max_size=300))
def test_any_text_makes_an_artifact_name(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", artifact_name(text))


def test_openais_own_platform_is_not_an_azure_account() -> None:
    assert "azure/aoai-ml" in tags_of(a_job(), OPENAI)
    assert not any(tag.startswith("azure/") for tag in tags_of(a_job(account=OPENAI), OPENAI))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_the_best_loss_is_the_lowest_the_best_accuracy_the_highest_each_at_its_first_step(values: list[float]) -> None:
    rows = [MetricRow(step, {"valid_loss": v, "mean_token_accuracy": v}) for step, v in enumerate(values)]
    best = best_of(rows)
    assert best["valid_loss"] == {"value": min(values), "step": values.index(min(values))}
    assert best["mean_token_accuracy"] == {"value": max(values), "step": values.index(max(values))}


@pytest.mark.parametrize(
    "name", ["mean_unresponsive_rewards", "scores/graders/python/g/train_reward_mean", "pg_loss_sum"]
)
def test_a_metric_without_a_direction_has_no_best_value(name: str) -> None:
    best = best_of([MetricRow(1, {name: 0.5, "train_mean_reward": 0.25})])
    assert best == {"train_mean_reward": {"value": 0.25, "step": 1}}


def test_the_metadata_of_a_model_does_not_change_while_its_job_continues() -> None:
    job, checkpoint = a_job(fine_tuned_model="m"), Checkpoint("c", 1, 30, "m", {"train_loss": 0.5})
    metadata = model_metadata(job, "m", checkpoint)
    assert metadata == model_metadata(a_job(fine_tuned_model="m", result_files=("file-9",)), "m", checkpoint)
    assert (metadata["final"], metadata["step"], metadata["metrics"]) == (True, 30, {"train_loss": 0.5})


@pytest.mark.parametrize("text", ["x" * 20_000, "\u202e" * 200, "a/b:c " * 60, "<!channel> " * 9])
def test_names_of_any_length_are_names_that_wandb_accepts(text: str) -> None:
    job = a_job(suffix=text, model=text, id="ftjob-" + "1" * 32)
    assert len(name_of(job)) <= 128
    assert name_of(job).endswith(" 111111")
    assert "<!" not in name_of(job)
    assert len(family_of(job)) <= 128
    assert all(1 <= len(tag) <= 64 for tag in tags_of(job, OPENAI))
