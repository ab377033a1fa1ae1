"""`python -m function_app sync` as people and programs run it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from datetime import timedelta

import pytest
from click.testing import CliRunner

from function_app.cli.commands import main
from tests.conftest import ROOT
from tests.conftest import Run as Command
from tests.function_app.conftest import (
    CLOSED_ENDPOINT,
    ENDPOINT,
    ENTITY,
    JOB,
    KEY,
    LIVE,
    NOT_FOUND,
    OTHER_JOB,
    PROJECT,
    SETTINGS,
    SETTLED,
    TEN_MINUTES,
    Bench,
    a_job,
)

VIEW_ONLY_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"


def test_a_job_is_a_row_and_its_link_and_one_line_sums_up(bench: Bench, run: Command) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB, outcome={"status": "failed", "during": "preprocessing"}))
    done = run("function_app", "sync", env=SETTINGS)
    assert done.returncode == 0
    [header, *lines] = done.stdout.splitlines()
    assert header.split() == ["RESULT", "JOB", "STATUS", "STEP", "WHAT"]
    at = next(number for number, line in enumerate(lines) if JOB in line)
    assert lines[at].split()[:4] == ["synced", JOB, "succeeded", "30"]
    row = " ".join(" ".join(lines[at : at + 4]).split())
    assert "30 new steps; 1 dataset; 1 model; 4,110 tokens billed; took" in row
    assert any(line.strip().endswith(f"/{ENTITY}/{PROJECT}/runs/{JOB}") for line in lines[at:])
    assert done.stderr.splitlines()[-1] == "2 jobs: 2 synced"
    assert KEY not in done.stdout + done.stderr
    bench.cloud.clock.advance(SETTLED)
    again = run("function_app", "sync", env=SETTINGS)
    assert (again.stdout, again.stderr.splitlines()[-1]) == ("", "2 jobs: 2 current; -v lists those that are current")
    assert JOB in run("function_app", "sync", "-v", env=SETTINGS).stdout


def test_a_sync_with_nothing_to_do_imports_no_sdk_but_the_one_that_lists_jobs(bench: Bench, run: Command) -> None:
    bench.mirrored(a_job())
    bench.cloud.clock.advance(SETTLED)
    timed = SETTINGS | {"PYTHONPROFILEIMPORTTIME": "1"}
    idle = run("function_app", "sync", env=timed, new_process=True).stderr
    assert "1 current" in idle
    imported = {line.rpartition("|")[2].strip() for line in idle.splitlines() if line.startswith("import time:")}
    assert "openai" in imported
    assert not imported & {"wandb", "azure.functions"}


def test_every_line_fits_the_terminal_and_links_stay_in_one_piece(bench: Bench, run: Command) -> None:
    gone = {"op": "Files_GetContent", "when": {"path": "/files/file-"}, "do": NOT_FOUND}
    bench.world(a_job(validation_file="file-" + "b" * 32), faults=[gone])
    done = run("function_app", "sync", env=SETTINGS | {"COLUMNS": "60"})
    links = [line for line in done.stdout.splitlines() if "https://" in line]
    assert [line.split()[-1].rpartition("/")[2] for line in links] == [JOB]
    assert max(len(line) for line in done.stdout.splitlines() if line not in links) <= 60
    assert "no results file: it was deleted" in " ".join(done.stdout.split())


def test_a_dry_run_shows_pending_work_and_writes_nothing(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", "--dry-run", env=SETTINGS)
    assert (done.returncode, done.stdout.splitlines()[1].split()[:2]) == (0, ["pending", JOB])
    assert "no run in W&B yet" in done.stdout
    assert done.stderr.splitlines() == ["1 job: 1 pending", "Nothing was written: this was a dry run."]
    assert bench.cloud.writes == 0


def test_a_dry_run_distinguishes_new_continued_and_replaced_runs(bench: Bench, run: Command) -> None:
    bench.world(a_job(created="-9m", timeline=TEN_MINUTES | {"steps": 600}))
    messages = []
    for flags in ([], [], ["--last", "1", "--overwrite"]):
        done = run("function_app", "sync", "--dry-run", "-o", "json", *flags, env=SETTINGS)
        [job] = json.loads(done.stdout)["jobs"]
        messages.append(job["message"])
        bench.tick()
    assert messages == ["no run in W&B yet", "its run is not up to date", "a new run would replace it"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"WANDB_API_KEY": VIEW_ONLY_KEY}, "may only read acme/fine-tuning"),
        ({"WANDB_ROUTES": "account=aoai-ml -> acmee/europe"}, "has no entity acmee"),
    ],
)
def test_a_dry_run_fails_where_the_sync_would(bench: Bench, run: Command, changed: dict[str, str], words: str) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", "--dry-run", "-o", "json", env=SETTINGS | changed)
    [job] = json.loads(done.stdout)["jobs"]
    assert (done.returncode, job["result"]) == (1, "failed")
    assert words in job["message"]
    assert run("function_app", "sync", env=SETTINGS | changed).returncode == 1
    assert bench.cloud.writes == 0


def test_endpoint_entity_project_and_policy_may_be_options(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    settings = SETTINGS | {"AZURE_OPENAI_ENDPOINTS": CLOSED_ENDPOINT, "WANDB_ENTITY": "acmee", "WANDB_PROJECT": "other"}
    where = ("--endpoint", ENDPOINT, "--project", f"{ENTITY}/{PROJECT}", "--datasets", "off")
    assert run("function_app", "sync", *where, env=settings | {"SYNC_DATASETS": "full"}).returncode == 0
    assert (bench.state(), bench.run().used) == ("finished", [])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--job", OTHER_JOB, "--job", JOB], {JOB, OTHER_JOB}),
        (["--last", "1"], {JOB}),
        (["--since", "%Y-%m-%d"], {JOB}),
        (["--since", "%Y-%m-%dT00:00:00Z"], {JOB}),
    ],
)
def test_only_the_requested_jobs_are_synced(bench: Bench, run: Command, flags: list[str], expected: set[str]) -> None:
    """The given dates are five days ago, between the newest job and the others."""
    bench.world(a_job(), a_job(id=OTHER_JOB, created="-9d"), a_job(id="ftjob-old", created="-10d"))
    days_ago = bench.cloud.clock.now() - timedelta(days=5)
    dated = [days_ago.strftime(flag) for flag in flags]
    done = run("function_app", "sync", "--dry-run", "-o", "json", *dated, env=SETTINGS)
    assert {job["job"] for job in json.loads(done.stdout)["jobs"]} == expected


def test_a_missing_job_is_a_failure_that_names_it(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", "--job", "ftjob-typo", env=SETTINGS)
    assert done.returncode == 1
    assert "ftjob-typo" in done.stdout
    reason = "1 failed: no such job in aoai-ml. Check its id, and AZURE_OPENAI_ENDPOINTS."
    assert done.stderr.splitlines() == ["1 job: 1 failed", reason]


PASS = {"before": "FineTuning_List", "nth": "every", "do": [{"advance": {"seconds": "2m"}}]}
"""Each pass takes two virtual minutes, however long it really takes."""


def test_follow_outlasts_an_outage_and_ends_when_every_job_has_ended(bench: Bench, run: Command) -> None:
    """One document sums up all passes: 60 steps, however many passes it took to see them."""
    busy = {"status": 503, "headers": {"retry-after": "90"}}  # longer than a command waits within a pass
    outage = {"op": "Runs", "when": {"nth": [2, 3]}, "do": busy}
    bench.world(a_job(**LIVE), faults=[outage], events=[PASS])
    done = run("function_app", "sync", "--follow", "--interval", "0.2s", "-o", "json", env=SETTINGS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Trying again in 0.2 s.") == 2
    assert bench.state() == "finished"
    [job] = json.loads(done.stdout)["jobs"]
    assert (job["result"], job["steps"], job["last_step"], job["final"]) == ("synced", 60, 60, True)
    assert "settled" in job["actions"]


def test_follow_waits_for_a_paused_job_that_the_service_resumes(bench: Bench, run: Command) -> None:
    job = a_job(**LIVE, training_type="developerTier", pauses=[{"at_step": 10, "lasts": "10m"}])
    bench.world(job, events=[PASS])
    v1 = {"AZURE_OPENAI_API_VERSION": "v1"}  # classic versions do not show the training type
    done = run("function_app", "sync", "--follow", "--interval", "0.2s", "-o", "json", env=SETTINGS | v1)
    [job] = json.loads(done.stdout)["jobs"]
    assert (job["status"], job["final"]) == ("succeeded", True)
    assert "alert: paused" in job["actions"]


def test_follow_does_not_wait_for_a_job_that_only_a_person_can_resume(bench: Bench, run: Command) -> None:
    still = [a_job(id=f"ftjob-{each}", outcome={"status": each, "during": "queue"}) for each in ("paused", "dreaming")]
    bench.world(*still, a_job(id=OTHER_JOB))
    done = run("function_app", "sync", "--follow", "--interval", "60s", env=SETTINGS)
    assert done.returncode == 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Not waited for: ")]
    assert ("1 paused" in line, "1 dreaming" in line) == (True, True)
    assert bench.state(OTHER_JOB) == "finished"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--follow", "--dry-run"], "--follow waits"),
        (["--follow", "--interval", "0s"], "--interval"),
        (["--follow", "--interval", "30"], "--interval"),
        (["--project", "a/b/c"], "--project"),
        (["--project", "acme/x", "--entity", "other"], "--entity"),
        (["--last", "0"], "--last"),
        (["--since", "yesterday"], "--since"),
        (["--datasets", "some"], "--datasets"),
        (["--overwrite"], "--job, --last or --since"),
    ],
)
def test_contradictory_flags_give_exit_status_2(flags: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["sync", *flags], env=SETTINGS)
    assert done.exit_code == 2
    assert words in done.stderr


def on_a_terminal(bench: Bench, *flags: str) -> str:
    """What somebody sees who runs it on a terminal of 100 columns."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "function_app", "sync", *flags]
    environment = bench.cloud.environment() | SETTINGS
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=secondary, stdout=secondary, stderr=secondary)
    os.close(secondary)
    seen = b""
    with os.fdopen(primary, "rb", buffering=0) as screen, suppress(OSError):  # EIO is how a terminal's end is read
        while part := screen.read(4096):
            seen += part
    assert process.wait() == 0
    return seen.decode()


