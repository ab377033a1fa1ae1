"""Times, billing and cost of a job: from its log, never from `finished_at`, which moves. Messages are recorded ones."""

import json
from dataclasses import replace
from typing import Any

import pytest

from function_app.data.jobs.description import summary_of
from function_app.data.jobs.job_log import JobLog, read_log
from function_app.data.jobs.metrics import RESERVED
from function_app.data.jobs.prices import Price, cost_of, parse_prices
from function_app.models import Event, Job

CREATED = 1790988348
SFT_2026_10 = [
    (1790988348, "Job enqueued. Waiting for jobs ahead to complete."),
    (1790989527, "Job queued, waiting for GPUs."),
    (1790989763, "Training started."),
    (1790990711, "Step 1: training loss=1.4209126234054565"),
    (1790993133, "Job succeeded."),
    (1790993165, "Model Evaluation Passed."),
    (1790993165, "Training tokens billed: 46000"),
]
"""Of a job that ran on 3 October 2026."""


def log_of(messages: list[tuple[int, str]]) -> list[Event]:
    return [Event(f"e{number}", at, message) for number, (at, message) in enumerate(messages)]


def a_job(**values: Any) -> Job:
    job = Job("ftjob-1", "aoai", "succeeded", "gpt-4o-mini-2024-07-18", CREATED, "file-1", method="supervised")
    return replace(job, **values)


def metrics(step: int, **data: Any) -> Event:
    return Event(f"m{step}", CREATED + step, "?", type="metrics", data={"step": step, **data})


def test_times_and_billing_of_a_recorded_job_come_from_its_log_and_not_from_finished_at() -> None:
    job = a_job(finished_at=CREATED + 11 * 7 * 86400, trained_tokens=6720)
    log = read_log(reversed(log_of(SFT_2026_10)), job.status)
    assert log == JobLog(started=1790989763, ended=1790993133, billed_tokens=46000)
    figures = {"trained_tokens": 6720, "queue_s": 1415, "duration_s": 4785, "billed_tokens": 46000}
    assert summary_of(job, log, 1790993200) == figures | {"status": "succeeded"}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_did_not_succeed_ended_with_the_last_entry_of_its_log(status: str) -> None:
    assert read_log(log_of(SFT_2026_10[:4]), status).ended == 1790990711
    assert read_log([], status).ended is None


@pytest.mark.parametrize(
    ("status", "estimate", "shown"),
    [
        ("running", CREATED + 500, "2026-10-03T00:54:08Z"),
        ("running", CREATED - 500, None),
        ("paused", CREATED + 500, None),
        ("pausing", CREATED + 500, None),
        ("succeeded", CREATED + 45 * 86400, None),
    ],
)
def test_the_estimated_finish_is_shown_while_it_can_be_right(status: str, estimate: int, shown: str | None) -> None:
    job = a_job(status=status, estimated_finish=estimate)
    assert summary_of(job, JobLog(), CREATED)["estimated_finish"] == shown


def test_hours_of_a_reinforcement_job_are_billed_hours_and_several_billings_are_added() -> None:
    def billed(*amounts: str) -> JobLog:
        return read_log(log_of([(CREATED, f"Training {amount}") for amount in amounts]), "")

    assert billed("hours billed: 1.500", "hours billed: 0.25") == JobLog(billed_hours=1.75)
    assert billed("tokens billed: many") == JobLog()
    assert billed("tokens billed: 7,223,000") == JobLog(billed_tokens=7_223_000)
    assert billed("hours billed: 1,500") == JobLog()  # 1.5 or 1500
    assert billed(f"tokens billed: {'9' * 400}") == JobLog()


def test_the_last_total_is_the_progress_and_grader_tokens_count_once_every_step_has_reported() -> None:
    usage = {"gpt-4o": {"train_prompt_tokens": 100, "eval_completion_tokens": 20, "train_cached_tokens": 50}}
    events = [metrics(step, total_steps=3, model_graders_token_usage=usage) for step in (1, 2, 3)]
    assert (read_log(events, "").total_steps, read_log(events, "").grader_tokens) == (3, 360)
    assert read_log([*events, events[0]], "").grader_tokens == 360
    assert read_log(events[1:], "").grader_tokens is None
    assert read_log([metrics(1, total_steps="many", model_graders_token_usage={"x": 3})], "") == JobLog(grader_tokens=0)
    huge = {"x": {"a_prompt_tokens": "1e308", "b_prompt_tokens": "1e308"}}
    assert read_log([metrics(1, total_steps="1e300", model_graders_token_usage=huge)], "") == JobLog(grader_tokens=0)


