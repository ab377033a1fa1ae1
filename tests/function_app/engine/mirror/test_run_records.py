"""Records of runs that were deleted in W&B, or complete: their names, and who reads them."""

from typing import Any

import pytest

from function_app.engine.run_records import InMemory, name_of
from function_app.errors import StorageError
from function_app.models import Result
from tests.function_app.conftest import IDLE, JOB, Bench, a_job


def test_the_name_of_a_record_contains_server_entity_project_and_job(bench: Bench) -> None:
    def named(**values: Any) -> str:
        return name_of(JOB, bench.engine(**values).tracker)

    usual = named()
    assert usual == f"api.wandb.ai/acme/fine-tuning/{JOB}"
    assert named(wandb_base_url="https://api.wandb.ai") == usual
    own = named(wandb_base_url="https://wandb.contoso.example:8443")
    assert own == f"wandb.contoso.example%3A8443/acme/fine-tuning/{JOB}"
    assert named(wandb_project="a b") == f"api.wandb.ai/acme/a%20b/{JOB}"


def test_a_complete_run_that_somebody_moved_is_not_mirrored_a_second_time(bench: Bench) -> None:
    bench.world(a_job())
    one, other = bench.engine(), bench.engine()
    one.finished = other.finished = InMemory()
    assert bench.tick(one)[JOB].final
    bench.store.move_run(bench.run(), "archive")
    assert bench.counted(lambda: bench.tick(other)) == IDLE
    outcome = bench.tick(other)[JOB]
    assert (outcome.result, outcome.final) == (Result.SKIPPED, True)
    assert "moved or deleted" in outcome.message


class Unwritable(InMemory):
    """Storage that can be read and not written."""

    def note(self, name: str) -> None:
        raise StorageError(f"Storage refuses {name}")


def test_a_deleted_run_that_cannot_be_recorded_is_checked_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.mirrored(a_job())
    bench.store.delete_run(bench.run())
    engine = bench.engine()
    engine.deleted = Unwritable()
    assert bench.tick(engine)[JOB].result is Result.SKIPPED
    assert f"run not recorded job={JOB} reason=Storage refuses api.wandb.ai/acme/fine-tuning/{JOB}" in caplog.text
    assert engine.deleted.known() == set()
