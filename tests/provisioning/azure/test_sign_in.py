"""Signing in: `az` takes a second or more to start, so it is started once per service."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from hypothesis import given
from hypothesis import strategies as st

from provisioning.azure.identity.sign_in import default_subscription
from provisioning.azure.identity.tokens import CachedCredential
from sandbox.cloud import Cloud
from tests.conftest import Load, Run
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.conftest import Call

ARM, VAULT = "https://management.azure.com/.default", "https://vault.azure.net/.default"
HOUR = 3600


class Desk:
    """Returns numbered tokens that are valid for an hour from `now`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.refuses = False
        self.asked: list[tuple[Any, ...]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        if self.refuses:
            raise ClientAuthenticationError("AADSTS700024: Client assertion is not within its valid time range.")
        self.asked.append((*scopes, *sorted((name, value) for name, value in options.items() if value)))
        return AccessToken(f"token {len(self.asked)}", int(self.now) + HOUR)


def tokens() -> tuple[Desk, CachedCredential]:
    desk = Desk()
    return desk, CachedCredential(desk, now=lambda: desk.now)


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
def test_a_cached_token_is_valid_for_at_least_five_more_minutes(later: float) -> None:
    desk, cached = tokens()
    cached.get_token(ARM)
    desk.now = later
    assert cached.get_token(ARM).expires_on - later > 300
    assert len(desk.asked) == (1 if HOUR - later > 300 else 2)


def test_tokens_for_different_requests_are_cached_separately() -> None:
    desk, cached = tokens()
    kinds: list[tuple[str, dict[str, Any]]] = [
        (ARM, {}),
        (VAULT, {}),
        (ARM, {"enable_cae": True}),
        (ARM, {"tenant_id": "other"}),
    ]
    first = [cached.get_token(scope, **options).token for scope, options in kinds]
    assert len(set(first)) == len(kinds)
    assert [cached.get_token(scope, **options).token for scope, options in kinds] == first
    assert desk.asked == [(scope, *options.items()) for scope, options in kinds]


def test_a_token_that_a_service_rejected_is_not_returned_again() -> None:
    desk, cached = tokens()
    old = cached.get_token(ARM, enable_cae=True)
    new = cached.get_token(ARM, enable_cae=True, claims="a claims challenge")
    assert new != old
    assert cached.get_token(ARM, enable_cae=True) == new
    assert len(desk.asked) == 2


def test_a_token_that_cannot_be_renewed_is_used_until_its_last_second() -> None:
    desk, cached = tokens()
    first = cached.get_token(ARM)
    desk.refuses = True
    desk.now = HOUR - 1
    assert cached.get_token(ARM) == first
    desk.now = HOUR
    with pytest.raises(ClientAuthenticationError):
        cached.get_token(ARM)


def test_tokens_that_end_too_early_are_renewed_but_not_those_for_a_service_that_is_left_out() -> None:
    desk, cached = tokens()
    cached.get_token(ARM)
    cached.get_token(VAULT)
    desk.now = HOUR / 2
    cached.renew(HOUR / 2)
    assert len(desk.asked) == 2, "they last long enough"
    cached.renew(HOUR / 2 + 1, besides=VAULT)
    assert [scope for scope, *_ in desk.asked[2:]] == [ARM]
    assert cached.left() == HOUR / 2
    assert cached.left(besides=VAULT) == HOUR
    cached.renew(2 * HOUR, besides=VAULT)
    assert len(desk.asked) == 3, "a token that is new cannot be made to last longer"
    desk.refuses = True
    with pytest.raises(ClientAuthenticationError):
        cached.renew(HOUR)


def test_the_operators_sign_in_comes_before_the_identity_of_the_machine(cloud: Cloud, call: Call) -> None:
    machine = {"IDENTITY_ENDPOINT": f"{cloud.url}/msi/token", "IDENTITY_HEADER": "x"}
    shown = call("plan", env=OPERATOR_ENV | machine)
    assert "Signed in as you@contoso.example through az login" in shown.stderr
    alone = call("plan", principal=None, env=OPERATOR_ENV | machine)
    assert alone.returncode == 1
    assert "AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential" in alone.stderr


def test_the_default_subscription_of_az_is_used(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {"subscriptions": [{"id": "one"}, {"id": "two", "isDefault": True}]}
    (tmp_path / "azureProfile.json").write_text(json.dumps(profile), encoding="utf-8-sig")
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    assert default_subscription("az login") == "two"
    assert default_subscription("a workload identity") is None
    (tmp_path / "azureProfile.json").write_text("[]")
    assert default_subscription("az login") is None


def test_azure_cloud_shell_is_named(cloud: Cloud, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = {"AZUREPS_HOST_ENVIRONMENT": "cloud-shell/1.0"}
    assert "through az login in Azure Cloud Shell" in call("plan", env=OPERATOR_ENV | shell).stderr
    refused = call("plan", principal=None, env=OPERATOR_ENV | shell)
    assert "Azure CLI 2.77 or later" in refused.stderr
    identity = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}
    person = cloud.environment("function-app") | identity | shell
    assert "through Azure Cloud Shell" in call("plan", principal="function-app", env=OPERATOR_ENV | person).stderr
