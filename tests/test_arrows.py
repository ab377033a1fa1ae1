"""Rules across the packages that import-linter cannot express."""

from tests.conftest import ROOT


def test_production_code_does_not_mention_the_sandbox() -> None:
    folders = [ROOT / name for name in ("provisioning", "function_app", "infra")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".bicep", ".json"}]
    assert len(files) > 100
    assert [path for path in files if "sandbox" in path.read_text().lower()] == []
