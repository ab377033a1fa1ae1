"""Any write may change more than it asked for, by an Azure Policy: the difference is named, and a switch is undone."""

import re
from datetime import timedelta
from typing import Any

import pytest

from provisioning import errors
from provisioning.cli import setup
from tests.conftest import Load

from ...bench import Bench
from ..vault_in_use import SOON, world


def modify(kind: str, **changes: Any) -> dict[str, Any]:
    return {"policies": [{"name": "guardrail", "effect": "modify", "type": kind, "set": changes}]}


VAULTS, ACCOUNTS = "Microsoft.KeyVault/vaults", "Microsoft.CognitiveServices/accounts"
FIREWALL = modify(VAULTS, **{"properties.networkAcls.defaultAction": "Deny"})


@pytest.mark.parametrize(
    ("policy", "options", "words"),
    [
        (modify(VAULTS, **{"tags.owner": "finance"}), {}, "kv-ml also changed in other ways.*tags: owner"),
        (modify(VAULTS, **{"tags.owner": "finance"}), {"by_access_policy": True}, "kv-ml.*tags: owner"),
        (modify(ACCOUNTS, **{"properties.disableLocalAuth": True}), {}, "aoai-ml.*API keys are disabled now"),
        (modify(ACCOUNTS, **{"properties.publicNetworkAccess": "Disabled"}), {}, "aoai-ml.*public access disabled"),
    ],
    ids=["switch", "entries", "API keys", "public access"],
)
def test_unrequested_changes_of_a_write_are_named(
    load: Load, bench: Bench, policy: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    load(world() | SOON | policy)
    session = bench.setup(**options)
    assert re.search(words, " ".join(session.facts["warnings"]))


def test_a_firewall_that_the_switch_turned_on_is_undone_as_far_as_possible_and_named(load: Load, bench: Bench) -> None:
    load(world() | SOON | FIREWALL)
    session = bench.session()
    with pytest.raises(errors.VaultUnreachableError, match="switched back"):
        setup.setup(session, yes=True, interactive=False)
    assert not bench.vault.rbac
    assert "network rules new: default deny" in " ".join(session.facts["warnings"])


def test_a_tag_that_becomes_the_switch_is_switched_back(load: Load, bench: Bench) -> None:
    switch = {"change_vault": {"vault": "kv-ml", "rbac": True}}
    load(world() | SOON | {"events": [{"before": "Vaults_Update", "nth": 1, "do": [switch]}]})
    words = r"Writing a tag switched kv-ml to Azure RBAC.*switched back"
    bench.setup_fails(errors.ConflictError, words, by_access_policy=True)
    assert not bench.vault.rbac


def test_an_unclear_answer_to_the_switch_that_cannot_be_settled_is_switched_back(load: Load, bench: Bench) -> None:
    lost = [
        {"op": "Vaults_Update", "when": {"nth": [1, 2, 3, 4]}, "do": {"lost_response": True}},
        {"op": "Vaults_Get", "when": {"nth": [5]}, "do": {"status": 400}},
    ]
    load(world() | SOON | {"faults": lost})
    bench.setup_fails(errors.ProvisioningError, "switched back", propagation_wait=timedelta(0))
    assert not bench.vault.rbac
