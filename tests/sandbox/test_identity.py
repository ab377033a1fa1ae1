"""Who cannot sign in is told why, and wrong credentials get no token."""

import json
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from sandbox import cli
from sandbox.cloud import Cloud

ARM = "https://management.azure.com"
LOGIN = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("principal", "why"),
    [
        ("nosuch", "no principal is called 'nosuch'"),
        ("ml-team", "a group cannot sign in"),
        ("bare", "no client_secret"),
    ],
)
def test_a_principal_that_cannot_sign_in_is_refused_before_the_command_runs(
    tmp_path: Any, principal: str, why: str
) -> None:
    world = tmp_path / "world.yaml"
    names = [{"name": "ml-team", "kind": "group"}, {"name": "bare", "kind": "application"}]
    world.write_text(json.dumps({"principals": names}))
    result = CliRunner().invoke(
        cli.main, ["run", "-s", str(world), "--as", principal, "--", "touch", str(tmp_path / "ran")]
    )
    assert result.exit_code == 2
    assert "--as" in result.output
    assert why in result.output.replace("\n", " ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("grant", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"}, "bad_verification_code"),
        ({"grant_type": "password", "username": "operator", "password": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_secret": "reports-secret", "scope": "openid"}, "invalid_request"),
    ],
)
def test_requests_with_invalid_credentials_or_without_a_scope_get_no_token(
    cloud: Cloud, grant: dict[str, str], error: str
) -> None:
    token = f"{LOGIN}/{cloud.world.tenant.tenant_id}/oauth2/v2.0/token"
    form = {"scope": f"{ARM}/.default", "client_id": cloud.world.tenant.named("reports-job").app_id} | grant
    refused = requests.post(token, data=form, timeout=10)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
