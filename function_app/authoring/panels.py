"""The dashboard of fine-tuning runs, built with wandb-workspaces from the values that the engine logs.

Names of metrics, config and summary values come from `data/results.py` and `data/description.py`.
"""

import re

from wandb_workspaces.reports.v2.interface import (
    BarPlot,
    Config,
    Layout,
    LinePlot,
    MarkdownPanel,
    PanelTypes,
    ParallelCoordinatesPlot,
    ParallelCoordinatesPlotColumn,
    ParameterImportancePlot,
    RunComparer,
    ScatterPlot,
    SummaryMetric,
)
from wandb_workspaces.workspaces.interface import RunsetSettings, Section, Workspace

NAME = "Fine-tuning"
EDITION = 3
"""Increase this with every change below, so that dashboards that were saved earlier are updated."""

ABOUT = "About this dashboard"

_EDITION = re.compile(r"Edition (\d+)\.")

_LEARNING_RATE = "hyperparameters.learning_rate_multiplier"
_EPOCHS = "hyperparameters.n_epochs"
_BATCH = "hyperparameters.batch_size"
_FINAL = "full_valid_loss"  # over the whole validation file, at the end of an epoch
_BEST = "best.full_valid_loss.value"

COLUMNS = [
    *("run:displayName", "run:state", "summary:status", "config:base_model.value", "config:method.value"),
    *(f"config:{name.replace('.', '.value.', 1)}" for name in (_LEARNING_RATE, _EPOCHS, _BATCH)),
    *("summary:train_loss", "summary:valid_loss", f"summary:{_FINAL}", f"summary:{_BEST}"),
    *("summary:trained_tokens", "summary:duration_s", "summary:fine_tuned_model"),
    *("summary:error.code", "summary:error.message"),
]
"""The columns of the runs table, including the error of a failed job."""


def workspace(entity: str, project: str, page: str) -> Workspace:
    """Return the whole dashboard of a project; `page` is the project's address."""
    runs = RunsetSettings(pinned_columns=list(COLUMNS))
    return Workspace(entity=entity, project=project, name=NAME, sections=sections(page), runset_settings=runs)


def edition_of(saved: Workspace) -> int | None:
    """Return the edition of a saved dashboard; None if somebody has removed that line."""
    for section in saved.sections:
        for panel in section.panels if section.name == ABOUT else ():
            if isinstance(panel, MarkdownPanel) and (found := _EDITION.search(panel.markdown)):
                return int(found[1])
    return None


def sections_of(page: str, saved: Workspace) -> list[Section]:
    """Return this edition's sections, then those of a saved dashboard with other names, from people or an earlier edition."""
    ours = sections(page)
    names = {section.name for section in ours}
    return [*ours, *(section for section in saved.sections if section.name not in names)]


def sections(page: str) -> list[Section]:
    """Return the dashboard's sections in order; `page` is the project's address."""
    return [
        Section(name=ABOUT, is_open=True, panels=[_about(page)]),
        _section("Loss", [_by_step("Training loss", "train_loss"), *_validation("loss", "loss")]),
        _section(
            "Accuracy",
            [
                _by_step("Training token accuracy", "train_mean_token_accuracy", "train_accuracy"),
                *_validation("token accuracy", "mean_token_accuracy"),
            ],
        ),
        _section(
            "Reward (reinforcement)",
            [
                _by_step("Reward", "train_reward_mean", "train_mean_reward", "valid_reward_mean", "valid_mean_reward"),
                _by_step("Reasoning tokens", "train_reasoning_tokens_mean", "valid_reasoning_tokens_mean"),
            ],
        ),
        _section("Hyperparameters against the final validation loss", _hyperparameters()),
        _section("Failures", _failures()),
        _section("Datasets", _datasets()),
        _section("Side by side", [RunComparer(diff_only=True, layout=Layout(w=24, h=12))]),
    ]


def _section(name: str, panels: list[PanelTypes]) -> Section:
    return Section(name=name, is_open=True, panels=panels)


def _about(page: str) -> MarkdownPanel:
    text = f"""\
**Fine-tuning jobs of Azure OpenAI and OpenAI.** Each run is one job, and its step is the training step. A job in training
is shown as *running* and grows with every sync. `best.*` in the summary is the best value and its step.

* **Failed and cancelled jobs** are failed runs: `error.code` and `error.message` are columns of the [runs table]({page}/table).
* **Datasets and models** are [artifacts]({page}/artifacts): each file is stored once and used by every run that trained on it.

`python -m function_app dashboard` saved this dashboard and updates these sections. Sections that you add are kept.

Edition {EDITION}.
"""
    return MarkdownPanel(markdown=text, layout=Layout(w=24, h=6))


def _by_step(title: str, *metrics: str) -> LinePlot:
    return LinePlot(title=title, x="Step", y=list(metrics), max_runs_to_show=20)


def _validation(what: str, metric: str) -> list[LinePlot]:
    return [
        _by_step(f"Validation {what}, live", f"valid_{metric}"),
        _by_step(f"Validation {what}, whole file", f"full_valid_{metric}"),
    ]


def _hyperparameters() -> list[PanelTypes]:
    chosen = [("Learning rate multiplier", _LEARNING_RATE), ("Epochs", _EPOCHS), ("Batch size", _BATCH)]
    scatters = [
        ScatterPlot(title=title, x=Config(name), y=SummaryMetric(_FINAL), regression=True) for title, name in chosen
    ]
    columns = [
        ParallelCoordinatesPlotColumn(metric=Config("base_model"), display_name="Base model"),
        *(ParallelCoordinatesPlotColumn(metric=Config(name), display_name=title) for title, name in chosen),
        ParallelCoordinatesPlotColumn(metric=SummaryMetric(_BEST), display_name="Best validation loss"),
        ParallelCoordinatesPlotColumn(metric=SummaryMetric(_FINAL), display_name="Final validation loss"),
    ]
    together = ParallelCoordinatesPlot(title="All of them", columns=columns, layout=Layout(w=16, h=8))
    return [*scatters, together, ParameterImportancePlot(with_respect_to=_FINAL)]


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