def test_on_a_terminal_progress_is_shown(bench: Bench) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    seen = on_a_terminal(bench)
    assert "\r0 of 2 jobs done" in seen
    assert "\r1 of 2 jobs done" in seen
    assert seen.rstrip().endswith("2 jobs: 2 synced")
    assert seen.count("\x1b[K") > 2  # progress was erased


@pytest.mark.parametrize(("into", "flags"), [("/dev/full", ("-o", "json")), ("nobody", ())], ids=str)
def test_output_that_cannot_be_written_gives_exit_status_1(bench: Bench, into: str, flags: tuple[str, ...]) -> None:
    """Nothing is undone. A full disk is reported; a closed pipe, such as that of `… | head -1`, needs no message."""
    bench.world(a_job())
    target = "> /dev/full" if into == "/dev/full" else "| exec sleep 0"
    script = f'set -o pipefail; "{sys.executable}" -m function_app sync {" ".join(flags)} {target}'
    environment = bench.cloud.environment() | SETTINGS | {"PYTHONUNBUFFERED": ""}  # buffered, as it is for most people
    ended = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 1, ended.stderr
    assert ("cannot be written: No space left on device." in ended.stderr) == (into == "/dev/full")
    assert not re.search("Traceback|Exception", ended.stderr)
    assert bench.state() == "finished"


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"AZURE_OPENAI_ENDPOINTS": "aoai-ml"}, 2, "AZURE_OPENAI_ENDPOINTS: 'aoai-ml' is not an address"),
        ({"SYNC_SCHEDULE": "often"}, 2, "SYNC_SCHEDULE: 'often' has 1 fields"),
        ({"WANDB_API_KEY": "9" * 40}, 1, "does not accept the API key"),
        ({"WANDB_API_KEY": VIEW_ONLY_KEY}, 1, "may not"),
        ({"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}, 1, "secret wandb-api-key"),
    ],
)
def test_an_error_is_shown_once(bench: Bench, run: Command, changed: dict[str, str], status: int, words: str) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", env=SETTINGS | changed)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert bench.cloud.writes == 0


def test_warnings_of_the_sdks_are_not_shown(bench: Bench, run: Command) -> None:
    """azure-core logs a warning for an answer that was cut off, and asks again."""
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]}
    fault = {"op": "GetSecret", "when": {"times": 1}, "do": {"cut_body": 20}}
    bench.world(a_job(), vaults=[vault], faults=[fault])
    settings = {name: value for name, value in SETTINGS.items() if name != "WANDB_API_KEY"}
    done = run("function_app", "sync", env=settings | {"KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"})
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["1 job: 1 synced"]


def test_without_a_sign_in_the_command_asks_for_one(bench: Bench, run: Command) -> None:
    bench.world(a_job())
    done = run("function_app", "sync", principal=None, env=SETTINGS)
    assert done.returncode == 1
    assert "az login" in done.stderr
    assert "Traceback" not in done.stderr
