"""What setup costs in HTTP requests; `pytest -s` prints the table."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from provisioning.model import SECRETS_USER, Scope
from sandbox.cloud import Cloud

from .bench import Bench

Load = Callable[[Mapping[str, Any]], Cloud]

IDLE_TARGET = 12
"""Of the issue: what a run may ask that finds everything in place."""


def table(first: Mapping[str, int], idle: Mapping[str, int]) -> str:
    rows = [f"  {op:<34}{first.get(op, 0):>6}{idle.get(op, 0):>6}" for op in sorted({*first, *idle})]
    total = f"  {'total':<34}{sum(first.values()):>6}{sum(idle.values()):>6}"
    return "\n".join([f"  {'requests of setup':<34}{'first':>6}{'idle':>6}", *rows, total])


@pytest.mark.parametrize("narrow", [False, True], ids=["as documented", "least privilege and a reader"])
def test_a_run_that_finds_everything_in_place_asks_little(load: Load, bench: Bench, *, narrow: bool) -> None:
    load({"extends": "contoso"})
    reader = bench.cloud.world.tenant.named("function-app").object_id
    least: dict[str, Any] = {
        "identity_role": SECRETS_USER,
        "identity_scope": Scope.SECRET,
        "readers": (reader,),
    }
    options = least if narrow else {}
    bench.setup(**options)
    first, writes = Counter(bench.cloud.counts), bench.cloud.writes
    bench.setup(**options)
    idle = Counter(bench.cloud.counts) - first
    shown = table(first, idle)
    sys.stdout.write(shown + "\n")
    assert idle.total() <= IDLE_TARGET, shown
    assert bench.cloud.writes == writes, shown
