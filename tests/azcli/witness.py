"""The real Azure CLI in a sandbox of its own, and what it says of the chain that `setup` makes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from sandbox.scenario.reader import read
from tests.conftest import ROOT
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV

HERE = Path(__file__).parent
VAULT = (
    "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml/providers/Microsoft.KeyVault/vaults/kv-ml"
)

ENVIRONMENT = OPERATOR_ENV | {
    # With it on, az starts an uploader that outlives the command and tries hosts that are nobody's here.
    "AZURE_CORE_COLLECT_TELEMETRY": "no",
    # The stand-in for az takes its session from here: without one, only the real az can get the operator a token.
    "SANDBOX_SESSION": "",
}
"""Nothing else is set for az: the sandbox gives it a proxy, a certificate authority and a home of its own, as anybody."""

_VERSION_CHECK = "sandbox: azcliprod.blob.core.windows.net is not part of this world and was refused"
"""The first az in a new home looks for a newer one, which nothing switches off, and goes on without an answer."""

SIGN_IN = {
    "operator": [sys.executable, str(HERE / "device_login.py"), "az", "operator"],
    "pipeline": [
        "sh",
        "-c",
        'az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"',
    ],
    "ops-vm": ["az", "login", "--identity"],
}
"""How each kind of principal signs in to the real az: a person with a device code, an application, a managed identity."""


def scenario() -> dict[str, Any]:
    """Contoso, where an application and a managed identity may do what the operator may, and roles work at once."""
    world = read("contoso")
    world["principals"] += [
        {"name": "pipeline", "kind": "application", "client_secret": "pipeline-secret"},
        {"name": "ops-vm", "kind": "managed identity"},
    ]
    world["assignments"] += [{"principal": p, "role": "Owner", "scope": "rg-ml"} for p in ("pipeline", "ops-vm")]
    return world | {"transitions": {"rbac_propagation": 0}}


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    status: int
    out: str
    err: str


class Witness:
    """A running `python -m sandbox run`, signed in as one principal; every command is a child of it."""

    def __init__(self, az: Path, directory: Path, principal: str) -> None:
        self.principal = principal
        self.trace = directory / "trace.jsonl"
        world = directory / "world.yaml"
        world.write_text(yaml.safe_dump(scenario()))
        path = f"PATH={az.parent}{os.pathsep}{os.environ['PATH']}"  # the real az, not the sandbox's stand-in
        settings = [path, *(f"{k}={v}" for k, v in ENVIRONMENT.items())]
        command = ["env", *settings, sys.executable, str(HERE / "inside.py")]
        options = ["--scenario", str(world), "--trace", str(self.trace), "--as", principal]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "run", *options, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        signed_in = self.run(*SIGN_IN[self.principal])
        assert signed_in.status == 0, signed_in.err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the sandbox. It remarks on what nobody there answered; az was to miss nothing."""
        _, said = self._child.communicate(timeout=30)
        if kind is None:
            assert [line for line in said.splitlines() if line.startswith("sandbox: ")] == [_VERSION_CHECK], said

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a command in there and wait for it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"argv": argv, "env": dict(env or {})}) + "\n")
        self._child.stdin.flush()
        return Done(**json.loads(self._child.stdout.readline()))

    def az(self, *argv: str) -> Any:
        """What az answers, as data; it must succeed."""
        done = self.run("az", *argv, "--output", "json")
        assert done.status == 0, f"az {' '.join(argv)}\n{done.err}"
        return json.loads(done.out) if done.out else None

    def provisioning(self, *argv: str) -> tuple[int, Any]:
        """Exit status and JSON document of `python -m provisioning`."""
        command = [sys.executable, "-m", "provisioning", *argv, "--output", "json"]
        done = self.run(*command, env={"WANDB_API_KEY": GOOD_KEY})
        assert done.out, done.err
        return done.status, json.loads(done.out)

    def setup(self) -> Any:
        """Set up, not waiting for roles to propagate: they do at once here. The document."""
        status, document = self.provisioning("setup", "--yes", "--propagation-wait", "0")
        assert status == 0, document
        return document

    # --- questions ------------------------------------------------------------------------------------------------

    def identity(self) -> Any:
        """The account's identity."""
        return self.az("cognitiveservices", "account", "show", "-g", "rg-ml", "-n", "aoai-ml", "--query", "identity")

    def vault(self) -> Any:
        """The vault; az finds the resource group itself."""
        return self.az("keyvault", "show", "--name", "kv-ml")

    def assignments(self) -> list[Any]:
        """Roles assigned at the vault itself."""
        found: list[Any] = self.az("role", "assignment", "list", "--scope", VAULT)
        return sorted(found, key=lambda a: str(a["name"]))

    def secret(self) -> Any:
        """The W&B key's secret, with its value."""
        return self.az("keyvault", "secret", "show", "--vault-name", "kv-ml", "--name", "wandb-api-key")

    def versions(self) -> list[Any]:
        """The secret's versions."""
        found: list[Any] = self.az(
            "keyvault", "secret", "list-versions", "--vault-name", "kv-ml", "--name", "wandb-api-key"
        )
        return found

    def everything(self) -> dict[str, Any]:
        """All that az can be asked about what `setup` made."""
        return {
            "identity": self.identity(),
            "vault": self.vault(),
            "assignments": self.assignments(),
            "secret": self.secret(),
            "versions": self.versions(),
        }
