"""The real Azure CLI in a separate sandbox, and its view of the chain that `setup` makes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario, read
from tests.conftest import ROOT
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV

HERE = Path(__file__).parent
VAULT = (
    "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml/providers/Microsoft.KeyVault/vaults/kv-ml"
)

ENVIRONMENT = OPERATOR_ENV | {
    # With it on, az starts an uploader that outlives the command and tries hosts that do not exist here.
    "AZURE_CORE_COLLECT_TELEMETRY": "no",
    # The stand-in for az takes its session from here: without one, only the real az can get the operator a token.
    "SANDBOX_SESSION": "",
}
"""Nothing else is set for az: the sandbox gives it a proxy, a certificate authority and a new home directory."""

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


class Witness:
    """A running sandbox, and commands in it, signed in as one principal."""

    def __init__(self, az: Path, directory: Path, principal: str) -> None:
        self.principal = principal
        # With a separate trace, since az uses API versions that have no description here (test_witness.py checks the nearest).
        self.cloud = Cloud(Scenario.parse(scenario()), trace=directory / "trace.jsonl")
        self._path = f"{az.parent}{os.pathsep}{os.environ['PATH']}"  # the real az, not the sandbox's stand-in

    def __enter__(self) -> Self:
        self.cloud.__enter__()
        signed_in = self.run(*SIGN_IN[self.principal])
        assert signed_in.returncode == 0, signed_in.stderr
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the sandbox. The first az in a new home asks for a newer version and continues without an answer."""
        self.cloud.__exit__(kind, error, trace)
        if kind is None:
            assert self.cloud.world.unmodelled == []
            assert set(self.cloud.denied) == {"azcliprod.blob.core.windows.net"}

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in there and wait for it."""
        whole = self.cloud.environment(self.principal) | ENVIRONMENT | {"PATH": self._path} | env
        return subprocess.run(argv, env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT)

    def az(self, *argv: str) -> Any:
        """What az answers, as data; it must succeed."""
        done = self.run("az", *argv, "--output", "json")
        assert done.returncode == 0, f"az {' '.join(argv)}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout else None

    def setup(self) -> Any:
        """Set up, not waiting for roles to propagate: they do at once here. The document."""
        argv = ["provisioning", "setup", "--yes", "--propagation-wait", "0", "--output", "json"]
        chosen = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"} if self.principal == "ops-vm" else {}
        done = self.run(sys.executable, "-m", *argv, WANDB_API_KEY=GOOD_KEY, **chosen)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def trace(self) -> list[dict[str, Any]]:
        """What the sandbox has answered so far."""
        return [each.as_json() for each in self.cloud.world.trace.exchanges]

    def everything(self) -> dict[str, Any]:
        """All that az can be asked about what `setup` made; az finds the vault's resource group itself."""
        secret = ("--vault-name", "kv-ml", "--name", "wandb-api-key")
        account = ("-g", "rg-ml", "-n", "aoai-ml")
        assignments = self.az("role", "assignment", "list", "--scope", VAULT)
        return {
            "identity": self.az("cognitiveservices", "account", "show", *account, "--query", "identity"),
            "vault": self.az("keyvault", "show", "--name", "kv-ml"),
            "assignments": sorted(assignments, key=lambda each: str(each["name"])),
            "secret": self.az("keyvault", "secret", "show", *secret),
            "versions": self.az("keyvault", "secret", "list-versions", *secret),
        }