def test_a_negative_count_of_tokens_is_shown_nowhere() -> None:
    """-672 trained tokens: those of one epoch times -1, the epochs that the service never resolved (recorded)."""
    assert "trained_tokens" not in summary_of(a_job(trained_tokens=-672), JobLog(), 0)


def test_every_key_of_the_summary_is_reserved_so_that_no_column_can_replace_it() -> None:
    full = JobLog(CREATED, CREATED + 9, 1, 1.0, 3, 4)
    assert set(summary_of(a_job(), full, 0, (Price("*", per_hour=1),))) <= RESERVED | {"total_steps"}


TOKENS = Price("gpt-4o-mini*", "supervised", "GlobalStandard", per_million_tokens=2.0)


@pytest.mark.parametrize(
    ("job", "log", "cost"),
    [
        ({}, JobLog(billed_tokens=5000), {"cost": 0.01, "estimated_cost": None}),
        ({"trained_tokens": 6720}, JobLog(), {"cost": None, "estimated_cost": 0.01344}),
        ({"trained_tokens": -672}, JobLog(), {"cost": None, "estimated_cost": None}),
        ({"status": "failed"}, JobLog(), {"cost": 0.0, "estimated_cost": None}),
        ({"status": "cancelled"}, JobLog(), {"cost": None, "estimated_cost": None}),
        ({"training_type": "standard"}, JobLog(billed_tokens=5000), {}),
        ({"method": "dpo"}, JobLog(billed_tokens=5000), {}),
    ],
)
def test_the_cost_is_what_was_billed_or_an_estimate(job: dict[str, Any], log: JobLog, cost: dict[str, Any]) -> None:
    named = {"training_type": "globalStandard", **job}
    assert cost_of(a_job(**named), "gpt-4o-mini-2024-07-18", log, (TOKENS,)) == cost


def test_hours_have_a_price_and_trained_tokens_of_a_reinforcement_job_none() -> None:
    job = a_job(method="reinforcement", trained_tokens=168393)
    prices = parse_prices('[{"model": "o4-mini*", "per_hour": 100}, {"model": "*", "per_million_tokens": 3}]')
    assert cost_of(job, "o4-mini-2025-04-16", JobLog(billed_hours=1.75), prices)["cost"] == 175
    assert cost_of(job, "o4-mini-2025-04-16", JobLog(), prices) == {"cost": None, "estimated_cost": None}
    assert cost_of(job, "gpt-5", JobLog(), prices) == {"cost": None, "estimated_cost": None}


def test_a_price_table_may_be_lines_or_json() -> None:
    lines = "model=gpt-4.1* method=dpo training_type=x per_million_tokens=1.5\n\nmodel=o4-mini* per_hour=2"
    first = {"model": "gpt-4.1*", "method": "dpo", "training_type": "x", "per_million_tokens": 1.5}
    as_json = json.dumps([first, {"model": "o4-mini*", "per_hour": 2}])
    assert parse_prices(lines) == parse_prices(lines.replace("\n\n", "; ")) == parse_prices(as_json)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[", "not JSON"),
        ("per_hour=2", "price 1 of the table has no model"),
        ("model=* per_hour=much", "needs one amount"),
        ("model=* per_hour=1; model=* price=1", "price 2 of the table has unknown fields .price."),
        ("{}", "not a list"),
        ('[{"per_hour": 1}]', "price 1 of the table has no model"),
        ('[{"model": "*", "per_hour": 1}, {"model": "*"}]', "price 2 of the table needs one amount"),
        ('[{"model": "*", "per_hour": -1}]', "needs one amount"),
        ('[{"model": "*", "per_hour": 1, "hosting": 2}]', "unknown fields .hosting."),
        ('[{"model": "*", "per_hour": 1, "method": 3}]', "are texts"),
    ],
)
def test_a_wrong_price_table_says_where_it_is_wrong(table: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_prices(table)
