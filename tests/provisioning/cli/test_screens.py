"""Output on any terminal, locale and stream: complete words, and never a traceback."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from provisioning.cli.output.columns import Columns, Row, lines
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Run
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.terminal import Terminal

from .outcomes import FRESH, YES

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
WORDS = st.lists(st.text("abc-/.", min_size=1, max_size=30), min_size=1, max_size=12).map(" ".join)
ROWS = st.builds(Row, sign=st.just("+ add"), about=WORDS, text=WORDS, why=WORDS, danger=WORDS, command=WORDS)
COLUMNS = Columns(lead=2, sign=9, about=20)


def printed(row: Row, *, terminal: bool, width: int) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, height=25)  # whatever TERM says
    return [line.plain for line in lines(row, COLUMNS, console)]


@given(ROWS, st.integers(20, 300))
def test_a_row_is_wrapped_to_the_terminal_and_its_command_is_not(row: Row, width: int) -> None:
    *shown, command = printed(row, terminal=True, width=width)
    expected = f"+ add {row.about} {row.text} ({row.why}) ! {row.danger}"
    assert " ".join(shown).split() == expected.split()
    longest = max(map(len, expected.split()))
    assert all(len(line) <= max(width, 11 + max(20, longest)) for line in shown)
    assert command == f"{'':11}next  {row.command}"


@given(ROWS, st.integers(20, 300))
def test_without_a_terminal_a_row_is_one_line(row: Row, width: int) -> None:
    shown = printed(row, terminal=False, width=width)
    assert len(shown) == 2


def test_a_narrow_terminal_breaks_lines_between_words_and_no_color_is_respected(
    cloud: Cloud, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal("provisioning", "plan", env=OPERATOR_ENV | {"NO_COLOR": "1"}, columns=40)
    assert screen.end() == 0, screen.seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", screen.seen)
    shown = ESCAPE.sub("", screen.seen).splitlines()
    assert max(map(len, shown)) <= 40
    text = " ".join(" ".join(shown).split())
    assert "+ add role Key Vault Secrets Officer → dana@contoso.example (had secrets get, list, set, delete;" in text
    assert "! also gives secrets recover, backup, restore, purge" in text


def test_a_dumb_terminal_gets_no_escape_sequences(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("provisioning", "setup", "--yes", env=OPERATOR_ENV | {"TERM": "dumb", "WANDB_API_KEY": GOOD_KEY})
    screen.until("waiting  for roles to take effect before the switch: 0 s of 10 min")
    screen.interrupt()
    assert screen.end() == 130
    assert "8 of 10 changes were made" in screen.seen
    assert "\x1b" not in screen.seen


def test_a_locale_without_our_characters_gets_ascii(cloud: Cloud, run: Run) -> None:
    chain.put(cloud, **FRESH)
    done = run(
        "provisioning", "setup", *YES, env=OPERATOR_ENV | C_LOCALE | {"WANDB_API_KEY": GOOD_KEY}, new_process=True
    )
    assert done.returncode == 0, done.stderr
    assert "done     role                  Key Vault Secrets Officer -> aoai-ml" in done.stderr
    assert "subscription contoso-ml (...00aa)" in done.stderr
    assert done.stdout.isascii()


def test_the_document_is_the_same_in_every_locale(run: Run) -> None:
    found = run("provisioning", "plan", "-o", "json", env=OPERATOR_ENV | C_LOCALE, new_process=True)
    assert found.stdout.isascii()
    details = [step["detail"] for step in json.loads(found.stdout)["steps"]]
    assert "Key Vault Secrets Officer → aoai-ml" in details


SHORT = ("status", "-o", "json", "--key-vault", "kv-lm")  # shorter than the buffer that Python flushes at exit


@pytest.mark.parametrize("argv", [("doctor",), SHORT])
def test_a_closed_pipe_ends_the_command_silently(cloud: Cloud, argv: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "provisioning", *argv]
    env = cloud.environment() | OPERATOR_ENV | {"PYTHONUNBUFFERED": ""}  # buffered, as usual
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        printed = running.stderr.read().decode()
    assert running.returncode == 1
    assert not re.search("Traceback|Exception|Error", printed), printed


@pytest.mark.parametrize("argv", [("--help",), SHORT])
def test_a_full_disk_is_reported_without_a_traceback(cloud: Cloud, argv: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "provisioning", *argv]
    env = cloud.environment() | OPERATOR_ENV | {"PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    assert (
        "error    The output cannot be written: No space left on device.\nnext     Free some disk space" in ended.stderr
    )
    assert not re.search("Traceback|Exception", ended.stderr), ended.stderr


def test_a_closed_stdin_is_not_a_terminal(cloud: Cloud) -> None:
    command = ["sh", "-c", f"exec {sys.executable} -m provisioning setup -o json <&-"]
    env = cloud.environment() | OPERATOR_ENV
    ended = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 2, ended.stderr
    assert json.loads(ended.stdout)["error"]["code"] == "wandb-key-not-given"
    assert cloud.writes == 0
