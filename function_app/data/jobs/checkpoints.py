"""Which of a job's models is the best, and whether training went on for too long. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from function_app.models import Checkpoint

_GROUNDS: tuple[tuple[str, bool], ...] = (
    ("full_valid_loss", True),
    ("valid_loss", True),
    ("full_valid_mean_reward", False),
    ("valid_mean_reward", False),
    ("full_valid_reward_mean", False),
    ("valid_reward_mean", False),
)
"""The metrics that models are compared by, in order, and whether lower is better. Training rewards are not among them,
because a sample without a grade counts as -1 (recorded). Metrics of DPO jobs are UNVERIFIED: the same ones are tried.
"""

_WORSE_LOSS = 1.2
"""The last loss is clearly worse if it is more than the best one times this factor (Microsoft's fine-tuning skill,
check_training.py).
"""

_WORSE_REWARD = 0.1
"""The last reward is clearly worse if it is lower than the best one by this share of the best one. Our own choice."""


@dataclass(frozen=True)
class BestModel:
    """The best of a job's models.

    Attributes:
        model: its name.
        step: the step that it was made at.
        metric: what the models were compared by.
        value: the value of that metric.
        last_step: the step of the last model.
        last_value: its value; None if it has none.
        lower_is_better: how the metric is compared.
    """

    model: str
    step: int
    metric: str
    value: float
    last_step: int
    last_value: float | None
    lower_is_better: bool

    @property
    def overfitted(self) -> bool:
        """Whether the last model is clearly worse than the best."""
        if self.last_value is None or self.step == self.last_step:
            return False
        if self.lower_is_better:
            return self.last_value > self.value * _WORSE_LOSS
        return self.last_value < self.value - abs(self.value) * _WORSE_REWARD

    @property
    def summary(self) -> dict[str, Any]:
        """The keys for the run's summary."""
        found = {"best_model": self.model, "best_step": self.step, "best_metric": self.metric, "best_value": self.value}
        return {**found, "overfitting": self.text.partition("; ")[2]} if self.overfitted else found

    @property
    def text(self) -> str:
        """Describe the best model and its metric, with a note if the last model is clearly worse."""
        best = f"best model: step {self.step} by {self.metric} {self.value:.4g}"
        if not self.overfitted:
            return best
        return f"{best}; the last one, step {self.last_step}, is clearly worse: {self.last_value:.4g} (overfitting)"


def better_step(best: BestModel, curve: Mapping[str, Mapping[str, float]]) -> int | None:
    """Return the step at which the curve was better than the best model, because the service kept no model of that step.

    Only figures of the whole validation file count: those of a batch vary too much.

    Args:
        best: the best model.
        curve: the best value of each metric and its step (`description.best_of`).
    """
    top = curve.get(best.metric)
    if top is None or not best.metric.startswith("full_"):
        return None
    better = top["value"] < best.value if best.lower_is_better else top["value"] > best.value
    return int(top["step"]) if better and top["step"] != best.step else None


def best_checkpoint(checkpoints: Sequence[Checkpoint]) -> BestModel | None:
    """Return the best of the models that exist; None if no metric compares them.

    All are compared by one metric: the first one that at least two of them have, or that the only one has.
    """
    kept = sorted(checkpoints, key=lambda checkpoint: checkpoint.step)
    enough = min(2, len(kept))
    for metric, lower in _GROUNDS:
        rated = [checkpoint for checkpoint in kept if metric in checkpoint.metrics]
        if not rated or len(rated) < enough:
            continue
        chosen = (min if lower else max)(rated, key=lambda checkpoint: checkpoint.metrics[metric])
        last = kept[-1]
        return BestModel(
            chosen.model, chosen.step, metric, chosen.metrics[metric], last.step, last.metrics.get(metric), lower
        )
    return None
