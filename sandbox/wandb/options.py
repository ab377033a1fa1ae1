"""How the W&B server behaves where the real one reads late, or where nobody could verify what it does.

A scenario sets these under `wandb.server`; a test may change `store.options` while the sandbox runs. The defaults are
the simplest server: every read is current and every listing is stable.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Delays(BaseModel):
    """The delay of each read of a run, in virtual seconds.

    W&B serves `summaryMetrics` and `historyTail` from caches (wandb PR 12668) and `historyLineCount` some seconds late
    (wandb PR 12421); a listing may be minutes late (wandb#7410, wandb#10341). How late exactly is UNVERIFIED.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    line_count: float = Field(default=0.0, ge=0)
    summary: float = Field(default=0.0, ge=0)
    tail: float = Field(default=0.0, ge=0)
    listing: float = Field(default=0.0, ge=0)

    @property
    def longest(self) -> float:
        """The longest of them."""
        return max(self.line_count, self.summary, self.tail, self.listing)


class RateLimit(BaseModel):
    """How many requests one key may send in each fixed window of real seconds (W&B, limits). More are answered with 429.

    The documented header is RateLimit-Reset; that W&B also sends Retry-After is UNVERIFIED.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    requests: int = Field(ge=1)
    seconds: float = Field(default=60.0, gt=0)


class ServerOptions(BaseModel):
    """Behavior that is UNVERIFIED or differs between reports; a client has to work with every value."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    delays: Delays = Field(default_factory=Delays)

    offsets: Literal["exact", "rebased"] = "exact"
    """The placement of lines of a file stream. Both modes replace existing lines. `exact` refuses a gap. `rebased` takes
    the end of the last write for the end of the file and pulls a higher offset down to it (wandb#12269)."""

    config: Literal["replace", "merge"] = "replace"
    """Whether UpsertBucket removes the keys that a config omits (wandb PR 8306) or keeps them (wandb#11055)."""

    listings: Literal["stable", "shifting", "repeating", "endless"] = "stable"
    """`shifting` shows one item twice and omits another with each page, as cursors are offsets (wandb#6614).
    `repeating` answers the same page and cursor every time. `endless` starts again after the last page."""

    versions: Literal["newest first", "oldest first"] = "newest first"
    """How the versions of a collection are listed without an order, which no page of W&B says."""

    artifact_lifetime: int | None = None
    """A team's default lifetime of artifacts in seconds, which also applies to existing versions (W&B, artifact TTL)."""

    rate_limit: RateLimit | None = None

    deduplication: Literal["any", "latest"] = "any"
    """Whether content is compared with any version of a collection or with the latest one only (wandb PR 6190)."""
