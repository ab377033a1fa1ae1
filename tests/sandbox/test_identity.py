"""Who somebody is: every kind of principal signs in with the real credentials, and sees of the directory what it may."""

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests
from azure.identity import DeviceCodeCredential
from click.testing import CliRunner

from sandbox import cli
from sandbox.cloud import Cloud

Become = Callable[[str], None]

ARM = "https://management.azure.com"
LOGIN = "https://login.microsoftonline.com"
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


@pytest.fixture
def become(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Sign this process in as somebody else."""

    def become(principal: str) -> None:
        for name in ("SANDBOX_SESSION", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "IDENTITY_HEADER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in cloud.environment(principal).items():
            monkeypatch.setenv(name, value)

    return become


def claims(credential: Any, service: str = ARM) -> dict[str, Any]:
    """What the credential's token says."""
    shown: dict[str, Any] = jwt.decode(
        credential.get_token(f"{service}/.default").token, options={"verify_signature": False}
    )
    return shown


def enter(cloud: Cloud, user_code: str, person: str) -> requests.Response:
    """A person enters a code, as if in a browser."""
    return requests.post(f"{cloud.url}/_sandbox/device", json={"user_code": user_code, "principal": person}, timeout=10)


# --- signing in -----------------------------------------------------------------------------------------------------


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


# --- a person with a device code -------------------------------------------------------------------------------------


def test_a_person_signs_in_once_with_a_device_code_and_gets_tokens_for_every_service(cloud: Cloud) -> None:
    prompts: list[str] = []

    def prompted(_: str, user_code: str, __: Any) -> None:
        prompts.append(user_code)
        assert enter(cloud, user_code, "dana").status_code == 204

    credential = DeviceCodeCredential(client_id=AZURE_CLI, prompt_callback=prompted)
    for service in (ARM, "https://vault.azure.net"):
        token = claims(credential, service)
        assert token["aud"] == service
        assert token["oid"] == cloud.world.tenant.named("dana").object_id
    assert len(prompts) == 1
    kept = json.dumps([e.as_json() for e in cloud.world.trace.exchanges])
    assert "eyJ" not in kept, "every token begins so"


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
