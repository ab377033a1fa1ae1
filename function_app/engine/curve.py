"""The curve of a job: its rows from the results file, or from `metrics` events while the file cannot be read."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from function_app.data.jobs.description import best_of
from function_app.data.jobs.results import ResultsError, parse_results, rows_from_events, with_event_times, with_events
from function_app.engine.accounts import JobSource
from function_app.errors import NotThereError
from function_app.models import Event, Job, MetricRow
from function_app.tracking import Session

FILE, EVENTS, MIXED = "file", "events", "mixed"
"""The sources of a run's rows."""


@dataclass(frozen=True)
class CurveReader:
    """Reads the rows of one job and gives them to its run.

    Attributes:
        final: whether the job is settled, so its results file is complete.
        actions: records what people should know about the results file.
    """

    account: JobSource
    job: Job
    run: Session
    events: Sequence[Event]
    final: bool
    actions: list[str]

    def read(self, file_id: str | None) -> tuple[str | None, Mapping[str, Any]]:
        """Collect the job's rows; return their source and the best values."""
        state = self.run.known
        known, best = (state.source, state.best) if state else (None, {})
        if file_id:
            try:
                rows, missed, of_file = self._from_file(file_id)
                if rows:
                    return (MIXED if known == MIXED or (known == EVENTS and missed) else FILE), of_file
                if not self.final:
                    return known, best
            except NotThereError:
                self.actions.append("no results file: it was deleted")
            except ResultsError as error:
                self.actions.append(f"results file not readable: {error}")
        rows_of_events = list(rows_from_events(self.events))
        if rows_of_events:
            self.run.rows(EVENTS, rows_of_events, began=self._began)
            return MIXED if known in (FILE, MIXED) else EVENTS, best_of(rows_of_events, dict(best))
        return known, best

    @property
    def _began(self) -> float:
        """When the job was created; if the service does not say, later than any row, so that its run time is 0."""
        return self.job.created_at or math.inf

    def _from_file(self, file_id: str) -> tuple[int, bool, dict[str, Any]]:
        """Collect the file's rows. Return their number, whether the run lacks some of their steps although it has later
        ones, and the best values.
        """
        reported = {row.step for row in rows_from_events(self.events)}
        last = -1 if self.run.last_step is None else self.run.last_step
        missed = False
        read = 0
        best: dict[str, Any] = {}

        def watched(rows: Iterable[MetricRow]) -> Iterator[MetricRow]:
            nonlocal missed, read
            for row in rows:
                read += 1
                missed |= row.step <= last and row.step not in reported
                best_of([row], best)
                yield row

        ended = None if last >= 0 else self.job.finished_at  # the times of the existing rows differ
        span = (self.job.created_at, ended) if ended and self.job.created_at else None
        with self.account.content(file_id) as chunks:
            read_rows = parse_results(chunks, complete=self.final)
            rows = watched(with_events(read_rows, self.events, complete=self.final))
            dated = with_event_times(rows, self.events, now=self.account.now(), span=span)
            self.run.rows(FILE, dated, began=self._began)
        return read, missed, best
