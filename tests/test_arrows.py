"""Rules across the packages that import-linter cannot express."""

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
def test_production_code_does_not_import_the_sandbox(path: Path) -> None:
    assert "sandbox" not in path.read_text().lower()
