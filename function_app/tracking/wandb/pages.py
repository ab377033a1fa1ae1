"""Addresses of pages in W&B."""

import functools
from urllib.parse import quote


@functools.cache
def project_page(entity: str, project: str, base_url: str | None) -> str:
    """Return the address of a project's page. Runs are below it, under `/runs/`.

    Args:
        base_url: the address of W&B's API; None for the SDK's default.
    """
    import wandb  # here, because it takes half a second, which --help does not need

    settings = wandb.Settings(base_url=base_url) if base_url else wandb.Settings()
    return f"{settings.app_url.rstrip('/')}/{quote(entity)}/{quote(project)}"
