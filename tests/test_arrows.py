"""Rules across the packages that import-linter cannot express."""

from tests.conftest import ROOT


def test_production_code_does_not_import_the_sandbox() -> None:
    files = (path for folder in ("provisioning", "function_app", "infra") for path in (ROOT / folder).rglob("*"))
    production = [path for path in files if path.suffix in {".py", ".bicep", ".json"}]
    assert len(production) > 100
    assert [str(path) for path in production if "sandbox" in path.read_text().lower()] == []
