"""The finding of a check, and the report that collects the findings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from provisioning.errors import LockedError, MissingRightsError, ProvisioningError

_Subject = TypeVar("_Subject")
_Known = TypeVar("_Known")


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The result of one check. `remedy` is the next command or action; warnings and failures have one."""

    state: State
    seen: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A finding under the name of its check."""

    name: str
    state: State
    seen: str
    remedy: str = ""


class DependencyError(Exception):
    """A check needs something that an earlier check could not find. The message names it."""


def ok(seen: str) -> Finding:
    """The link works."""
    return Finding(State.OK, seen)


def warning(seen: str, remedy: str) -> Finding:
    """The link works, but needs attention."""
    return Finding(State.WARNING, seen, remedy)


def failed(seen: str, remedy: str) -> Finding:
    """The link is broken."""
    return Finding(State.FAILED, seen, remedy)


def skipped(reason: str, remedy: str = "") -> Finding:
    """The link was not checked."""
    return Finding(State.SKIPPED, f"because {reason}", remedy)


def known(value: _Known | None, what: str) -> _Known:
    """Return the value that an earlier check found.

    Raises:
        DependencyError: it found none, so the current check is skipped.
    """
    if value is None:
        raise DependencyError(f"{what} is not known")
    return value


@dataclass
class Report:
    """Runs checks in order and passes each result to `show` as soon as it is known."""

    show: Callable[[Check], None]
    checks: list[Check] = field(default_factory=list)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [each for each in self.checks if each.state is State.FAILED]

    def run(self, checks: Mapping[str, Callable[[_Subject], Finding]], subject: _Subject) -> None:
        """Run every check. An error becomes the finding of the check that raised it, and the others still run."""
        for name, check in checks.items():
            self._add(name, _finding(check, subject))

    def skip(self, names: Iterable[str], reason: str) -> None:
        """Report checks as skipped."""
        for name in names:
            self._add(name, skipped(reason))

    def _add(self, name: str, finding: Finding) -> None:
        check = Check(name, finding.state, finding.seen, finding.remedy)
        self.checks.append(check)
        self.show(check)


def _finding(check: Callable[[_Subject], Finding], subject: _Subject) -> Finding:
    try:
        return check(subject)
    except DependencyError as missing:
        return skipped(str(missing))
    except OptionalReadError as hidden:
        return skipped(f"you may not read it: {hidden.cause.message}", hidden.cause.hint)
    except ProvisioningError as error:
        return failed(error.message, error.hint)


class OptionalReadError(Exception):
    """The operator lacks the right to read what a check needs. That says nothing about the link itself."""

    def __init__(self, cause: MissingRightsError | LockedError) -> None:
        super().__init__(cause.message)
        self.cause = cause


def readable(read: Callable[[], _Known]) -> _Known:
    """The result of `read`.

    Raises:
        OptionalReadError: the operator may not read it, so the check is skipped.
    """
    try:
        return read()
    except (MissingRightsError, LockedError) as error:  # a ReadOnly lock also refuses reads by POST
        raise OptionalReadError(error) from error
