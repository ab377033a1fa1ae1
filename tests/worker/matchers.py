"""Which files of a folder the three programs that read .funcignore would deploy."""

import re
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path


def git(root: Path) -> set[str]:
    """What git leaves untracked but not ignored. git itself decides, in a new repository."""
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    listed = ["git", "-C", str(root), "ls-files", "-z", "--others", f"--exclude-from={root / '.funcignore'}"]
    done = subprocess.run(listed, check=True, capture_output=True, text=True)
    return set(filter(None, done.stdout.split("\0")))


def azd(root: Path) -> set[str]:
    """Azure Developer CLI: the last matching pattern decides, and an excluded folder is not entered.

    Source: Azure/azure-dev, cli/azd/pkg/project/project_utils.go and pkg/rzip (1.23.13 or newer; before it, `!` excluded, too),
    with denormal/go-gitignore, pattern.go.
    """
    patterns = [_go_gitignore(line) for line in _lines(root)]

    def excluded(name: str, *, folder: bool) -> bool:
        matching = [negated for negated, matches in patterns if matches(name, folder)]
        return bool(matching) and not matching[-1]

    def walk(folder: Path) -> Iterator[str]:
        for path in folder.iterdir():
            name = path.relative_to(root).as_posix()
            special = path.name in {".azure", ".funcignore", "local.settings.json"}
            if special or excluded(name, folder=path.is_dir()):
                continue
            if path.is_dir():
                yield from walk(path)
            else:
                yield name

    return set(walk(root))


def core_tools(root: Path) -> set[str]:
    """Azure Functions Core Tools: every pattern is a beginning of the path that ends at a word, and `!` wins in any order.

    Source: Azure/azure-functions-core-tools, src/Cli/func/Common/GitIgnoreParser.cs and FileSystemHelpers.cs.
    """

    def beginnings(patterns: list[str]) -> re.Pattern[str]:
        joined = ")|(".join(_core_tools(pattern.removeprefix("/")) for pattern in patterns)
        return re.compile(rf"^(({joined}))\b", re.ASCII)

    lines = _lines(root)
    excluded = beginnings([line for line in lines if not line.startswith("!")])
    included = beginnings([line[1:] for line in lines if line.startswith("!")])
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    skipped = {".git", ".vscode"}, {".funcignore", ".gitignore", "local.settings.json", "project.lock.json"}
    return {
        name
        for name in names
        if not skipped[0] & set(name.split("/")[:-1]) and name.rsplit("/", 1)[-1] not in skipped[1]
        if included.match(name) or not excluded.match(name)
    }


def _lines(root: Path) -> list[str]:
    lines = (root / ".funcignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _go_gitignore(line: str) -> tuple[bool, Callable[[str, bool], bool]]:
    """Whether a pattern includes, and how it matches a name that may be a folder's."""
    negated, pattern = line.startswith("!"), line.removeprefix("!")
    anchored, only_folders = pattern.startswith("/"), pattern.endswith("/")
    pattern = pattern.strip("/")

    def matches(name: str, folder: bool) -> bool:
        if only_folders and not folder:
            return False
        if "**" in pattern:
            return _by_parts(name.split("/"), pattern.split("/"))
        if "/" in pattern:  # FNM_PATHNAME
            names, parts = name.split("/"), pattern.split("/")
            return len(names) == len(parts) and all(map(fnmatchcase, names, parts))
        return fnmatchcase(name if anchored else name.rsplit("/", 1)[-1], pattern)  # here `*` matches "/", too

    return negated, matches


def _by_parts(names: list[str], parts: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return _by_parts(names, parts[1:]) or (bool(names) and _by_parts(names[1:], parts))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _by_parts(names[1:], parts[1:])


def _core_tools(pattern: str) -> str:
    escaped = re.sub(r"[-\[\]/{}()+?.\\^$|]", r"\\\g<0>", pattern)
    return escaped.replace("**", "(.+)").replace("*", r"([^\/]+)")
