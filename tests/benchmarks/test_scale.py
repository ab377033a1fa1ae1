"""What a tick and a backfill ask for, counted at small size by the benchmark itself: nothing for each job, every job once."""

import threading
from dataclasses import replace

import pytest
from pydantic import SecretStr

from benchmarks.scale import Figures, measured
from function_app.azure.openai import Account
from function_app.engine.backlog import BOUND
from function_app.models import Job
from function_app.settings import Settings
from function_app.wiring import engine_from
from sandbox.cloud import Cloud
from tests.function_app.conftest import KEY

ACCOUNTS, JOBS, PENDING, RUNNING = 5, 20, 12, 2


@pytest.fixture(scope="module")
def figures() -> Figures:
    """Five accounts of twenty jobs; two that go on are among the twelve pending."""
    return measured(ACCOUNTS, JOBS, PENDING, running=RUNNING, instances=2)


def test_an_idle_tick_asks_one_list_an_account_and_one_query_a_project(figures: Figures) -> None:
    assert figures.idle.requests == {"FineTuning_List": ACCOUNTS, "Runs": 1, "Queue_GetProperties": 1}
    assert f" jobs={ACCOUNTS * JOBS - RUNNING} pending=0 enqueued=0 " in figures.idle.line


def test_the_ticks_line_says_what_was_asked(figures: Figures) -> None:
    assert figures.idle.line.endswith(f" azure={ACCOUNTS} wandb=1 storage=1 vault=0")


def test_in_a_backfill_every_job_arrives_and_each_message_is_one_sync(figures: Figures) -> None:
    """Messages beyond one for each job are those of jobs that go on, which are asked for at every tick."""
    backfill = figures.backfill
    assert figures.good
    assert (list(backfill.missing), backfill.poison) == ([], 0)
    assert backfill.messages == PENDING + RUNNING * (backfill.ticks - 1)
    assert set(backfill.results) == {"synced"}
    assert backfill.deepest <= BOUND


def test_it_fails_when_a_job_is_missing_given_up_or_asked_for_with_nothing_to_do(figures: Figures) -> None:
    assert not replace(figures, backfill=replace(figures.backfill, missing=["ftjob-1"])).good
    assert not replace(figures, backfill=replace(figures.backfill, poison=1)).good
    assert not replace(figures, idle=replace(figures.idle, requests={"FineTuning_Get": 1})).good


def test_a_message_costs_one_look_at_its_job_and_one_query(figures: Figures) -> None:
    requests, messages = figures.backfill.requests, figures.backfill.messages
    assert requests["FineTuning_Get"] == messages
    assert requests["FineTuning_GetEvents"] == messages
    assert requests["Runs"] == messages + figures.backfill.ticks
    assert requests["FineTuning_List"] == ACCOUNTS * figures.backfill.ticks


def test_jobs_that_go_on_are_not_held_up_by_old_ones(figures: Figures) -> None:
    """They are asked for first, and taken first."""
    assert sorted(figures.backfill.waited) == [0, 1]


class Waiting(Account):
    """Answers only while another account is being asked, too."""

    def __init__(self, name: str, others: threading.Barrier) -> None:
        self.name = name
        self._others = others

    def jobs(self) -> list[Job]:
        """None, once all ask."""
        self._others.wait(20)
        return []


def test_accounts_are_listed_side_by_side(cloud: Cloud) -> None:
    """Were they asked one after the other, the first would wait for ever."""
    settings = Settings(
        azure_openai_endpoints=("https://aoai-ml.openai.azure.com/",), wandb_api_key=SecretStr(KEY), wandb_entity="acme"
    )
    with engine_from(settings) as engine:
        all_at_once = threading.Barrier(engine.concurrency)
        engine.accounts = [Waiting(f"aoai-{number}", all_at_once) for number in range(engine.concurrency)]
        assert engine.discover() == ([], [])
