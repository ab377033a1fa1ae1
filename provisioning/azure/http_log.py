"""One line per HTTP response for -v: method, URL without its query, status. Never bodies, headers or tokens."""

import logging
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineResponse

log = logging.getLogger("provisioning.http")


def log_response(response: PipelineResponse[Any, Any]) -> None:
    """A `raw_response_hook` for SDK clients. Queries are left out because poll URLs carry signatures."""
    request, answer = response.http_request, response.http_response
    parts = urlsplit(request.url)
    log.info("%s %s://%s%s → %s", request.method, parts.scheme, parts.netloc, parts.path, answer.status_code)
