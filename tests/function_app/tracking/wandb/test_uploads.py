"""Artifacts that are uploaded concurrently: their files, their failures, and the request about all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from function_app.azure.leases import NO_LEASE
from function_app.errors import WandbError
from function_app.tracking import Identity, Intent
from function_app.tracking.wandb.core.internals import add_local_file
from function_app.tracking.wandb.runs import new_artifact
from function_app.tracking.wandb.tracker import WandbTracker
from function_app.tracking.wandb.versioned.attachments import WandbSession
from function_app.tracking.wandb.versioned.uploads import Uploads
from function_app.tracking.wandb.versioned.versions import LATEST
from tests.function_app.conftest import JOB, Bench, a_job

NAMES = ("first", "second")


@pytest.fixture
def run(bench: Bench) -> Iterator[WandbSession]:
    """A new run."""
    bench.world()
    tracker = WandbTracker(bench.api())
    with tracker.open(JOB, Identity("a run", "group", (), {}), Intent(), NO_LEASE) as run:
        run.send(attach=True)
        yield run


def send(uploads: Uploads, name: str, *, used: bool = False) -> Path:
    """Upload a file of 1,000 bytes; where it is kept during the upload."""
    directory = uploads.directory()
    path = directory / "data"
    path.write_text(name.ljust(1_000, "."))
    artifact = new_artifact(name, "dataset", {})
    add_local_file(artifact, path, path.name)
    uploads.send(artifact, [LATEST], used=used)
    return directory


def there(bench: Bench) -> list[str]:
    """The collections that have a version."""
    return [each.name for each in bench.store.all_collections() if each.versions]


def test_files_are_kept_until_wandb_has_them_and_then_removed(bench: Bench, run: WandbSession) -> None:
    with Uploads(bench.api(), run) as uploads:
        directories = [send(uploads, name) for name in NAMES]
        assert all(directory.exists() for directory in directories)
    assert sorted(there(bench)) == sorted(NAMES)
    assert not any(directory.exists() for directory in directories)


def test_files_waiting_for_their_upload_are_limited(bench: Bench, run: WandbSession) -> None:
    """A small disk does not have to hold all of a job's files at once."""
    with Uploads(bench.api(), run, on_disk=999) as uploads:
        for name in NAMES:
            assert not send(uploads, name).exists()
            assert name in there(bench)


def test_a_refused_upload_is_reported_and_the_other_one_succeeds(bench: Bench, run: WandbSession) -> None:
    bench.fault("CommitArtifact", {"status": 400}, times=1)
    uploads = Uploads(bench.api(), run)
    for name in NAMES:
        send(uploads, name, used=True)
    with pytest.raises(WandbError, match="did not accept an artifact"):
        uploads.wait()
    assert len(there(bench)) == len(uploads.inputs) == 1


def test_an_upload_that_met_a_conflict_with_another_process_is_sent_again(bench: Bench, run: WandbSession) -> None:
    bench.fault("CommitArtifact", {"status": 409}, times=1)
    with Uploads(bench.api(), run) as uploads:
        for name in NAMES:
            send(uploads, name, used=True)
    assert len(there(bench)) == len(uploads.inputs) == 2


def test_after_an_error_in_the_block_uploads_end_and_their_errors_are_dropped(bench: Bench, run: WandbSession) -> None:
    """Whether the uploads succeed, or are refused as in the second round."""
    for name, refused in zip(NAMES, (False, True), strict=True):
        if refused:
            bench.fault("CommitArtifact", {"status": 400}, times=1)
        uploads = Uploads(bench.api(), run)
        directory = send(uploads, name)
        uploads.__exit__(KeyError, KeyError("mine"), None)
        assert (name in there(bench)) is not refused
        assert not directory.exists()


def test_concurrent_jobs_upload_a_shared_file_once(bench: Bench) -> None:
    """What each job read about the file when it opened its run is outdated when its turn comes."""
    jobs = [f"ftjob-{number:032x}" for number in range(1, 5)]
    bench.world(*(a_job(id=job) for job in jobs))
    asked, _ = bench.counted(bench.tick)
    assert asked["CreateArtifact"] == len(jobs) + 1  # their models, and the file
    assert [[used.index for used in bench.run(job).used] for job in jobs] == [[0]] * len(jobs)
