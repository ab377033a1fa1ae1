"""The dashboard of fine-tuning runs, built with wandb-workspaces from the values that the engine logs.

Names of metrics, config and summary values come from `data/results.py` and `data/description.py`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from wandb_workspaces.expr import Config as ConfigKey
from wandb_workspaces.expr import Ordering
from wandb_workspaces.reports.v2.interface import (
    BarPlot,
    Config,
    LinePlot,
    MarkdownPanel,
    PanelTypes,
    ParallelCoordinatesPlot,
    ParallelCoordinatesPlotColumn,
    ParameterImportancePlot,
    RunComparer,
    ScatterPlot,
    SummaryMetric,
    WeavePanelSummaryTable,
)
from wandb_workspaces.workspaces.interface import RunsetSettings, Section, SectionLayoutSettings, Workspace

NAME = "Fine-tuning"
EDITION = 5
"""Increase this with every change below, so that dashboards that were saved earlier are updated."""

ABOUT = "About this dashboard"

_EDITION = re.compile(r"Edition (\d+)\.")

_LEARNING_RATE = "hyperparameters.learning_rate_multiplier"
_EPOCHS = "hyperparameters.n_epochs"
_BATCH = "hyperparameters.batch_size"
_CHOSEN = (("Learning rate multiplier", _LEARNING_RATE), ("Epochs", _EPOCHS), ("Batch size", _BATCH))
_TRAINING = ("train_loss", "train_mean_reward", "train_reward_mean")
_FINAL = "full_valid_loss"  # over the whole validation file, at the end of an epoch
_EXAMPLES = ("train_data", "valid_data")  # tables of the training files, in runs whose data policy allows them
_BEST = "best.full_valid_loss.value"

COLUMNS = [
    *("run:displayName", "run:state", "summary:status", "config:created_at.value", "config:base_model.value"),
    *("config:method.value", "config:training_type.value"),
    *(f"config:{name.replace('.', '.value.', 1)}" for name in (_LEARNING_RATE, _EPOCHS, _BATCH)),
    *("summary:train_loss", "summary:valid_loss", f"summary:{_FINAL}", "summary:full_valid_mean_reward"),
    *("summary:best_metric", "summary:best_value", "summary:best_step", "summary:better_step", "summary:overfitting"),
    *("summary:billed_tokens", "summary:billed_hours", "summary:cost", "summary:estimated_cost"),
    *("summary:queue_s", "summary:duration_s", "summary:estimated_finish", "config:finished_at.value"),
    *("summary:fine_tuned_model", "config:model_retires_at.value"),
    *("config:base_model_training_ends_at.value", "config:base_model_retires_at.value"),
    *("config:training_file_name.value", "config:validation_file_name.value"),
    *("summary:error_code", "summary:error.message"),
]
"""The columns of the runs table, including the error of a failed job. Names without dots can be sorted by."""

_YOUNGEST_FIRST = Ordering(ConfigKey("created_at.value"), ascending=False)
"""By the creation of the job: W&B's own date is that of the run (`Ordering` does not add `.value`, 0.4.13)."""


def spec_of(entity: str, project: str, page: str) -> dict[str, Any]:
    """Return the whole dashboard of a project as W&B stores it; `page` is the project's address.

    wandb-workspaces gives panels random ids. Ours are always the same, as W&B's app keeps changes of a panel by its id.
    """
    model = workspace(entity, project, page)._to_model()  # noqa: SLF001 - it has no public word for it
    spec: dict[str, Any] = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    for section in sections_of(spec):
        for number, panel in enumerate(section["panels"]):
            panel["__id__"] = hashlib.blake2b(f"{section['name']}/{number}".encode(), digest_size=6).hexdigest()[:11]
    return spec


def sections_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sections of a dashboard."""
    found: list[dict[str, Any]] = spec["section"]["panelBankConfig"]["sections"]
    return found


def workspace(entity: str, project: str, page: str) -> Workspace:
    """Return the whole dashboard of a project; `page` is the project's address."""
    runs = RunsetSettings(pinned_columns=list(COLUMNS), order=[_YOUNGEST_FIRST])
    return Workspace(entity=entity, project=project, name=NAME, sections=sections(page), runset_settings=runs)


def edition_of(saved: Iterable[Any]) -> int | None:
    """Return the edition of a saved dashboard by its sections; None if somebody has removed that line."""
    for section in saved:
        if isinstance(section, dict) and section.get("name") == ABOUT:
            found = _EDITION.search(json.dumps(section.get("panels"), ensure_ascii=False))
            return int(found[1]) if found else None
    return None


def sections(page: str) -> list[Section]:
    """Return the dashboard's sections in order; `page` is the project's address."""
    return [
        _section(ABOUT, [_about(page)], columns=1, rows=1, pinned=True),
        _section("Loss", [_by_step("Training loss", "train_loss"), *_validation("loss", "loss")]),
        _section(
            "Accuracy",
            [
                _by_step("Training token accuracy", "train_mean_token_accuracy", "train_accuracy"),
                *_validation("token accuracy", "mean_token_accuracy"),
            ],
        ),
        _section("Reward (reinforcement)", _rewards(), rows=4),
        _section(
            "When",
            [LinePlot(title="Training loss and reward by date", x="WallTime", y=[*_TRAINING])],
            columns=1,
            rows=1,
        ),
        _section("Cost and time", _cost()),
        _section("Hyperparameters against the final validation loss", _hyperparameters()),
        _section("Hyperparameters together", [_parallel_coordinates()], columns=1, rows=1),
        _section("Failures", _failures()),
        _section("Datasets", _datasets()),
        _section("Examples", [WeavePanelSummaryTable(table_name=name) for name in _EXAMPLES], columns=1),
        _section("Side by side", [RunComparer(diff_only=True)], columns=1, rows=1),
    ]


