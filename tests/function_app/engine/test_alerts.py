"""When people are alerted, and how often."""

from typing import Any

import pytest

from tests.function_app.conftest import JOB, Bench, a_job

FAILING = {"status": "failed", "during": "preprocessing", "error": {"code": "oom", "message": "too big"}}


def alerts(bench: Bench) -> list[str]:
    return [alert.run_id for alert in bench.store.alerts]


def test_an_alert_that_a_crash_prevented_is_sent_by_the_next_tick(bench: Bench) -> None:
    """W&B may have the job's status before the alert is sent: a kill between the two must not silence it."""
    bench.mirrored(a_job(created="-5m", outcome=FAILING))
    bench.store.alerts.clear()
    bench.mark(alerted=None)
    assert bench.marks()["status"] == "failed"
    bench.tick()
    bench.tick()
    assert alerts(bench) == [JOB]


def test_an_alert_that_wandb_rejects_does_not_block_the_job(bench: Bench) -> None:
    refused = {"op": "NotifyScriptableRunAlert", "do": {"status": 403}}
    assert bench.mirrored(a_job(created="-20m", outcome=FAILING), faults=[refused])[JOB].final
    assert bench.state() == "failed"


def test_a_failure_older_than_a_day_is_recorded_without_an_alert(bench: Bench) -> None:
    assert bench.mirrored(a_job(created="-25h", outcome=FAILING))[JOB].final
    assert bench.run().config["error"] == FAILING["error"]
    assert alerts(bench) == []


def titles(bench: Bench) -> list[str]:
    return [alert.title.partition(":")[0] for alert in bench.store.alerts]


def test_people_are_alerted_once_to_each_pause(bench: Bench) -> None:
    """Two pauses of ten minutes, with a tick every two minutes."""
    pauses = [{"at_step": 10, "lasts": "10m"}, {"at_step": 20, "lasts": "10m"}]
    bench.world(a_job(created="-4m", timeline={"steps": 30, "seconds_per_step": 5}, pauses=pauses))
    for _ in range(15):
        bench.tick()
        bench.cloud.clock.advance(120)
    assert titles(bench) == ["Fine-tuning paused", "Fine-tuning paused"]


@pytest.mark.parametrize(("settings", "between"), [({"alert_overdue_minutes": 10}, 240), ({}, 8 * 3600)])
def test_people_are_alerted_once_to_a_job_without_news(bench: Bench, settings: dict[str, Any], between: float) -> None:
    bench.world(a_job(created="-5m", outcome={"status": "running", "during": "preprocessing"}))
    for _ in range(5):
        bench.tick(bench.engine(**settings))
        bench.cloud.clock.advance(between)
    assert titles(bench) == ["Fine-tuning overdue"]
