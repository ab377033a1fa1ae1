"""Answers that cannot be read: cut off or no JSON. Nothing is written twice, and people are told what happened."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from provisioning import errors
from sandbox.cloud import Cloud

from .bench import GOOD_KEY, Bench
from .vault_in_use import OWNER

Load = Callable[[Mapping[str, Any]], Cloud]


def world(op: str, do: dict[str, Any]) -> dict[str, Any]:
    """A vault on Azure RBAC, and one answer that breaks."""
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
    fault = {"op": op, "when": {"nth": [1]}, "do": do}
    return {"extends": "contoso", "assignments": [OWNER], "vaults": [vault], "faults": [fault]}


@pytest.mark.parametrize("do", [{"cut_body": 12}, {"malformed_json": True}, {"lost_response": True}], ids=str)
def test_a_version_whose_answer_cannot_be_read_is_found_and_not_written_twice(
    load: Load, bench: Bench, do: dict[str, Any]
) -> None:
    """The SDK would ask again by itself, and each SetSecret is a new version."""
    load(world("SetSecret", do))
    bench.setup()
    assert [version.value for version in bench.vault.secrets["wandb-api-key"].versions] == [GOOD_KEY]


@pytest.mark.parametrize("status", [429, 503])
def test_a_vault_that_asks_for_a_pause_gets_it(load: Load, bench: Bench, status: int) -> None:
    load(world("SetSecret", {"status": status, "headers": {"retry-after": "1"}}))
    bench.setup()
    assert [version.value for version in bench.vault.secrets["wandb-api-key"].versions] == [GOOD_KEY]


@pytest.mark.parametrize("op", ["Subscriptions_List", "Vaults_Get", "RoleAssignments_Create"])
def test_an_answer_that_is_no_json_is_told_as_that_and_the_next_run_goes_on(load: Load, bench: Bench, op: str) -> None:
    load(world(op, {"malformed_json": True}))
    with pytest.raises(errors.ServiceError, match="the answer cannot be read") as caught:
        bench.setup()
    assert caught.value.hint
    assert "refused" not in caught.value.message
    bench.setup()
    assert [version.value for version in bench.vault.secrets["wandb-api-key"].versions] == [GOOD_KEY]
