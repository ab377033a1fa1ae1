"""The real W&B SDK in this process, against the sandbox."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from sandbox.cloud import Cloud
from sandbox.wandb.store import Store

WRITER = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
VIEWER = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"
STRANGER = "0" * 40
ENTITY, PROJECT = "acme", "fine-tunes"


class Sdk:
    """Opens runs and APIs with keys of the scenario; `store` is the other side."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.opened: list[wandb.Run] = []

    @property
    def store(self) -> Store:
        return self.cloud.world.wandb.store

    @property
    def now(self) -> float:
        return self.cloud.clock.time()

    def init(self, run_id: str, *, key: str = WRITER, entity: str = ENTITY, **arguments: Any) -> wandb.Run:
        """A run as a service makes it: nothing printed, nothing of the machine uploaded, with its own handle."""
        settings: dict[str, Any] = {"console": "off", "silent": True, "disable_git": True, "x_disable_stats": True}
        settings |= {"x_disable_meta": True, "x_disable_machine_info": True, "x_save_requirements": False}
        settings |= {"api_key": key, "init_timeout": 10.0, **arguments.pop("settings", {})}
        run = wandb.init(
            entity=entity,
            project=PROJECT,
            id=run_id,
            reinit="create_new",
            settings=wandb.Settings(**settings),
            **arguments,
        )
        self.opened.append(run)
        return run

    def api(self, key: str = WRITER) -> wandb.Api:
        return wandb.Api(api_key=key, timeout=10)

    def state(self, run_id: str) -> str:
        return self.store.run(ENTITY, PROJECT, run_id).state(self.now)


@pytest.fixture
def sdk(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    """Fails the test when the SDK asked for something that the stand-in does not know."""
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    sdk = Sdk(cloud)
    yield sdk
    for run in sdk.opened:  # of a test that failed: at exit the SDK would wait for a W&B that is gone
        run.finish()
    assert cloud.world.wandb.unsupported == []
