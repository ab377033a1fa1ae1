"""Build the zip that is deployed. The same files always make the same zip.

    python -m infra.package                       the source: Azure installs requirements.txt (a remote build)
    python -m infra.package --with-dependencies   complete: what is tested here is what runs in Azure

The source is an allow-list: the lines of .funcignore that begin with "!", which azd and the Functions Core Tools read too.
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

from function_app.shared_rules import PYTHON, VERSION

ROOT = Path(__file__).parent.parent
PLATFORM = "x86_64-manylinux_2_28"
SITE = ".python_packages/lib/site-packages"
"""The folder in which the Functions worker finds packages that are deployed with the app (Microsoft, Python developer guide)."""
NOT_NEEDED = {
    "bin/": "commands of the packages, written for the machine that installs",
    "wandb/bin/wandb-symon": "watches CPU and GPU of a training machine; the app turns that off",
    "wandb/bin/librust_parquet_ffi.so": "reads exported histories; the app asks W&B's API",
}
"""Files that the complete package omits, with the reason. tests/worker/test_package_installed.py runs the app without them."""
_OF_THE_INSTALLATION = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock"})
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_MB = 1e6


class PackageError(Exception):
    """The package cannot be built. The message says what to do."""


@dataclass(frozen=True)
class Entry:
    """A file of the package: its path on this machine, and its name in the package."""

    path: Path
    name: str


def sources(root: Path) -> Iterator[Entry]:
    """Find the app's own files: those that .funcignore includes, whatever else lies in the folder."""
    for line in (root / ".funcignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!/") and not line.endswith("/"):
            for path in root.glob(line[2:]):
                if path.is_file():
                    yield Entry(path, path.relative_to(root).as_posix())


def dependencies(requirements: Path, into: Path) -> Iterator[Entry]:
    """Install the requirements for Azure's Python and platform into a folder, and list the files that the app needs.

    Raises:
        PackageError: uv is missing, or it failed (no wheel for that platform, no network).
    """
    if find_spec("uv") is None:
        raise PackageError(
            "uv is not installed. The package needs it to install for Azure's Python instead of this one:"
            f" {sys.executable} -m pip install uv"
        )
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(into), "-r", str(requirements)]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-deps"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (no argument comes from outside)
    if done.returncode:
        raise PackageError(f"{requirements.name} cannot be installed for Python {PYTHON} on Linux:\n{done.stderr}")
    for path in (path for path in into.rglob("*") if path.is_file()):
        name = path.relative_to(into).as_posix()
        if path.name not in _OF_THE_INSTALLATION and not name.startswith(tuple(NOT_NEEDED)):
            yield Entry(path, f"{SITE}/{name}")


def write(entries: Iterable[Entry], output: Path) -> None:
    """Write the zip: sorted, and without dates or owners, so that the same files make the same zip."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(output, "w", ZIP_DEFLATED) as package:
        for entry in sorted(entries, key=lambda each: each.name):
            info = ZipInfo(entry.name, _EPOCH)
            info.create_system = 3  # Unix: external_attr holds the mode, and W&B's program has to be executable
            info.external_attr = (0o100755 if os.access(entry.path, os.X_OK) else 0o100644) << 16
            info.compress_type = ZIP_DEFLATED
            package.writestr(info, entry.path.read_bytes())


def report(output: Path) -> Iterator[str]:
    """Describe a package: sizes by part, the largest first, and its checksum."""
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
    yield f"{output.stat().st_size / _MB:>7.2f} MB  {unpacked.total() / _MB:>7.2f} MB  total, {len(files)} files"
    yield f"version {VERSION}"
    yield f"sha256 {hashlib.sha256(output.read_bytes()).hexdigest()}"
    yield str(output)


def _part(name: str) -> str:
    """Name the part of the package that a file belongs to: a Python package, a folder, or the file itself."""
    if name.startswith(f"{SITE}/"):
        return name.removeprefix(f"{SITE}/").partition("/")[0]
    first, slash, _ = name.partition("/")
    return first + slash


def build(root: Path, output: Path, *, with_dependencies: bool) -> None:
    """Build the package of the project in `root`.

    Raises:
        PackageError: the package cannot be built.
    """
    with tempfile.TemporaryDirectory() as folder:
        entries = list(sources(root))
        if with_dependencies:
            entries += dependencies(root / "requirements.txt", Path(folder))
        write(entries, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the package and print what it contains."""
    parser = argparse.ArgumentParser(prog="python -m infra.package", description="Build the zip that is deployed.")
    parser.add_argument(
        "--with-dependencies",
        action="store_true",
        help=f"include the packages of requirements.txt, for Python {PYTHON} on Linux; otherwise Azure installs them",
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
