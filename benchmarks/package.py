"""How long the deployed package takes to load: `python -m benchmarks.package [--python python3.13]`.

Unpacks the complete package into an empty place and starts that Python on it, again and again: at first without
bytecode, as an instance that Azure has just made finds it, then with. `index` is what the worker imports to list the
functions; `engine` is what the first invocation imports on top.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from infra.package import PYTHON, ROOT, SITE, PackageError, build

TARGET = 2.0
"""Seconds that a cold import of the app may take."""
_PROGRAM = """\
import json, sys, time
now = lambda: (time.perf_counter(), time.process_time())
begun = now()
import function_app
index = now()
import function_app.settings, function_app.wiring, function_app.engine.engine
engine = now()
spent = {"index": zip(begun, index), "engine": zip(index, engine)}
print(json.dumps({part: [end - start for start, end in times] for part, times in spent.items()}))
"""


def loaded(python: str, app: Path, *, bytecode: bool) -> dict[str, list[float]]:
    """Load the app in a process of its own and say how many seconds each part took, by the clock and of the processor."""
    option = [] if bytecode else ["-B"]
    environment = {"PYTHONPATH": f"{app}:{app / SITE}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [python, *option, "-c", _PROGRAM], env=environment, cwd=app, capture_output=True, text=True, check=True
    )
    seconds: dict[str, list[float]] = json.loads(done.stdout)
    return seconds


def _python() -> str:
    """An interpreter of Azure's version, where there is one: pyenv's own, as its shim runs only what is switched on."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(versions.glob(f"{PYTHON}*/bin/python"))
    return str(found[-1]) if found else shutil.which(f"python{PYTHON}") or f"python{PYTHON}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether a cold import is fast enough."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.package", description="Cold start of the package.")
    parser.add_argument(
        "--python", default=_python(), help=f"an interpreter of Azure's version, {PYTHON} (%(default)s)"
    )
    parser.add_argument("--times", type=int, default=5, help="starts of each kind (%(default)s)")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        output, app = Path(place) / "package.zip", Path(place) / "app"
        try:
            build(ROOT, output, with_dependencies=True)
            ZipFile(output).extractall(app)
            kinds = {
                "no bytecode": [loaded(given.python, app, bytecode=False) for _ in range(given.times)],
                "bytecode": [loaded(given.python, app, bytecode=True) for _ in range(given.times + 1)][1:],
            }
        except (PackageError, OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"{error}\nIt takes a Python {PYTHON}: --python PATH\n")
            return 1
        megabytes = output.stat().st_size / 1e6
    print(f"seconds, median of {given.times} (of the processor)")
    print(f"{'':<12}{'index':>14}{'engine':>14}")
    for kind, times in kinds.items():
        cells = ([statistics.median(each[part][n] for each in times) for n in (0, 1)] for part in ("index", "engine"))
        print(f"{kind:<12}" + "".join(f"{clock:>7.2f} ({cpu:.2f})" for clock, cpu in cells))
    cold = statistics.median(each["index"][0] for each in kinds["no bytecode"])
    print(f"cold import (index without bytecode) {cold:.2f} s, asked at most {TARGET:g}; package of {megabytes:.1f} MB")
    return int(cold > TARGET)


if __name__ == "__main__":
    sys.exit(main())
