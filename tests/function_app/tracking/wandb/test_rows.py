"""Rows that go to wandb-core many at a time arrive as those of `wandb.Run.log` do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from function_app.models import MetricRow
from function_app.tracking import Identity
from function_app.tracking.wandb.runs import OpenRun, open_run
from function_app.tracking.wandb.tracker import WandbSession
from tests.function_app.conftest import JOB, Bench


def opened(bench: Bench) -> AbstractContextManager[OpenRun]:
    """A new run in a world without jobs."""
    bench.world()
    return open_run(bench.api(), JOB, Identity("a run", "group", (), {}), WandbSession, ends=True)


def rows(count: int) -> Iterator[MetricRow]:
    """So many rows, one a second."""
    return (MetricRow(step, {"loss": 1 / step}, float(step)) for step in range(1, count + 1))


def test_more_rows_than_go_at_once_arrive_in_order_with_values_and_times(bench: Bench) -> None:
    with opened(bench) as run:
        assert run.log(rows(450)) == 450
    history = bench.run().history
    assert [(row["_step"], row["loss"], row["_timestamp"]) for row in history] == [
        (row.step, row.values["loss"], row.at) for row in rows(450)
    ]
    assert bench.run().summary["loss"] == 1 / 450


def test_rows_before_something_breaks_arrive(bench: Bench) -> None:
    def breaks() -> Iterator[MetricRow]:
        yield from rows(3)
        raise ValueError("half a line")

    with opened(bench) as run:
        with pytest.raises(ValueError, match="half a line"):
            run.log(breaks())
        assert run.last_step == 3
    assert bench.steps() == [1, 2, 3]
