"""JSON requests over azure-core's pipeline, for the few operations that no installed SDK has."""

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import DecodeError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    CustomHookPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest

_http_log = logging.getLogger("provisioning.http")


def log_response(response: PipelineResponse[Any, Any]) -> None:
    """Log method, URL without its query, and status, for -v. A `raw_response_hook` of SDK clients.

    Never bodies, headers or tokens. Queries are left out because URLs of long-running operations carry signatures.
    """
    request, answer = response.http_request, response.http_response
    parts = urlsplit(request.url)
    _http_log.info("%s %s://%s%s → %s", request.method, parts.scheme, parts.netloc, parts.path, answer.status_code)


class Rest:
    """One service, with tokens for `scope`. Raises azure-core's errors."""

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
        """GET the JSON at this path, which includes the query."""
        return self._send(HttpRequest("GET", path))

    def pages(self, path: str) -> Iterator[Any]:
        """The items of all pages of a listing."""
        following: str | None = path
        while following:
            page = self.get(following)
            yield from page["value"]
            following = page.get("nextLink")

    def post(self, path: str, body: Any) -> Any:
        """POST this JSON and return the answer."""
        return self._send(HttpRequest("POST", path, json=body))

    def _send(self, request: HttpRequest) -> Any:
        request.url = self._client.format_url(request.url)
        response = self._client.send_request(request)
        response.raise_for_status()
        try:
            return response.json()
        except ValueError as error:
            raise DecodeError(f"JSON is invalid: {error}", response=response) from error
