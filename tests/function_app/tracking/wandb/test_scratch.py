"""A process's temporary directory is removed with it, or after a kill by the next process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

Start = Callable[[], tuple["subprocess.Popen[str]", Path]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that creates a file in its directory and waits; return the process and the directory."""
    imports = "from function_app.tracking.wandb.core.scratch import scratch"
    code = f"{imports}; (scratch() / 'x').touch(); print(scratch(), flush=True); input()"
    with ExitStack() as started:

        def start() -> tuple["subprocess.Popen[str]", Path]:
            command, env = [sys.executable, "-c", code], {**os.environ, "TMPDIR": str(tmp_path)}
            process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.enter_context(process)
            started.callback(process.kill)
            assert process.stdout
            return process, Path(process.stdout.readline().strip())

        yield start


def test_a_scratch_directory_is_removed_with_its_process(start: Start, tmp_path: Path) -> None:
    process, directory = start()
    assert directory.is_relative_to(tmp_path)
    process.communicate("\n")
    assert not directory.exists()


def test_the_next_process_removes_directories_of_killed_processes_but_not_those_in_use(start: Start) -> None:
    (killed, left), (_, used) = start(), start()
    killed.kill()
    killed.wait()
    assert left.exists()
    _, own = start()
    assert not left.exists()
    assert (used / "x").exists()
    assert (own / "x").exists()


def test_nothing_else_is_removed(start: Start, tmp_path: Path) -> None:
    """No file, nothing behind a link, and nothing with another name."""
    (tmp_path / "other").mkdir()
    kept = [tmp_path / "other" / "x", tmp_path / "finetune-sync-file"]
    for each in kept:
        each.touch()
    (tmp_path / "finetune-sync-link").symlink_to(tmp_path / "other")
    start()
    assert all(each.exists() for each in [*kept, tmp_path / "finetune-sync-link"])
