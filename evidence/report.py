"""Runs what this project claims and writes docs/evidence.md: `python -m evidence report`, or `make evidence`.

A claim holds when its command ends with exit status 0; the last line on stdout is its figure. Output goes to
build/evidence/ID.log. Each figure is saved in docs/evidence.json as soon as its command has ended. The head of the page, with
what nobody could prove, is written by hand.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
_KEPT = 60  # lines of a command whose claim does not hold
_MARK = "<!-- Written by `make evidence` from here on. -->\n"
_PAGES = ("docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")
_OF_A_PARENT_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""With these, make prints which folder it leaves, and that would be the last line."""


@dataclass(frozen=True)
class Claim:
    """A claim and its command. `shows` must be in the figure: a run of skipped tests ends with 0 and shows nothing."""

    id: str
    says: str
    command: str
    shows: str = ""


_COMMANDS = {
    "setup": "`setup`, from every state of a vault",
    "rotate-key": "`rotate-key`",
    "teardown": "`teardown`, from every state of a vault",
    "sync": "A sync, of every kind of job",
}
_KILLED = "killed (SIGKILL) before and after every HTTP request that it makes and run again, ends as if undisturbed."
_FAILING = (
    "with every operation failing in every way, ends right, or reports clearly why not and heals on the next run."
)
CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(f"crash-{name}", f"{what}, {_KILLED}", f"python -m evidence crash --command {name}")
        for name, what in _COMMANDS.items()
    ),
    *(
        Claim(f"faults-{name}", f"{what}, {_FAILING}", f"python -m evidence faults --command {name} --jobs 6")
        for name, what in _COMMANDS.items()
    ),
    Claim(
        "machines",
        "Whatever happens between runs and between requests, W&B shows what Azure shows, each step once; after `setup` "
        "nothing is left to plan, and nobody has lost access.",
        "python -m pytest tests/machines --hypothesis-profile deep -n 6 --show-capture=no",
        "passed",
    ),
    Claim(
        "secrets",
        "The W&B key and Azure's tokens are in no output, log, file, argument, environment of a child, or request but "
        "those that carry them, in any command, also when it fails.",
        "python -m evidence canary",
    ),
    Claim(
        "contracts",
        "The sandbox answers only what the official descriptions and recordings have, and no request makes it answer 500.",
        "python -m pytest tests/contracts -q",
        "passed",
    ),
    Claim(
        "mutation",
        "Of the mistakes put into the code that plans, decides and reads, the tests notice at least 90 %; the others are "
        "explained.",
        "make mutation",
    ),
    Claim(
        "speed",
        "50 finished jobs at least 12 times as fast as WandbLogger.sync, with at most 30 W&B requests each; a tick with "
        "nothing to do at least 20 times as fast; less memory.",
        "python -m benchmarks.speed",
    ),
    Claim(
        "incumbent",
        "What a sync leaves in W&B matches the job, in every scenario that WandbLogger.sync is compared in.",
        "python -m benchmarks.incumbent",
    ),
    Claim("memory", "A sync's process takes less than 200 MiB, whatever it mirrors.", "python -m benchmarks.memory"),
    Claim(
        "scale",
        "A tick over 10,000 settled jobs in 100 accounts requests nothing per job, and 200 pending ones all arrive, once "
        "each.",
        "python -m benchmarks.scale",
    ),
    Claim("package", "The deployed package is imported cold in less than 2 s.", "python -m benchmarks.package"),
    Claim(
        "requests",
        "`setup` that finds everything in place makes at most 12 requests, signing in included, and writes nothing.",
        "python -m pytest tests/provisioning/cli/test_request_counts.py -q",
        "passed",
    ),
    Claim(
        "azcli",
        "The real Azure CLI, signed in as a person, an application and a managed identity, sees what `setup` reports.",
        "make test-azcli",
        "passed",
    ),
    Claim(
        "suite",
        "The whole suite passes; every exchange in it is checked against the official API descriptions.",
        "make test-all",
        "passed",
    ),
)

Record = Mapping[str, Any]
"""One run: command, holds, figure, date (UTC), seconds, commit, changed, machine, and where it does not hold the output."""


