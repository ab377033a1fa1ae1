"""Replace sections in the JSON of a saved view, and keep everything else as it is, byte by byte. Pure.

W&B's app keeps more in a view than wandb-workspaces 0.4.13 knows: loading and saving with the library drops settings, column
widths and changed panels. So an existing view is edited as text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SECTIONS = ("section", "panelBankConfig", "sections")
_KEPT = ("__id__", "isOpen")
"""Keys that W&B's app adds to or changes in a section. They are kept in the section that replaces it."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


class UnknownSpecError(ValueError):
    """The text is not a view with sections, or the view has an unknown version."""


@dataclass(frozen=True)
class _Value:
    """A value in a text, and where it is."""

    begin: int
    end: int
    value: Any


def replace_sections(spec: str, ours: Sequence[Mapping[str, Any]]) -> str:
    """Return the view with our sections in place of those with the same names; new ones come after the last of these.

    Args:
        spec: the view's JSON.
        ours: our sections, each with a name.

    Raises:
        UnknownSpecError: it is not such a view.
    """
    array = _sections(spec)
    named = {str(section["name"]): section for section in ours}
    kept: list[tuple[str, str]] = []  # name and text
    for element in _elements(spec, array.begin):
        section = element.value if isinstance(element.value, dict) else {}
        name = str(section.get("name"))
        if name in named:
            own = {key: section[key] for key in _KEPT if key in section}
            kept.append((name, _text({**named[name], **own})))
        else:
            kept.append(("", spec[element.begin : element.end]))
    there = {name for name, _ in kept}
    new = [(name, _text(section)) for name, section in named.items() if name not in there]
    at = max((number for number, (name, _) in enumerate(kept, start=1) if name), default=0)
    texts = [text for _, text in (*kept[:at], *new, *kept[at:])]
    return f"{spec[: array.begin]}[{','.join(texts)}]{spec[array.end :]}"


def sections_in(spec: str) -> list[Any]:
    """Return the sections of a view.

    Raises:
        UnknownSpecError: it is not such a view.
    """
    return list(_sections(spec).value)


def _text(section: Mapping[str, Any]) -> str:
    return json.dumps(section, separators=(",", ":"), ensure_ascii=False)


def _sections(spec: str) -> _Value:
    """Return the array of sections."""
    try:
        at = _skip(spec, 0)
        found = _Value(at, len(spec), None)
        if "version" in dict(_entries(spec, at)):  # unknown to wandb-workspaces 0.4.13
            raise UnknownSpecError("the view has an unknown version")
        for key in _SECTIONS:
            found = dict(_entries(spec, found.begin))[key]
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        raise UnknownSpecError(f"the view has no sections ({type(error).__name__})") from error
    if not isinstance(found.value, list):
        raise UnknownSpecError("the view's sections are not a list")
    return found


def _entries(text: str, begin: int) -> Iterator[tuple[str, _Value]]:
    """Yield the entries of the object that begins here."""
    if text[begin] != "{":
        raise ValueError("not an object")
    at = _skip(text, begin + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        value, end = _DECODER.raw_decode(text, at)
        yield key, _Value(at, end, value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _elements(text: str, begin: int) -> Iterator[_Value]:
    """Yield the elements of the array that begins here."""
    at = _skip(text, begin + 1)
    while text[at] != "]":
        value, end = _DECODER.raw_decode(text, at)
        yield _Value(at, end, value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
