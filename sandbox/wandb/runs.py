"""W&B runs: the state that follows from what clients send by file stream and GraphQL.

Reads may be late (`ServerOptions.delays`): each change first keeps the state that it replaces.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.wandb.artifacts import Artifact
from sandbox.wandb.files import Storage, StoredObject, run_file_folder
from sandbox.wandb.options import ServerOptions
from sandbox.wandb.rules import check_name, check_summary, invalid
from sandbox.wandb.users import User

# After so many seconds without a file stream post a running run is crashed (wandb PR 12500).
SILENCE = 5 * 60.0
_SCREEN = 10_000  # the console output may be ahead by this number of lines

HISTORY = "wandb-history.jsonl"
OUTPUT = "output.log"


class RunState(StrEnum):
    """The states of a run that W&B shows. `killed` is a run that a person stopped."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    KILLED = "killed"


# Fields that a broken run serves as null. The SDK cannot open a run that lacks one of them (wandb, processresponse.go).
Nullable = Literal["summaryMetrics", "historyTail", "eventsTail", "historyLineCount", "eventsLineCount", "logLineCount"]


class Chunk(BaseModel):
    """Lines for one file of the stream, to be written from line `offset` on."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(ge=0)
    content: list[str] = Field(min_length=1)


class FileStreamPost(BaseModel):
    """One post to a run's file_stream (wandb-core, filestreamrequest.go)."""

    model_config = ConfigDict(extra="forbid")

    files: dict[Literal["wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"], Chunk] = {}
    uploaded: list[str] | None = None
    complete: bool | None = None
    exitcode: int | None = None

    @field_validator("files")
    @classmethod
    def _of_objects(cls, files: dict[Any, Chunk]) -> dict[Any, Chunk]:
        """Require JSON objects in every file but the console's output."""
        for name, chunk in files.items():
            for line in chunk.content if name != OUTPUT else ():
                if not isinstance(json.loads(line), dict):
                    raise ValueError(f"{name}: not a JSON object: {line[:40]}")
        return files


@dataclass(frozen=True)
class Alert:
    """An alert as `run.alert` sends it; W&B would mail it to the people who subscribed."""

    entity: str
    project: str
    run_id: str
    title: str
    text: str
    severity: str
    at: datetime


@dataclass(frozen=True)
class PastState:
    """The state of a run until a change; `run` is a shallow copy, None when the run did not exist yet."""

    until: float
    run: "Run | None" = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    lines: int = 0
    tail: tuple[str, ...] = ()


