"""No command leaks a secret, and the canary finds a command that does."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.canary import CanaryRun, Trouble, play
from evidence.commands.canary import CASES, KEY, world
from evidence.commands.case import Case
from evidence.leaks import Leaks, Secret
from evidence.processes import ROOT
from evidence.stage import Stage
from function_app.cli.commands import main as function_app
from provisioning.cli.commands import cli as provisioning


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(fork=False) as stage:
        yield stage


def leaky(stage: Stage, how: str) -> CanaryRun:
    argv, env = ("tests.secrets.leaky", how), {"WANDB_API_KEY": KEY}
    case = Case("leaky", how, argv, world(in_place=True), env=env, principal="operator")
    return play(case, Trouble(), stage)


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("stdout", "the W&B key in the output"),
        ("stderr", "the W&B key in the output"),
        ("traceback", "the W&B key in the output"),
        ("file", "the W&B key in the file debug.log"),
        ("a file that goes", "the W&B key in the file core.log"),
        ("netrc", "a .netrc"),
        ("arguments", "the W&B key in the arguments of"),
        ("environment", "the W&B key in the environment of"),
        ("request", "the W&B key in a request.*header x-key"),
    ],
)
def test_the_canary_sees_a_key_that_leaks(stage: Stage, how: str, where: str) -> None:
    searched = leaky(stage, how)
    assert [each for each in searched.leaks if re.match(where, each)], searched


def test_the_canary_sees_nothing_where_nothing_leaks(stage: Stage) -> None:
    """The key is in the environment that the caller gave the command, and nowhere else."""
    searched = leaky(stage, "nothing")
    assert (searched.status, searched.leaks) == (0, ())


@given(
    st.text("0123456789abcdefghijklmnopqrstuvwxyzABCDEF_-", min_size=32, max_size=40),
    st.binary(max_size=7),
    st.binary(max_size=7),
    st.sampled_from(["plain", "base64", "url-safe base64", "quoted", "a half"]),
)
def test_a_secret_is_found_in_every_form_and_place(secret: str, before: bytes, after: bytes, form: str) -> None:
    value = secret.encode()
    data = {
        "plain": before + value + after,
        "base64": base64.b64encode(before + value + after),
        "url-safe base64": base64.urlsafe_b64encode(before + value + after),
        "quoted": quote(before + value + after, safe="").encode(),
        "a half": before + value[: len(value) // 2] + after,
    }[form]
    leaks = Leaks((Secret("it", secret),))
    leaks.search(data, "here")
    assert leaks.found == {"it in here"}
    leaks = Leaks((Secret("it", secret),))
    leaks.search(before + value[:8] + after, "here")
    assert not leaks.found


def test_the_canary_runs_every_command() -> None:
    assert {case.command for case in CASES} >= {*provisioning.commands, *function_app.commands}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "argv",
    [
        ("--command", "dashboard", "--every", "12", "--jobs", "1"),
        pytest.param(("--trouble", "undisturbed"), marks=pytest.mark.slow),
        pytest.param(("--command", "sync", "--kind", "the key given", "--every", "40"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_a_part_of_the_canary_finds_no_secret(argv: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "evidence", "canary", *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = re.search(r"(\d+) of (\d+) runs leak no secret", done.stdout)
    assert result, done.stdout
    good, points = map(int, result.groups())
    assert good == points >= 2
