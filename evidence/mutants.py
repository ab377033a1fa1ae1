"""Judges what `mutmut run` found: `make mutation`. Every mutant that survives must be explained in survivors.toml.

The exit status is 1 if a function has more survivors than explained, or less than nine of ten mutants were noticed.
"""

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import click
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ROOT = Path(__file__).parent.parent
ENOUGH = 0.9
_UNNOTICED = ("survived", "no tests")
_UNTRIED = ("not checked", "skipped")


def main() -> int:
    """Print the survivors without an explanation, and the figures."""
    listing = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    lines = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    states = {name: state for name, _, state in (line.strip().rpartition(": ") for line in lines) if name}
    tried = {name: state for name, state in states.items() if state not in _UNTRIED}
    survivors = [name for name, state in tried.items() if state in _UNNOTICED]
    explained = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text(encoding="utf-8"))
    found = Counter((name.rpartition(".")[0], orig_function_and_class_names_from_key(name)[0]) for name in survivors)
    unexplained = 0
    for (module, function), count in found.items():
        allowed = explained.get(module, {}).get(function, {}).get("count", 0)
        if count > allowed:
            unexplained += count - allowed
            click.echo(f"{module}.{function}: {count} survive, {allowed} are explained. See them with `mutmut show`:")
            click.echo(
                "  " + " ".join(name for name in survivors if f".x_{function}_" in name or f"ǁ{function}_" in name)
            )
    killed = len(tried) - len(survivors)
    share = killed / len(tried) if tried else 0.0
    click.echo(f"{killed} of {len(tried)} mutants killed ({share:.1%}), survivors not explained: {unexplained}")
    return int(bool(unexplained) or share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
