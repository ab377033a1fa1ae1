"""Mirror fine-tuning jobs into W&B. The Azure Functions worker looks for `app`, which must be the only function app here.

`sync` is for scripts and notebooks. It is imported on first use, because its SDKs take a second to import.
"""

from typing import TYPE_CHECKING, Any

from function_app.functions import app

if TYPE_CHECKING:
    from function_app.wandb_logger import sync

__all__ = ["app", "sync"]


def __getattr__(name: str) -> Any:
    if name == "sync":
        from function_app.wandb_logger import sync

        return sync
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
