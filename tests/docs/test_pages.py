"""The pages name every command, setting and dependency, and their links lead to something that exists."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import AliasChoices

from docs.reference import PAGE, page
from function_app.settings import Settings
from tests.conftest import ROOT

SETTINGS = (ROOT / "docs" / "settings.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("[A-Z]*.md"))]
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_the_commands_page_is_what_help_prints() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def names_of_settings() -> set[str]:
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names.add(str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper())
    return names


def test_the_settings_page_has_every_setting_and_no_other() -> None:
    table = SETTINGS[SETTINGS.index("| setting | default |") :]
    table = table[: table.index("\n\n")]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)} == names_of_settings()


def anchors(path: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_target_of_every_link_exists(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", _FENCED.sub("", path.read_text())):
        name, _, anchor = unquote(target).partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_a_link_leads_to_every_page() -> None:
    linked = {name for path in PAGES for name in re.findall(r"\]\((?:\w+/|\.\./)*([\w-]+\.md)", path.read_text())}
    assert {path.name for path in PAGES} - {"README.md"} <= linked


def test_every_dependency_has_a_reason_and_a_lower_bound_and_nothing_else_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    names = {re.split(r"[=\[;<> ]", each)[0] for each in declared} - {project["name"]}  # extras that take in others
    assert sorted(rows) == sorted(names)
    unbounded = [each for each in declared if not re.search("[=>]=", each) and not each.startswith(project["name"])]
    assert unbounded == [], "the lowest versions of --resolution lowest-direct would be the first ever released"
