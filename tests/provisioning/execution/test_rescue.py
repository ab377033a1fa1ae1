"""rescue: the way back to access policies by one small request, named wherever setup could not go back itself."""

import json
import shlex
from typing import Any

import pytest

from provisioning import errors
from tests.conftest import Load

from ..bench import OPERATOR_ENV, Bench
from ..conftest import Call
from .vault_in_use import SOON, held, policies, world

SLOW = {"transitions": {"rbac_propagation": 7200}}


def arguments(hint: str) -> list[str]:
    """The command in a hint. It has no quotes, which PowerShell and cmd read in other ways."""
    command = hint[hint.index("python -m provisioning rescue") :].partition(" --yes")[0] + " --yes"
    assert not set("'\"") & set(command)
    return shlex.split(command)[3:]


def killed(load: Load, bench: Bench) -> None:
    """A vault that setup has switched and could neither probe nor switch back."""
    load(world() | SLOW)
    bench.fault("Vaults_Update", {"status": 403}, nth=[2])
    bench.setup_fails(errors.AccessNotEffectiveError, "still on Azure RBAC")
    assert bench.vault.rbac


def test_the_printed_command_switches_back_and_changes_nothing_else(load: Load, bench: Bench, call: Call) -> None:
    killed(load, bench)
    with pytest.raises(errors.AccessNotEffectiveError) as caught:  # the next run, which has no access
        bench.setup()
    before = held(bench), policies(bench), dict(bench.vault.tags)
    done = call(*arguments(caught.value.hint), "-o", "json", env={"AZURE_RESOURCE_GROUP": "another"})
    assert done.returncode == 0, done.stdout
    assert [step["resource"] for step in json.loads(done.stdout)["applied"]] == ["vault access model"]
    assert not bench.vault.rbac
    assert (held(bench), policies(bench), dict(bench.vault.tags)) == before
    (request,) = [e for e in bench.cloud.world.trace.exchanges if e.operation == "Vaults_Update" and e.status == 200][
        -1:
    ]
    assert request.request["body"] == {"properties": {"enableRbacAuthorization": False}}


def test_the_next_plan_after_a_kill_offers_the_way_back(load: Load, bench: Bench, call: Call) -> None:
    killed(load, bench)
    shown = call("plan", env=OPERATOR_ENV).stdout
    assert "you have no access yet. To go back instead" in shown
    assert "rescue --key-vault /subscriptions/" in shown
    bench.cloud.clock.advance(3 * 86400)
    assert "rescue" not in call("plan", env=OPERATOR_ENV).stdout


def test_a_vault_on_access_policies_needs_no_rescue(load: Load, bench: Bench, call: Call) -> None:
    load(world())
    done = call("rescue", "-g", "rg-ml", "--key-vault", "kv-ml", env={})
    assert (done.returncode, done.stdout) == (0, "kv-ml is on access policies.\n")
    assert bench.cloud.writes == 0


def test_a_vault_without_access_policies_is_not_put_on_them(load: Load, bench: Bench, call: Call) -> None:
    load(world(rbac=True, policies=[]))
    refused = call("rescue", "-g", "rg-ml", "--key-vault", "kv-ml", "--yes", env={})
    assert refused.returncode == 1
    assert "nobody could use what it holds" in refused.stderr
    assert bench.cloud.writes == 0
    assert call("rescue", "-g", "rg-ml", "--key-vault", "kv-ml", "--yes", "--accept-loss", env={}).returncode == 0
    assert not bench.vault.rbac


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"code": "InsufficientPermissions", "message": "Caller is not allowed."}, "missing-rights", "Owner"),
        ({"code": "RequestDisallowedByPolicy", "message": "Disallowed by policy."}, "disallowed-by-policy", "exemption"),
    ],
)  # fmt: skip
def test_if_rescue_is_refused_the_error_names_who_may_run_it(
    load: Load, bench: Bench, call: Call, body: dict[str, Any], code: str, words: str
) -> None:
    fault = {"op": "Vaults_Update", "do": {"status": 400 if code == "missing-rights" else 403, "body": {"error": body}}}
    load(world(rbac=True) | SOON | {"faults": [fault]})
    done = call("rescue", "-g", "rg-ml", "--key-vault", "kv-ml", "--yes", "-o", "json", env={})
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (1, code)
    assert words in error["hint"]
    assert bench.vault.rbac
