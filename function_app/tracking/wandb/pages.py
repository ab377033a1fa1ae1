"""Where people look at things in W&B."""

import functools
from urllib.parse import quote


@functools.cache
def project_page(entity: str, project: str, base_url: str | None) -> str:
    """The address of a project's page; that of a run is below it, under `/runs/`.

    Args:
        base_url: of W&B's API; None: that of the SDK.
    """
    import wandb  # takes half a second, which a command's --help does not need

    settings = wandb.Settings(base_url=base_url) if base_url else wandb.Settings()
    return f"{settings.app_url.rstrip('/')}/{quote(entity)}/{quote(project)}"
