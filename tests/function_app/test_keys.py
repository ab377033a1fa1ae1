"""The W&B API key: from the vault, kept for minutes, read again when refused, and in no place where it could be seen."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import DefaultAzureCredential
from pydantic import SecretStr

from function_app.errors import KeyRefusedError, VaultError
from function_app.model import DatasetPolicy, Result
from function_app.vault import FRESH_FOR, VaultKey
from sandbox.cloud import Cloud

from .conftest import JOB, KEY, Bench, a_job

VAULT = "https://kv-ml.vault.azure.net/"
NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0000f"


def with_secret(bench: Bench, value: str) -> None:
    """A world whose vault is on Azure RBAC and has the key."""
    secret = {"name": "wandb-api-key", "value": value}
    bench.world(a_job(), vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [secret]}])


@pytest.fixture
def key(bench: Bench) -> Iterator[Callable[..., VaultKey]]:
    made: list[Any] = []

    def make(name: str = "wandb-api-key", **said: Any) -> VaultKey:
        credential = DefaultAzureCredential()
        source = VaultKey(VAULT, name, credential, **said)
        made.extend((source, credential))
        return source

    yield make
    for each in made:
        each.close()


def test_the_key_is_read_from_the_vault_and_kept_for_minutes(bench: Bench, key: Callable[..., VaultKey]) -> None:
    with_secret(bench, KEY)
    now = 0.0
    source = key(clock=lambda: now)
    assert source.get() == SecretStr(KEY)
    assert bench.counted(source.get) == ({}, 0)
    now = FRESH_FOR + 1
    assert bench.counted(source.get) == ({"GetSecret": 1}, 0)
    assert bench.counted(lambda: source.get(fresh=True)) == ({"GetSecret": 1}, 0)


@pytest.mark.parametrize(
    ("name", "said"), [("other", "There is no secret other"), ("wandb-api-key", "this identity has no role")]
)
def test_a_vault_that_does_not_give_it_is_told_apart(
    bench: Bench, key: Callable[..., VaultKey], name: str, said: str
) -> None:
    with_secret(bench, KEY)
    if name == "wandb-api-key":
        bench.world(a_job(), assignments=[], vaults=[{"name": "kv-ml", "group": "rg-ml", "rbac": True}])
    with pytest.raises(VaultError) as caught:
        key(name).get()
    assert said in caught.value.message
    assert caught.value.hint


def test_a_rotated_key_needs_no_restart(bench: Bench) -> None:
    with_secret(bench, KEY)
    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    assert bench.tick(engine)[JOB].final
    store = bench.cloud.world.wandb.store
    store.add_key("sync-bot", NEW_KEY)
    store.revoke(KEY)
    set_secret(bench.cloud, NEW_KEY)
    assert bench.tick(engine)[JOB].result is Result.CURRENT


def test_a_key_that_stays_refused_is_one_error_that_says_so(bench: Bench) -> None:
    with_secret(bench, "9" * 40)
    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    with pytest.raises(KeyRefusedError, match="does not take the API key"):
        engine.sync()
    read = [e for e in bench.cloud.world.trace.exchanges if e.operation == "GetSecret" and e.status == 200]
    assert len(read) == 2  # once, and once more because W&B refused it
    assert bench.cloud.writes == 0


def test_the_key_is_in_no_environment_and_no_file(bench: Bench) -> None:
    """Ours, wandb-core's, the SDK's directories and the run's."""
    with_secret(bench, KEY)
    seen: list[str] = []

    def look_around() -> bool:
        ours = [process for process in Path("/proc").glob("[0-9]*") if owned(process)]
        told = [content(each / "environ") + content(each / "cmdline") for each in ours]
        seen.extend(str(each) for each, text in zip(ours, told, strict=True) if KEY.encode() in text)
        assert len(ours) > 1  # wandb-core is there
        for root in [Path(os.environ["WANDB_DIR"]), *Path("/tmp").glob("finetune-*")]:
            seen.extend(str(path) for path in root.rglob("*") if path.is_file() and KEY.encode() in content(path))
        return False

    from function_app.mirror import Mirrored, mirror

    engine = bench.engine(wandb_api_key=None, key_vault_url=VAULT)
    [candidate] = engine.look()[0]
    done = Mirrored()
    mirror(
        candidate.account,
        candidate.job,
        None,
        engine.api,
        done,
        datasets=DatasetPolicy.FULL,
        run_id=candidate.job.id,
        interrupted=look_around,
    )
    assert done.final
    assert seen == []
    assert KEY not in os.environ.values()


def content(path: Path) -> bytes:
    """A file's bytes; none of one that has just gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def owned(process: Path) -> bool:
    """Whether it is this process or a child of it."""
    try:
        stat = (process / "stat").read_text()
    except OSError:
        return False
    parent = int(stat.rpartition(")")[2].split()[1])
    return os.getpid() in (int(process.name), parent)


def set_secret(cloud: Cloud, value: str) -> None:
    """What `provisioning rotate-key` does."""
    from azure.keyvault.secrets import SecretClient

    with DefaultAzureCredential() as credential, SecretClient(VAULT, credential) as client:
        client.set_secret("wandb-api-key", value)
