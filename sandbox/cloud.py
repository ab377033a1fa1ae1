"""Starts and stops the sandbox, and returns the environment that a program needs to run in it.

Only the environment differs: production host names, `HTTPS_PROXY`, a throw-away CA, and a token endpoint (or an `az` on
the PATH). Programs do not know that they run in a sandbox.

Where SANDBOX_TRACES names a directory, every world of every sandbox writes a trace there, each to a separate file.
"""

import asyncio
import itertools
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
import uvicorn

from sandbox.azure.tenant import CLOUDS, Principal
from sandbox.runtime.clock import Clock
from sandbox.runtime.relay import Relay
from sandbox.runtime.server import Server
from sandbox.scenario.reader import Scenario
from sandbox.world import Page, World

_CERTIFIED = {
    "api.forge.coreweave.com",
    "api.wandb.ai",
    "storage.googleapis.com",
    "api.openai.com",
    "*.blob.core.windows.net",
    "*.queue.core.windows.net",
    *(host for names in CLOUDS.values() for host in names.hosts),
}
TRACES = "SANDBOX_TRACES"
_numbers = itertools.count(1)
FOREIGN = (
    *("AZURE_", "AZUREML_", "WANDB_", "OPENAI_", "IDENTITY_", "MSI_", "IMDS_", "ARM_", "SANDBOX_"),
    *("KEY_VAULT_", "SYNC_", "FINE_TUNING_", "ALERT_OVERDUE_"),
)
"""What the variables begin with that may name real services, or are settings of the programs in the sandbox."""
_REPLACED = {
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
    for name in (upper, upper.lower())
} | {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


class Cloud:
    """The sandbox as a context manager. `load` puts another world behind the same ports."""

    def __init__(self, scenario: Scenario, *, trace: Path | None = None, page: Page | None = None) -> None:
        self._page = page
        self._sessions: dict[str, str] = {}
        self.denied: list[str] = []
        self._traces = os.environ.get(TRACES)
        self.world = World(scenario, self._sessions, self.denied, trace=trace or self._trace(), page=page)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._directory = tempfile.TemporaryDirectory(prefix="sandbox-")
        self.directory = Path(self._directory.name)
        self._relay: Relay | None = None
        self._plain_port = self._tls_port = 0
        self._led: dict[str, int] = {}

    # --- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Listen. Wait until the ports answer."""
        self._certify()
        self._install_az()
        self._thread.start()
        self._ready.wait()
        if self._failed:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the ports, finish the trace, and delete the CA."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.world.trace.close()
        self._directory.cleanup()

    def load(self, scenario: Scenario) -> World:
        """Load a fresh world. Connected programs stay connected. A requested trace covers only the first world."""
        self.world.trace.close()
        self.world = World(scenario, self._sessions, self.denied, trace=self._trace(), page=self._page)
        return self.world

    def lead(self, host: str, port: int) -> None:
        """Route a host name to another stand-in on loopback, such as Azurite, which has the certificate of `directory`."""
        self._led[host] = port

    def _trace(self) -> Path | None:
        return Path(self._traces) / f"{os.getpid()}-{next(_numbers):05}.jsonl" if self._traces else None

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
            self._failed = error
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = Server(lambda: self.world, self._abort)
        plain, tls = _listener(), _listener()
        self._plain_port, self._tls_port = plain.getsockname()[1], tls.getsockname()[1]
        key, certificate = self.directory / "server.key", self.directory / "server.pem"
        servers = [
            (_server(application), plain),
            (_server(application, ssl_keyfile=str(key), ssl_certfile=str(certificate)), tls),
        ]
        self._relay = Relay(self._port_of, self.denied)
        await self._relay.start()
        tasks = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(0.005)
        self._ready.set()
        await self._stop.wait()
        for server, _ in servers:
            server.should_exit = server.force_exit = True
        await self._relay.stop()
        await asyncio.gather(*tasks)

    def _port_of(self, host: str) -> int | None:
        if host in self._led:
            return self._led[host]
        served = self.world.serves(host)  # not kept: load() replaces the world
        return self._tls_port if served else None

    def _abort(self, client_port: int) -> None:
        if self._relay:
            self._relay.abort(client_port)

    def _certify(self) -> None:
        authority = trustme.CA(organization_name="sandbox", organization_unit_name="throw-away")
        leaf = authority.issue_cert(*sorted(_CERTIFIED))
        authority.cert_pem.write_to_path(str(self.directory / "ca.pem"))
        leaf.private_key_pem.write_to_path(str(self.directory / "server.key"))
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(str(self.directory / "server.pem"), append=True)

    def _install_az(self) -> None:
        name, text = "az", f'#!/bin/sh\nexec "{sys.executable}" -m sandbox.actors az "$@"\n'
        if sys.platform == "win32":  # UNVERIFIED: nobody has seen the sandbox run there
            name, text = "az.cmd", f'@"{sys.executable}" -m sandbox.actors az %*\n'
        az = self.directory / "bin" / name
        az.parent.mkdir()
        az.write_text(text)
        az.chmod(0o755)
        (self.directory / "home").mkdir()

    # --- inspection ----------------------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The world's virtual clock."""
        return self.world.clock

    @property
    def url(self) -> str:
        """The page's address, plain HTTP on loopback."""
        return f"http://127.0.0.1:{self._plain_port}"

    @property
    def counts(self) -> dict[str, int]:
        """The number of requests of each operation."""
        return dict(self.world.trace.counts)

    @property
    def writes(self) -> int:
        """The number of writes that the services accepted."""
        return len(self.world.trace.writes())

    # --- the environment of a program ----------------------------------------------------------------------------

    def environment(self, principal: str | None = "operator") -> dict[str, str]:
        """The whole environment for a child process that acts as this principal; None: nobody is signed in.

        A user is signed in through `az`, a managed identity has App Service's token endpoint, an application has its
        client secret in the variables that azure-identity reads. These are the credentials that AzureCliCredential,
        ManagedIdentityCredential and EnvironmentCredential look for, and DefaultAzureCredential finds each.

        Raises:
            KeyError: no principal has this name.
            ValueError: this principal cannot sign in.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) and k not in _REPLACED}
        if self._relay is None:
            raise RuntimeError("the sandbox is not running")
        proxy, authority = f"http://127.0.0.1:{self._relay.port}", str(self.directory / "ca.pem")
        kept |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), proxy)
        kept |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), authority)
        kept |= {"NO_PROXY": "127.0.0.1,localhost", "SSL_CERT_DIR": ""}
        home = self.directory / "home"
        kept |= {"HOME": str(home), "USERPROFILE": str(home), "AZURE_CONFIG_DIR": str(home / ".azure")}
        kept |= {"PATH": f"{self.directory / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
        kept |= {"SANDBOX_CONTROL": f"{self.url}/_sandbox"}
        kept |= {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url
        }  # instead of 169.254.169.254: a machine without an identity
        if sys.platform in ("darwin", "win32"):  # Go programs there do not read SSL_CERT_FILE; UNVERIFIED
            kept |= {"WANDB_BASE_URL": self.url}
        return kept | (self._credentials(self.world.tenant.named(principal)) if principal else {})

    def _credentials(self, principal: Principal) -> dict[str, str]:
        if principal.kind == "User":
            return {"SANDBOX_SESSION": self.world.desk.session(principal)}
        if principal.managed_identity:
            session = self.world.desk.session(principal)
            return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": session}
        if principal.client_secret is None:
            why = "a group cannot sign in" if principal.kind == "Group" else "the scenario gives it no client_secret"
            raise ValueError(f"{principal.name} cannot be signed in: {why}")
        return {
            "AZURE_TENANT_ID": self.world.tenant.tenant_id,
            "AZURE_CLIENT_ID": principal.app_id,
            "AZURE_CLIENT_SECRET": principal.client_secret,
        }


def _server(application: Server, **more: Any) -> uvicorn.Server:
    options: dict[str, Any] = {"log_level": "critical", "lifespan": "off", "ws": "none", "http": "h11"}
    options |= {"timeout_keep_alive": 300, "date_header": False}  # the application gives the virtual time
    return uvicorn.Server(uvicorn.Config(application, **options, **more))


def _listener() -> socket.socket:
    # asyncio disables Nagle only if the protocol is named. Otherwise every reply waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    return listening
