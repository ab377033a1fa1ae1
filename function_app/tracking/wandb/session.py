"""A run that is being brought up to date, see `tracking.Session`.

Marks and config are written by a mutation, whose answer confirms them. Rows, summary and the run's end are sent by our own
posts to the file stream (`sequence`). A session of the SDK is open only from `send` to the end of the attachments. Marks do
not change in that time, because the SDK writes the whole config back when it closes.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

import wandb

from function_app.errors import NotYetError, RunDeletedError, TakenError, UnusableRunError, WandbBusyError
from function_app.models import MetricRow, RunState
from function_app.text import duration
from function_app.tracking import OF_JOB, Identity, RunLease
from function_app.tracking.wandb.api import CLOSED, Question, StoredRun, WandbApi
from function_app.tracking.wandb.changes import Change, edit_run, write
from function_app.tracking.wandb.client import ROWS_TIMEOUT
from function_app.tracking.wandb.marks import KEY, Marks, legacy_marks
from function_app.tracking.wandb.runs import moved, sdk_session, shown_tables
from function_app.tracking.wandb.sequence import (
    Lines,
    LostRowsError,
    NotConfirmedError,
    Write,
    adopted,
    append,
    begun,
    confirmed,
    rewrite,
)

QUIET = 120.0
"""Seconds without a post after which no other program counts as writing: the SDK posts every 30 s (filestream.go)."""

SETTLED = 600.0
"""Seconds without a post after which W&B's count of lines counts as current, even if it is low."""

_OWN_POST = 60.0
"""Seconds from a mark to the post that follows it, attempts included."""

_GOING_ON = ("running", "pending", "preempting")
_ENDED = ("finished", "failed", "killed")
_WRITER = uuid4().hex
"""Identifies this process, which recognizes its own posts by it if there is no lease."""


