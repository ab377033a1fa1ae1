"""JSON requests over azure-core's pipeline, for the few operations that no installed SDK has."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core.exceptions import ARMErrorFormat

from provisioning.azure.transport.pipeline import ENDLESS, TIMEOUTS, Waiting, policies, silent
from provisioning.errors import ServiceError


class Rest:
    """One service, with tokens for `scope`. Raises azure-core's errors."""

    def __init__(self, base_url: str, credential: TokenCredential, scope: str, waiting: Waiting = silent) -> None:
        self._client: PipelineClient[Any, Any] = PipelineClient(
            base_url, policies=policies(credential, scope, waiting), **TIMEOUTS
        )

    def get(self, path: str) -> Any:
        """GET the JSON at this path, which includes the query."""
        return self._send(HttpRequest("GET", path))

    def pages(self, path: str) -> Iterator[Any]:
        """The items of all pages of a listing.

        Raises:
            ServiceError: a page has no list of items, or links to one that was already read.
        """
        seen: set[str] = set()
        following: str | None = path
        while following:
            if following in seen:
                raise ServiceError(ENDLESS, hint="Run the same command again.")
            seen.add(following)
            page = self.get(following)
            items = page.get("value") if isinstance(page, Mapping) else None
            if not isinstance(items, list) or not all(isinstance(each, Mapping) for each in items):
                raise ServiceError("A listing from Azure has no items.", hint="Run the same command again.")
            yield from items
            following = page.get("nextLink")

    def find(self, path: str) -> Any:
        """GET the JSON at this path; None if there is nothing (404)."""
        try:
            return self.get(path)
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            return None

    def post(self, path: str, body: Any) -> Any:
        """POST this JSON and return the answer."""
        return self._send(HttpRequest("POST", path, json=body))

    def patch(self, path: str, body: Any) -> Any:
        """PATCH with this JSON and return the answer."""
        return self._send(HttpRequest("PATCH", path, json=body))

    def put(self, path: str, body: Any) -> Any:
        """PUT this JSON and return the answer."""
        return self._send(HttpRequest("PUT", path, json=body))

    def act(self, method: str, path: str) -> None:
        """Send a request without a body, such as a DELETE, whose answer may have none. It may complete later (202)."""
        self._answer(HttpRequest(method, path))

    def _answer(self, request: HttpRequest) -> HttpResponse:
        request.url = self._client.format_url(request.url)
        response: HttpResponse = self._client.send_request(request)
        if not 200 <= response.status_code < 300:
            response.read()
            raise HttpResponseError(response=response, error_format=ARMErrorFormat)
        return response

    def _send(self, request: HttpRequest) -> Any:
        response = self._answer(request)
        try:
            return response.json()
        except ValueError as error:
            raise DecodeError(f"JSON is invalid: {error}", response=response) from error
