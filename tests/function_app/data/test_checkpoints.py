"""The best of a job's models, by one metric for all of them."""

import pytest

from function_app.data.jobs.checkpoints import BestModel, best_checkpoint
from function_app.models import Checkpoint


def kept(*metrics: dict[str, float]) -> list[Checkpoint]:
    return [Checkpoint(f"c{n}", n, n * 10, f"m:ckpt-step-{n * 10}", each) for n, each in enumerate(metrics, start=1)]


def best(*metrics: dict[str, float]) -> BestModel:
    found = best_checkpoint(list(reversed(kept(*metrics))))
    assert found is not None
    return found


def test_full_validation_loss_takes_precedence_over_validation_loss_and_that_over_reward() -> None:
    both = {"full_valid_loss": 0.5, "valid_loss": 0.1}
    first = best({**both, "full_valid_loss": 0.4}, both)
    assert (first.step, first.metric) == (10, "full_valid_loss")
    one = best({"valid_loss": 0.9, "full_valid_loss": 0.1}, {"valid_loss": 0.3}, {"valid_loss": 0.4})
    assert (one.metric, one.step, one.value) == ("valid_loss", 20, 0.3)  # only one has the other


def test_the_best_reward_is_the_highest_and_the_last_model_may_have_none() -> None:
    """Recorded: steps 55, 60 and 64 of a reinforcement job, the last without a validation reward."""
    recorded = best(
        {"full_valid_mean_reward": 0.917, "train_mean_reward": 0.804},
        {"full_valid_mean_reward": 0.92, "train_mean_reward": 0.913},
        {"train_mean_reward": 0.9},
    )
    assert (recorded.step, recorded.last_step, recorded.last_value) == (20, 30, None)
    assert recorded.text == "best model: step 20 by full_valid_mean_reward 0.92"


@pytest.mark.parametrize("nothing", [[], [{"train_loss": 0.357}, {"train_loss": 0.48}], [{"train_mean_reward": 1.0}]])
def test_without_validation_no_model_is_the_best(nothing: list[dict[str, float]]) -> None:
    assert best_checkpoint(kept(*nothing)) is None


@pytest.mark.parametrize(
    ("metric", "values", "overfitted"),
    [
        ("full_valid_loss", (0.99, 0.997), False),
        ("full_valid_loss", (0.5, 0.61), True),
        ("full_valid_loss", (0.5, 0.4), False),
        ("full_valid_mean_reward", (0.9, 0.7), True),
        ("full_valid_mean_reward", (-0.5, -0.6), True),
        ("full_valid_mean_reward", (0.9, 0.89), False),
    ],
)
def test_a_clearly_worse_last_model_is_overfit(metric: str, values: tuple[float, float], overfitted: bool) -> None:
    found = best(*({metric: value} for value in values))
    assert found.overfitted is overfitted
    if overfitted:
        assert f"{values[-1]:.4g} (overfitting)" in found.text
