"""While W&B refuses every write, a job is soon reported as failed, and the next tick continues."""

import pytest

from evidence.commands.case import differences
from evidence.commands.sync import end
from function_app.models import Result
from function_app.tracking.wandb.client import LIMITS
from tests.function_app.conftest import JOB, Bench, a_job

ATTEMPTS = 6  # 24 s apart from first to last: by itself wandb-core makes ten thousand for rows and twenty for a file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "status", "attempts"),
    [
        ("FileStream", 500, 4 + ATTEMPTS),
        pytest.param("FileStream", 429, 4 + ATTEMPTS, marks=pytest.mark.long),
        pytest.param("UploadFile", 503, 4 * ATTEMPTS, marks=pytest.mark.long),
    ],
)
def test_refused_writes_end_soon_and_are_repeated(bench: Bench, operation: str, status: int, attempts: int) -> None:
    """Rows are tried four times, all else as often as the SDK does: the run, and four files of dataset and model."""
    bench.mirrored(a_job())
    expected = end(bench.cloud.world)
    bench.world(a_job(), faults=[{"op": operation, "do": {"status": status}}])
    engine = bench.engine(LIMITS)
    outcome = bench.tick(engine)[JOB]
    assert bench.cloud.counts[operation] == attempts
    assert (outcome.result, outcome.final) == (Result.FAILED, False)
    assert "next" in outcome.hint
    bench.cloud.world.faults.faults.clear()
    assert bench.tick(engine)[JOB].result is Result.SYNCED
    assert differences(expected, end(bench.cloud.world)) == []
