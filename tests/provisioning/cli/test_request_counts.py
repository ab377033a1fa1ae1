"""What setup costs in HTTP requests, sign-in and W&B among them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import Load, Run
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV

IDLE_TARGET = 12
"""Of the issue: what a run may ask that finds everything in place."""
READER = 3
"""What a reader costs: a token for Microsoft Graph, its name, and whether its role ends."""
APPLICATION = "ops-bot"
"""Signs in by itself, where a person has `az` do it: a real run has fewer requests."""
WORLD: Mapping[str, Any] = {
    "extends": "contoso",
    "transitions": {"rbac_propagation": 0},
    "principals": [
        {"name": APPLICATION, "kind": "application", "client_secret": "bot-secret"},
        {"name": "billing-api", "kind": "managed identity"},
        {"name": "function-app", "kind": "managed identity"},
    ],
    "assignments": [{"principal": APPLICATION, "role": "Owner", "scope": "rg-ml"}],
    "vaults": [{"name": "kv-ml", "group": "rg-ml", "policies": [{"principal": "billing-api", "secrets": ["get"]}]}],
}


@pytest.mark.parametrize("narrow", [False, True], ids=["as documented", "least privilege and a reader"])
def test_a_run_without_changes_makes_few_requests(load: Load, run: Run, *, narrow: bool) -> None:
    cloud = load(WORLD)
    reader = cloud.world.tenant.named("function-app").object_id
    least = ("--identity-role", "secrets-user", "--identity-scope", "secret", "--reader", reader)
    options = least if narrow else ()

    def setup() -> None:
        env = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
        ended = run(
            "provisioning", "setup", "--yes", "--propagation-wait", "0", *options, principal=APPLICATION, env=env
        )
        assert ended.returncode == 0, ended.stderr

    setup()
    first, writes = Counter(cloud.counts), cloud.writes
    setup()
    idle = Counter(cloud.counts) - first
    assert idle["Token"] > 0, "signing in is counted"
    assert idle["Viewer"] > 0, "W&B is counted"
    assert idle.total() <= IDLE_TARGET + (READER if narrow else 0), idle
    assert cloud.writes == writes
