"""The tracker for W&B: see `function_app.tracking`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from function_app.data.jobs.description import artifact_name
from function_app.models import RunState
from function_app.startup import importing
from function_app.tracking import Identity, Intent, RunLease
from function_app.tracking.wandb.access import require_writable
from function_app.tracking.wandb.api import WandbApi
from function_app.tracking.wandb.client import project_page

if TYPE_CHECKING:
    from function_app.tracking.wandb.versioned.attachments import WandbSession


class WandbTracker:
    """One project of W&B, see `tracking.Tracker`.

    Attributes:
        guest: the process belongs to the caller, so the SDK's process-wide state must not change.
    """

    def __init__(self, api: WandbApi, *, guest: bool = False) -> None:
        self.api = api
        self.guest = guest
        self.project = api.project

    @property
    def entity(self) -> str:
        """The owner of the project: a team or user."""
        return self.api.entity

    @property
    def address(self) -> str:
        """Server, entity and project as one string that is safe as a name."""
        server = urlsplit(self.api.base_url).netloc.replace("api.forge.coreweave.com", "api.wandb.ai")  # one server
        return "/".join(quote(part, safe="") for part in (server, self.entity, self.project))

    def dataset_page(self, file_id: str) -> str:
        """Return the address of the page with a file's artifact."""
        return (
            f"{project_page(self.entity, self.project, self.api.base_url)}/artifacts/dataset/{artifact_name(file_id)}"
        )

    def elsewhere(self, project: str, entity: str) -> Self:
        """Return another project on the same server with the same key."""
        return type(self)(self.api.elsewhere(project, entity), guest=self.guest)

    def require_writable(self) -> None:
        """See `access.require_writable`."""
        require_writable(self.api)

    def runs(self, job_ids: Sequence[str], *, accounts: Sequence[str] = ()) -> dict[str, RunState]:
        """See `WandbApi.states`."""
        return self.api.states(job_ids, accounts=accounts)

    def open(
        self, run_id: str, new: Identity | None, intent: Intent, lease: RunLease
    ) -> AbstractContextManager["WandbSession"]:
        """See `attachments.open_run`. It imports the SDK, which takes half a second: to find pending jobs needs no SDK."""
        if not self.guest:
            _prepare()
        from function_app.tracking.wandb.versioned.attachments import open_run

        return open_run(self.api, run_id, new, intent, lease)

    def supersede(self, run_id: str, successor: str) -> None:
        """See `WandbApi.supersede`."""
        self.api.supersede(run_id, successor)


@cache
def _prepare() -> None:
    with importing():
        from function_app.tracking.wandb.core.sdk import prepare
    prepare()
