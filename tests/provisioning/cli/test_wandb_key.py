"""Reading the W&B key, and keeping it out of errors and logs."""

import io
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from provisioning import wandb_key
from provisioning.azure.transport.errors import translated
from provisioning.errors import ProvisioningError
from sandbox.cloud import Cloud
from tests.conftest import Load
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.conftest import Call

from .outcomes import NEW_KEY, WANDB, YES, leaked


class TtyStdin(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("content", [f"{GOOD_KEY}", f"{GOOD_KEY}\n", f"  {GOOD_KEY}\r\n\n", f"\ufeff{GOOD_KEY}\r\n"])
def test_a_file_may_have_newlines_and_a_byte_order_mark(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content.encode())
    file.chmod(0o600)
    found = wandb_key.provided(None, str(file), io.StringIO())
    assert found is not None
    assert (found.value.get_secret_value(), found.origin) == (GOOD_KEY, str(file))


def test_a_file_takes_precedence_over_the_environment() -> None:
    environ = SecretStr(GOOD_KEY)
    from_stdin = wandb_key.provided(environ, "-", io.StringIO(f"{NEW_KEY}\n"))
    from_environ = wandb_key.provided(environ, None, io.StringIO(NEW_KEY))
    assert from_stdin is not None
    assert from_environ is not None
    assert (from_stdin.value.get_secret_value(), from_stdin.origin) == (NEW_KEY, "stdin")
    assert (from_environ.value.get_secret_value(), from_environ.origin) == (GOOD_KEY, "WANDB_API_KEY")
    assert wandb_key.provided(None, None, io.StringIO(NEW_KEY)) is None


def test_no_child_process_inherits_the_key(cloud: Cloud, load: Load, tmp_path: Path) -> None:
    """Importing azure.identity already starts one: `uname -p`."""
    load({"extends": "contoso"})
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\nenv >> {tmp_path}/environment\n")
    uname.chmod(0o755)
    environment = cloud.environment("operator") | OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
    subprocess.run(
        [sys.executable, "-m", "provisioning", "plan"],
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"},
        capture_output=True,
        check=False,
    )
    assert GOOD_KEY not in (tmp_path / "environment").read_text()
    assert wandb_key.pop_from_environment({"WANDB_API_KEY": ""}) is None


def test_a_key_is_not_read_from_a_terminal_which_would_show_it() -> None:
    assert wandb_key.provided(None, "-", TtyStdin(GOOD_KEY)) is None


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("nowhere", b"", "usage", "No such file"),
        (".", b"", "usage", "Is a directory"),
        ("key", b"\xff\xfe\x00secret", "usage", "not text"),
        ("key", b" \n", "wandb-key-malformed", "contains nothing"),
        ("key", f"{GOOD_KEY}\n{NEW_KEY}\n".encode(), "wandb-key-malformed", "more than one word"),
        ("key", b"\x00\x01\x02" + GOOD_KEY.encode(), "wandb-key-malformed", "characters that a key never contains"),
    ],
)
def test_a_file_without_a_key_is_refused_before_any_request(
    cloud: Cloud, call: Call, tmp_path: Path, name: str, content: bytes, code: str, words: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    file = tmp_path / name
    result = call("setup", *YES, "-o", "json", "--wandb-key-file", str(file), env=OPERATOR_ENV)
    error = json.loads(result.stdout)["error"]
    assert (result.returncode, error["code"]) == (2, code)
    assert words in error["message"]
    assert str(file) in error["message"]
    assert cloud.writes == 0
    assert not leaked(result)


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_refused_even_through_a_link(tmp_path: Path, mode: int) -> None:
    file, link = tmp_path / "key", tmp_path / "link"
    file.write_text(GOOD_KEY)
    file.chmod(mode)
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(ProvisioningError, match="Others may write") as refused:
            wandb_key.provided(None, str(path), io.StringIO())
        assert refused.value.hint.startswith(f"Remove their access: chmod 600 {path}")


def test_binary_stdin_is_refused_without_quoting_it() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff" + GOOD_KEY.encode()), encoding="utf-8")
    with pytest.raises(ProvisioningError, match="not text") as refused:
        wandb_key.provided(None, "-", stdin)
    assert refused.value.__suppress_context__


@given(st.text(min_size=12))
@example("two words")
@example("schlüssel-mit-umlaut-schlüssel-mit-umlaut")
def test_no_error_quotes_the_given_text(text: str) -> None:
    shown = ""
    try:
        found = wandb_key.provided(SecretStr(text), None, io.StringIO())
    except ProvisioningError as error:
        found, shown = None, (error.message + error.hint).replace("WANDB_API_KEY", "")
    assert text not in shown
    if found is not None:
        assert found.value.get_secret_value() == text.strip()
        assert text.strip() not in repr(found)


@dataclass
class Answer:
    """A corrupted answer of the vault."""

    body: str
    status_code: int = 200
    reason: str = "OK"

    def text(self, encoding: str | None = None) -> str:
        del encoding
        return self.body


def test_a_corrupted_answer_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    garbled: Any = Answer(f'{{"value": "{GOOD_KEY}", ')
    error = DecodeError("JSON is invalid", response=garbled)
    assert GOOD_KEY in str(error)
    with caplog.at_level(logging.DEBUG), pytest.raises(ProvisioningError) as refused, translated("Reading secret x"):
        raise error
    assert GOOD_KEY not in refused.value.message + refused.value.hint + caplog.text


def test_a_settings_file_of_the_directory_does_not_decide_where_the_key_goes(
    cloud: Cloud, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wandb init` leaves such a file in a project, and a cloned repository may contain one."""
    chain.put(cloud, wandb=WANDB)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    monkeypatch.chdir(tmp_path)
    result = call("setup", *YES, env=OPERATOR_ENV | {"WANDB_API_KEY": NEW_KEY})
    assert result.returncode == 0, result.stderr
    assert cloud.counts["Viewer"]
