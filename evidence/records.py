"""What became of claims, kept in docs/evidence.json: one record a claim, saved as soon as its command has ended."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_PAGES = ("docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")


@dataclass(frozen=True)
class Record:
    """One run of a claim's command.

    Attributes:
        command: what was run; when the claim's is another one by now, this is no evidence for it.
        holds: whether it showed what was claimed.
        figure: the last line that it printed.
        date: when it had ended, ISO 8601, UTC.
        seconds: how long it took.
        commit: of the code that ran; empty where there is no git.
        changed: whether the code had changes besides that no commit has.
        machine: cores and Python.
        said: where it did not hold, the last lines that it printed, with the reason or a profile among them.
    """

    command: str
    holds: bool
    figure: str
    date: str
    seconds: float
    commit: str
    changed: bool
    machine: str
    said: Sequence[str] = ()


Records = Mapping[str, Record]
"""By the claim's id."""


@dataclass(frozen=True)
class Store:
    """The file that keeps them."""

    path: Path

    def load(self) -> Records:
        """All of them; none where there is no file yet."""
        if not self.path.exists():
            return {}
        return {name: Record(**said) for name, said in json.loads(self.path.read_text(encoding="utf-8")).items()}

    def save(self, claim: str, record: Record, order: Sequence[str]) -> Records:
        """Keep one, beside all that others have saved by now; those of claims that are no more (not in `order`) go.

        The file is replaced at once, so that a kill leaves the old one or the new one.
        """
        records = {**self.load(), claim: record}
        kept = {name: records[name] for name in order if name in records}
        said = json.dumps({name: asdict(each) for name, each in kept.items()}, indent=2, ensure_ascii=False)
        new = self.path.with_suffix(f".{os.getpid()}")
        new.write_text(said + "\n", encoding="utf-8")
        new.replace(self.path)
        return kept


@dataclass(frozen=True)
class Repository:
    """What git says of a folder; where it is none of git's, nothing."""

    root: Path

    @property
    def commit(self) -> str:
        """The short id of the commit that is checked out."""
        return self._git("rev-parse", "--short=10", "HEAD") or ""

    @property
    def changed(self) -> bool:
        """Whether files other than pages differ from that commit."""
        return bool(self._git("status", "--porcelain", "--", ".", *(f":!{name}" for name in _PAGES)))

    def commits_since(self, commit: str, folders: Sequence[str]) -> int | None:
        """How many commits to these folders came after one; None when this history does not have it."""
        if not commit:
            return None
        counted = self._git("rev-list", "--count", f"{commit}..HEAD", "--", *folders)
        return int(counted) if counted else None

    def _git(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - arguments are ours
                ["git", *arguments],  # noqa: S607 - the git that people use
                cwd=self.root,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True)
class Circumstances:
    """When, where and of what code something is run."""

    commit: str
    changed: bool
    machine: str

    @classmethod
    def here(cls, repository: Repository) -> Self:
        """Of this process."""
        cores = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
        return cls(repository.commit, repository.changed, cores)

    def record(self, command: str, said: Sequence[str], seconds: float, *, holds: bool) -> Record:
        """Of a run that has ended just now and printed this; `said` ends with its figure, if it said anything."""
        now, figure = datetime.now(UTC).isoformat(timespec="seconds"), said[-1].strip(" =") if said else ""
        kept = () if holds else tuple(said)
        return Record(command, holds, figure, now, round(seconds, 1), self.commit, self.changed, self.machine, kept)
