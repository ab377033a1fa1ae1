"""Figures have one name, whichever form they come in. Recorded values are of OpenAI's guide and Azure's results files."""

from collections.abc import Mapping

import pytest

from function_app.data.jobs.metrics import flat, time_in, values_of
from function_app.data.jobs.results import parse_results, rows_from_events, with_events
from function_app.models import Event, MetricRow

GRADER: dict[str, object] = {"name": "basic_model_grader", "type": "score_model"}
RECORDED = {
    "step": 10,
    "total_steps": 20,
    "train_mean_reward": 0.4215686274509804,
    "scores": {
        "graders": [GRADER | {"train_reward_mean": 0.4471057884231537}],
        "train_reward_mean": 0.4215686274509804,
    },
    "errors": {"graders": [GRADER | {"train_other_error_count": 0.0}]},
    "usage": {
        "graders": [GRADER | {"model": "gpt-4o", "train_prompt_tokens_count": 120741.0}],
        "samples": {"train_reasoning_tokens_mean": 3330.017964071856},
    },
    "timing": {
        "step": {"full_iteration": 731.5038568973541},
        "graders": [{"name": "", "type": "python", "train_execution_latency_mean": 2.6894934929297594}],
    },
    "model_graders_token_usage": {"gpt-4o-2024-08-06": {"train_prompt_tokens": 120741, "eval_cached_tokens": 0}},
}
"""The event of OpenAI's guide, shortened."""


def event(data: Mapping[str, object], at: int = 5) -> Event:
    return Event(f"e{at}", at, "?", type="metrics", data=data)


def test_nested_figures_of_an_event_have_the_names_of_the_results_file() -> None:
    [row] = rows_from_events([event(RECORDED)])
    assert row.step == 10
    assert dict(row.values) == {
        "train_mean_reward": 0.4215686274509804,
        "scores/graders/score_model/basic_model_grader/train_reward_mean": 0.4471057884231537,
        "scores/train_reward_mean": 0.4215686274509804,
        "errors/graders/score_model/basic_model_grader/errors/train_other_error_count": 0.0,
        "usage/graders/score_model/basic_model_grader/train_prompt_tokens_count": 120741.0,
        "usage/samples/train_reasoning_tokens_mean": 3330.017964071856,
        "timing/step/full_iteration": 731.5038568973541,
        "timing/graders/python/grader-1/timing/train_execution_latency_mean": 2.6894934929297594,
        "model_graders_token_usage/gpt-4o-2024-08-06/train_prompt_tokens": 120741.0,
        "model_graders_token_usage/gpt-4o-2024-08-06/eval_cached_tokens": 0.0,
    }


@pytest.mark.parametrize("odd", [{"graders": ["x", None]}, {"graders": {"a": {"b": 1}}}, {"x": [1]}, {"": {"": "x"}}])
def test_nested_values_of_an_unknown_form_are_ignored(odd: dict[str, object]) -> None:
    assert [row.values["reward"] for row in rows_from_events([event({"step": 1, "reward": 1, "scores": odd})])] == [1.0]


@pytest.mark.parametrize(
    ("name", "value", "there"),
    [
        ("train_mean_reward", "-0.0130208", True),
        ("train_mean_reward", "-1", True),
        ("pg_loss_sum", "-1", True),
        ("pg_loss_sum", "262307.9", True),
        ("train_token_usage_mean_get_order", "387", True),
        ("errors/graders/python/g/errors/train_other_error_count", "0", True),
        ("eval_duration", "9.131431579589844E-05", True),
        ("usage/samples/valid_reasoning_tokens_count", "", False),
        ("usage/samples/valid_reasoning_tokens_count", "-1", False),
        ("errors/graders/python/g/errors/valid_other_error_mean", "-1.0", False),
        ("valid_latency_get_order", "-1", False),
        ("train_error_rate", "", False),
        ("timing/graders/python/g/timing/valid_execution_latency_count", "nan", False),
        ("timing/step/sampling", "-1", False),
    ],
)
def test_a_filler_is_not_a_value_in_any_column_but_a_negative_reward_is(name: str, value: str, there: bool) -> None:
    assert values_of([(name, value)]) == ({name: float(value)} if there else {})


def test_checkpoints_results_and_events_agree_on_names_and_control_characters_are_in_none() -> None:
    name = "usages/samples/train_reasoning_tokens_mean"
    assert values_of([(name, 119), ("total_steps", 20)]) == {"usage/samples/train_reasoning_tokens_mean": 119.0}
    odd = [("train_tool_calls_to_\x1b[31mget\u202e order", 14)]
    assert values_of(odd) == {"train_tool_calls_to_[31mget order": 14.0}
    assert flat({"a": {"b": {"c": 1}}}) == {"a/b/c": 1}


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2025-10-25T16:55:36.9120000Z", 1761411336.912),
        ("2025-10-25T16:55:36", 1761411336.0),
        (1761411336, 1761411336.0),
        ("1", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_only_plausible_times_are_read(cell: object, seconds: float | None) -> None:
    assert time_in(cell) == seconds


def test_times_of_steps_in_a_results_file_are_used() -> None:
    text = b"step,train_loss,timestamp\n1,10.16711711883545,2025-10-25T16:55:36.9120000Z\n2,8.9,\n"
    assert list(parse_results([text], complete=True)) == [
        MetricRow(1, {"train_loss": 10.16711711883545}, 1761411336.912),
        MetricRow(2, {"train_loss": 8.9}),
    ]


OPENAI_ROWS = [MetricRow(299, {"train_loss": 0.0}), MetricRow(300, {"train_loss": 0.00136, "train_accuracy": 1.0})]
OPENAI_LAST = {"step": 300, "train_loss": 0.5, "full_valid_loss": 0.05314807081111815, "total_steps": 300}


def test_values_that_only_events_have_are_added_and_the_file_takes_precedence() -> None:
    """OpenAI's results file has no column for the whole validation file; its last event has the figure."""
    rows = list(with_events(OPENAI_ROWS, [event(OPENAI_LAST)], complete=False))
    assert [dict(row.values) for row in rows] == [
        {"train_loss": 0.0},
        {"train_loss": 0.00136, "train_accuracy": 1.0, "full_valid_loss": 0.05314807081111815},
    ]


def test_steps_that_only_events_have_follow_those_of_the_complete_file() -> None:
    events = [event({"step": step, "train_loss": 0.5}, at=step) for step in (298, 301)]
    assert [row.step for row in with_events(OPENAI_ROWS, events, complete=False)] == [299, 300]
    assert [row.step for row in with_events(OPENAI_ROWS, events, complete=True)] == [299, 300, 301]
    assert list(with_events([], events, complete=True)) == []


def test_rows_wait_for_the_events_of_their_step_if_those_have_grader_metrics() -> None:
    """A row is written once: without waiting, its graders' figures would be lost."""
    rows = [MetricRow(step, {"train_mean_reward": 0.5}) for step in (9, 10, 11)]
    assert [row.step for row in with_events(rows, [event(RECORDED)], complete=False)] == [9, 10]
    assert [row.step for row in with_events(rows, [event(RECORDED)], complete=True)] == [9, 10, 11]
