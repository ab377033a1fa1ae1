"""The operator's sign-in outlasts the switch of a vault, the probe and the way back; otherwise the vault is not switched."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from provisioning import errors
from sandbox.cloud import Cloud

from ..bench import Bench

Load = Callable[[Mapping[str, Any]], Cloud]


def world(token_life: str, federated_for: str | None = None, **more: Any) -> dict[str, Any]:
    """A vault that others use. `az` gets no new token after `federated_for`."""
    vault = {"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "billing-api", "secrets": ["get"]}]}
    sign_in = {"token_life": token_life, "federated_for": federated_for}
    return {"extends": "contoso", "vaults": [vault], "sign_in": sign_in, "transitions": {"rbac_propagation": 60}} | more


@pytest.mark.parametrize("life", ["13m", "15m1s", "16m", "25m", "60m"])
def test_a_sign_in_that_can_be_renewed_is_no_obstacle(load: Load, bench: Bench, life: str) -> None:
    load(world(life))
    bench.setup()
    assert bench.vault.rbac


def test_tokens_of_a_pipeline_last_for_the_whole_command(load: Load, bench: Bench) -> None:
    """Its sign-in gives new tokens for minutes only, and those that exist are valid for an hour."""
    load(world("60m", "5m"))
    bench.setup()
    assert bench.vault.rbac


@pytest.mark.parametrize("life", ["13m", "14m", "15m1s", "15m59s"])
def test_a_sign_in_that_ends_during_the_wait_stops_setup_before_the_switch(load: Load, bench: Bench, life: str) -> None:
    load(world(life, "5m"))
    with pytest.raises(errors.NotSignedInError, match="The vault was not switched") as caught:
        bench.setup()
    assert "AADSTS700024" in caught.value.message
    assert "azure/login" in caught.value.hint
    assert "Vaults_Update" not in bench.cloud.counts
    load(world(life))
    bench.setup()


@pytest.mark.parametrize("life", ["17m", "20m", "24m"])
def test_a_sign_in_that_ends_during_the_probe_leaves_time_for_the_way_back(load: Load, bench: Bench, life: str) -> None:
    load(world(life, "5m", transitions={"rbac_propagation": 100000}))
    with pytest.raises(errors.AccessNotEffectiveError, match=r"your sign-in ends soon.* switched back"):
        bench.setup()
    assert not bench.vault.rbac


def test_a_sign_in_that_cannot_be_renewed_stops_setup_before_anything_is_written(load: Load, bench: Bench) -> None:
    later = {"after": "GetSecret", "do": [{"advance": {"seconds": 300}}]}
    load(world("9m", "1m", events=[later]))
    with pytest.raises(errors.NotSignedInError, match=r"AADSTS700024.* Nothing was written"):
        bench.setup()
    assert bench.cloud.writes == 0


def test_the_token_for_a_new_vault_is_requested_before_the_vault_is_created(load: Load, bench: Bench) -> None:
    later = {"before": "Vaults_CheckNameAvailability", "do": [{"advance": {"seconds": 300}}]}
    load(world("60m", "1m", vaults=[], events=[later]))
    with pytest.raises(errors.NotSignedInError, match=r"AADSTS700024.* Nothing was written"):
        bench.setup(create_vault=True)
    assert bench.cloud.writes == 0
