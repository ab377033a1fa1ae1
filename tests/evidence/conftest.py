"""A stage for commands that are started anew: what they are made of is imported fast."""

from collections.abc import Iterator
from typing import Any

import pytest

from evidence.commands.case import PIPELINE, Case
from evidence.commands.provisioning import end
from evidence.stage import Stage

WORLD: dict[str, Any] = {
    "extends": "contoso",
    "principals": [{"name": PIPELINE, "kind": "managed identity"}],
    "assignments": [{"principal": PIPELINE, "role": "Key Vault Secrets Officer", "scope": "rg-ml"}],
    "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True}],
}


def little(how: str) -> Case:
    """A case of the little command."""
    return Case("setup", how, ("tests.evidence.little_command", how), WORLD, end)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(fork=False) as stage:
        yield stage
