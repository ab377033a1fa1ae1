"""Each private part of the wandb SDK does what it is used for, and is still needed. A failure names the part that changed."""

from pathlib import Path

import pytest
import wandb

from function_app.tracking.wandb.core import internals
from tests.sandbox.wandb.sdk import ENTITY, PROJECT, STRANGER, VIEWER, WRITER, Sdk, sdk

__all__ = ["sdk"]
RUN = "ftjob-1"


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


def test_deliver_artifact_saves_three_requests_of_log_artifact(sdk: Sdk, file: Path) -> None:
    run = sdk.init(RUN)

    def requests() -> int:
        return sum(sdk.cloud.counts.values())

    before = requests()
    artifact_id, refusal = internals.deliver_artifact(run, draft("private", file), ["latest"], used=False).wait(30)
    private, before = requests() - before, requests()
    file.write_text("{}\n")
    run.log_artifact(draft("public", file), aliases=["latest"]).wait(timeout=30)
    assert private + 3 <= requests() - before
    [version] = sdk.store.collection(ENTITY, PROJECT, "private").versions
    assert (version.id, refusal) == (artifact_id, "")


def test_a_run_that_failed_to_open_is_in_use_until_it_is_released(sdk: Sdk) -> None:
    with pytest.raises(wandb.Error):
        sdk.init(RUN, key=VIEWER)
    with pytest.raises(internals.InUseError):
        sdk.init(RUN)
    internals.release_run(RUN)
    sdk.init(RUN).finish()
    assert sdk.state(RUN) == "finished"


def test_session_login_undoes_the_sign_in_of_a_run(sdk: Sdk) -> None:
    server = internals.server_in_force()
    before = internals.signed_in_key(server)
    with internals.session_login(server):
        sdk.init(RUN).finish()
        signed_in = internals.signed_in_key(server)
        assert signed_in
        assert signed_in.get_secret_value() == WRITER
    assert internals.signed_in_key(server) == before


def test_a_refusal_of_wandb_has_its_status_and_is_not_the_death_of_wandb_core(sdk: Sdk) -> None:
    with pytest.raises(wandb.errors.AuthenticationError) as refused:
        sdk.api(STRANGER)
    cause = refused.value.__cause__
    assert isinstance(cause, internals.ApiFailedError)
    assert cause.response
    assert cause.response.http_status == 401
    assert not internals.core_is_gone()
