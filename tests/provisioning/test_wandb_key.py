"""Where the W&B key comes from, and where it never goes."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from provisioning import wandb_key
from provisioning.azure.errors import translated
from provisioning.errors import ProvisioningError
from sandbox.cloud import Cloud
from tests.conftest import ROOT

from . import chain
from .bench import GOOD_KEY, OPERATOR_ENV
from .conftest import Call
from .outcomes import FRESH, KEYS, NEW_KEY, OUTCOMES, WANDB, YES, Outcome, leaked
from .terminal import Terminal


class TtyStdin(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- where it comes from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [f"{GOOD_KEY}", f"{GOOD_KEY}\n", f"  {GOOD_KEY}\r\n\n", f"\ufeff{GOOD_KEY}\r\n"])
def test_a_file_may_end_in_newlines_and_begin_with_a_byte_order_mark(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content.encode())
    found = wandb_key.given(None, str(file), io.StringIO())
    assert found is not None
    assert (found.value.get_secret_value(), found.origin) == (GOOD_KEY, str(file))


def test_the_file_is_preferred_to_the_environment_and_the_environment_to_asking() -> None:
    environ = SecretStr(GOOD_KEY)
    from_stdin = wandb_key.given(environ, "-", io.StringIO(f"{NEW_KEY}\n"))
    from_environ = wandb_key.given(environ, None, io.StringIO(NEW_KEY))
    assert from_stdin is not None
    assert from_environ is not None
    assert (from_stdin.value.get_secret_value(), from_stdin.origin) == (NEW_KEY, "stdin")
    assert (from_environ.value.get_secret_value(), from_environ.origin) == (GOOD_KEY, "WANDB_API_KEY")
    assert wandb_key.given(None, None, io.StringIO(NEW_KEY)) is None


def test_the_key_is_taken_out_of_the_environment() -> None:
    environ = {"WANDB_API_KEY": GOOD_KEY, "HOME": "/root"}
    taken = wandb_key.taken(environ)
    assert taken is not None
    assert taken.get_secret_value() == GOOD_KEY
    assert environ == {"HOME": "/root"}
    assert wandb_key.taken({"WANDB_API_KEY": ""}) is None


def test_a_terminal_is_no_stdin_because_it_would_show_the_key() -> None:
    assert wandb_key.given(None, "-", TtyStdin(GOOD_KEY)) is None


def _missing(directory: Path) -> Path:
    return directory / "nowhere"


def _directory(directory: Path) -> Path:
    return directory


def _with(content: bytes) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        (directory / "key").write_bytes(content)
        return directory / "key"

    return make


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (_missing, "usage", "No such file"),
        (_directory, "usage", "Is a directory"),
        (_with(b"\xff\xfe\x00secret"), "usage", "not text"),
        (_with(b""), "wandb-key-malformed", "holds nothing"),
        (_with(b" \n"), "wandb-key-malformed", "holds nothing"),
        (_with(f"{GOOD_KEY}\n{NEW_KEY}\n".encode()), "wandb-key-malformed", "more than one word"),
        (_with(b"\x00\x01\x02" + GOOD_KEY.encode()), "wandb-key-malformed", "characters that no key has"),
        (_with("clé".encode()), "wandb-key-malformed", "characters that no key has"),
    ],
)
def test_a_file_without_a_key_is_refused_before_anything_is_asked(
    cloud: Cloud, call: Call, tmp_path: Path, make: Callable[[Path], Path], code: str, words: str
) -> None:
    file = make(tmp_path)
    result = call("setup", *YES, "-o", "json", "--wandb-key-file", str(file), env=OPERATOR_ENV)
    error = json.loads(result.stdout)["error"]
    assert (result.returncode, error["code"]) == (2, code)
    assert words in error["message"]
    assert str(file) in error["message"]
    assert cloud.writes == 0
    assert not leaked(result)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(GOOD_KEY)
    file.chmod(0)
    with pytest.raises(ProvisioningError, match="Permission denied"):
        wandb_key.given(None, str(file), io.StringIO())


def test_stdin_that_is_no_text_is_refused_without_showing_it() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff" + GOOD_KEY.encode()), encoding="utf-8")
    with pytest.raises(ProvisioningError, match="not text") as refused:
        wandb_key.given(None, "-", stdin)
    assert refused.value.__suppress_context__


@given(st.text(min_size=12))
@example("two words")
@example("schlüssel-mit-umlaut-schlüssel-mit-umlaut")
def test_whatever_is_given_is_a_key_or_an_error_that_does_not_quote_it(text: str) -> None:
    told = ""
    try:
        found = wandb_key.given(SecretStr(text), None, io.StringIO())
    except ProvisioningError as error:
        found, told = None, (error.message + error.hint).replace("WANDB_API_KEY", "")
    assert text not in told
    if found is not None:
        assert found.value.get_secret_value() == text.strip()
        assert text.strip() not in repr(found)


# --- where it never goes -----------------------------------------------------------------------------------------


@dataclass
class Answer:
    """An answer of the vault that a proxy garbled."""

    body: str
    status_code: int = 200
    reason: str = "OK"

    def text(self, encoding: str | None = None) -> str:
        del encoding
        return self.body


def test_an_answer_that_cannot_be_read_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    garbled: Any = Answer(f'{{"value": "{GOOD_KEY}", ')
    error = DecodeError("JSON is invalid", response=garbled)
    assert GOOD_KEY in str(error), "the SDK's error quotes it"
    with caplog.at_level(logging.DEBUG), pytest.raises(ProvisioningError) as refused, translated("Reading secret x"):
        raise error
    assert GOOD_KEY not in refused.value.message + refused.value.hint + caplog.text


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=list(OUTCOMES))
def test_no_output_log_or_trace_of_any_command_has_the_key(
    cloud: Cloud, call: Call, caplog: pytest.LogCaptureFixture, outcome: Outcome
) -> None:
    with caplog.at_level(logging.DEBUG):  # what -v shows, and all that the SDKs could say
        result = outcome.of(cloud, call, "-v")
    assert result.returncode == outcome.status, result.stdout + result.stderr
    assert not leaked(result)
    assert not [key for key in KEYS if key in caplog.text]
    assert "Traceback" not in result.stderr
    trace = json.dumps([e.as_json() for e in cloud.world.trace.exchanges], default=str)
    assert not [key for key in KEYS if key in trace]


def _processes(mark: str) -> Iterator[tuple[str, str]]:
    """Command line and environment of every process that has the mark in its environment, as /proc shows them."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                argv, env, after = ((process / file).read_text("latin-1") for file in ("cmdline", "environ", "cmdline"))
            except OSError:  # gone, or somebody else's
                continue
            if mark in env and argv == after:  # not if it became another program in between: its command line was empty
                yield argv, env


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("origin", ["file", "environment"])
def test_the_list_of_processes_never_shows_the_key_and_none_inherits_it(
    cloud: Cloud, tmp_path: Path, origin: str
) -> None:
    chain.put(cloud, **FRESH)
    file, seen = tmp_path / "key", set[str]()
    file.write_text(GOOD_KEY)
    command = [sys.executable, "-m", "provisioning", "setup", *YES]
    env = cloud.environment() | OPERATOR_ENV | {"MARK": str(tmp_path)}
    if origin == "file":
        command += ["--wandb-key-file", str(file)]
    else:
        env |= {"WANDB_API_KEY": GOOD_KEY}
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, env=env, stdin=nowhere, stdout=nowhere, stderr=nowhere, cwd=ROOT) as running:
        while running.poll() is None:
            for argv, environ in _processes(f"MARK={tmp_path}"):
                itself = "provisioning" in argv  # or a copy of it that is just about to become another program
                assert GOOD_KEY not in argv
                assert GOOD_KEY not in environ or (itself and origin == "environment"), argv
                seen |= {program for program in ("provisioning", "wandb-core") if program in argv}
            time.sleep(0.05)
    assert running.returncode == 0
    assert seen == {"provisioning", "wandb-core"}, "it was looked at while W&B was asked"


def test_what_is_typed_at_the_prompt_is_not_shown(cloud: Cloud, terminal: Callable[..., Terminal]) -> None:
    chain.put(cloud, wandb=WANDB)
    screen = terminal("provisioning", "rotate-key", "--yes", "-v", env=OPERATOR_ENV)
    screen.until("hidden: ")
    screen.type(NEW_KEY + "\n")
    assert screen.end() == 0, screen.seen
    assert not [key for key in KEYS if key in screen.seen]
    assert re.search(r"PUT https://kv-ml\.vault\.azure\.net/secrets/wandb-api-key → 200", screen.seen)
