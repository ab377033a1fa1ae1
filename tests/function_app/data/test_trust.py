"""A certificate that is not trusted is recognized in the errors of each SDK."""

from collections.abc import Callable

import httpx2
import openai
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError
from azure.keyvault.secrets import SecretClient

from function_app.data.trust import untrusted
from sandbox.cloud import Cloud


class Known:
    """A credential with a token."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken("token", 2**31)


def secret() -> None:
    SecretClient("https://kv-ml.vault.azure.net", Known(), retry_total=0).get_secret("wandb-api-key")


def jobs() -> None:
    client = openai.OpenAI(base_url="https://aoai-ml.openai.azure.com/openai/v1/", api_key="key", max_retries=0)
    client.fine_tuning.jobs.list()


def wandb() -> None:
    httpx2.post("https://api.wandb.ai/graphql")


@pytest.mark.parametrize("request_", [secret, jobs, wandb], ids=lambda each: each.__name__)
@pytest.mark.usefixtures("cloud")
def test_an_authority_that_is_not_trusted_is_recognized(
    monkeypatch: pytest.MonkeyPatch, request_: Callable[[], None]
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name)
    with pytest.raises((AzureError, openai.APIConnectionError, httpx2.HTTPError)) as failed:
        request_()
    assert untrusted(failed.value)


def test_other_failures_are_not_taken_for_that(cloud: Cloud) -> None:
    with pytest.raises(httpx2.HTTPError) as failed:
        httpx2.get("https://nobody.example/")
    cloud.denied.clear()
    assert not untrusted(failed.value)
