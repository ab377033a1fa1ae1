"""Two writers of one project, a kill at any request, and late reads of any age: in the end W&B has what Azure has, once."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from evidence.processes import Processes
from function_app.errors import SyncError
from function_app.tracking.wandb.session import QUIET
from sandbox.wandb.options import Delays, ServerOptions
from tests.function_app.conftest import Bench

from .profiles import how
from .test_jobs_machine import COURSES, KINDS, JobsMachine

AGES = st.sampled_from((0.0, 4.0, 130.0, 600.0))
SERVERS = st.builds(
    lambda delays, **options: ServerOptions(delays=Delays(**delays), **options),
    delays=st.fixed_dictionaries(dict.fromkeys(Delays.model_fields, AGES)),
    offsets=st.sampled_from(("exact", "rebased")),
    config=st.sampled_from(("replace", "merge")),
    listings=st.sampled_from(("stable", "shifting")),
    versions=st.sampled_from(("newest first", "oldest first")),
    deduplication=st.sampled_from(("any", "latest")),
)


class LateReadsMachine(JobsMachine):
    """The jobs machine with a W&B that reads late. Each tick keeps what must hold always, and the last ones are complete."""

    delay = 600.0
    complete = False

    @initialize(jobs=st.lists(st.tuples(COURSES, KINDS), min_size=1, max_size=2), server=SERVERS)
    def a_new_world(self, jobs: list[tuple[dict[str, Any], dict[str, Any]]], server: ServerOptions) -> None:
        super().a_new_world.__wrapped__(self, jobs)  # type: ignore[attr-defined]
        self.bench.cloud.world.wandb.store.options = server

    def _clean(self, tick: Any) -> None:
        if self.complete:
            super()._clean(tick)
            return
        with suppress(SyncError):
            tick()
        self._disturbed()

    def teardown(self) -> None:
        """After three undisturbed passes, each later than any delay, everything is there as without delays."""
        for _ in range(3):
            self.bench.cloud.clock.advance(self.delay + QUIET)
            self._clean(self.engine.sync)
        for known in self.known:
            known.final = bool(self._comparison.settled(known))
        self.complete = True
        super().teardown()


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("part")
def test_late_reads_two_writers_and_kills_lose_and_repeat_nothing(sync_bench: Bench, processes: Processes) -> None:
    machine = partial(LateReadsMachine, sync_bench, processes)
    run_state_machine_as_test(machine, settings=how(examples=3, steps=8))  # type: ignore[arg-type]
