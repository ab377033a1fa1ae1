"""The *Deploy to Azure* button: it belongs to one release, and its form asks for what the template needs and checks names."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from function_app.shared_rules import VERSION
from tests.conftest import ROOT
from tests.infra.test_bicep import MAIN, PARAMETERS

FORM = json.loads((ROOT / "infra" / "createUiDefinition.json").read_text(encoding="utf-8"))["parameters"]
STEPS = {step["name"]: {each["name"]: each for each in step["elements"]} for step in FORM["steps"]}
ELEMENTS: dict[str, Any] = {each["name"]: each for each in FORM["basics"]} | {
    name: each for step in STEPS.values() for name, each in step.items()
}
GROUP = "/subscriptions/5b1f/resourceGroups/rg-ml/providers"
ACCOUNT = f"{GROUP}/Microsoft.CognitiveServices/accounts/aoai-ml"


def test_the_form_asks_for_every_parameter_without_a_default_and_passes_on_what_it_asks() -> None:
    outputs = dict(FORM["outputs"])
    assert outputs.pop("location") == "[location()]"
    assert {name for name, default in PARAMETERS.items() if not default} <= outputs.keys() == ELEMENTS.keys()
    assert outputs.keys() <= PARAMETERS.keys()
    for name, value in outputs.items():
        step = re.fullmatch(r"\[steps\('(\w+)'\)\.(\w+)\]", value)
        assert value == f"[basics('{name}')]" or (step and step[2] == name and name in STEPS[step[1]])


@pytest.mark.parametrize("name", ["syncDatasets", "vaultAccess"])
def test_a_list_offers_what_the_template_allows(name: str) -> None:
    allowed = re.search(rf"@allowed\(\[([^\]]+)\]\)\nparam {name} ", MAIN)
    offered = [each["value"] for each in ELEMENTS[name]["constraints"]["allowedValues"]]
    assert allowed
    assert sorted(filter(None, offered)) == sorted(re.findall(r"'(\w+)'", allowed[1]))
    assert (offered[0] == "") is (not PARAMETERS[name]), "the portal selects the first item where there is no default"


def test_the_choice_of_data_has_no_default_and_nothing_is_deployed_without_it() -> None:
    assert "defaultValue" not in ELEMENTS["syncDatasets"]
    conditions = [each.get("isValid") for each in ELEMENTS["wandbProject"]["constraints"]["validations"]]
    assert "[not(empty(steps('wandb').syncDatasets))]" in conditions


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("name", ["finetune-wandb", "a1b"], ["dev_test.1", "-ab", "ab-", "ab", "a" * 25, "[x]"]),
        ("azureOpenAiAccountIds", [ACCOUNT, f"{ACCOUNT}, {ACCOUNT}2"], ["aoai-ml", f"{ACCOUNT},", f"{ACCOUNT}/x"]),
        ("azureOpenAiEndpoints", ["https://a.openai.azure.com/,https://b.openai.azure.com"], ["a.openai.azure.com"]),
        ("keyVaultId", [f"{GROUP}/Microsoft.KeyVault/vaults/kv-ml"], ["kv-ml", ACCOUNT]),
        ("keyVaultUrl", ["https://kv-ml.vault.azure.net/", "https://kv-ml.vault.usgovcloudapi.net"], ["https://x.y/"]),
        ("wandbSecretName", ["wandb-api-key"], ["wandb_api_key"]),
        ("wandbProject", ["OpenAI-Fine-Tune", "my project"], ["a/b", "", "50%"]),
        ("wandbEntity", ["", "acme_ml"], ["acme/x"]),
        ("alertEmails", ["", "a@b.example, c@d.example"], ["a", "a@b.example,"]),
        ("packageUri", ["https://st.example/x.zip?sig=a%2B"], ["http://st.example/x.zip"]),
    ],
)
def test_a_field_accepts_what_azure_accepts(name: str, good: list[str], bad: list[str]) -> None:
    [pattern] = [each["regex"] for each in ELEMENTS[name]["constraints"]["validations"] if "regex" in each]
    assert [text for text in good if not re.search(pattern, text)] == []
    assert [text for text in bad if re.search(pattern, text)] == []


def test_a_default_of_the_form_is_that_of_the_template() -> None:
    labels = {each["label"]: each["value"] for each in ELEMENTS["vaultAccess"]["constraints"]["allowedValues"]}
    for name in ELEMENTS.keys() - {"packageUri"}:
        if default := ELEMENTS[name].get("defaultValue"):
            assert PARAMETERS[name] == f"'{labels.get(default, default)}'"


def test_button_package_and_form_are_of_this_release() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    [button] = re.findall(r"\]\((https://portal\.azure\.com/#create[^)]*)\)", page)
    template, form = unquote(button).partition("/Microsoft.Template/uri/")[2].split("/createUIDefinitionUri/")
    tag = f"https://raw.githubusercontent.com/azure-openai-wandb/azure-openai-wandb/refs/tags/portal-v{VERSION}"
    assert (template, form) == (f"{tag}/main.json", f"{tag}/createUiDefinition.json"), "never a branch"
    assert ELEMENTS["packageUri"]["defaultValue"].endswith(f"/releases/download/v{VERSION}/function-app.zip")


def test_the_release_workflow_publishes_template_and_form_at_a_tag(tmp_path: Path) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    [step] = [each for each in workflow["jobs"]["release"]["steps"] if "portal" in each.get("name", "")]
    work, files = tmp_path / "work", ("createUiDefinition.json", "main.json")

    def git(*argv: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        return subprocess.run(
            ["git", *identity, *argv], cwd=work, check=True, capture_output=True, text=True
        ).stdout.strip()

    (work / "files").mkdir(parents=True)
    for name in files:
        (work / "files" / name).write_text("{}")
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "origin"], check=True)
    git("init", "-q")
    git("remote", "add", "origin", str(tmp_path / "origin"))
    git("commit", "-q", "--allow-empty", "-m", "the release")
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GITHUB_REF_NAME": "v1.2.3", "GITHUB_SHA": git("rev-parse", "HEAD")}
    subprocess.run(["bash", "-eu", "-c", step["run"]], cwd=work, env=env, check=True, capture_output=True)
    git("fetch", "-q", "origin", "tag", "portal-v1.2.3")
    assert git("ls-tree", "-r", "--name-only", "portal-v1.2.3").split() == sorted(files)
