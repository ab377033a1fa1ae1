"""Mutation testing: small mistakes are put into the code that plans, decides and reads, and the tests have to notice each.

mutmut makes the mistakes and runs the tests that reach each of them. It works on functions: tables at module level are
held by tests of their own. Hypothesis takes the same few examples every time, so that a figure can be repeated.

A mistake that nothing notices is a survivor, and survivors.toml says of each why that is right: it is known by its file,
its function and its change, so that lines may move.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from json import dumps
from pathlib import Path

import click
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key

ROOT = Path(__file__).parent.parent
SURVIVORS = Path(__file__).parent / "survivors.toml"
ENOUGH = 0.9
"""The share of mutants that the tests have to notice, in each subject."""

_PROFILE = "mutation_profile"
_FEW_EXAMPLES = f"""
from hypothesis import settings

settings.register_profile({_PROFILE!r}, settings.get_profile("ci"), max_examples=20)
"""
"""A pytest plugin. Hypothesis' own `ci` takes the same examples every time, and a fifth of them is enough to judge by."""

_UNNOTICED = frozenset({"survived", "no tests"})
_UNTRIED = frozenset({"not checked", "skipped"})


class MutationError(click.ClickException):
    """mutmut could not do its work, which says nothing about the tests."""


@dataclass(frozen=True)
class Subject:
    """What is judged as one: files of one purpose, and the tests that are to hold them. Paths begin at the root; those of
    tests are patterns.
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


def _function_app(name: str) -> Subject:
    return Subject(name, (f"function_app/{name}.py",), (f"tests/function_app/test_{name}*.py",))


SUBJECTS = (
    Subject(
        "planner",
        tuple(f"provisioning/{name}.py" for name in ("planner", "carry_over", "grants", "secret_step", "vault_steps")),
        ("tests/provisioning/test_planner*.py",),
    ),
    Subject("teardown", ("provisioning/planning/teardown.py",), ("tests/provisioning/test_teardown_planner.py",)),
    Subject("rotation", ("provisioning/planning/rotation.py",), ("tests/provisioning/test_rotation_planner.py",)),
    Subject("access", ("provisioning/planning/permissions.py",), ("tests/provisioning/test_access*.py",)),
    *map(_function_app, ("decide", "results", "datasets")),
)


@dataclass(frozen=True, order=True)
class Mutant:
    """One mistake.

    Attributes:
        file: the path from the root.
        function: its name; of a method without its class.
        change: the lines that are otherwise, without their indentation: `- before` and `+ after`.
        line: where in the file the change begins; no part of what it is.
    """

    file: str
    function: str
    change: str
    line: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.file, self.function, self.change


@dataclass(frozen=True)
class Examined:
    """What became of a subject's mutants: how many were tried, and those that nothing noticed."""

    subject: Subject
    tried: int
    survivors: tuple[Mutant, ...]

    @property
    def killed(self) -> int:
        """How many the tests noticed."""
        return self.tried - len(self.survivors)


Reasons = Mapping[tuple[str, str, str], str]
"""Why a mutant may survive, by its key."""


def read_reasons(file: Path) -> Reasons:
    """What survivors.toml says: of each `[[survivors]]` file, function, reason and the changes that it is about."""
    told = tomllib.loads(file.read_text()).get("survivors", [])
    return {
        (each["file"], each["function"], change.strip()): each["reason"] for each in told for change in each["changes"]
    }