def load(root: Path) -> dict[str, Record]:
    """Return the records by the claims' ids."""
    path = root / "docs" / "evidence.json"
    found: dict[str, Record] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def run(claim: Claim, root: Path) -> Record:
    """Run a claim's command, save its record, and return it."""
    log = root / "build" / "evidence" / f"{claim.id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    program, *arguments = shlex.split(claim.command)
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_PARENT_MAKE}
    began, lines = time.monotonic(), []
    with (
        log.open("w", encoding="utf-8", buffering=1) as output,
        subprocess.Popen(  # noqa: S603 - it is there to run commands
            [sys.executable if program == "python" else program, *arguments],
            cwd=root,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as running,
    ):
        for line in running.stdout or ():
            output.write(line)
            lines.append(line.rstrip())
    last = [line for line in lines if line.strip(" =")][-_KEPT:]
    figure = last[-1].strip(" =") if last else ""
    holds = running.returncode == 0 and bool(figure) and claim.shows in figure
    record = {
        "command": claim.command,
        "holds": holds,
        "figure": figure,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "commit": _git(root, "rev-parse", "--short=10", "HEAD"),
        "changed": bool(_git(root, "status", "--porcelain", "--", ".", *(f":!{name}" for name in _PAGES))),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "output": [] if holds else last,
    }
    records = {**load(root), claim.id: record}
    path = root / "docs" / "evidence.json"
    kept = {each.id: records[each.id] for each in CLAIMS if each.id in records}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def render(root: Path) -> str:
    """Return the page: its head as it is, then what the records show."""
    head = (root / "docs" / "evidence.md").read_text(encoding="utf-8").partition(_MARK)[0]
    return head + _MARK + "\n".join(_body(load(root))) + "\n"


def _body(records: Mapping[str, Record]) -> Iterator[str]:
    held = sum(bool(record["holds"]) for record in records.values())
    yield f"\nOf {len(CLAIMS)} claims {held} hold, {len(records) - held} do not, {len(CLAIMS) - len(records)} were not run.\n"
    yield "| claim | | figure | command | run |"
    yield "|---|---|---|---|---|"
    for claim in CLAIMS:
        record = records.get(claim.id)
        state = "not run" if record is None else "holds" if record["holds"] else "**does not hold**"
        cells = (claim.says, state, record["figure"] if record else "", f"`{claim.command}`", _how(claim, record))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    missed = {name: record["output"] for name, record in records.items() if not record["holds"]}
    if missed:
        yield "\n## Missed\n\nThe last lines of each command."
    for name, output in missed.items():
        yield from (f"\n**{name}**\n", "```text", *output, "```")


def _how(claim: Claim, record: Record | None) -> str:
    if record is None:
        return ""
    command = "" if record["command"] == claim.command else f"as `{record['command']}`; "
    changed = " with changes" if record["changed"] else ""
    minutes = f"{record['seconds'] / 60:.1f} min"
    return f"{command}{record['date'][:10]}, `{record['commit']}`{changed}; {minutes}; {record['machine']}"


def selected(only: Sequence[str]) -> list[Claim]:
    """Return the claims with these ids, or whose ids begin with these words; all where none is named.

    Raises:
        click.UsageError: there is no such claim.
    """

    def names(claim: Claim, name: str) -> bool:
        return claim.id == name or claim.id.startswith(f"{name}-")

    for name in only:
        if not any(names(claim, name) for claim in CLAIMS):
            raise click.UsageError(f"no claim {name}. There are: {', '.join(claim.id for claim in CLAIMS)}")
    return [claim for claim in CLAIMS if not only or any(names(claim, name) for name in only)]


@click.command
@click.option("--only", multiple=True, metavar="ID", help="Only this claim, or those that begin so (repeatable).")
@click.option("--list", "listed", is_flag=True, help="Show the claims and their commands, and run nothing.")
@click.option("--render", "rendered", is_flag=True, help="Write the page from the saved figures, and run nothing.")
def report(only: tuple[str, ...], *, listed: bool, rendered: bool) -> None:
    """Run the command of every claim and write docs/evidence.md. Each figure is saved at once.

    Exit status: 0 every claim that was run holds, 1 one does not.
    """
    if listed:
        click.echo("\n".join(f"{claim.id:20} {claim.command}" for claim in selected(only)))
        return
    page, good = ROOT / "docs" / "evidence.md", True
    for claim in () if rendered else selected(only):
        record = run(claim, ROOT)
        good = good and record["holds"]
        click.echo(f"{claim.id:20} {'holds' if record['holds'] else 'DOES NOT HOLD'}  {record['figure']}")
        page.write_text(render(ROOT), encoding="utf-8")
    page.write_text(render(ROOT), encoding="utf-8")
    sys.exit(int(not good))
