"""A message of the queue, delivered to Microsoft's worker library, which the platform ends at any request."""

from signal import SIGKILL, SIGTERM
from typing import Any

from evidence.commands import sync
from evidence.commands.case import GOOD_KEY, LIBRARY, Case
from sandbox.azure.storage import SETTINGS

_APP = "function-app"
_ENV = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
    "WANDB_ENTITY": sync.ENTITY,
    "WANDB_PROJECT": sync.PROJECT,
    "SYNC_DATASETS": "full",
    **SETTINGS,
}
_NEXT_TICK = 120.0
"""The tick after the death enqueues the job again. The lease of the dead worker must have ended by then."""


def _world(kind: str) -> dict[str, Any]:
    one = sync.world(kind)
    roles = ("Cognitive Services OpenAI User", "Key Vault Secrets User")
    secrets = [{"name": "wandb-api-key", "value": GOOD_KEY}]
    return one | {
        "principals": [{"name": _APP, "kind": "managed identity"}],
        "assignments": [{"principal": _APP, "role": role, "scope": "rg-ml"} for role in roles],
        "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": secrets}],
    }


CASES = tuple(
    Case(
        "message",
        f"{kind}, {stop.name}",
        ("evidence.deliver", str(LIBRARY), "aoai-ml", sync.JOB),
        _world(kind),
        sync.end,
        _ENV,
        principal=_APP,
        pause=_NEXT_TICK,
        stop=stop,
    )
    for kind in ("finished, with checkpoints and validation", "live")
    for stop in (SIGKILL, SIGTERM)
    if LIBRARY.is_dir()  # `make test` installs it
)
