"""The error tree is drawn as it is."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from function_app import errors


def real(kind: type[errors.SyncError] = errors.SyncError) -> Iterator[tuple[str, str, str]]:
    """Every class of the tree below `kind`: its name, its parent, and its module where that is another than errors."""
    for each in kind.__subclasses__():
        module = each.__module__.removeprefix("function_app.")
        yield each.__name__, kind.__name__, "" if module == "errors" else module
        yield from real(each)


def drawn() -> Iterator[tuple[str, str, str]]:
    """The same, as the picture in the docstring has it."""
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)(\w+Error)\b.*?(?:\(([\w.]+)\))?$", line):
            depth = len(found[1]) // 4
            above[depth] = found[2]
            if depth:
                yield found[2], above[depth - 1], found[3] or ""


def test_the_drawn_error_tree_matches_the_classes() -> None:
    for source in Path(errors.__file__).parent.rglob("*.py"):
        if re.search(r"^class \w+Error\(", source.read_text(), re.MULTILINE):
            import_module(
                ".".join(("function_app", *source.relative_to(Path(errors.__file__).parent).with_suffix("").parts))
            )
    ours = [each for each in real() if not each[2].startswith("tests.")]
    assert sorted(drawn()) == sorted(ours)


def test_an_error_that_quotes_a_service_is_harmless_wherever_it_is_shown() -> None:
    error = errors.SyncError("refused: \x1b[2J\u202eevil\x00", "say \x1b]0;owned\x07 so")
    assert (error.message, str(error), error.hint) == ("refused: [2Jevil", "refused: [2Jevil", "say ]0;owned so")
