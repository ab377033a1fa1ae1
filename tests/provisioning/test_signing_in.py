"""Signing in: a person's `az` takes a second or more to start, so it is started once for each service."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from hypothesis import given
from hypothesis import strategies as st

from provisioning.azure.tokens import KeptTokens
from sandbox.cloud import Cloud
from tests.conftest import Run

from .bench import GOOD_KEY, OPERATOR_ENV

Load = Callable[[Mapping[str, Any]], Cloud]

ARM, VAULT = "https://management.azure.com/.default", "https://vault.azure.net/.default"
HOUR = 3600


class Desk:
    """Gives tokens that count up and are good for an hour from `now`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[Any, ...]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((*scopes, *sorted((name, value) for name, value in options.items() if value)))
        return AccessToken(f"token {len(self.asked)}", int(self.now) + HOUR)


def tokens() -> tuple[Desk, KeptTokens]:
    desk = Desk()
    return desk, KeptTokens(desk, now=lambda: desk.now)


def test_setup_starts_az_once_for_each_service(load: Load, run: Run, tmp_path: Path) -> None:
    cloud = load({"extends": "contoso", "transitions": {"rbac_propagation": 0}})
    started, az = tmp_path / "started", tmp_path / "bin" / "az"
    az.parent.mkdir()
    az.write_text(f'#!/bin/sh\necho "$@" >> "{started}"\nexec "{cloud.directory}/bin/az" "$@"\n')
    az.chmod(0o755)
    path = f"{az.parent}{os.pathsep}{cloud.environment()['PATH']}"
    env = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY, "PATH": path}
    ended = run("provisioning", "setup", "--yes", "--propagation-wait", "0", env=env)
    assert ended.returncode == 0, ended.stderr
    services = re.findall(r"--resource (\S+)", started.read_text())
    assert sorted(services) == [
        "https://graph.microsoft.com",
        "https://management.azure.com",
        "https://vault.azure.net",
    ]


@given(st.floats(0, 2 * HOUR))
def test_a_kept_token_is_good_for_five_more_minutes_or_there_is_a_new_one(later: float) -> None:
    desk, kept = tokens()
    kept.get_token(ARM)
    desk.now = later
    assert kept.get_token(ARM).expires_on - later > 300
    assert len(desk.asked) == (1 if HOUR - later > 300 else 2)


def test_tokens_of_different_kinds_are_never_mixed_up() -> None:
    desk, kept = tokens()
    kinds: list[tuple[str, dict[str, Any]]] = [
        (ARM, {}),
        (VAULT, {}),
        (ARM, {"enable_cae": True}),
        (ARM, {"tenant_id": "other"}),
    ]
    first = [kept.get_token(scope, **options).token for scope, options in kinds]
    assert len(set(first)) == len(kinds)
    assert [kept.get_token(scope, **options).token for scope, options in kinds] == first
    assert desk.asked == [(scope, *options.items()) for scope, options in kinds]


def test_a_token_that_a_service_no_longer_takes_is_not_given_out_again() -> None:
    desk, kept = tokens()
    old = kept.get_token(ARM, enable_cae=True)
    new = kept.get_token(ARM, enable_cae=True, claims="what the service asks for")
    assert new != old
    assert kept.get_token(ARM, enable_cae=True) == new
    assert len(desk.asked) == 2
