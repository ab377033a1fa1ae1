"""Runs what this project claims and writes docs/evidence.md: `python -m evidence.report`, or `make evidence`.

Claims run one after the other. What a command says goes to build/evidence/ID.log while it runs; its last line on stdout is
its figure, and is saved as soon as it has ended.
"""

import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from .claims import CLAIMS, Claim
from .page import Since, page, sights, took
from .records import Circumstances, Record, Repository, Store
from .unproven import UNPROVEN

ROOT = Path(__file__).parent.parent
_INTERRUPTED = 130
_KEPT = 60  # lines of a command whose claim does not hold
_OF_A_PARENT_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""With these a make says which folder it leaves, and that would be its last line."""


@dataclass(frozen=True)
class Place:
    """Where commands run and what they come to is kept: a copy of the repository."""

    root: Path

    @property
    def store(self) -> Store:
        """The figures."""
        return Store(self.root / "docs" / "evidence.json")

    @property
    def page(self) -> Path:
        """What people read."""
        return self.root / "docs" / "evidence.md"

    def log(self, claim: Claim) -> Path:
        """All that a claim's command said when it ran last."""
        return self.root / "build" / "evidence" / f"{claim.id}.log"

    @property
    def since(self) -> Since:
        """How old a record is."""
        repository = Repository(self.root)
        return lambda claim, record: repository.commits_since(record.commit, claim.of)


def examine(claim: Claim, place: Place, circumstances: Circumstances) -> Record:
    """Run a claim's command to its end."""
    log = place.log(claim)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"$ {claim.command}\n", encoding="utf-8")
    began, last = time.monotonic(), deque[str](maxlen=_KEPT)
    with (
        log.open("a", encoding="utf-8", buffering=1) as said,  # both streams append, each where the other has ended
        subprocess.Popen(  # noqa: S603 - to run commands is what this is for
            _argv(claim.command),
            cwd=place.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as running,
    ):
        for line in running.stdout or ():
            said.write(line)
            last.append(line.rstrip())
    while last and not last[-1].strip(" ="):
        last.pop()
    holds = running.returncode == 0 and bool(last) and claim.shows in last[-1]
    return circumstances.record(claim.command, list(last), time.monotonic() - began, holds=holds)


def run(claims: Sequence[Claim], chosen: Sequence[Claim], place: Place, tell: Callable[[str], None]) -> bool:
    """Run the chosen ones of all claims, save each and write the page; says whether they all hold."""
    circumstances = Circumstances.here(Repository(place.root))
    good = 0
    for claim in chosen:
        record = examine(claim, place, circumstances)
        place.store.save(claim.id, record, [each.id for each in claims])
        render(claims, place)
        good += record.holds
        words = "holds" if record.holds else f"DOES NOT HOLD: see {place.log(claim).relative_to(place.root)}"
        tell(f"{claim.id:20} {words} ({took(record.seconds)})  {record.figure}")
    tell(f"{good} of {len(chosen)} claims hold")
    return good == len(chosen)


def render(claims: Sequence[Claim], place: Place) -> None:
    """Write the page of what is saved."""
    place.page.write_text(page(UNPROVEN, sights(claims, place.store.load(), place.since)), encoding="utf-8")


def selected(only: Sequence[str]) -> list[Claim]:
    """The claims of these ids, or whose ids begin with these words; all when none is named.

    Raises:
        click.UsageError: there is no such claim.
    """
    for name in only:
        if not any(_is(claim, name) for claim in CLAIMS):
            raise click.UsageError(f"no claim {name}. There are: {', '.join(claim.id for claim in CLAIMS)}")
    return [claim for claim in CLAIMS if not only or any(_is(claim, name) for name in only)]


def _is(claim: Claim, name: str) -> bool:
    return claim.id == name or claim.id.startswith(f"{name}-")


def _argv(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    return [sys.executable if program == "python" else program, *arguments]


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_A_PARENT_MAKE}
    return inherited | {"PYTHONUNBUFFERED": "1"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="ID", help="Only this claim, or those that begin so (repeatable).")
@click.option("--list", "listed", is_flag=True, help="Show the claims and their commands, and run nothing.")
@click.option("--render", "rendered", is_flag=True, help="Write docs/evidence.md of what is saved, and run nothing.")
def main(only: tuple[str, ...], *, listed: bool, rendered: bool) -> None:
    """Run every claim's command and write docs/evidence.md.

    Each figure is saved as soon as it is there. Exit status: 0 all that were run hold, 1 some does not, 130 interrupted.
    """
    chosen, place = selected(only), Place(ROOT)
    if listed:
        for claim in chosen:
            click.echo(f"{claim.id:20} {claim.command}")
        return
    if rendered:
        render(CLAIMS, place)
        return
    try:
        good = run(CLAIMS, chosen, place, click.echo)
    except KeyboardInterrupt:
        click.echo("Interrupted. What has ended is saved.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(int(not good))


if __name__ == "__main__":
    main()
