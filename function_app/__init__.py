"""Mirror fine-tuning jobs into W&B. The Azure Functions worker looks for `app`, which must be the only function app here.

`app` is imported on first use, because commands and `provisioning` need no azure.functions, which takes 0.1 s to import.
`sync` is for scripts and notebooks; its SDKs take a second to import.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from function_app.functions import app
    from function_app.wandb_logger import sync

__all__ = ["app", "sync"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from function_app.functions import app

        return app
    if name == "sync":
        from function_app.wandb_logger import sync

        return sync
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List `app`: the worker reads `__dir__` to find it. Do not list `sync`, because the worker would import it."""
    return [*globals(), "app"]
