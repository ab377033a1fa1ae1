"""Rules across the packages that import-linter cannot say."""

from pathlib import Path

import pytest

from tests.conftest import ROOT

PRODUCTION = [
    path
    for folder in ("provisioning", "function_app", "infra")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".bicep", ".json"}
]


@pytest.mark.parametrize("path", PRODUCTION, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_in_production_does_not_know_of_the_stand_in(path: Path) -> None:
    assert "sandbox" not in path.read_text().lower()
