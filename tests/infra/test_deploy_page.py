"""docs/deploy.md names variables, parameters, outputs, options, roles and tiles that exist."""

import re

import pytest

from provisioning.cli.commands import cli
from tests.conftest import ROOT
from tests.infra.test_from_setup import PASSED_ON

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
OF_AZD_ITSELF = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"}


def test_every_variable_that_azd_passes_on_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \| (.+?) \| .+\|$", PAGE, re.MULTILINE)
    listed = {name for names, _ in rows for name in re.findall(r"`([A-Z_]+)`", names)}
    assert listed == set(PASSED_ON.values()) - OF_AZD_ITSELF
    for names, parameters in rows:
        for variable, parameter in zip(re.findall(r"\w+", names), re.findall(r"`(\w+)`", parameters), strict=False):
            assert PASSED_ON[parameter] == variable


def test_outputs_and_parameters_that_the_page_mentions_are_in_the_template() -> None:
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    outputs = set(re.findall(r"^output (\w+)", template, re.MULTILINE))
    assert {"AZURE_OUTBOUND_ADDRESS", "AZURE_FUNCTION_APP_PRINCIPAL_ID"} <= outputs
    for name in re.findall(r"`(AZURE_\w+)`", PAGE):
        assert name in outputs | set(PASSED_ON.values()) | OF_AZD_ITSELF
    for name in re.findall(r"-p (\w+)=", PAGE):
        assert re.search(rf"^param {name} ", template, re.MULTILINE)


def test_every_way_to_deploy_the_code_ends_in_a_check_that_the_functions_are_indexed() -> None:
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    deploying = [
        block for block in blocks if re.search(r"config-zip|functionapp publish|packageUri=|/api/publish", block)
    ]
    assert len(deploying) == 4
    assert len(re.findall("functionapp publish", PAGE)) == len(re.findall("functionapp publish .+ --python", PAGE)) > 0
    assert all("provisioning verify-app" in block.splitlines()[-1] for block in deploying), "azd has a hook"


def test_the_workbook_has_the_tiles_that_the_page_names() -> None:
    workbook = (ROOT / "infra" / "workbook.json").read_text(encoding="utf-8")
    titles = [
        title for names in re.findall(r"the workbook, (.+?) \|", PAGE) for title in re.findall(r"\*(.+?)\*", names)
    ]
    assert titles
    assert not [title for title in titles if title not in workbook]


@pytest.mark.parametrize(
    ("command", "options"),
    sorted(set(re.findall(r"python -m provisioning ([\w-]+)((?: [^\n`>]*(?:\\\n)?[^\n`>]*)?)", PAGE))),
)
def test_commands_and_options_exist_in_the_programs(command: str, options: str) -> None:
    known = {option for parameter in cli.commands[command].params for option in parameter.opts}
    assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", options)) <= known


def test_what_the_identity_may_do_is_what_the_templates_assign() -> None:
    templates = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra").rglob("*.bicep"))
    assigned = set(re.findall(r"^var (\w+) = '[0-9a-f-]{36}'", templates, re.MULTILINE))
    table = PAGE.partition("## What the app's identity may do")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\*.+?) \| ", table, re.MULTILINE)
    listed = {re.sub(r"\W", "", role).lower() for row in rows for role in re.findall(r"\*(.+?)\*", row)}
    assert listed == {name.lower() for name in assigned}
