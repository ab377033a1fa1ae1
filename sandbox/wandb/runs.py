"""A W&B run: what its client sent by filestream and GraphQL, and the state that follows from it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.wandb.files import Storage, StoredObject, run_file_folder
from sandbox.wandb.rules import check_run_tags, invalid
from sandbox.wandb.users import User

if TYPE_CHECKING:
    from sandbox.wandb.artifacts import Artifact

# After so long without a heartbeat a running run shows as crashed, and a preempting one as preempted. Five minutes are
# what W&B documents for preempted runs (docs, "Resume preemptible Sweeps runs"); the same for crashed is UNVERIFIED.
SILENCE = 5 * 60.0
_SCREEN = 10_000  # lines that the console's output may be ahead


class RunState(StrEnum):
    """What W&B shows."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    PREEMPTING = "preempting"
    PREEMPTED = "preempted"


SILENT = {RunState.RUNNING: RunState.CRASHED, RunState.PREEMPTING: RunState.PREEMPTED}


_File = Literal["wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"]


class Chunk(BaseModel):
    """Lines for one file of the stream, to be written from line `offset` on."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(ge=0)
    content: list[str] = Field(min_length=1)


class FileStreamPost(BaseModel):
    """One post to a run's file_stream (wandb-core, filestreamrequest.go)."""

    model_config = ConfigDict(extra="forbid")

    files: dict[_File, Chunk] = {}
    uploaded: list[str] | None = None
    preempting: bool | None = None
    complete: bool | None = None
    exitcode: int | None = None

    @field_validator("files")
    @classmethod
    def _of_objects(cls, files: dict[_File, Chunk]) -> dict[_File, Chunk]:
        """What all files but the console's output consist of."""
        for name, chunk in files.items():
            for line in chunk.content if name != "output.log" else ():
                if not isinstance(json.loads(line), dict):
                    raise ValueError(f"{name}: not a JSON object: {line[:40]}")
        return files


@dataclass(frozen=True)
class Alert:
    """What `run.alert` sent; W&B would mail it to the people who asked for alerts."""

    entity: str
    project: str
    run_id: str
    title: str
    text: str
    severity: str
    at: datetime


@dataclass(eq=False)
class Run:
    """One run. `id` and `name` as in the SDK; GraphQL calls them `name` and `displayName`. Times are epoch seconds."""

    entity: str
    project: str
    id: str
    name: str
    user: User
    storage: Storage = field(repr=False)
    created_at: float
    heartbeat_at: float
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
    logged: "list[Artifact]" = field(default_factory=list, repr=False)
    used: "list[Artifact]" = field(default_factory=list, repr=False)
    exit_code: int | None = None
    stop_requested: bool = False
    phase: RunState = RunState.RUNNING  # as last told; `state` adds what silence means

    @property
    def path(self) -> str:
        """entity/project/id."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def history(self) -> list[dict[str, Any]]:
        """The logged rows in the order of the file."""
        return [json.loads(line) for line in self.history_lines]

    @property
    def config(self) -> dict[str, Any]:
        """The config as people see it: plain values, without the SDK's own entry."""
        return {key: entry["value"] for key, entry in self.raw_config.items() if key != "_wandb"}

    @property
    def telemetry(self) -> dict[str, Any]:
        """The SDK's own entry of the config: `t` is there once a run was started by an SDK, `m` has the metrics."""
        value: dict[str, Any] = self.raw_config.get("_wandb", {}).get("value", {})
        return value

    @property
    def files(self) -> dict[str, StoredObject]:
        """Uploaded files by name."""
        return self.storage.under(run_file_folder(self.entity, self.project, self.id))

    def state(self, now: float) -> RunState:
        """The state as W&B shows it at a time."""
        silent = now - self.heartbeat_at > SILENCE
        return SILENT.get(self.phase, self.phase) if silent else self.phase

    def set_tags(self, tags: list[str]) -> None:
        """Replace the tags; doubles count once."""
        check_run_tags(tags)
        self.tags = list(dict.fromkeys(tags))

    def set_config(self, key: str, value: Any) -> None:
        """Edit one value of the config, as people do in the app."""
        self.raw_config[key] = {**self.raw_config.get(key, {}), "value": value}

    def start(self, now: float) -> None:
        """A client opens the run, new or again."""
        self.phase = RunState.RUNNING
        self.exit_code = None
        self.stop_requested = False
        self.heartbeat_at = now

    def add_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Rows as an SDK would have logged them, one step each unless they say `_step`."""
        for row in rows:
            self.history_lines.append(json.dumps({"_step": len(self.history_lines), **row}))

    def receive(self, post: FileStreamPost, now: float) -> None:
        """Take in one filestream post. Every post is a heartbeat, and one without `complete` revives an ended run."""
        for name, chunk in post.files.items():
            match name:
                case "wandb-summary.json":
                    self.summary = json.loads(chunk.content[-1])
                case "wandb-history.jsonl":
                    self._write(self.history_lines, chunk, name)
                case "wandb-events.jsonl":
                    self._write(self.event_lines, chunk, name)
                case "output.log":
                    # the console is a screen: wandb-core may send a later line before an earlier one
                    self.output_lines += [""] * min(chunk.offset - len(self.output_lines), _SCREEN)
                    self._write(self.output_lines, chunk, name)
        self.heartbeat_at = now
        self.phase = self._next_phase(post)
        if post.complete:
            self.exit_code = post.exitcode

    def _write(self, lines: list[str], chunk: Chunk, name: str) -> None:
        """A chunk sent again at its offset overwrites; one past the end would leave a hole (the answer: UNVERIFIED)."""
        if chunk.offset > len(lines):
            raise invalid(f"{name}: offset {chunk.offset} leaves a gap after line {len(lines)}")
        lines[chunk.offset : chunk.offset + len(chunk.content)] = chunk.content

    def _next_phase(self, post: FileStreamPost) -> RunState:
        preempting = bool(post.preempting) or self.phase is RunState.PREEMPTING
        if post.complete and post.exitcode:
            return RunState.PREEMPTED if preempting else RunState.FAILED
        if post.complete:
            return RunState.FINISHED
        return RunState.PREEMPTING if preempting else RunState.RUNNING
