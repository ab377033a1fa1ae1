"""Every command with the ways in which it ends: what must hold for all of them is tested over this."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.cloud import Cloud

from . import chain
from .bench import GOOD_KEY, OPERATOR_ENV, VIEWERS_KEY
from .conftest import Call

NEW_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00003"
DEAD_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c0dead"
KEYS = (GOOD_KEY, VIEWERS_KEY, NEW_KEY, DEAD_KEY)
YES = ("--yes", "--propagation-wait", "0")


@dataclass
class Outcome:
    """A command, the world it runs in, the key it is given, and how it ends."""

    argv: tuple[str, ...]
    status: int
    key: str | None = None
    world: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    code: str = ""  # of the error, where it fails

    def of(self, cloud: Cloud, call: Call, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        chain.put(cloud, **{"wandb": WANDB, **self.world})
        env = OPERATOR_ENV | dict(self.env) | ({"WANDB_API_KEY": self.key} if self.key else {})
        return call(*self.argv, *more, env=env)


FRESH: dict[str, Any] = {"vault": {"rbac": None}, "account": {"system_identity": False}, "secret": None}
READER: dict[str, Any] = {"without": (("operator", "Owner"),), "plus": (("operator", "Reader", "rg-ml"),)}
OURS: Mapping[str, Any] = {"secret": {"tags": {"created-by": "azure-openai-wandb"}}}
COMPOUND = {"principal": "other-identity", "secrets": ["get"], "application_id": "11111111-0000-4000-8000-000000000001"}
REFUSES = {"op": "SetSecret", "do": {"status": 400}}
OUTCOMES = {
    "plan": Outcome(("plan",), 0, GOOD_KEY, FRESH),
    "plan, without a key": Outcome(("plan",), 0, None, FRESH),
    "plan, another key": Outcome(("plan", "--detailed-exitcode"), 2, GOOD_KEY, {"secret": {"value": VIEWERS_KEY}}),
    "plan, a right is missing": Outcome(("plan",), 0, None, FRESH | READER),
    "setup": Outcome(("setup", *YES), 0, GOOD_KEY, FRESH),
    "setup, dry run": Outcome(("setup", "--dry-run"), 0, GOOD_KEY, FRESH),
    "setup, nothing to do": Outcome(("setup",), 0),
    "setup, not confirmed": Outcome(("setup",), 2, GOOD_KEY, FRESH, code="not-confirmed"),
    "setup, key in the vault revoked": Outcome(
        ("setup",), 2, None, {"secret": {"value": DEAD_KEY}}, code="wandb-key-not-given"
    ),
    "setup, key refused": Outcome(("setup", *YES), 1, DEAD_KEY, code="wandb-key-refused"),
    "setup, may only look": Outcome(("setup", *YES), 1, VIEWERS_KEY, code="wandb-entity-refused"),
    "setup, malformed": Outcome(("setup", *YES), 2, f"{GOOD_KEY} {NEW_KEY}", code="wandb-key-malformed"),
    "setup, a right is missing": Outcome(("setup", *YES), 1, GOOD_KEY, FRESH | READER, code="missing-rights"),
    "setup, somebody would lose access": Outcome(
        ("setup", *YES),
        1,
        GOOD_KEY,
        FRESH | {"vault": {"rbac": None, "policies": [COMPOUND]}},
        code="access-would-be-lost",
    ),
    "setup, the vault refuses": Outcome(
        ("setup", *YES), 1, GOOD_KEY, {"secret": None, "faults": [REFUSES]}, code="service-error"
    ),
    "setup, W&B out of reach": Outcome(
        ("setup", *YES),
        1,
        GOOD_KEY,
        env={"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "1"},
        code="unreachable",
    ),
    "setup, no such vault": Outcome(("setup", *YES), 3, GOOD_KEY, env={"AZURE_KEY_VAULT": "kv-lm"}, code="not-found"),
    "status": Outcome(("status",), 0),
    "status, drift": Outcome(("status",), 2, GOOD_KEY, {"secret": None}),
    "status, firewall": Outcome(("status",), 3, None, {"vault": {"firewall": True}}, code="vault-unreachable"),
    "doctor": Outcome(("doctor",), 0, env={"AZURE_FUNCTION_APP": "func-ml"}),
    "doctor, revoked": Outcome(("doctor",), 1, None, {"secret": {"value": DEAD_KEY}}, code="broken-link"),
    "rotate-key": Outcome(("rotate-key", "--yes"), 0, NEW_KEY),
    "rotate-key, dry run": Outcome(("rotate-key", "--dry-run"), 0, NEW_KEY),
    "rotate-key, held already": Outcome(("rotate-key", "--yes"), 0, GOOD_KEY),
    "rotate-key, refused": Outcome(("rotate-key", "--yes"), 1, DEAD_KEY, code="wandb-key-refused"),
    "rotate-key, nothing there": Outcome(
        ("rotate-key", "--yes"), 3, NEW_KEY, {"secret": None}, code="wandb-key-not-stored"
    ),
    "teardown": Outcome(("teardown", "--yes"), 0, None, OURS),
    "teardown, dry run": Outcome(("teardown", "--dry-run"), 0, None, OURS),
    "teardown, nothing to take away": Outcome(("teardown",), 0),
    "teardown, not confirmed": Outcome(("teardown",), 2, None, OURS, code="not-confirmed"),
    "teardown, not ours": Outcome(("teardown", "--restore-access-policies", "--yes"), 1, code="not-ours"),
}
WANDB = {
    "teams": [{"name": "acme", "members": {"sync-bot": "member", "vera": "view-only"}}],
    "users": [
        {"username": "sync-bot", "default_entity": "acme", "keys": [GOOD_KEY, NEW_KEY]},
        {"username": "vera", "default_entity": "acme", "keys": [VIEWERS_KEY]},
    ],
}


def leaked(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The keys that the output shows."""
    return [key for key in KEYS if key in result.stdout + result.stderr]
