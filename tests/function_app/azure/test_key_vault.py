"""The W&B API key: from the vault, kept for minutes, read again when refused, and in no place where it could be seen."""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.identity import CredentialUnavailableError, DefaultAzureCredential
from pydantic import SecretStr

from function_app.azure.key_vault import EXPIRING, FRESH_FOR, KEPT_FOR, VaultKey
from function_app.errors import KeyRefusedError, VaultBusyError, VaultError
from function_app.models import Result
from sandbox.cloud import Cloud
from tests.function_app.conftest import JOB, KEY, SETTLED, Bench, a_job

VAULT = "https://kv-ml.vault.azure.net/"
NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0000f"
MakeKey = Callable[..., VaultKey]
Lines = Callable[[], list[str]]


def with_secret(bench: Bench, value: str, *, vault: Any = (), **values: Any) -> None:
    """A world whose vault is on Azure RBAC and has the key; `values` is of the secret, `vault` of the vault."""
    secret = {"name": "wandb-api-key", "value": value, **values}
    bench.world(a_job(), vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [secret], **dict(vault)}])


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The log lines about the key since the last call."""
    caplog.set_level(logging.INFO, "function_app")

    def lines() -> list[str]:
        messages = [record.getMessage() for record in caplog.records if record.name == "function_app.azure.key_vault"]
        caplog.clear()
        return messages

    return lines


@pytest.fixture
def key(bench: Bench) -> Iterator[MakeKey]:
    with ExitStack() as made:

        def make(name: str = "wandb-api-key", **values: Any) -> VaultKey:
            credential = made.enter_context(DefaultAzureCredential())
            return made.enter_context(closing(VaultKey(VAULT, name, credential, **values)))

        yield make


def test_the_key_is_read_from_the_vault_and_kept_for_minutes(bench: Bench, key: MakeKey) -> None:
    with_secret(bench, KEY)
    now = 0.0
    source = key(clock=lambda: now)
    assert source.get() == SecretStr(KEY)
    assert bench.counted(source.get) == ({}, 0)
    now = FRESH_FOR + 1
    assert bench.counted(source.get) == ({"GetSecret": 1}, 0)
    assert bench.counted(lambda: source.get(refused=SecretStr(KEY))) == ({"GetSecret": 1}, 0)
    assert bench.counted(lambda: source.get(refused=SecretStr(NEW_KEY))) == ({}, 0), "not the one that it has"


def test_a_good_key_is_used_for_a_while_when_the_vault_cannot_be_reached(bench: Bench, key: MakeKey) -> None:
    with_secret(bench, KEY)
    now = 0.0
    source = key(clock=lambda: now, limits={"retry_total": 0})
    source.get()
    bench.fault("GetSecret", {"status": 503})
    now = FRESH_FOR + 1
    assert source.get() == SecretStr(KEY)
    with pytest.raises(VaultBusyError):
        source.get(refused=SecretStr(KEY))
    now = KEPT_FOR + 1
    with pytest.raises(VaultBusyError):
        source.get()


def test_a_good_key_outlasts_an_identity_that_gets_no_token(bench: Bench) -> None:
    with_secret(bench, KEY)
    now = 0.0
    gone = False

    class Failing:
        """Its tokens end soon, so that each reading of the vault needs another one."""

        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            if gone:
                raise CredentialUnavailableError("the identity endpoint fails")
            return AccessToken(real.get_token(*scopes, **options).token, int(time.time()) + 60)

    with (
        closing(DefaultAzureCredential()) as real,
        closing(VaultKey(VAULT, "wandb-api-key", Failing(), clock=lambda: now)) as source,
    ):
        source.get()
        gone, now = True, FRESH_FOR + 1
        assert source.get() == SecretStr(KEY)
        now = KEPT_FOR + 1
        with pytest.raises(VaultBusyError, match="no Azure identity"):
            source.get()


@pytest.mark.parametrize(
    ("name", "words"), [("other", "There is no secret other"), ("wandb-api-key", "this identity has no role")]
)
def test_each_reason_why_there_is_no_key_has_its_error(bench: Bench, key: MakeKey, name: str, words: str) -> None:
    with_secret(bench, KEY)
    if name == "wandb-api-key":
        bench.world(a_job(), assignments=[], vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True}])
    with pytest.raises(VaultError) as caught:
        key(name).get()
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("network", [{"firewall": True}, {"public_network": False}])
def test_network_rules_of_a_vault_are_reported(bench: Bench, key: MakeKey, network: dict[str, bool]) -> None:
    with_secret(bench, KEY, vault=network)
    with pytest.raises(VaultError, match="network rules refuse this address") as caught:
        key().get()
    assert "private endpoint" in caught.value.hint


def test_each_read_of_the_key_logs_one_line_with_version_and_expiry(bench: Bench, key: MakeKey, lines: Lines) -> None:
    with_secret(bench, KEY, expires_in_days=90)
    source = key()
    source.get()
    source.get()
    [line] = lines()
    on = (bench.cloud.clock.now() + timedelta(days=90)).date().isoformat()
    assert re.fullmatch(rf"key state=read version=[0-9a-f]{{32}} expires={on}", line)


@pytest.mark.parametrize(("left", "logged"), [(EXPIRING + 1, False), (EXPIRING - 0.5, True), (0.5, True), (-1.5, True)])
def test_a_key_that_expires_soon_is_logged(bench: Bench, key: MakeKey, lines: Lines, left: float, logged: bool) -> None:
    with_secret(bench, KEY, expires_in_days=left)
    now = 0.0
    source = key(clock=lambda: now)
    for _ in range(2):
        source.get()
        now += FRESH_FOR + 1
    expiring = [line for line in lines() if "state=expiring" in line]
    assert len(expiring) == 2 * logged
    assert all(f" days={math.floor(left)} " in line for line in expiring)


def test_a_key_that_wandb_refuses_is_logged_only_if_the_vault_has_no_other(bench: Bench, lines: Lines) -> None:
    """So that a rotation raises no alert."""
    with_secret(bench, KEY)
    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    engine.discover()
    bench.store.revoke(KEY)
    lines()
    with pytest.raises(KeyRefusedError):
        engine.discover()
    [refusal] = [line for line in lines() if "state=refused" in line]
    assert re.fullmatch(r"key state=refused version=[0-9a-f]{32}", refusal)
    bench.store.add_key("sync-bot", NEW_KEY)
    set_secret(bench.cloud, NEW_KEY)
    engine.discover()
    assert [line.split()[1] for line in lines()] == ["state=read"]


def test_a_rotated_key_needs_no_restart(bench: Bench) -> None:
    with_secret(bench, KEY)
    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    assert bench.tick(engine)[JOB].final
    bench.store.add_key("sync-bot", NEW_KEY)
    bench.store.revoke(KEY)
    set_secret(bench.cloud, NEW_KEY)
    assert bench.tick(engine, after=SETTLED)[JOB].result is Result.CURRENT


def test_a_key_that_stays_refused_is_reported_as_one_error(bench: Bench) -> None:
    with_secret(bench, "9" * 40)
    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    with pytest.raises(KeyRefusedError, match="does not accept the API key"):
        engine.sync()
    read = [e for e in bench.cloud.world.trace.exchanges if e.operation == "GetSecret" and e.status == 200]
    assert len(read) == 2  # once, and once more because W&B refused it
    assert bench.cloud.writes == 0


def set_secret(cloud: Cloud, value: str) -> None:
    """What `provisioning rotate-key` does."""
    from azure.keyvault.secrets import SecretClient

    with DefaultAzureCredential() as credential, SecretClient(VAULT, credential) as client:
        client.set_secret("wandb-api-key", value)


def test_a_vault_that_asks_for_a_token_of_another_service_gets_none(bench: Bench, key: MakeKey) -> None:
    challenge = 'Bearer authorization="https://login.microsoftonline.com/t", resource="https://management.azure.com"'
    fault = {"op": "GetSecret", "when": {"times": 1}, "do": {"status": 401, "headers": {"www-authenticate": challenge}}}
    bench.world(faults=[fault])
    with pytest.raises(VaultError, match="asked for a token of another service, and got none"):
        key().get()
