"""After any interruption of teardown, the next run ends in the same state, and a further run writes nothing."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from sandbox.runtime.faults import Fault, Faults
from tests.conftest import Load

from ..bench import Bench
from .vault_in_use import SOON, USER, held, policies, world

WRITES = [("DeleteSecret", 1), ("Vaults_Update", 1), *(("RoleAssignments_Delete", n) for n in (1, 2, 3))]
READS = [
    ("Accounts_Get", 1),
    ("Vaults_Get", 1),
    ("Vaults_Get", 3),
    ("RoleAssignments_ListForScope", 2),
    ("RoleAssignments_ListForScope", 4),  # the last look
    ("GetSecret", 2),
    ("GetSecret", 3),
    ("GetSecretVersions", 1),
    ("GetSecretVersions", 2),
]


def end(bench: Bench) -> tuple[object, ...]:
    secret = bench.vault.secrets.get("wandb-api-key")
    gone = secret is None or secret.deleted is not None
    return gone, bench.vault.rbac, dict(bench.vault.tags), held(bench), [who for who, _ in policies(bench)]


END = (True, False, {"cost-center": "ml"}, {("function-app", USER)}, ["billing-api"])
"""Of a teardown with the way back: the secret gone, the vault on its access policies, everything else as it was."""


def set_up(load: Load, bench: Bench, *faults: dict[str, Any]) -> None:
    """A world where setup is done and teardown meets the faults: requests count from here."""
    load(world() | SOON)
    bench.setup(propagation_wait=timedelta(0))
    bench.cloud.world.faults = Faults([Fault.model_validate(each) for each in faults])


def finish(bench: Bench) -> None:
    bench.teardown(restore=True)
    assert end(bench) == END
    writes = bench.cloud.writes
    bench.teardown(restore=True)
    assert bench.cloud.writes == writes


@pytest.mark.parametrize(("op", "nth"), [*WRITES, *READS])
def test_the_next_run_completes_after_a_request_that_fails_before_the_service_acts(
    load: Load, bench: Bench, op: str, nth: int
) -> None:
    set_up(load, bench, {"op": op, "when": {"nth": [nth]}, "do": {"status": 400}})
    with pytest.raises(errors.ProvisioningError) as caught:
        bench.teardown(restore=True)
    assert caught.value.hint
    finish(bench)


@pytest.mark.parametrize(("op", "nth"), WRITES)
def test_the_next_run_completes_after_a_request_whose_answer_is_lost(
    load: Load, bench: Bench, op: str, nth: int
) -> None:
    set_up(load, bench, {"op": op, "when": {"nth": [nth]}, "do": {"lost_response": True}})
    with contextlib.suppress(errors.UnreachableError):  # the SDK asks again by itself where asking twice is harmless
        bench.teardown(restore=True)
    finish(bench)


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("at", range(3))
def test_ctrl_c_between_steps_lists_the_changes_that_stand(load: Load, bench: Bench, at: int, restore: bool) -> None:
    set_up(load, bench)
    bench.teardown(restore=restore)
    reached = end(bench)
    bench.setup(propagation_wait=timedelta(0))
    bench.ui.interrupt_after(at + 1)
    with pytest.raises(errors.InterruptedByUserError, match=rf"{at + 1} of \d changes were made"):
        bench.teardown(restore=restore)
    bench.teardown(restore=restore)
    assert end(bench) == reached


def test_a_resource_that_reappears_during_teardown_is_reported(load: Load, bench: Bench) -> None:
    """Somebody runs setup at the same time."""
    set_up(load, bench)
    rbac = bench.cloud.world.tenant.rbac
    theirs = next(
        a for a in rbac.assignments.values() if (a.description or "").startswith("azure-openai-wandb: operator")
    )
    bench.ui.after = lambda step: rbac.add(theirs) if step.detail.endswith("→ you") else None
    with pytest.raises(errors.NotInPlaceError, match="Key Vault Secrets Officer → you"):
        bench.teardown(restore=True)
    assert bench.clock.slept >= 180, "Azure's listing got its time"


POLICY_WRITES = [("DeleteSecret", 1), *(("Vaults_UpdateAccessPolicy", n) for n in (1, 2)), ("Vaults_Update", 1)]


@pytest.mark.parametrize("do", [{"status": 400}, {"lost_response": True}], ids=["refused", "lost"])
@pytest.mark.parametrize(("op", "nth"), POLICY_WRITES)
def test_an_interrupted_teardown_on_access_policies_continues(
    load: Load, bench: Bench, op: str, nth: int, do: dict[str, Any]
) -> None:
    load(world())
    bench.setup(by_access_policy=True)
    bench.cloud.world.faults = Faults([Fault.model_validate({"op": op, "when": {"nth": [nth]}, "do": do})])
    with contextlib.suppress(errors.ProvisioningError):
        bench.teardown()
    bench.teardown()
    assert [who for who, _ in policies(bench)] == ["billing-api"]
    assert bench.vault.tags == {"cost-center": "ml"}
    assert bench.vault.secrets["wandb-api-key"].deleted is not None