@dataclass(eq=False)
class Run:
    """One run. `id` and `name` as in the SDK; GraphQL calls them `name` and `displayName`. Times are epoch seconds."""

    entity: str
    project: str
    id: str
    name: str
    user: User
    storage: Storage = field(repr=False)
    options: ServerOptions = field(repr=False)
    created_at: float
    heartbeat_at: float  # the last file stream post
    opened_at: float = 0.0  # the last UpsertBucket that opened the run
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    description: str | None = None
    host: str | None = None
    program: str | None = None
    commit: str | None = None
    tags: list[str] = field(default_factory=list)
    raw_config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history_lines: list[str] = field(default_factory=list, repr=False)
    event_lines: list[str] = field(default_factory=list, repr=False)
    output_lines: list[str] = field(default_factory=list, repr=False)
    logged: list[Artifact] = field(default_factory=list, repr=False)
    used: list[Artifact] = field(default_factory=list, repr=False)
    exit_code: int | None = None
    stop_requested: bool = False
    phase: RunState = RunState.RUNNING  # not derived from silence; see `state`
    null_fields: set[Nullable] = field(default_factory=set)
    shown_at: float | None = None  # the time that a late listing shows; None in the run itself
    replaced: list[PastState] = field(default_factory=list, repr=False, init=False)
    _end: int | None = field(default=None, repr=False, init=False)  # of the history, where offsets are rebased

    @property
    def history(self) -> list[dict[str, Any]]:
        """The logged rows in the order of the file."""
        return [json.loads(line) for line in self.history_lines]

    @property
    def config(self) -> dict[str, Any]:
        """The config as people see it: plain values, without the SDK's own entry."""
        return {
            key: entry["value"] if isinstance(entry, Mapping) and "value" in entry else entry
            for key, entry in self.raw_config.items()
            if key != "_wandb"
        }

    @property
    def telemetry(self) -> dict[str, Any]:
        """The SDK's own config entry. Without its key `t` the SDK takes the run for one that does not exist."""
        entry = self.raw_config.get("_wandb")
        value = entry.get("value") if isinstance(entry, Mapping) else None
        return dict(value) if isinstance(value, Mapping) else {}

    @property
    def files(self) -> dict[str, StoredObject]:
        """Uploaded files by name."""
        return self.storage.under(run_file_folder(self.entity, self.project, self.id))

    def state(self, now: float) -> RunState:
        """The state as W&B shows it at a time."""
        if now - max(self.heartbeat_at, self.opened_at) <= SILENCE or self.phase is not RunState.RUNNING:
            return self.phase
        return RunState.KILLED if self.stop_requested else RunState.CRASHED

    # The reads of a client

    def as_of(self, now: float, delay: float) -> PastState:
        """The state as it was `delay` seconds ago."""
        if delay > 0:
            for past in self.replaced:
                if past.until > now - delay:
                    return past
        return PastState(now, self, self.summary, len(self.history_lines), tuple(self.history_lines[-1:]))

    def listed(self, now: float) -> "Run | None":
        """The run as a listing shows it; None when a late listing does not have it yet."""
        delay = self.options.delays.listing
        shown = self.as_of(now, delay).run
        if shown is None or shown is self:
            return shown
        seen = copy.copy(shown)
        seen.shown_at, seen.replaced, seen.summary = now - delay, self.replaced, self.summary
        return seen

    def changing(self, now: float) -> None:
        """Keep the present state for late reads; call it before each change that a client makes."""
        if longest := self.options.delays.longest:
            lines = self.history_lines
            self._keep(
                PastState(now, copy.copy(self), dict(self.summary), len(lines), tuple(lines[-1:])), now - longest
            )

    def created(self, now: float) -> None:
        """Note that the run did not exist before now."""
        if longest := self.options.delays.longest:
            self._keep(PastState(now), now - longest)

    def _keep(self, past: PastState, oldest: float) -> None:
        self.replaced = [each for each in self.replaced if each.until > oldest] + [past]

    # Changes by people and clients

    def set_tags(self, tags: list[str]) -> None:
        """Replace the tags; each is kept once."""
        for tag in tags:
            check_name("tag", tag)
        self.tags = list(dict.fromkeys(tags))

    def set_config(self, key: str, value: Any) -> None:
        """Edit one value of the config, as people do in the app."""
        self.raw_config = {**self.raw_config, key: {**self.raw_config.get(key, {}), "value": value}}

    def send_config(self, config: dict[str, Any]) -> None:
        """Take a config that a client sends: in place of the old one, or merged into it."""
        self.raw_config = _merged(self.raw_config, config) if self.options.config == "merge" else config

    def send_summary(self, summary: dict[str, Any]) -> None:
        """Take a summary that a client sends, in place of the old one.

        Raises:
            RefusedError: a value has an unknown `_type`.
        """
        check_summary(summary)
        self.summary = summary
        self.null_fields.discard("summaryMetrics")

    def use(self, artifact: Artifact) -> None:
        """Take a version as input; a second time changes nothing."""
        if artifact not in self.used:
            self.used.append(artifact)
            artifact.used_by.append(self)

    def start(self, now: float) -> None:
        """Open the run, new or again. Only file stream posts move the heartbeat (wandb PR 12500)."""
        self.phase, self.exit_code, self.stop_requested = RunState.RUNNING, None, False
        self.opened_at = now

    def add_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows as an SDK would have logged them, one step each unless they have `_step`."""
        for row in rows:
            self.history_lines.append(json.dumps({"_step": len(self.history_lines), **row}))

    def receive(self, post: FileStreamPost, now: float) -> None:
        """Take one file stream post. Every post is a heartbeat, and one without `complete` revives an ended run."""
        self.changing(now)
        for name, chunk in post.files.items():
            match name:
                case "wandb-summary.json":
                    self.send_summary(json.loads(chunk.content[-1]))
                case "wandb-history.jsonl":
                    self._write_history(chunk)
                case "wandb-events.jsonl":
                    _write(self.event_lines, chunk, name)
                case "output.log":
                    # wandb-core treats the console as a screen: it may send a later line before an earlier one
                    self.output_lines += [""] * min(chunk.offset - len(self.output_lines), _SCREEN)
                    _write(self.output_lines, chunk, name)
        self.heartbeat_at = now
        self.phase = self._next_phase(post)
        if post.complete:
            self.exit_code = post.exitcode

    def _write_history(self, chunk: Chunk) -> None:
        if self.options.offsets == "exact":
            _write(self.history_lines, chunk, HISTORY)
            return
        end = len(self.history_lines) if self._end is None else self._end
        begin = min(chunk.offset, end)
        self._end = begin + len(chunk.content)
        self.history_lines[begin : self._end] = chunk.content

    def _next_phase(self, post: FileStreamPost) -> RunState:
        if not post.complete:
            return RunState.RUNNING
        if self.stop_requested:
            return RunState.KILLED
        return RunState.FAILED if post.exitcode else RunState.FINISHED


def _write(lines: list[str], chunk: Chunk, name: str) -> None:
    """Replace the lines from the offset on; refuse an offset past the end (what W&B answers is UNVERIFIED)."""
    if chunk.offset > len(lines):
        raise invalid(f"{name}: offset {chunk.offset} leaves a gap after line {len(lines)}")
    lines[chunk.offset : chunk.offset + len(chunk.content)] = chunk.content


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
