"""Builds the zip that is deployed, twice the same from the same files.

    python -m infra.package                       the source: Azure installs requirements.txt (a remote build)
    python -m infra.package --with-dependencies   complete: what is tested here is what runs there

Either holds what .funcignore lets through, as azd and the Functions Core Tools would pack it.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pathspec

ROOT = Path(__file__).parent.parent
PYTHON = "3.13"
"""What Azure runs the app with (modules/app.bicep)."""
PLATFORM = "x86_64-manylinux_2_28"
SITE = ".python_packages/lib/site-packages"
"""Where the Functions worker looks for packages that came with the app (Microsoft, Python developer guide)."""
NOT_NEEDED = {
    "bin/": "commands of the packages, written for the machine that installs",
    "wandb/bin/wandb-symon": "watches CPU and GPU of a training machine; the app turns that off",
    "wandb/bin/librust_parquet_ffi.so": "reads exported histories; the app asks W&B's API",
}
"""Left out of the complete package, and why. tests/worker/test_package.py runs the app without them."""
_OF_THE_INSTALLATION = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock"})
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_MB = 1e6


class PackageError(Exception):
    """The package cannot be built; the text says what to do."""


@dataclass(frozen=True)
class Entry:
    """A file of the package: where it is, and what it is called in there."""

    path: Path
    name: str


def sources(root: Path) -> Iterator[Entry]:
    """What .funcignore lets through, which is everything that it does not name."""
    ignored = pathspec.GitIgnoreSpec.from_lines((root / ".funcignore").read_text(encoding="utf-8").splitlines())
    for directory, inner, files in os.walk(root):
        here = Path(directory).relative_to(root)
        inner[:] = [name for name in inner if not ignored.match_file(f"{(here / name).as_posix()}/")]
        for name in files:
            relative = (here / name).as_posix()
            if not ignored.match_file(relative):
                yield Entry(root / relative, relative)


def dependencies(requirements: Path, into: Path) -> Iterator[Entry]:
    """Install for Azure's Python and platform, and tell what of it is needed.

    Raises:
        PackageError: there is no uv, or it fails: no wheel for that platform, no network.
    """
    if find_spec("uv") is None:
        raise PackageError(
            f"uv is not installed, which installs for another Python than this one: {sys.executable} -m pip install uv"
        )
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(into), "-r", str(requirements)]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-deps"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (nothing in it comes from outside)
    if done.returncode:
        raise PackageError(f"{requirements.name} cannot be installed for Python {PYTHON} on Linux:\n{done.stderr}")
    for path in (path for path in into.rglob("*") if path.is_file()):
        name = path.relative_to(into).as_posix()
        if path.name not in _OF_THE_INSTALLATION and not name.startswith(tuple(NOT_NEEDED)):
            yield Entry(path, f"{SITE}/{name}")


def write(entries: Iterable[Entry], output: Path) -> None:
    """Write the zip: sorted, without dates or owners, so that the same files make the same zip."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(output, "w", ZIP_DEFLATED) as package:
        for entry in sorted(entries, key=lambda each: each.name):
            info = ZipInfo(entry.name, _EPOCH)
            info.create_system = 3  # Unix, whose modes stand in external_attr: W&B's program has to be executable
            info.external_attr = (0o100755 if os.access(entry.path, os.X_OK) else 0o100644) << 16
            info.compress_type = ZIP_DEFLATED
            package.writestr(info, entry.path.read_bytes())


def report(output: Path) -> Iterator[str]:
    """What is in a package, the largest first."""
    zipped: Counter[str] = Counter()
    unpacked: Counter[str] = Counter()
    with ZipFile(output) as package:
        files = package.infolist()
    for each in files:
        name = _part(each.filename)
        zipped[name] += each.compress_size
        unpacked[name] += each.file_size
    yield f"{'zipped':>10}  {'unpacked':>10}"
    for name, size in zipped.most_common(12):
        yield f"{size / _MB:>7.2f} MB  {unpacked[name] / _MB:>7.2f} MB  {name}"
    if rest := zipped.total() - sum(size for _, size in zipped.most_common(12)):
        yield f"{rest / _MB:>7.2f} MB  {'':>10}  {len(zipped) - 12} more"
    yield f"{output.stat().st_size / _MB:>7.2f} MB  {unpacked.total() / _MB:>7.2f} MB  in all, {len(files)} files"
    yield f"sha256 {hashlib.sha256(output.read_bytes()).hexdigest()}"
    yield str(output)


def _part(name: str) -> str:
    """Of a file in the package: the package that brings it, or its first folder, or itself."""
    if name.startswith(f"{SITE}/"):
        return name.removeprefix(f"{SITE}/").partition("/")[0]
    first, slash, _ = name.partition("/")
    return first + slash


def build(root: Path, output: Path, *, with_dependencies: bool) -> None:
    """Build the package of the project in `root`.

    Raises:
        PackageError: it cannot be built.
    """
    with tempfile.TemporaryDirectory() as place:
        entries = list(sources(root))
        if with_dependencies:
            entries += dependencies(root / "requirements.txt", Path(place))
        write(entries, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Build it and tell what is in it."""
    parser = argparse.ArgumentParser(prog="python -m infra.package", description="Build the zip that is deployed.")
    parser.add_argument(
        "--with-dependencies",
        action="store_true",
        help=f"put in the packages of requirements.txt, for Python {PYTHON} on Linux; else Azure installs them",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", default=ROOT / "build" / "function-app.zip", help="default: %(default)s"
    )
    given = parser.parse_args(argv)
    try:
        build(ROOT, given.output, with_dependencies=given.with_dependencies)
    except PackageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in report(given.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
