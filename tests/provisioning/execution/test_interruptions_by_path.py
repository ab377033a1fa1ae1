"""On every path of setup, after every request that is lost before or after it acts, the next run ends in the same state."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from provisioning.models import SECRETS_USER, Scope
from sandbox.azure.tenant import Tenant
from tests.conftest import Load

from ..bench import GOOD_KEY, Bench

FUNCTION_APP = "feedf00d-0000-4000-8000-00000000000f"
PEOPLE = [
    {"name": "operator", "kind": "user"},
    {"name": "billing-api", "kind": "managed identity"},
    {"name": "function-app", "kind": "managed identity", "id": FUNCTION_APP},
]
OWNER = [{"principal": "operator", "role": "Owner"}]


@dataclass(frozen=True)
class Path:
    """A starting state and what was asked for."""

    vaults: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)

    def world(self, **more: Any) -> dict[str, Any]:
        return {"extends": "contoso", "principals": PEOPLE, "assignments": OWNER, "vaults": self.vaults, **more}


def a_vault(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "kv-ml", "group": "rg-ml", **more}]


KEPT = [{"name": "wandb-api-key", "value": GOOD_KEY}]
THEIRS = [{"principal": "billing-api", "secrets": ["get"]}]
PATHS = {
    "switch": Path(a_vault(policies=THEIRS)),
    "create": Path([], {"create_vault": True}),
    "recover": Path(a_vault(deleted=True, rbac=True, secrets=KEPT), {"recover_vault": True}),
    "access policies": Path(a_vault(policies=THEIRS), {"by_access_policy": True, "readers": (FUNCTION_APP,)}),
    "least privilege": Path(
        a_vault(rbac=True), {"identity_role": SECRETS_USER, "identity_scope": Scope.SECRET, "readers": (FUNCTION_APP,)}
    ),
}
BEFORE, AFTER = {"status": 400}, {"lost_response": True}


def end(bench: Bench) -> tuple[object, ...]:
    tenant, vault = bench.cloud.world.tenant, bench.vault
    roles = {
        (tenant.principals[a.principal_id].alias, a.role_id, a.scope)
        for a in tenant.rbac.assignments.values()
        if a.scope.startswith(vault.id)
    }
    entries = {
        (tenant.principals[p.object_id].alias, kind, *sorted(verbs))
        for p in vault.policies
        for kind, verbs in p.permissions.items()
        if verbs
    }
    versions = [v.value for v in vault.secrets["wandb-api-key"].versions]
    tags = {_named(tag, tenant) for tag in vault.tags}
    return roles, entries, vault.rbac, vault.deleted, vault.purge_protection, tags, versions


def _named(tag: str, tenant: Tenant) -> str:
    """Replace the object id in a tag, which the service draws, by the principal's name."""
    for each in tenant.principals.values():
        tag = tag.replace(each.object_id, each.alias)
    return tag


def run_whole(load: Load, bench: Bench, path: Path) -> tuple[tuple[object, ...], list[tuple[str, int]], set[str]]:
    """The end of a run that nothing stopped, its requests as (operation, n-th), and which operations write."""
    load(path.world())
    bench.setup(**path.options)
    requests = [(op, n) for op, times in bench.cloud.counts.items() for n in range(1, times + 1)]
    return end(bench), requests, {e.operation for e in bench.cloud.world.trace.writes()}


def stop_and_finish(
    load: Load, bench: Bench, path: Path, whole: tuple[object, ...], request: tuple[str, int], do: dict[str, Any]
) -> None:
    """One request goes wrong; then the same command again, and once more to see that nothing is left."""
    op, nth = request
    load(path.world(faults=[{"op": op, "when": {"nth": [nth]}, "do": do}]))
    with contextlib.suppress(errors.ProvisioningError):  # the SDK may ask again by itself, which is well
        bench.setup(**path.options)
    assert bench.cloud.world.faults.unmet == [], request
    bench.setup(**path.options)
    assert end(bench) == whole, request
    assert bench.idle(**path.options), request


@pytest.mark.parametrize("do", [BEFORE, AFTER], ids=["refused", "answer lost"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_after_any_failed_write_the_next_run_completes(
    load: Load, bench: Bench, path: Path, do: dict[str, Any]
) -> None:
    whole, requests, writing = run_whole(load, bench, path)
    writes = [r for r in requests if r[0] in writing]
    assert writes
    for request in writes:
        stop_and_finish(load, bench, path, whole, request, do)


@pytest.mark.timeout(300)  # one setup and one more run for every read
@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_after_any_failed_read_the_next_run_completes(load: Load, bench: Bench, path: Path) -> None:
    whole, requests, writing = run_whole(load, bench, path)
    for request in requests:
        if request[0] not in writing:
            stop_and_finish(load, bench, path, whole, request, BEFORE)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_ctrl_c_after_any_step_leaves_the_rest_to_the_next_run(load: Load, bench: Bench, path: Path) -> None:
    whole, _, _ = run_whole(load, bench, path)
    for stop_after in range(1, len(bench.ui.steps) + 1):
        load(path.world())
        bench.ui.interrupt_after(stop_after)
        with pytest.raises(errors.InterruptedByUserError, match="were made") as caught:
            setup.setup(bench.session(**path.options), yes=True, interactive=False)
        assert caught.value.exit_status == 130
        bench.setup(**path.options)
        assert end(bench) == whole, stop_after
        writes = bench.cloud.writes
        bench.setup(**path.options)
        assert bench.cloud.writes == writes, stop_after


@pytest.mark.parametrize("path", ["create", "recover"])
def test_creating_and_recovering_a_vault_survive_a_lost_answer_in_the_same_run(
    load: Load, bench: Bench, path: str
) -> None:
    """The SDK asks again, and there is nothing left to recover."""
    chosen = PATHS[path]
    whole, _, _ = run_whole(load, bench, chosen)
    load(chosen.world(faults=[{"op": "Vaults_CreateOrUpdate", "when": {"nth": [1]}, "do": AFTER}]))
    bench.setup(**chosen.options)
    assert end(bench) == whole


@pytest.mark.parametrize("lost", [3, 4], ids=["one poll", "two polls"])
@pytest.mark.parametrize("path", ["create", "recover"])
def test_after_a_kill_while_the_vault_is_created_the_next_run_waits_for_it(
    load: Load, bench: Bench, path: str, lost: int
) -> None:
    """A poll is refused, as good as a machine switched off: the vault goes on without us."""
    chosen = PATHS[path]
    whole, _, _ = run_whole(load, bench, chosen)
    fault = {"op": "Vaults_Get", "when": {"nth": [lost]}, "do": BEFORE}  # the polls are reads of the vault
    load(chosen.world(transitions={"vault_polls": 4}, faults=[fault]))
    with pytest.raises(errors.ProvisioningError):
        bench.setup(**chosen.options)
    assert bench.vault.registering
    bench.ui.steps.clear()
    bench.setup(**chosen.options)
    assert bench.ui.steps[0].detail == "the host name of kv-ml is being registered"
    assert end(bench) == whole
