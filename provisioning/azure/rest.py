"""JSON over azure-core's own pipeline, for the few operations that no installed SDK has."""

from collections.abc import Iterator
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import DecodeError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    CustomHookPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest

from provisioning.azure.http_log import log_response


class Rest:
    """One service, with tokens for `scope`. Errors are azure-core's."""

    def __init__(self, base_url: str, credential: TokenCredential, scope: str) -> None:
        policies = [
            RequestIdPolicy(),
            UserAgentPolicy(),
            RetryPolicy(),
            BearerTokenCredentialPolicy(credential, scope, enable_cae=True),
            CustomHookPolicy(raw_response_hook=log_response),
        ]
        self._client: PipelineClient[Any, Any] = PipelineClient(base_url, policies=policies)

    def get(self, path: str) -> Any:
        """The JSON at this path, query and all."""
        return self._send(HttpRequest("GET", path))

    def pages(self, path: str) -> Iterator[Any]:
        """The items of a listing, page after page."""
        following: str | None = path
        while following:
            page = self.get(following)
            yield from page["value"]
            following = page.get("nextLink")

    def post(self, path: str, body: Any) -> Any:
        """The JSON that comes back for this one."""
        return self._send(HttpRequest("POST", path, json=body))

    def _send(self, request: HttpRequest) -> Any:
        request.url = self._client.format_url(request.url)
        response = self._client.send_request(request)
        response.raise_for_status()
        try:
            return response.json()
        except ValueError as error:
            raise DecodeError(f"JSON is invalid: {error}", response=response) from error
