"""After an interruption of setup, the next run ends in the same state (at every request: see evidence/)."""

import os
import signal
from datetime import timedelta
from typing import Any

import pytest

from evidence.processes import Processes
from provisioning import errors
from tests.conftest import Load

from ...bench import GOOD_KEY, OPERATOR_ENV, Bench
from ..vault_in_use import OFFICER, SCOPE, held

ONE_POLICY = [{"principal": "billing-api", "secrets": ["get"]}]
SMALL = {"extends": "contoso", "vaults": [{"name": "kv-ml", "group": "rg-ml", "policies": ONE_POLICY}]}


def end(bench: Bench) -> tuple[object, ...]:
    return bool(bench.account.system_identity), held(bench), bench.vault.rbac, bench.stored


@pytest.fixture
def whole(load: Load, bench: Bench) -> object:
    """The end of a run that nothing stopped."""
    load(SMALL)
    bench.setup()
    reached = end(bench)
    load(SMALL)
    return reached


def finish(bench: Bench, whole: object) -> None:
    bench.setup()
    assert end(bench) == whole
    assert bench.idle()


def test_after_ctrl_c_in_the_wait_the_next_run_only_waits_the_rest(load: Load, bench: Bench, whole: object) -> None:
    load(SMALL)
    bench.clock.slept = 0

    bench.clock.stop_when(lambda: bench.clock.slept >= 400)
    bench.setup_fails(errors.InterruptedByUserError, "while waiting for: roles take effect")
    assert not bench.vault.rbac
    finish(bench, whole)
    assert 598 <= bench.clock.slept <= 615, "ten minutes, and the reads that have to agree"


@pytest.mark.parametrize(
    ("stop", "ends", "words"),
    [
        (KeyboardInterrupt, errors.InterruptedByUserError, "switched back to access policies"),
        (BrokenPipeError, BrokenPipeError, None),
    ],
    ids=["Ctrl-C", "a closed terminal"],
)
def test_a_stop_while_the_vault_does_not_answer_switches_back_and_the_next_run_completes(
    load: Load, bench: Bench, whole: object, stop: type[BaseException], ends: type[BaseException], words: str | None
) -> None:
    load(SMALL | {"transitions": {"rbac_propagation": 700}})
    bench.clock.stop_when(lambda: bench.vault.rbac, stop)
    with pytest.raises(ends, match=words):
        bench.setup()
    assert not bench.vault.rbac
    finish(bench, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_are_treated_like_ctrl_c(load: Load, processes: Processes, number: signal.Signals) -> None:
    """The process is ended while the vault, which is switched, does not accept it yet."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("under nohup the command ignores it, as it should")
    cloud = load(SMALL | {"transitions": {"rbac_propagation": 7200}})
    vault = cloud.world.tenant.vaults["kv-ml"]
    env = cloud.environment("operator") | OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
    setup = processes.start(("provisioning", "setup", "--yes", "--propagation-wait", "0s"), env)
    assert not setup.ends_before(lambda: bool(vault.rbac))
    os.kill(setup.pid, number)
    ended = setup.ended(60)
    assert ended.status == 130, ended.err
    assert "switched back to access policies" in ended.err
    assert not vault.rbac


def test_a_new_identity_that_the_directory_does_not_know_yet_is_retried(load: Load, bench: Bench) -> None:
    body = {"error": {"code": "PrincipalNotFound", "message": "Principal x does not exist in the directory y."}}
    refused = {"op": "RoleAssignments_Create", "when": {"nth": [3, 4, 5]}, "do": {"status": 400, "body": body}}
    load(SMALL | {"faults": [refused], "transitions": {"rbac_propagation": 0}})
    bench.setup(propagation_wait=timedelta(0))
    assert bench.clock.slept == 1 + 2 + 4
    assert end(bench)[3] == [GOOD_KEY]


def test_an_assignment_that_somebody_made_in_the_meantime_is_adopted(load: Load, bench: Bench) -> None:
    """Somebody assigned the role under another name between the plan and the step."""
    load(SMALL)
    theirs = {"principal": "operator", "role": OFFICER, "scope": SCOPE, "name": "a1b2c3d4-0000-4000-8000-00000000000b"}
    bench.happens({"assign_role": theirs}, after="Accounts_Update")
    bench.setup()
    at_vault = [a for a in bench.role_assignments if a.scope == bench.vault.id]
    assert [a.name for a in at_vault if a.principal_id == bench.id_of("operator")] == [theirs["name"]]


STORED = [{"name": "wandb-api-key", "value": GOOD_KEY}]
DELETED = {"name": "kv-ml", "group": "rg-ml", "deleted": True, "rbac": True, "secrets": STORED}
FROM_NOTHING = pytest.mark.parametrize(
    ("way", "vaults"), [({"create_vault": True}, []), ({"recover_vault": True}, [DELETED])], ids=["create", "recover"]
)


@FROM_NOTHING
def test_creating_and_recovering_a_vault_survive_a_lost_answer_in_the_same_run(
    load: Load, bench: Bench, way: dict[str, Any], vaults: list[dict[str, Any]]
) -> None:
    """The SDK asks again, and there is nothing left to create or to recover."""
    lost = {"op": "Vaults_CreateOrUpdate", "when": {"nth": [1]}, "do": {"lost_response": True}}
    load(SMALL | {"vaults": vaults, "faults": [lost]})
    bench.setup(**way)
    assert end(bench)[2:] == (True, [GOOD_KEY])
    assert bench.idle()


@pytest.mark.parametrize("lost", [3, 4], ids=["one poll", "two polls"])
@FROM_NOTHING
def test_after_a_kill_while_the_vault_is_created_the_next_run_waits_for_it(
    load: Load, bench: Bench, way: dict[str, Any], vaults: list[dict[str, Any]], lost: int
) -> None:
    """A refused poll stands for a machine that is switched off: Azure continues without it."""
    fault = {"op": "Vaults_Get", "when": {"nth": [lost]}, "do": {"status": 400}}  # the polls are reads of the vault
    load(SMALL | {"vaults": vaults, "transitions": {"vault_polls": 4}, "faults": [fault]})
    bench.setup_fails(errors.ProvisioningError, **way)
    assert bench.vault.registering
    bench.ui.steps.clear()
    bench.setup(**way)
    assert bench.ui.steps[0].detail == "the host name of kv-ml is being registered"
    assert end(bench)[2:] == (True, [GOOD_KEY])
