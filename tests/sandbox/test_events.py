"""Other people's actions during a command happen at their moment, seen through the real SDKs."""

import json
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from sandbox.scenario.events import Do, EventScript
from sandbox.scenario.reader import Scenario
from tests.conftest import Load

from .azure import key_vaults, tenant_of

VAULT = {
    "name": "kv-ml",
    "policies": [{"principal": "operator", "secrets": ["all"]}],
    "secrets": [{"name": "key", "value": "one", "tags": {"team": "ml"}}],
}


def _world(load: Load, *events: dict[str, Any], **rest: Any) -> Any:
    return load(tenant_of(VAULT, events=list(events), **rest)).world


def _policies() -> dict[str, list[str]]:
    entries = key_vaults().get("rg-ml", "kv-ml").properties.access_policies
    return {entry.object_id: entry.permissions.secrets for entry in entries}


def test_an_event_before_a_request_is_seen_by_it_and_one_after_it_by_the_next(load: Load) -> None:
    dana = {"add_principal": {"name": "dana", "kind": "user", "id": "d" * 36}}
    add = {"add_access_policy": {"vault": "kv-ml", "principal": "dana", "secrets": ["get"]}}
    more = {"add_access_policy": {"vault": "kv-ml", "principal": "dana", "secrets": ["Get", "list"]}}
    gone = {"remove_access_policy": {"vault": "kv-ml", "principal": "dana"}}
    world = _world(
        load,
        {"before": "Vaults_Get", "nth": 2, "do": [dana, add]},
        {"after": "Vaults_Get", "nth": 2, "do": [more]},
        {"after": "Vaults_Get", "nth": 3, "do": [gone]},
    )
    assert [_policies().get("d" * 36) for _ in range(4)] == [None, ["get"], ["get", "list"], None]
    assert not world.events.pending
    assert [line.split(" ", 1)[1] for line in world.events.log] == [
        "before request 2 of Vaults_Get: add_principal, add_access_policy",
        "after request 2 of Vaults_Get: add_access_policy",
        "after request 3 of Vaults_Get: remove_access_policy",
    ]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"do": [{"advance": {"seconds": 1}}]}, "exactly one of before, after, at"),
        ({"at": 1, "nth": 2, "do": [{"advance": {"seconds": 1}}]}, "go with before or after"),
        ({"before": "A", "do": [{}]}, "one key"),
        ({"before": "A", "do": [{"dance": {}}]}, "not permitted"),
        ({"before": "A", "do": [{"delete_vault": {"vault": "kv-mll"}}]}, "no vault 'kv-mll'"),
        ({"before": "A", "do": [{"assign_role": {"principal": "x", "role": "King"}}]}, "'King' is not a role"),
    ],
)
def test_a_mistake_in_an_event_is_explained_when_the_scenario_is_read(event: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Scenario.parse(tenant_of(VAULT, events=[event]))


def test_a_program_can_schedule_an_event_and_see_what_happened(load: Load) -> None:
    cloud = load(tenant_of(VAULT))
    event = {"at": 0, "do": [{"change_vault": {"vault": "kv-ml", "tags": {"by": "dana"}}}]}
    opener = build_opener(ProxyHandler({}))
    opener.open(Request(f"{cloud.url}/_sandbox/events", json.dumps(event).encode()))
    assert key_vaults().get("rg-ml", "kv-ml").tags == {"by": "dana"}
    shown = json.loads(opener.open(f"{cloud.url}/_sandbox/events").read())
    assert [len(shown["happened"]), shown["pending"]] == [1, []]


def test_an_action_on_a_missing_resource_changes_nothing(load: Load) -> None:
    """Events outlive the resources that they name: another event, or the program itself, may have deleted them."""
    world = _world(
        load, accounts=[{"name": "aoai-ml", "group": "rg-ml"}], function_apps=[{"name": "app", "group": "rg-ml"}]
    )
    where = {"vault": "kv-ml", "name": "key"}
    actions: dict[str, dict[str, Any]] = {
        "purge_vault": {"vault": "kv-ml"},
        "delete_account": {"account": "aoai-ml"},
        "delete_principal": {"principal": "operator"},
        "add_access_policy": {"vault": "kv-ml", "principal": "operator", "secrets": ["get"]},
        "remove_access_policy": {"vault": "kv-ml", "principal": "operator"},
        "change_vault": {"vault": "kv-ml", "rbac": True},
        "delete_vault": {"vault": "kv-ml"},
        "recover_vault": {"vault": "kv-ml"},
        "write_secret": {**where, "value": "x"},
        "change_secret": {**where, "enabled": False},
        "delete_secret": where,
        "recover_secret": where,
        "purge_secret": where,
        "change_account": {"account": "aoai-ml", "system_identity": True, "attach": ["shared"]},
        "change_function_app": {"name": "app", "settings": {"A": None}},
        "remove_role": {"principal": "operator", "scope": "/"},
        "change_role": {"principal": "operator", "scope": "/", "description": "x"},
    }
    for name, what in actions.items():
        world.schedule(EventScript(at=0, do=[Do.model_validate({name: what})]))
    world.events.run_due()
    assert not world.events.pending
    assert not world.tenant.vaults
    assert not world.tenant.accounts
