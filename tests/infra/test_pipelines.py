"""The pipelines for users: they sign in without a secret, and name parameters and options that exist."""

import re
from pathlib import Path

import pytest
import yaml

from provisioning.cli.commands import cli
from tests.conftest import ROOT

INFRA = ROOT / "infra"
PIPELINES = sorted((INFRA / "pipelines").iterdir())


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_checks_then_deploys_a_pinned_release_without_a_stored_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    assert not re.search(r"secrets\.|password|client-secret", text, re.IGNORECASE)
    assert text.index("preflight") < text.index("az deployment group create") < text.index("verify-app")
    template = (INFRA / "main.bicep").read_text(encoding="utf-8")
    for name in re.findall(r'-p "?(\w+)=', text):
        assert re.search(rf"^param {name} ", template, re.MULTILINE)
    for command in ("preflight", "verify-app"):
        options = {option for parameter in cli.commands[command].params for option in parameter.opts}
        [arguments] = re.findall(rf"aoai-wandb-provision {command}( (?:[^\n]*\\\n)*[^\n]*)", text)
        assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", arguments)) <= options
    assert "@main" not in text
    assert "@master" not in text


def test_the_github_workflow_has_only_the_permission_to_request_an_azure_token() -> None:
    workflow = yaml.safe_load((INFRA / "pipelines" / "github-actions.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