class RunWriter:
    """A run of W&B. Every method raises KeyRefusedError, RunDeletedError, WandbBusyError or WandbError."""

    handle: wandb.Run

    def __init__(
        self,
        api: WandbApi,
        run_id: str,
        new: Identity | None,
        found: tuple[StoredRun | None, Mapping[str, Any]],
        lease: RunLease,
    ) -> None:
        """Start from the current state of a run in W&B.

        Raises:
            RunDeletedError: it does not exist and must not be created, or it should be new but is somebody else's.
            NotYetError: another program is writing it.
            WandbError: somebody moved it.
        """
        self.id = run_id
        self.url = api.page(run_id)
        self.answers: Mapping[str, Any]
        self._stored, self.answers = found
        self.answered_at = time.monotonic()
        stored = self._stored
        self._api, self._new, self._lease = api, None if stored else new, lease
        if stored is None and new is None:
            raise RunDeletedError("The run was deleted in W&B, which never reuses an id.")
        if stored and stored.place != (api.entity, api.project):
            raise moved(run_id, *stored.place)
        if stored and new and OF_JOB in new.config and (stored.known.foreign or stored.known.other_user):
            raise RunDeletedError("Somebody else's run has this id.")
        if stored and stored.known.foreign and new:
            raise NotYetError("W&B has a run for this job that its listing does not show yet.")
        self.resumed = stored is not None
        self.known: RunState | None = stored.known if stored else None
        self._count = stored.known.lines if stored else 0
        self._marks = (stored.marks or legacy_marks(stored.summary) if stored else None) or Marks()
        if self.known and (self._marks.position.end < 0 or self.known.foreign):
            self._marks = replace(self._marks, position=begun(self.known.last_step, self._count))
        self._silent = api.client.now() - stored.heartbeat if stored else 0.0
        self._check_quiet()
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._rows: tuple[str, Lines] | None = None
        self._sdk = ExitStack()
        self._session = self._ends = False

    def _check_quiet(self) -> None:
        """Raise NotYetError if another program has just written into the run."""
        stored = self._stored
        if stored is None or stored.known.state not in _GOING_ON or self._silent >= QUIET:
            return
        known = self._lease.exclusive or self._marks.writer == _WRITER
        if not (known and stored.heartbeat <= self._marks.at + _OWN_POST):
            raise NotYetError(
                f"Another program wrote into the run {duration(max(self._silent, 0))} ago.",
                f"The next sync continues when nobody has written into the run for {duration(QUIET)}.",
            )

    def close(self) -> None:
        """Close the SDK's session if it is open."""
        self._session = False
        self._sdk.close()

    # --- what the run has -----------------------------------------------------------------------------------------------

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's config, including people's changes in W&B."""
        stored = self._stored.config if self._stored else {}
        plain = {name: each.get("value") for name, each in stored.items() if isinstance(each, Mapping)}
        return {name: value for name, value in (plain | self._config).items() if name not in ("_wandb", KEY)}

    @property
    def last_step(self) -> int | None:
        """The step of the last row; None if there is none."""
        step = self._marks.position.last_step
        return step if step >= 0 else None

    @property
    def known_step(self) -> int:
        """The step up to which rows are not needed, because W&B has confirmed them; -1 if all are needed."""
        position = self._marks.position
        return position.last_step if confirmed(position, self._count) else -1

    @property
    def others(self) -> bool:
        """Whether other programs logged rows into the run. If so, ours are no longer written."""
        return self._marks.others

    # --- what is to be written ------------------------------------------------------------------------------------------

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set config values and keep the others."""
        self._config |= values

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Set summary values and keep the others."""
        self._summary |= values

    def remember(self, **values: Any) -> None:
        """Set marks; they are written by `send` and `confirm`."""
        self._marks = replace(self._marks, **values)

    def rows(self, source: str, rows: Iterable[MetricRow], *, began: float) -> None:
        """Add rows from a source, with or without those up to `known_step`. An empty source changes nothing."""
        lines = Lines(rows, began=began)
        if len(lines):
            self._rows = source, lines

    # --- writing --------------------------------------------------------------------------------------------------------

    def send(self, *, attach: bool, ends: bool = False) -> int:
        """Write marks and config, then the rows; return the number of new rows. With `attach`, leave a session of the SDK open.

        Args:
            attach: whether attachments follow.
            ends: whether the run's end follows, so no heartbeat is needed.

        Raises:
            NotYetError: W&B does not show earlier writes yet.
            UnusableRunError: rows were lost, so the run must be replaced.
            TakenError: the lease ends too soon.
        """
        self._ends = ends
        before = self._marks.position
        planned = self._plan()
        position = planned.position if planned else replace(before, start=before.end)
        self._mark(position=position)
        config = self._written()
        stored = self._stored
        if stored is None or attach or "_wandb" not in stored.config:
            if stored and not stored.openable:
                raise UnusableRunError("W&B serves a part of the run as null, so its SDK cannot open it.")
            if stored and not all(isinstance(each, Mapping) for each in stored.config.values()):
                write(self._api, [edit_run(stored, config)])  # the SDK could not open it
            if stored and "_wandb" not in stored.config:  # the SDK treats it as a new run and replaces its config
                config = {**self.config, **config}
            self.handle = self._sdk.enter_context(sdk_session(self._api, self.id, self._new, config))
            self._session = True
        else:
            write(self._api, [edit_run(stored, config)])
            self._stored = replace(stored, config={**stored.config, **{k: {"value": v} for k, v in config.items()}})
        new = planned.new if planned else 0
        if planned and position.end > position.start:
            self._post_rows(planned, before.end)
        elif not ends or (stored and stored.known.state not in _GOING_ON):
            self._post()
        self._count = position.end
        return new

    def _plan(self) -> Write | None:
        """Return the rows to write; None if there are none."""
        if self._rows is None or self._marks.others:
            return None
        source, lines = self._rows
        position, count = self._marks.position, self._count
        if count > position.end:
            shown = self._api.rows(self.id, position.last_step, len(lines) + 1)
            found = adopted(position, source, lines, shown)
            if found is None or found.end != count:
                self._marks = replace(self._marks, others=True)
                return None
            position = found
        if confirmed(position, count):
            return append(position, source, lines)
        if self.known and self.known.state in _ENDED and self._silent > CLOSED:
            return None
        try:
            return rewrite(position, source, lines, count, settled=self._silent > SETTLED)
        except NotConfirmedError:
            raise NotYetError(f"W&B shows {count:,} of {position.end:,} rows; the rest may appear later.") from None
        except LostRowsError:
            raise UnusableRunError(
                f"W&B shows {count:,} of the {position.end:,} rows that were written, and the others cannot be read again."
            ) from None

    def _mark(self, **values: Any) -> None:
        self._check_lease(0.0)
        self._marks = replace(self._marks, **values, at=self._api.client.now(), writer=_WRITER)

    def _written(self) -> dict[str, Any]:
        """Return the config values to write, including the marks."""
        values, self._config = self._config, {}
        return {**values, KEY: self._marks.text()}

    def _post_rows(self, planned: Write, end_before: int) -> None:
        assert self._rows  # noqa: S101 (there is no plan without rows)
        lines = self._rows[1]
        position = planned.position
        first, line = planned.first, position.start
        while first < len(lines):
            last = lines.cut(first, first + max(end_before - line, 0))
            self._post((b'"wandb-history.jsonl":{"offset":%d,"content":[' % line, lines.content(first, last), b"]}"))
            line += last - first
            first = last

    def _post(self, history: Sequence[bytes | memoryview] = (), end: bytes = b"") -> None:
        """Post rows, the summary where no session of the SDK sends it, and the run's end."""
        summary: tuple[bytes, ...] = ()
        if not self._session:
            text = json.dumps(json.dumps(self._whole_summary())).encode()
            summary = (b"," * bool(history), b'"wandb-summary.json":{"offset":0,"content":[', text, b"]}")
        body = b"".join(
            (b'{"files":{', *history, *summary, b"}", end, b"}")
        )  # rows may be megabytes, so there is only one copy
        self._api.stream(self.id, body, before=lambda: self._check_lease(ROWS_TIMEOUT))

    def _check_lease(self, needed: float) -> None:
        """Raise TakenError if the lease is lost, or does not last for the `needed` seconds."""
        if self._lease.left() <= needed:
            raise TakenError("its lease was lost, or ends too soon to write")

    def _whole_summary(self) -> dict[str, Any]:
        """Return the summary with all of our keys, and the other keys as they were read."""
        read = self._stored.summary if self._stored else {}
        latest: dict[str, Any] = dict(self._rows[1].latest) if self._rows and not self._marks.others else {}
        if self.last_step is not None:
            latest["_step"] = self.last_step
        return {**read, **latest, **self._summary, **shown_tables(self._marks.tables)}

    def alert(self, title: str, text: str) -> None:
        """Notify people according to their W&B settings."""
        self._check_lease(0.0)
        self._api.alert(self.id, title, text)

    def show_tables(self, versions: Mapping[str, str]) -> None:
        """Show the tables of these versions of datasets, by role, in the run's summary."""
        self._marks = replace(self._marks, tables=versions)

    def end_session(self, *questions: Question) -> Mapping[str, Any]:
        """Close the SDK's session, after which W&B has everything, and read the run again. Return the project with the answers
        to further questions; it is empty if no session was open.
        """
        self._check_lease(0.0)
        if not self._session:
            return {}
        if not self._ends:  # the post that ends the run contains the summary
            self.handle.summary.update({k: v for k, v in self._whole_summary().items() if not k.startswith("_")})
        self.close()
        self._stored, project = self._api.stored(self.id, *questions)
        if self._stored is None:
            raise WandbBusyError("W&B does not show the run that was just written; it may have been deleted meanwhile.")
        return project

    def write_marks(self, changes: Iterable[Change], *questions: Question) -> Mapping[str, Any]:
        """Make changes, then write the marks and the collected config, in one request. Return the run from the answer."""
        assert self._stored  # noqa: S101 (`send` has made it, and `end_session` has read it)
        self._mark()
        return write(self._api, [*changes, edit_run(self._stored, self._written(), *questions)])[-1]

    def end(self, exit_code: int) -> None:
        """End the run: 0 finished, else failed. Call it last."""
        self._post(end=b',"complete":true,"exitcode":%d' % exit_code)