def _section(
    name: str, panels: Sequence[PanelTypes], *, columns: int = 2, rows: int = 2, pinned: bool = False
) -> Section:
    """Return a section. All of its panels have one size, which W&B derives from the numbers of columns and rows."""
    size = SectionLayoutSettings(columns=columns, rows=rows)
    return Section(name=name, is_open=True, panels=list(panels), layout_settings=size, pinned=pinned)


def _about(page: str) -> MarkdownPanel:
    text = f"""\
**Fine-tuning jobs of Azure OpenAI and OpenAI.** Each run is one job, and its step is the training step. A job in training
is shown as *running* and grows with every sync. `best_step` and `best_value` are of its best checkpoint by validation.

* **Failed and cancelled jobs** are failed runs: `error_code` and `error.message` are columns of the [runs table]({page}/table).
* **Datasets and models** are [artifacts]({page}/artifacts): each file is stored once and used by every run that trained on it.

`python -m function_app dashboard` saved this dashboard and updates these sections. Sections that you add are kept.

Edition {EDITION}.
"""
    return MarkdownPanel(markdown=text)


def _by_step(title: str, *metrics: str) -> LinePlot:
    return LinePlot(title=title, x="Step", y=list(metrics), max_runs_to_show=20)


def _validation(what: str, metric: str) -> list[LinePlot]:
    return [
        _by_step(f"Validation {what}, live", f"valid_{metric}"),
        _by_step(f"Validation {what}, whole file", f"full_valid_{metric}"),
    ]


def _matching(title: str, *patterns: str) -> LinePlot:
    """Return a panel of all metrics whose whole name matches one of the patterns."""
    return LinePlot(title=title, x="Step", metric_regex=f"^({'|'.join(patterns)})$", max_runs_to_show=20)


def _hyperparameters() -> list[PanelTypes]:
    scatters = [
        ScatterPlot(title=title, x=Config(name), y=SummaryMetric(_FINAL), regression=True) for title, name in _CHOSEN
    ]
    return [*scatters, ParameterImportancePlot(with_respect_to=_FINAL)]


def _parallel_coordinates() -> ParallelCoordinatesPlot:
    columns = [
        ParallelCoordinatesPlotColumn(metric=Config("base_model"), display_name="Base model"),
        *(ParallelCoordinatesPlotColumn(metric=Config(name), display_name=title) for title, name in _CHOSEN),
        ParallelCoordinatesPlotColumn(metric=SummaryMetric(_BEST), display_name="Best validation loss"),
        ParallelCoordinatesPlotColumn(metric=SummaryMetric(_FINAL), display_name="Final validation loss"),
    ]
    return ParallelCoordinatesPlot(title="All of them", columns=columns)


def _rewards() -> list[PanelTypes]:
    """Return panels of both families of names, OpenAI's and Azure's. Names with graders and tools are matched by patterns."""
    validation = ("valid_mean_reward", "valid_reward_mean", "full_valid_mean_reward", "full_valid_reward_mean")
    durations = ("sampling_duration", "training_duration", "eval_duration", "total_duration")
    return [
        _by_step("Training reward", "train_mean_reward", "train_reward_mean"),
        _by_step("Validation reward", *validation),
        _matching("Reward by grader", "scores/graders/.+"),
        _matching("Errors of graders", "errors/graders/.+_mean", ".*parse_error_mean", "mean_unresponsive_rewards"),
        _matching("Tokens", "(usage/samples/)?((train|valid)_)?(reasoning|completion)_tokens_mean"),
        _matching("Tokens of model graders", "model_graders_token_usage/.+", "usage/graders/.+_mean"),
        _matching("Seconds of a step", *durations, "timing/step/.+"),
        _matching("Tools", "(train|valid)_(tool_calls_to|token_usage_mean|latency|error_count)_.+"),
    ]


def _cost() -> list[PanelTypes]:
    by_model = [("Cost", "cost"), ("Tokens billed", "billed_tokens"), ("Hours billed", "billed_hours")]
    bars = [
        BarPlot(title=f"{title} by base model", metrics=[name], groupby=Config("base_model"), groupby_aggfunc="sum")
        for title, name in by_model
    ]
    queued = BarPlot(
        title="Seconds in the queue", metrics=["queue_s"], groupby=Config("training_type"), groupby_aggfunc="mean"
    )
    return [*bars, queued]


def _failures() -> list[PanelTypes]:
    """Return charts of the time that jobs took. The reason of a failure is in the job's row."""
    return [
        _seconds("Seconds of jobs, by how they ended", "status"),
        _seconds("Seconds of jobs, by error", "error.code"),
    ]


def _seconds(title: str, by: str) -> BarPlot:
    return BarPlot(title=title, metrics=["duration_s"], groupby=Config(by), groupby_aggfunc="sum")


def _datasets() -> list[PanelTypes]:
    return [
        BarPlot(
            title="Final validation loss by training file",
            metrics=[_FINAL],
            groupby=Config("training_file"),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        ),
        ScatterPlot(title="Tokens trained", x=SummaryMetric("trained_tokens"), y=SummaryMetric(_FINAL), log_x=True),
    ]
