"""Runs the commands of claims.toml and writes docs/evidence.md: `python -m evidence report`, or `make evidence`.

Output goes to build/evidence/ID.log. Each figure is saved in docs/evidence.json as soon as its command has ended. The head of
the page, with what could not be proven, is written by hand.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
CLAIMS: dict[str, dict[str, str]] = tomllib.loads((ROOT / "evidence/claims.toml").read_text(encoding="utf-8"))
_KEPT = 60  # lines of a command whose claim does not hold
_MARK = "<!-- Written by `make evidence` from here on. -->\n"
_PAGES = ("docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")  # changes there do not change a figure

Record = Mapping[str, Any]
"""One run: command, holds, figure, date (UTC), seconds, commit, changed, machine, and the output if it does not hold."""


def load(root: Path) -> dict[str, Record]:
    """Return the records by the claims' ids."""
    path = root / "docs" / "evidence.json"
    found: dict[str, Record] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def run(name: str, claim: Mapping[str, str], root: Path) -> Record:
    """Run a claim's command, save its record, and return it."""
    log = root / "build" / "evidence" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    program, *arguments = shlex.split(claim["command"])
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(  # noqa: S603 - it is there to run commands
            [sys.executable if program == "python" else program, *arguments],
            cwd=root,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "MAKEFLAGS": "", "MAKELEVEL": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            check=False,
        )
        output.write(done.stdout)
    last = [line.rstrip() for line in done.stdout.splitlines() if line.strip(" =")][-_KEPT:]
    figure = last[-1].strip(" =") if last else ""
    holds = done.returncode == 0 and bool(figure) and claim.get("shows", "") in figure
    record = {
        "command": claim["command"],
        "holds": holds,
        "figure": figure,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "commit": _git(root, "rev-parse", "--short=10", "HEAD"),
        "changed": bool(_git(root, "status", "--porcelain", "--", ".", *(f":!{page}" for page in _PAGES))),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "output": [] if holds else last,
    }
    records = {**load(root), name: record}
    kept = {each: records[each] for each in CLAIMS if each in records}
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    (root / "docs" / "evidence.json").write_text(text, encoding="utf-8")
    return record


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
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
    for name, claim in CLAIMS.items():
        cells = [claim["says"], "not run", "", f"`{claim['command']}`", ""]
        if record := records.get(name):
            cells[1:3] = ["holds" if record["holds"] else "**does not hold**", record["figure"]]
            cells[4] = _how(claim["command"], record)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    missed = {name: record["output"] for name, record in records.items() if not record["holds"]}
    if missed:
        yield "\n## Missed\n\nThe last lines of each command."
    for name, output in missed.items():
        yield from (f"\n**{name}**\n", "```text", *output, "```")


def _how(command: str, record: Record) -> str:
    before = "" if record["command"] == command else f"as `{record['command']}`; "
    changed = " with changes" if record["changed"] else ""
    minutes = f"{record['seconds'] / 60:.1f} min"
    return f"{before}{record['date'][:10]}, `{record['commit']}`{changed}; {minutes}; {record['machine']}"


def selected(only: Sequence[str]) -> list[str]:
    """Return the claims with these ids, or whose ids begin with these words; all where none is named.

    Raises:
        click.UsageError: there is no such claim.
    """
    for name in only:
        if not any(claim == name or claim.startswith(f"{name}-") for claim in CLAIMS):
            raise click.UsageError(f"no claim {name}. There are: {', '.join(CLAIMS)}")
    return [claim for claim in CLAIMS if not only or any(claim == n or claim.startswith(f"{n}-") for n in only)]


@click.command
@click.option("--only", multiple=True, metavar="ID", help="Only this claim, or those that begin so (repeatable).")
@click.option("--list", "listed", is_flag=True, help="Show the claims and their commands, and run nothing.")
@click.option("--render", "rendered", is_flag=True, help="Write the page from the saved figures, and run nothing.")
def report(only: tuple[str, ...], *, listed: bool, rendered: bool) -> None:
    """Run the command of every claim and write docs/evidence.md. Each figure is saved at once.

    Exit status: 0 every claim that was run holds, 1 one does not.
    """
    if listed:
        click.echo("\n".join(f"{name:20} {CLAIMS[name]['command']}" for name in selected(only)))
        return
    good = True
    for name in () if rendered else selected(only):
        record = run(name, CLAIMS[name], ROOT)
        good = good and record["holds"]
        click.echo(f"{name}: {'holds' if record['holds'] else 'does not hold'}: {record['figure']}")
    (ROOT / "docs" / "evidence.md").write_text(render(ROOT), encoding="utf-8")
    sys.exit(int(not good))
