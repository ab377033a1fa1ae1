"""No command lets a secret out; and the canary, which says so, sees one that does."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.canary import Case, Searched, play
from evidence.canary_commands import COMMANDS, DEMO, KEY, Command, world
from evidence.leaks import Leaks, Secret
from evidence.processes import ROOT
from function_app.cli.commands import main as function_app
from provisioning.cli.commands import cli as provisioning
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

LEAKY = str(Path(__file__).parent / "leaky.py")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud(Scenario.load("contoso")) as cloud:
        yield cloud


def leaky(cloud: Cloud, how: str) -> Searched:
    return play(cloud, Case(Command("leaky", (LEAKY, how), world(in_place=True), {"WANDB_API_KEY": KEY})))


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("stdout", "the file out"),
        ("stderr", "the file err"),
        ("traceback", "the file err"),
        ("file", "the file debug.log"),
        ("a file that goes", "the file core.log"),
        ("arguments", "the arguments of"),
        ("environment", "the environment of"),
        ("request", "header x-key"),
    ],
)
def test_the_canary_sees_a_key_that_is_let_out(cloud: Cloud, how: str, where: str) -> None:
    searched = leaky(cloud, how)
    assert [each for each in searched.leaks if re.match(rf"the W&B key in .*{where}", each)], searched


def test_the_canary_sees_a_netrc_whatever_is_in_it(cloud: Cloud) -> None:
    assert leaky(cloud, "netrc").leaks == ["a .netrc"]


def test_the_canary_sees_nothing_where_nothing_is(cloud: Cloud) -> None:
    """The key is in the environment that the person gave the command, and nowhere else."""
    searched = leaky(cloud, "nothing")
    assert (searched.status, searched.leaks) == (0, [])
    assert searched.bytes > 0


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
    leaks.look(data, "here")
    assert leaks.found == {"it in here"}
    leaks = Leaks((Secret("it", secret),))
    leaks.look(before + value[:8] + after, "here")
    assert not leaks.found


def test_every_command_is_among_those_that_the_canary_runs() -> None:
    ran = {each.name.split(",")[0] for each in (*COMMANDS, DEMO)}
    assert ran >= {f"provisioning {name}" for name in provisioning.commands}
    assert ran >= {f"function_app {name}" for name in function_app.commands}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command", ["dashboard", *(pytest.param(each, marks=pytest.mark.slow) for each in ("setup", "sync, the key given"))]
)
def test_a_slice_of_it(command: str) -> None:
    argv = [sys.executable, "-m", "evidence.canary", "--command", command, "--every", "40", "--jobs", "1"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    good, runs = re.findall(r"^(\d+) of (\d+) runs leak no secret", done.stdout, re.MULTILINE)[0]
    assert good == runs
    assert int(runs) >= 2
