"""`make evidence`: a command's last line is its figure, every figure is saved at once, and the page says how old it is."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from evidence.claims import CLAIMS, Claim
from evidence.page import page, sights
from evidence.records import Circumstances, Record, Repository, Store
from evidence.report import ROOT, Place, main, render, run
from evidence.unproven import UNPROVEN

_AGE = re.compile(r", \d+ commits? ago| \(not in this history\)")


def claim(name: str, program: str, *, shows: str = "", missed: str = "") -> Claim:
    """A claim that a few lines of Python are to show."""
    return Claim(name, f"{name} is so.", f"python -c {shlex.quote(program)}", ("code",), shows, missed)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "docs").mkdir()
    return Place(tmp_path)


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., None]:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@contoso.example", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    return git


def told(claims: list[Claim], place: Place) -> tuple[bool, list[str]]:
    """Whether all hold, and what was said."""
    said: list[str] = []
    return run(claims, claims, place, said.append), said


def test_the_figure_is_the_last_line_on_stdout_whatever_stderr_says_after_it(place: Place) -> None:
    speaks = "import sys; print('on the way'); print('=== 7 of 7 ===\\n', flush=True); print('bye', file=sys.stderr)"
    good, said = told([claim("one", speaks)], place)
    record = place.store.load()["one"]
    assert good
    assert (record.figure, record.holds) == ("7 of 7", True)
    assert said[-1] == "1 of 1 claims hold"
    log = place.log(claim("one", "")).read_text().splitlines()
    assert sorted(filter(None, log[1:])) == ["=== 7 of 7 ===", "bye", "on the way"]


def test_a_claim_that_fails_is_a_row_with_its_figure_and_those_after_it_run(place: Place) -> None:
    fails = claim("one", "print('1 is slow\\n6 of 7\\n'); raise SystemExit(1)", missed="the seventh is hard")
    good, said = told([fails, claim("two", "print('well')")], place)
    assert not good
    assert said[-1] == "1 of 2 claims hold"
    shown = place.page.read_text()
    assert "| one is so. | **does not hold** | 6 of 7 |" in shown
    assert "| two is so. | holds | well |" in shown
    assert shown.endswith("\n**one**: the seventh is hard\n\n```text\n1 is slow\n6 of 7\n```\n")
    assert "Of 2 claims: 1 does not hold, 1 holds." in shown
    assert "two" not in shown.split("## Missed", 1)[1]


def test_a_figure_is_saved_before_the_next_claim_runs(place: Place) -> None:
    """So a kill in the second one loses nothing of the first."""
    look = (
        "import json, pathlib; print(*json.load(open('docs/evidence.json')), pathlib.Path('docs/evidence.md').exists())"
    )
    told([claim("one", "print(1)"), claim("two", look)], place)
    assert place.store.load()["two"].figure == "one True"


def test_what_a_command_says_is_in_its_log_while_it_runs(place: Place) -> None:
    waits = (
        "import pathlib, time; print('early'); log = pathlib.Path('build/evidence/one.log'); until = time.monotonic() + 30\n"
        "while not log.read_text().endswith('early\\n') and time.monotonic() < until: time.sleep(0.01)\n"
        "print(time.monotonic() < until)"
    )
    told([claim("one", waits)], place)
    assert place.store.load()["one"].figure == "True"


def test_a_figure_that_shows_nothing_is_no_proof(place: Place) -> None:
    good, _ = told([claim("one", "print('5 skipped in 0.1s')", shows="passed")], place)
    assert not good


def test_a_command_that_says_nothing_shows_nothing(place: Place) -> None:
    good, _ = told([claim("one", "pass")], place)
    assert not good


def test_a_program_that_is_not_there_does_not_hold(place: Place) -> None:
    missing = Claim("one", "One is so.", "python -m evidence.nowhere", ("code",))
    good, _ = told([missing], place)
    assert not good
    assert "No module named" in place.log(missing).read_text()


def test_under_make_a_makes_last_line_is_still_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.root / "Makefile").write_text("it:\n\t@echo fine\n")
    monkeypatch.setenv("MAKELEVEL", "1")
    told([Claim("one", "One is so.", "make it", ("code",))], place)
    assert place.store.load()["one"].figure == "fine"


def test_what_another_run_has_saved_meanwhile_stays_and_claims_that_are_no_more_go(tmp_path: Path) -> None:
    store, here = Store(tmp_path / "evidence.json"), Circumstances("abc", False, "a laptop")
    for name in ("two", "old", "one"):
        store.save(name, here.record(f"run {name}", ["1"], 2.0, holds=True), ["one", "two", "old"])
    store.save("one", here.record("run one", ["5"], 2.0, holds=True), ["one", "two"])
    assert {name: each.figure for name, each in store.load().items()} == {"one": "5", "two": "1"}
    assert list(store.load()) == ["one", "two"]
    assert list(tmp_path.iterdir()) == [store.path]


def test_a_row_says_how_many_commits_its_code_has_had_since(place: Place, git: Callable[..., None]) -> None:
    one = claim("one", "print(1)")
    (place.root / ".gitignore").write_text("build/\n")
    (place.root / "code").mkdir()

    def commit(name: str) -> None:
        (place.root / name).write_text("said\n")
        git("add", ".")
        git("commit", "-m", name)

    def age() -> str:
        render([one], place)
        [row] = [line for line in place.page.read_text().splitlines() if line.startswith("| one")]
        return "".join(_AGE.findall(row))

    commit("code/first")
    told([one], place)
    assert (age(), place.store.load()["one"].changed) == ("", False)
    commit("README.md")
    assert age() == ""
    commit("code/second")
    assert age() == ", 1 commit ago"
    commit("code/third")
    assert age() == ", 2 commits ago"
    (place.root / "code" / "first").write_text("changed\n")
    told([one], place)
    assert (age(), place.store.load()["one"].changed) == ("", True)
    assert "` with changes; " in place.page.read_text()


def test_of_a_commit_that_is_not_in_the_history_nobody_says_how_old_it_is(
    git: Callable[..., None], tmp_path: Path
) -> None:
    git("commit", "--allow-empty", "-m", "first")
    assert Repository(tmp_path).commits_since("0123456789", ["code"]) is None
    one = claim("one", "print(1)")
    record = Record(one.command, True, "1", "2026-11-21T10:00:00+00:00", 150.0, "0123456789", False, "a laptop")
    [row] = [line for line in page([], sights([one], {"one": record}, lambda *_: None)).splitlines() if "| one" in line]
    assert row.endswith("| 2026-11-21, `0123456789` (not in this history); 2 min; a laptop |")


def test_a_figure_of_another_command_shows_nothing(place: Place) -> None:
    told([claim("one", "print(1)")], place)
    render([claim("one", "print(2)")], place)
    assert "| one is so. | not run |" in place.page.read_text()


def test_what_is_unproven_comes_first(place: Place) -> None:
    render([claim("one", "print(1)")], place)
    shown = place.page.read_text()
    assert shown.index("## Not proven without a real subscription") < shown.index("## Claims")
    assert all(f"* **{each.what}** {each.how}" in shown for each in UNPROVEN)


def test_nobody_has_written_into_the_page() -> None:
    """Run `make evidence WITH=--render` after changing claims. How old a figure is depends on the moment, and is left out."""
    there = Place(ROOT)
    written = page(UNPROVEN, sights(CLAIMS, there.store.load(), lambda *_: 0))
    assert _AGE.sub("", there.page.read_text()) == written
    assert set(there.store.load()) <= {each.id for each in CLAIMS}
    assert json.loads(there.store.path.read_text())


@pytest.mark.parametrize("each", CLAIMS, ids=lambda each: each.id)
def test_what_a_claim_runs_and_speaks_of_is_there(each: Claim) -> None:
    program, *arguments = shlex.split(each.command)
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert (program, arguments[0]) == ("python", "-m")
        module = ROOT.joinpath(*arguments[1].split(".")).with_suffix(".py")
        paths = [ROOT / name for name in arguments[2:] if name.startswith("tests/")]
        assert all(path.exists() for path in (paths if arguments[1] == "pytest" else [module]))
        assert paths or arguments[1] != "pytest"
    assert all((ROOT / folder).is_dir() for folder in each.of)


def test_every_command_that_writes_is_in_both_matrices() -> None:
    ids = {each.id for each in CLAIMS}
    assert len(ids) == len(CLAIMS)
    assert {
        f"{kind}-{name}" for kind in ("crash", "faults") for name in ("setup", "rotate-key", "teardown", "sync")
    } <= ids


def test_only_takes_a_claim_or_those_that_begin_so() -> None:
    def listed(*arguments: str) -> list[str]:
        said = CliRunner().invoke(main, ["--list", *arguments])
        assert said.exit_code == 0
        return [line.split()[0] for line in said.stdout.splitlines()]

    assert listed() == [each.id for each in CLAIMS]
    assert listed("--only", "speed", "--only", "memory") == ["speed", "memory"]
    assert listed("--only", "crash") == ["crash-setup", "crash-rotate-key", "crash-teardown", "crash-sync"]
    wrong = CliRunner().invoke(main, ["--list", "--only", "crashes"])
    assert wrong.exit_code == 2
    assert "There are: crash-setup" in wrong.stderr