def examine(root: Path, subject: Subject, *, jobs: int = 1, sample: int | None = None, seed: int = 0) -> Examined:
    """Put mistakes into a copy of a project's packages, and see which ones its tests notice.

    Args:
        root: the project.
        subject: what is examined.
        jobs: how many mutants are tried at once.
        sample: try so many, chosen by `seed`; None tries all.
        seed: another one, another choice.

    Raises:
        MutationError: mutmut does not come to a result, such as when a test fails without any mistake.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        place = Path(folder)
        _copy(root, place, subject)
        chosen = [] if sample is None else _chosen(place, subject, sample, seed)
        _mutmut(place, "run", "--max-children", str(jobs), *chosen)
        states = {name: state for name, state in _states(place).items() if state not in _UNTRIED}
        survivors = [_mutant(place, subject, name) for name, state in states.items() if state in _UNNOTICED]
    return Examined(subject, len(states), tuple(sorted(survivors)))


def _copy(root: Path, place: Path, subject: Subject) -> None:
    """The packages and the configuration, to which mutmut's part is added: it works beside what it reads."""
    packages = [each.name for each in root.iterdir() if (each / "__init__.py").exists()]
    for name in packages:
        shutil.copytree(root / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    part = {
        "source_paths": sorted({file.partition("/")[0] for file in subject.files}),
        "only_mutate": subject.files,
        "also_copy": [*packages, f"{_PROFILE}.py"],
        "pytest_add_cli_args_test_selection": [
            str(file.relative_to(root)) for pattern in subject.tests for file in sorted(root.glob(pattern))
        ],
        "pytest_add_cli_args": ["-p", "no:xdist", "-p", _PROFILE, f"--hypothesis-profile={_PROFILE}"],
    }
    (place / f"{_PROFILE}.py").write_text(_FEW_EXAMPLES)
    lines = ["", "[tool.mutmut]", *(f"{name} = {dumps(value)}" for name, value in part.items()), ""]
    (place / "pyproject.toml").write_text((root / "pyproject.toml").read_text() + "\n".join(lines))


def _chosen(place: Path, subject: Subject, sample: int, seed: int) -> list[str]:
    """So many of mutmut's names for the mutants."""
    with chdir(place):  # where mutmut looks for its part of pyproject.toml
        names = [
            get_mutant_name(Path(file), name)
            for file in subject.files
            for name in mutate_file_contents(file, Path(file).read_text()).mutant_names
        ]
    return random.Random(seed).sample(names, min(sample, len(names)))  # noqa: S311 - no secret


def _mutmut(place: Path, *argv: str) -> str:
    ended = subprocess.run(  # noqa: S603 - a library that is pinned
        [sys.executable, "-m", "mutmut", *argv], cwd=place, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = "\n".join((ended.stdout + ended.stderr).splitlines()[-30:])
        raise MutationError(f"mutmut {argv[0]} ended with {ended.returncode}:\n{said}")
    return ended.stdout


def _states(place: Path) -> dict[str, str]:
    """Mutants by mutmut's name for them, with mutmut's word for what became of each."""
    lines = (line.strip().rpartition(": ") for line in _mutmut(place, "results", "--all", "true").splitlines())
    return {name: state for name, _, state in lines if name}


def _mutant(place: Path, subject: Subject, name: str) -> Mutant:
    """A mutant in our words."""
    function, _ = orig_function_and_class_names_from_key(name)
    file = next(file for file in subject.files if name.startswith(file.removesuffix(".py").replace("/", ".") + "."))
    with chdir(place):
        diff = get_diff_for_mutant(name, path=file).splitlines()[2:]
    lines = [(line[0], line[1:].strip()) for line in diff if line[0] in "-+"]
    change = "\n".join(f"{sign} {text}" for sign, text in lines)
    return Mutant(file, function, change, _line(place / file, function, lines[0][1]))


def _line(file: Path, function: str, text: str) -> int:
    """The first line of the file that is this one, in the function or after it."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    begins = next((n for n, line in enumerate(lines) if line.startswith(f"def {function}(")), 0)
    return next((n for n, line in enumerate(lines[begins:], begins + 1) if line == text), begins + 1)


def told(examined: Examined, reasons: Reasons) -> Iterator[str]:
    """Each survivor with its place, its change and why it may survive; then the subject's figures."""
    for each in examined.survivors:
        yield f"{each.file}:{each.line} {each.function}"
        yield from (f"    {line}" for line in each.change.splitlines())
        yield f"    {reasons.get(each.key, 'NOT EXPLAINED: what would notice it is missing, or the reason why nothing has to')}"
    yield f"{examined.subject.name}: {figures([examined], reasons)}"


def figures(all_examined: Collection[Examined], reasons: Reasons) -> str:
    """How many mutants were noticed, and of how many others it is said why not."""
    killed, tried = sum(each.killed for each in all_examined), sum(each.tried for each in all_examined)
    explained = sum(mutant.key in reasons for each in all_examined for mutant in each.survivors)
    share = 100 * killed / tried if tried else 0
    return f"{killed} of {tried} mutants killed ({share:.1f} %), survivors explained: {explained}"


def holds(examined: Examined, reasons: Reasons, *, whole: bool = True) -> bool:
    """Whether enough was noticed, which a sample cannot say, and every survivor is explained."""
    enough = not whole or examined.killed >= ENOUGH * examined.tried
    return enough and bool(examined.tried) and all(mutant.key in reasons for mutant in examined.survivors)


def outdated(all_examined: Collection[Examined], reasons: Reasons) -> list[str]:
    """Explanations, within the files examined, of what does not survive any more."""
    files = {file for each in all_examined for file in each.subject.files}
    alive = {mutant.key for each in all_examined for mutant in each.survivors}
    return [f"{key[0]} {key[1]}: {key[2]}" for key in reasons if key[0] in files and key not in alive]


def report(examined: Iterable[Examined], reasons: Reasons, *, whole: bool = True) -> int:
    """Tell of each subject when it is done, sum up, and give the exit status."""
    done = []
    for each in examined:
        done.append(each)
        click.echo("\n".join(told(each, reasons)))
    if whole:
        for key in outdated(done, reasons):
            click.echo(f"explained, but noticed by now: {key}", err=True)
    click.echo(figures(done, reasons))
    return int(not all(holds(each, reasons, whole=whole) for each in done))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--module", type=click.Choice([each.name for each in SUBJECTS]), help="Only this one.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="So many mutants of each module, not all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one, another sample.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="At once.")
def main(module: str | None, sample: int | None, seed: int, jobs: int) -> None:
    """Put small mistakes into the pure code, one at a time, and see whether the tests notice.

    Exit status: 0 in every module 9 of 10 are noticed, and each of the others is explained; 1 otherwise. A sample is
    judged by its survivors alone.
    """
    os.nice(10)
    chosen = [each for each in SUBJECTS if module in (None, each.name)]

    def one_by_one() -> Iterator[Examined]:
        for each in chosen:
            click.echo(f"{each.name}: {' '.join(each.files)}", err=True)
            yield examine(ROOT, each, jobs=jobs, sample=sample, seed=seed)

    sys.exit(report(one_by_one(), read_reasons(SURVIVORS), whole=sample is None))


if __name__ == "__main__":
    main()
