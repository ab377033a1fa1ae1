"""`python -m benchmarks.incumbent`: wandb's own WandbLogger.sync and this project's sync() on the same scenarios.

Each row gives both tools a fresh sandbox with the same jobs, calls them with the same arguments, and checks
afterwards whether W&B shows what the jobs are. Exit status 1 when ours is wrong in any row.

WandbLogger needs pandas and numpy, which the project does not: it runs in `.venv-benchmarks`, created on first use
(--python for another).
"""

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

from .checks import SyncedWorld
from .measure import ROOT
from .rows import KEY, ROWS, Row

INCUMBENT, OURS = "wandblogger", "ours"
_NAMES = {INCUMBENT: "WandbLogger.sync", OURS: "function_app.sync"}
_WIDTHS = (36, 46, 46)
_WORDS = 120  # characters of an error


@dataclass(frozen=True)
class Verdict:
    """The result of one tool in one row; it is right if `wrong` is empty."""

    wrong: tuple[str, ...]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print. The exit status is 0 if ours is right in every row, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incumbent", description=__doc__)
    parser.add_argument("--row", action="append", metavar="WORDS", help="only rows with these words in the name")
    parser.add_argument("--ours-only", action="store_true", help="leave WandbLogger out")
    parser.add_argument("--python", metavar="PATH", help="an interpreter that has wandb, openai, pandas and numpy")
    parser.add_argument("--limit", type=float, default=60.0, metavar="SECONDS", help="how long a tool may take (60)")
    given = parser.parse_args(arguments)
    rows = [row for row in ROWS if not given.row or any(word.lower() in row.name.lower() for word in given.row)]
    if not rows:
        sys.exit("No row has these words in its name.")
    pythons = pythons_of(given.python, ours_only=given.ours_only)
    verdicts: dict[str, list[Verdict]] = {tool: [] for tool in pythons}
    _print_cells(["ROW", *(_NAMES[tool] for tool in pythons)])
    with Cloud(Scenario.load("contoso")) as cloud:
        for row in rows:
            cells = [row.name + (" *" if row.assumes else "")]
            for tool, python in pythons.items():
                verdicts[tool].append(judge(cloud, row, tool, python, given.limit))
                wrong = verdicts[tool][-1].wrong
                cells.append(f"WRONG  {'; '.join(wrong)}" if wrong else "right")
            _print_cells(cells)
    _sum_up(rows, verdicts)
    return int(any(each.wrong for each in verdicts[OURS]))


def pythons_of(python: str | None, *, ours_only: bool) -> dict[str, str]:
    """Return the interpreter of each tool, as an absolute path: the tools run in other folders. `python` is the one, by name or
    path, that has WandbLogger and its dependencies.
    """
    ours = {OURS: sys.executable}
    if ours_only:
        return ours
    found = shutil.which(python or environment())
    if found is None:
        sys.exit(f"--python {python}: there is no such program.")
    return {INCUMBENT: str(Path(found).absolute()), **ours}


def judge(cloud: Cloud, row: Row, tool: str, python: str, limit: float) -> Verdict:
    """Run a tool on a row in a fresh world, and check what W&B shows.

    Args:
        cloud: the sandbox.
        row: what to do.
        tool: INCUMBENT or OURS.
        python: an interpreter that has it.
        limit: real seconds after which a tool that still waits is ended.
    """
    cloud.load(Scenario.parse(row.scenario))
    environment = cloud.environment(None) | {"WANDB_API_KEY": KEY, "WANDB_SILENT": "true"} | row.environment
    begun = time.monotonic()
    wrong = []
    try:
        done = subprocess.run(
            [python, str(ROOT / "benchmarks" / "caller.py"), tool, json.dumps(row.plan)],
            env=environment | ({"PYTHONPATH": str(ROOT)} if tool == OURS else {}),
            cwd=cloud.directory,
            stdin=subprocess.DEVNULL,
            check=False,  # the failure is the result
            capture_output=True,
            text=True,
            timeout=limit,
        )
        if done.returncode:
            wrong.append(f"ended with {_last_line(done.stderr)}")
    except subprocess.TimeoutExpired:
        wrong.append(f"still waiting after {limit:g} s")
    seconds = time.monotonic() - begun
    return Verdict((*wrong, *row.wrong(SyncedWorld(cloud.world))), seconds)


def environment() -> Path:
    """Return an environment with WandbLogger and its dependencies. Create it if it is missing or has other versions."""
    folder = ROOT / ".venv-benchmarks"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    versions, made_with = (ROOT / "constraints.txt").read_text(), folder / "constraints.txt"
    if not made_with.exists() or made_with.read_text() != versions:
        print(f"Installing wandb, openai, pandas and numpy into {folder.name}/, half a minute or two.", file=sys.stderr)
        venv.create(folder, with_pip=True)
        extra = ["-c", "constraints.txt", "-e", ".[benchmarks]"]
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *extra], cwd=ROOT, check=False).returncode:
            sys.exit(
                "They could not be installed. Name an interpreter that has them with --python, or use --ours-only."
            )
        made_with.write_text(versions)
    return python


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "wandb:"))]
    return (lines or ["no word"])[-1][:_WORDS]


def _print_cells(cells: Sequence[str]) -> None:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=False)]
    for number in range(max(map(len, columns))):
        lines = [column[number] if number < len(column) else "" for column in columns]
        print("  ".join(line.ljust(width) for line, width in zip(lines, _WIDTHS, strict=False)).rstrip(), flush=True)


def _sum_up(rows: Sequence[Row], verdicts: Mapping[str, Sequence[Verdict]]) -> None:
    for row in rows:
        if row.assumes:
            print(f"* {row.name}: assumes {row.assumes}")
    sums = []
    for tool, found in list(verdicts.items())[::-1]:
        right, seconds = sum(not each.wrong for each in found), sum(each.seconds for each in found)
        sums.append(f"{_NAMES[tool]} is right in {right} of {len(found)} rows ({seconds:.0f} s)")
    print(", ".join(sums))


if __name__ == "__main__":
    sys.exit(main())
