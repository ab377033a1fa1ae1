"""Each private part of the wandb SDK does what it is used for, and is still needed. A failure names the part that changed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb

from function_app.tracking.wandb.core import internals
from sandbox.cloud import Cloud
from tests.function_app.conftest import ENTITY, KEY, PROJECT

VIEW_ONLY_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"
RUN = "ftjob-1"
Init = Callable[..., wandb.Run]


@pytest.fixture
def init(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Init]:
    """The SDK opens a run as a service does: nothing printed, nothing of the machine uploaded, with its own handle."""
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    opened: list[wandb.Run] = []

    def init(run_id: str, key: str = KEY) -> wandb.Run:
        quiet: dict[str, Any] = {"console": "off", "silent": True, "disable_git": True}
        quiet |= {"x_disable_stats": True, "x_disable_meta": True, "x_save_requirements": False}
        settings = wandb.Settings(**quiet, api_key=key)
        run = wandb.init(entity=ENTITY, project=PROJECT, id=run_id, reinit="create_new", settings=settings)
        opened.append(run)
        return run

    yield init
    for run in opened:  # of a test that failed: at exit the SDK would wait for a W&B that is gone
        run.finish()


def draft(name: str, path: Path) -> wandb.Artifact:
    """An artifact with one file, hashed in chunks."""
    artifact = wandb.Artifact(name, "dataset")
    internals.add_local_file(artifact, path, "data.jsonl")
    return artifact


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text('{"messages": []}\n' * 100)
    return path


def test_add_local_file_gives_the_digest_of_add_file(file: Path) -> None:
    public = wandb.Artifact("public", "dataset")
    public.add_file(str(file), policy="immutable", skip_cache=True)
    assert draft("private", file).digest == public.digest


def test_deliver_artifact_saves_three_requests_of_log_artifact(cloud: Cloud, init: Init, file: Path) -> None:
    run = init(RUN)

    def requests() -> int:
        return sum(cloud.counts.values())

    before = requests()
    artifact_id, refusal = internals.deliver_artifact(run, draft("private", file), ["latest"], used=False).wait(200)
    private, before = requests() - before, requests()
    file.write_text("{}\n")
    run.log_artifact(draft("public", file), aliases=["latest"]).wait(timeout=200)
    assert private + 3 <= requests() - before
    [version] = cloud.world.wandb.store.collection(ENTITY, PROJECT, "private").versions
    assert (version.id, refusal) == (artifact_id, "")


def test_a_run_that_failed_to_open_is_in_use_until_it_is_released(cloud: Cloud, init: Init) -> None:
    with pytest.raises(wandb.Error):
        init(RUN, VIEW_ONLY_KEY)
    with pytest.raises(internals.InUseError):
        init(RUN)
    internals.release_run(RUN)
    init(RUN).finish()
    assert cloud.world.wandb.store.run(ENTITY, PROJECT, RUN).state(cloud.clock.time()) == "finished"


def test_session_login_undoes_the_sign_in_of_a_run(init: Init) -> None:
    server = internals.server_in_force()
    before = internals.signed_in_key(server)
    with internals.session_login(server):
        init(RUN).finish()
        signed_in = internals.signed_in_key(server)
        assert signed_in
        assert signed_in.get_secret_value() == KEY
    assert internals.signed_in_key(server) == before


@pytest.mark.usefixtures("cloud")
def test_a_refusal_of_wandb_has_its_status_and_is_not_the_death_of_wandb_core() -> None:
    with pytest.raises(wandb.errors.AuthenticationError) as refused:
        wandb.Api(api_key="0" * 40, timeout=10)
    cause = refused.value.__cause__
    assert isinstance(cause, internals.ApiFailedError)
    assert cause.response
    assert cause.response.http_status == 401
    assert not internals.core_is_gone()
