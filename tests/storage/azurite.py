"""Azurite, Microsoft's storage emulator, behind the production host names: the sandbox's relay leads there.

It keeps the protocol (leases, ETags, visibility, dequeue counts) and checks a token's audience, issuer and expiry, but
knows no roles: any token permits everything.
"""

import base64
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from sandbox.cloud import Cloud

PROGRAM = Path(sys.prefix) / "azurite" / "node_modules" / ".bin" / "azurite"
ACCOUNT = "stazurite"
PATIENCE = 90.0  # seconds for Node to start on a busy machine


class Azurite:
    """Running as long as the block; everything in it is gone after."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._directory = cloud.directory / "azurite"
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir()
        log = self._directory / "log"
        certified = {name: str(self._cloud.directory / f"server.{name}") for name in ("pem", "key")}
        command = [str(PROGRAM), "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        command += ["--oauth", "basic", "--cert", certified["pem"], "--key", certified["key"]]
        command += ["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"]
        environment = {"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self._key}"}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=self._directory, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        for kind in ("Blob", "Queue"):
            self._cloud.lead(f"{ACCOUNT}.{kind.lower()}.core.windows.net", self._port(kind, log))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _port(self, kind: str, log: Path) -> int:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process and self._process.poll() is None:
            if found := re.search(
                rf"Azurite {kind} service is successfully listening at https://[\d.]+:(\d+)", log.read_text()
            ):
                return int(found[1])
            time.sleep(0.02)
        raise AssertionError(f"Azurite did not start: {log.read_text()}")

    @property
    def connection_string(self) -> str:
        """Of its only account, with the key."""
        return f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={self._key};EndpointSuffix=core.windows.net"


def connection(account: str) -> dict[str, str]:
    """The host's connection to an account as infra/ sets it: the app's identity and two addresses."""
    return {
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__blobServiceUri": f"https://{account}.blob.core.windows.net/",
        "AzureWebJobsStorage__queueServiceUri": f"https://{account}.queue.core.windows.net/",
    }
