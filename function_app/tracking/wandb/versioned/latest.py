"""The alias `latest` of a collection of models: on the newest job's model, no matter which model was logged last.

The process remembers up to which number it has read each collection, and which version is the newest job's, so that every
further job reads only what was added since: a collection may have thousands of versions.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from function_app.data.fields import moment, number, text
from function_app.data.jobs.description import iso
from function_app.tracking.wandb.api import Question, WandbApi
from function_app.tracking.wandb.changes import Change, write
from function_app.tracking.wandb.client import WandbClient
from function_app.tracking.wandb.versioned.versions import (
    LATEST,
    LISTING,
    Page,
    Version,
    listing,
    move_alias,
    named,
    named_in,
    page_in,
    pages,
)

_PREFIX = "l"  # prefix of the queries
_CHECKS = 8  # attempts to move `latest` while others write versions
_WRONG = (
    "W&B does not show `latest` of {} on the newest job's model, although it was moved there several times. The next job of this"
    " collection moves it."
)
_NEW = 20  # new versions in a query, in addition to those that are read again, once the collection has been read
_OVERLAP = 20
"""The least number of versions that are read again each time: if W&B numbers a version before it is committed (UNVERIFIED),
versions do not appear in the order of their numbers. Each other job that this process was mirroring into the collection at the
last reading adds `_OF_A_JOB`: what a backfill has in flight, up to 64 jobs, is read again by one query."""
_OF_A_JOB = 4  # models: the service keeps three checkpoints, and the final model may be another
_PATIENCE = 60.0  # seconds to wait for another thread that reads a whole collection


@dataclass(frozen=True)
class _Known:
    """The results of previous reads of a collection.

    Attributes:
        collection: its id, which changes if somebody deletes the collection and makes it again.
        last: the number of its last version.
        newest: the number of the newest job's model; -1 if it has none.
        age: that model's age, see `age`.
        overlap: how many of the versions up to `last` to read again.
    """

    collection: str
    last: int
    newest: int
    age: tuple[str, float]
    overlap: int


_known: WeakKeyDictionary[WandbClient, dict[tuple[str, str, str], _Known]] = WeakKeyDictionary()
"""By engine, which has one client, and by collection: entity, project, name."""

_writing: WeakKeyDictionary[WandbClient, WeakSet["Latest"]] = WeakKeyDictionary()
"""By engine, those of the jobs that are being mirrored."""

_noting = threading.Lock()
"""Protects `_known` and `_writing`."""

_reading = threading.Lock()
"""Held while a whole collection is read, so that the jobs of a backfill do not all read it."""


class Latest:
    """The alias `latest` of a collection, in a project or in a registry.

    Attributes:
        place: the project and the collection.
    """

    def __init__(self, api: WandbApi, kind: str, collection: str) -> None:
        self._api, self._kind, self._collection = api, kind, collection
        self.place = api.project, collection
        self._asked: _Known | None = None
        self._newest: Version | None = None
        self._holder: Version | None = None
        with _noting:
            _writing.setdefault(api.client, WeakSet()).add(self)

    def questions(self) -> list[Question]:
        """Return the questions for `read`."""
        with _noting:
            self._asked = _known.get(self._api.client, {}).get(self._where)
        shown = (self._asked.overlap + _NEW,) if self._asked else ()
        return [named(self._names, _PREFIX), listing(self._kind, self._collection, *shown)]

    def read(self, project: Mapping[str, Any]) -> None:
        """Read the answers to the last `questions`. If they do not suffice, query further pages."""
        if not self._read(project, further=False):
            with _one_at_a_time():  # the next job only needs the versions added since
                self._read(self._api.ask(LISTING, *self.questions()), further=True)

    def look(self) -> None:
        """Ask and read in one step."""
        self.read(self._api.ask(LISTING, *self.questions()))

    def moves(self, own: Iterable[Version]) -> list[Change]:
        """Return the change that moves `latest` to the newest job's model, given the models of the current job; empty if it is
        right.
        """
        newest = _newest_of([*own, *([self._newest] if self._newest else [])])
        if newest is None or (self._holder and self._holder.id == newest.id):
            return []
        return [move_alias(self._api, self._collection, LATEST, newest.id)]

    def settle(self, own: Iterable[Version]) -> list[str]:
        """Move `latest`, and check again, because another writer may have added a version in the meantime. Return a warning
        if `latest` is still wrong after some attempts.
        """
        own = [*own]
        for _ in range(_CHECKS):
            moved = self.moves(own)
            if not moved:
                return []
            write(self._api, moved)
            self.look()
        return [_WRONG.format(self._collection)] if self.moves(own) else []

    @property
    def _where(self) -> tuple[str, str, str]:
        return self._api.entity, self._api.project, self._collection

    @property
    def _names(self) -> list[str]:
        """The names of the versions to ask for: the one with `latest`, and the newest known model."""
        known = [f"v{self._asked.newest}"] if self._asked and self._asked.newest >= 0 else []
        return [f"{self._collection}:{each}" for each in (LATEST, *known)]

    def _read(self, project: Mapping[str, Any], *, further: bool) -> bool:
        """Read answers, with `further` also the pages that follow. Return whether that was enough."""
        found = named_in(self._api, project, self._names, _PREFIX)
        first = page_in(self._api, project, self._collection)
        known, newest = self._asked, found.get(self._names[-1])
        read: list[Version] = []
        until = -1
        if known and _holds(known, first, newest):
            until = known.last - known.overlap
            read += [replace(newest, number=known.newest)] if newest and known.newest >= 0 else []
        for page in pages(self._api, self._kind, self._collection, first):
            read += page.versions
            if page.descends and page.versions[-1].number <= until:
                break
            if page.cursor and not further:
                return False
        self._newest = _newest_of(read)
        self._holder = found.get(self._names[0])
        self._note(first.collection, max((version.number for version in read), default=-1))
        return True

    def _note(self, collection: str, last: int) -> None:
        newest = self._newest
        if last < 0 or (newest and newest.number < 0):
            return
        with _noting:
            others = sum(each.place == self.place for each in _writing[self._api.client]) - 1
            overlap = _OVERLAP + others * _OF_A_JOB
            model = (newest.number, age(newest)) if newest else (-1, ("", 0.0))
            new = _Known(collection, last, *model, overlap)
            by_place = _known.setdefault(self._api.client, {})
            current = by_place.get(self._where)
            # another thread may have read more in the meantime
            if current in (None, self._asked) or current.collection != collection or current.last <= last:
                by_place[self._where] = new


def _holds(known: _Known, first: Page, newest: Version | None) -> bool:
    """Return whether what was known about a collection still holds, given its first page and the newest known model.

    It does not after versions were deleted, or people have changed the model or its run.
    """
    if first.collection != known.collection or not first.versions or first.versions[0].number < known.last:
        return False
    return known.newest < 0 or (newest is not None and is_of_a_job(newest) and age(newest) == known.age)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    taken = _reading.acquire(timeout=_PATIENCE)
    try:
        yield
    finally:
        if taken:
            _reading.release()


def _newest_of(versions: Iterable[Version]) -> Version | None:
    """Return the newest job's model; None if no version is a job's."""
    return max((each for each in versions if is_of_a_job(each) and _job_created_at(each)), key=age, default=None)


def is_of_a_job(version: Version) -> bool:
    """Return whether a version was made by a run of the job that it names. WandbLogger's metadata is the job itself."""
    job = version.metadata.get("job")
    job_id = text((job if isinstance(job, Mapping) else {}).get("job_id")) or text(version.metadata.get("id"))
    return job_id is not None and version.made_by(job_id)


def age(version: Version) -> tuple[str, float]:
    """Sort key of versions: their job's creation, then their step; a final model without a step comes last."""
    step = number(version.metadata.get("step"))
    return _job_created_at(version), float("inf") if step is None else float(step)


def _job_created_at(version: Version) -> str:
    """Return the time in ISO 8601. Versions from WandbLogger in the same collection have epoch seconds under another name."""
    theirs = moment(version.metadata.get("created_at"))
    return text(version.metadata.get("job_created_at")) or ("" if theirs is None else iso(theirs))
