"""The error tree is drawn as it is."""

import re
from pathlib import Path

from function_app import errors


def test_the_drawn_error_tree_matches_the_classes() -> None:
    """Each class is drawn, one level below its parent."""
    classes: dict[str, str] = {}
    for source in Path(errors.__file__).parent.rglob("*.py"):
        classes |= re.findall(r"^class (\w+Error)\((?!ValueError)(\w+Error)\b", source.read_text(), re.MULTILINE)
    drawn, above = {}, {0: "SyncError"}
    for indent, name in re.findall(r"^([│├└─ ]+)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        drawn[name], above[depth] = above[depth - 1], name
    assert drawn == classes


def test_an_error_that_quotes_a_service_is_harmless_wherever_it_is_shown() -> None:
    error = errors.SyncError("refused: \x1b[2J\u202eevil\x00", "say \x1b]0;owned\x07 so")
    assert (error.message, str(error), error.hint) == ("refused: [2Jevil", "refused: [2Jevil", "say ]0;owned so")
