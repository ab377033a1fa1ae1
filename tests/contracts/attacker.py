"""Sends requests of every shape to a sandbox, over plain loopback HTTP, and returns the status of each answer."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from hypothesis import HealthCheck, Phase, settings

from sandbox.cloud import Cloud

KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
JOB, FILE = "ftjob-" + "1" * 32, "file-" + "a" * 32
_ROLES = ("Owner", "Key Vault Secrets Officer", "Cognitive Services OpenAI Contributor")
WORLD: dict[str, Any] = {
    "extends": "contoso",
    "transitions": {"rbac_propagation": 0, "identity_polls": 1},
    "assignments": [
        {"principal": who, "role": role, "scope": "subscription"}
        for who in ("operator", "reports-job")
        for role in _ROLES
    ],
    "accounts": [
        {
            "name": "aoai-ml",
            "group": "rg-ml",
            "jobs": [{"id": JOB, "model": "gpt-4o-mini", "created": "-2d", "training_file": FILE}],
            "files": [{"id": FILE, "filename": "train.jsonl", "created": "-3d", "count": 5}],
        }
    ],
    "vaults": [
        {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]},
        {"name": "kv-gone", "group": "rg-ml", "deleted": True},
    ],
    "function_apps": [
        {"name": "func-ml", "group": "rg-ml", "identity": "function-app", "functions": ["find_jobs"], "settings": {}}
    ],
}
"""One of everything, and an operator who may do everything with it."""

_AUDIENCES = {
    "management.azure.com": "https://management.azure.com",
    "kv-ml.vault.azure.net": "https://vault.azure.net",
    "aoai-ml.openai.azure.com": "https://cognitiveservices.azure.com",
    "graph.microsoft.com": "https://graph.microsoft.com",
    "stfinetune.blob.core.windows.net": "https://storage.azure.com",
    "stfinetune.queue.core.windows.net": "https://storage.azure.com",
}


@dataclass(frozen=True)
class Attacker:
    """Knows a sandbox's address and its operator's session."""

    cloud: Cloud

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> int:
        """Send a request as it is, with the operator's token where Azure wants one; gives the answer's status."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        whole = {name: value for name, value in headers.items() if name.lower() != "api-key"}
        whole |= {"Host": host, "Content-Length": str(len(body))}
        if host in _AUDIENCES:
            whole["Authorization"] = f"Bearer {self._token(_AUDIENCES[host])}"
        sent = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = HTTPConnection("127.0.0.1", urlsplit(self.cloud.url).port or 0, timeout=30)
        try:
            connection.request(method, sent or "/", body, whole)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer.status

    def _token(self, resource: str) -> str:
        session = self.cloud.environment()["SANDBOX_SESSION"]
        ask = Request(f"{self.cloud.url}/_sandbox/token?resource={resource}", headers={"X-Session": session})
        with urlopen(ask) as answer:
            return str(json.load(answer)["accessToken"])


def repeatable(examples: int) -> settings:
    """Hypothesis's settings for this number of requests, which are the same every time."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def also_unmodelled(cloud: Cloud) -> Iterator[None]:
    """Permit requests that the sandbox does not model (it answers 501) in the block; no other test may send them."""
    try:
        yield
    finally:
        cloud.world.unmodelled.clear()
        cloud.world.wandb.unsupported.clear()
