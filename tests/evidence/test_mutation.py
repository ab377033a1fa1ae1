"""The mutation test itself: it finds a mistake that no test notices, and lets none pass without a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.mutation import ROOT, SUBJECTS, Examined, Mutant, MutationError, Subject, examine, read_reasons, report

SOURCE = '''"""Ages."""

LIMIT = 18


def grown(age: int) -> bool:
    """A limit that the tests do not go to."""
    # Years.
    return age > LIMIT


def doubled(age: int) -> int:
    return age * 2
'''
TESTS = """from ages.age import doubled, grown


def test_ages() -> None:
    assert (grown(30), grown(3)) == (True, False)
    assert doubled(3) == {doubled}
"""
AGES = Subject("ages", ("ages/age.py",), ("tests/test_age*.py",))
PLANTED = Mutant("ages/age.py", "grown", "- return age > LIMIT\n+ return age >= LIMIT", 9)
REASONS = {PLANTED.key: "equivalent: nobody is that old to the day"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A project of two functions, whose tests expect this of one of them."""

    def make(doubled: int) -> Path:
        root = tmp_path_factory.mktemp("project")
        for name in ("ages", "tests"):
            (root / name).mkdir()
            (root / name / "__init__.py").touch()
        (root / "ages" / "age.py").write_text(SOURCE)
        (root / "tests" / "test_age.py").write_text(TESTS.format(doubled=doubled))
        (root / "pyproject.toml").write_text("")
        return root

    return make


@pytest.fixture(scope="module")
def examined(project: Callable[[int], Path]) -> Examined:
    """A sample as large as that is all of them."""
    return examine(project(6), AGES, sample=3)


def of(tried: int, *survivors: Mutant) -> Examined:
    return Examined(AGES, tried, survivors)


def test_a_mistake_that_no_test_notices_is_found_with_its_place_and_the_others_are_noticed(examined: Examined) -> None:
    assert examined.survivors == (PLANTED,)
    assert examined.survivors[0].line == PLANTED.line
    assert (examined.tried, examined.killed) == (3, 2)


def test_a_survivor_that_nobody_explains_ends_with_exit_status_1(
    examined: Examined, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([examined], {}) == 1
    told = capsys.readouterr().out
    assert told.startswith(
        "ages/age.py:9 grown\n    - return age > LIMIT\n    + return age >= LIMIT\n    NOT EXPLAINED"
    )
    assert told.splitlines()[-1].endswith("survivors explained: 0")


def test_an_explained_survivor_is_told_with_its_reason_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([of(10, PLANTED)], REASONS) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[3] == "    equivalent: nobody is that old to the day"
    assert told[-1] == "9 of 10 mutants killed (90.0 %), survivors explained: 1"


@pytest.mark.parametrize(
    "one", [of(9, PLANTED), of(0)], ids=["less than nine of ten", "nothing that could have been noticed"]
)
def test_one_module_below_the_limit_is_enough_for_exit_status_1(one: Examined) -> None:
    assert report([of(1000), one], REASONS) == 1


def test_a_sample_is_judged_by_its_survivors_alone() -> None:
    assert report([of(2, PLANTED)], REASONS, whole=False) == 0
    assert report([of(2, PLANTED)], {}, whole=False) == 1


def test_an_explanation_is_of_one_change_and_told_when_it_explains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text(
        "[[survivors]]\nfile = 'ages/age.py'\nfunction = 'grown'\nreason = 'equivalent'\n"
        "changes = ['''\n- return age > LIMIT\n+ return age >= LIMIT\n''', '- a\n+ b']\n".replace("- a\n+ b", "- a")
    )
    reasons = read_reasons(file)
    assert list(reasons) == [PLANTED.key, ("ages/age.py", "grown", "- a")]
    assert report([of(10, PLANTED)], reasons) == 0
    assert capsys.readouterr().err == "explained, but noticed by now: ages/age.py grown: - a\n"


def test_tests_that_fail_without_any_mistake_are_no_result(project: Callable[[int], Path]) -> None:
    with pytest.raises(MutationError, match="mutmut run ended with"):
        examine(project(7), AGES)


@pytest.mark.slow
def test_the_projects_own_tests_notice_mistakes() -> None:
    [decide] = (each for each in SUBJECTS if each.name == "decide")
    assert examine(ROOT, decide, sample=3).killed == 3
