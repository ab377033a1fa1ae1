"""verify-app: a deployment is done when the host has indexed the functions."""

from datetime import timedelta

import pytest

from provisioning.app_models import FunctionAppName
from provisioning.cli import verify_app
from provisioning.errors import BrokenLinkError
from tests.provisioning import chain
from tests.provisioning.bench import Bench

from .broken_links import NO_HOST

APP = FunctionAppName("rg-ml", "func-ml")
STARTING = {"op": "WebApps_ListFunctions", "when": {"times": 2}, "do": {"status": 400, "body": NO_HOST}}


def states(bench: Bench, app: FunctionAppName = APP) -> dict[str, str]:
    """The results of the checks by name, after at most a minute."""
    session = bench.session()
    try:
        verify_app.run(session, app, timedelta(minutes=1))
    finally:
        found = {each["name"]: each["state"] for each in session.facts["checks"]}
        assert tuple(found) == verify_app.CHECKS
        assert bench.cloud.writes == 0
    return found


def test_it_waits_for_a_host_that_starts_and_then_indexes(bench: Bench) -> None:
    chain.put(bench.cloud, app={"functions": []}, faults=[STARTING])
    app = next(iter(bench.tenant.function_apps.values()))

    def index() -> None:
        app.functions = chain.FUNCTIONS if bench.clock.slept >= 20 else []

    bench.clock.before = index
    assert set(states(bench).values()) == {"ok"}
    assert 20 <= bench.clock.slept < 60


def test_an_app_without_its_functions_fails_when_the_time_is_over(bench: Bench) -> None:
    chain.put(bench.cloud, app={"functions": ["find_jobs"]})
    with pytest.raises(BrokenLinkError, match="app functions") as failed:
        states(bench)
    assert bench.clock.slept == 60
    assert "complete package" in failed.value.hint


def test_an_app_that_does_not_exist_is_not_waited_for(bench: Bench) -> None:
    chain.put(bench.cloud)
    with pytest.raises(BrokenLinkError, match="function app"):
        states(bench, FunctionAppName("rg-ml", "func-of-nobody"))
    assert bench.clock.slept == 0
