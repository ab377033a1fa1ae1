"""The error classes: the drawing is complete, every error has a hint, every class is used."""

import ast
import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import provisioning
from provisioning import errors


def tree(kind: type[errors.ProvisioningError] = errors.ProvisioningError) -> Iterator[type[errors.ProvisioningError]]:
    """The class and all its subclasses in provisioning/."""
    for module in pkgutil.walk_packages(provisioning.__path__, "provisioning."):
        if not module.name.endswith("__main__"):  # which would run
            import_module(module.name)
    yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


def made() -> Iterator[tuple[str, ast.Call]]:
    """Every call in provisioning/ that creates one of the errors, with its location."""
    names = {each.__name__ for each in tree()}
    for file in sorted(Path(provisioning.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in names:
                yield f"{file.name}:{node.lineno}", node


def test_every_class_is_drawn_below_its_parent() -> None:
    drawn, above = {}, {0: "ProvisioningError"}
    for indent, name in re.findall(r"^([│├└─ ]+)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        drawn[name], above[depth] = above[depth - 1], name
    assert drawn == {each.__name__: each.__mro__[1].__name__ for each in tree() if each is not errors.ProvisioningError}


def test_codes_are_unique() -> None:
    own = [each for each in tree() if "code" in vars(each)]
    assert len({each.code for each in own}) == len(own)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", each.code) for each in own)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda each: each.__name__)
def test_an_error_needs_a_hint(kind: type[errors.ProvisioningError]) -> None:
    with pytest.raises(ValueError, match="has no hint"):
        kind("what happened", hint="")
    assert inspect.signature(kind).parameters["hint"].default is inspect.Parameter.empty
    error = kind("what happened", hint="what to do")
    assert (error.message, error.hint, str(error)) == ("what happened", "what to do", "what happened")
    assert error.exit_status in (1, 2, 3, 130)


def test_every_error_is_created_with_message_and_hint() -> None:
    places = list(made())
    assert len(places) > 50
    for where, call in places:
        assert call.args, where
        assert "hint" in [each.arg for each in call.keywords], where
